"""Who vouches for an image: the operator's policy, asked before a pulled image gets its name and before a container is
made of one.

The policy's file and the files of its keys are looked at for each question, so a change holds at once. A file that
cannot be read refuses everything: a policy that is away must not mean that anything goes.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from boxship.errors import BoxshipError, Denied, Invalid
from boxship.images.catalog import Catalog
from boxship.images.remote.client import Remote
from boxship.images.remote.model import NOBODY, Credentials
from boxship.images.remote.repository import Repository
from boxship.images.trust_signatures import Signatures, fetch
from boxship.pki.files import read_file
from boxship.pki.payloads import Signature, read_payload
from boxship.spec import digest as digests
from boxship.spec import reference as references
from boxship.spec.reference import Reference

if TYPE_CHECKING:  # a daemon without a policy needs no cryptography, which takes 5 MB
    from boxship.pki.policy import Policy

log = logging.getLogger(__name__)

Fetch = Callable[[], Awaitable[Sequence[Signature]]]


class Trust:
    """One policy file; without one, everything is accepted."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._seen: dict[Path, object] = {}
        self._policy: Policy | None = None
        self._broken = ""

    @property
    def asked(self) -> bool:
        """Whether there is a policy at all."""
        return self._path is not None

    async def check(self, reference: Reference, manifest_digest: str, signatures: Fetch, *, verb: str = "pull") -> None:
        """Whether the image may be used under that name; `manifest_digest` is what the name stands for, and
        `signatures` is only asked where a rule needs them. Raises Denied, which names the rule and the keys."""
        if self._path is not None:
            await self.judge(reference.name, reference.familiar, (manifest_digest,), signatures, verb)

    async def judge(self, repository: str, shown: str, accepted: Collection[str], signatures: Fetch, verb: str) -> None:
        """As `check`, for one of several digests that all stand for the same image."""
        policy = await self._current(f"cannot {verb} {shown}")
        if policy is None:
            return
        from boxship.pki.policy import decide

        rule = policy.rule_for(repository)
        if rule.action == "accept":
            return
        found: Sequence[Signature] = ()
        if rule.action == "require":
            try:
                found = await signatures()
            except BoxshipError as error:
                raise Denied(
                    f"cannot {verb} {shown}: the rule {rule.title} of {policy.name} requires signatures by "
                    f"{', '.join(rule.keys)}, and they cannot be read: {error}"
                ) from error
        decision = decide(policy, rule, repository, accepted, found)
        if not decision.accepted:
            raise Denied(f"cannot {verb} {shown}: refused by the rule {rule.title} of {policy.name}: {decision.text}")

    async def _current(self, what: str) -> "Policy | None":
        """The policy as it is now. Raises Denied where it cannot be read."""
        if self._path is None:
            return None
        if not self._seen or any(_version(path) != seen for path, seen in self._seen.items()):
            self._policy, self._broken, self._seen = await asyncio.to_thread(_read, self._path)
        if self._policy is None:
            raise Denied(f"{what}: no image can be trusted: {self._broken}")
        return self._policy


class PullGate:
    """The policy, asked about images that are to be pulled, and their signatures, which come along."""

    def __init__(self, trust: Trust, signatures: Signatures, remote: Remote) -> None:
        self._trust = trust
        self._signatures = signatures
        self._remote = remote

    async def admit(
        self, reference: Reference, manifest_digest: str, repositories: Sequence[Repository]
    ) -> Sequence[Signature] | None:
        """The signatures, where the policy asked for them. Raises Denied."""
        found: list[Sequence[Signature]] = []

        async def look() -> Sequence[Signature]:
            found.append(await self._fetch(manifest_digest, repositories))
            return found[0]

        await self._trust.check(reference, manifest_digest, look)
        return found[0] if found else None

    async def keep(
        self, manifest_digest: str, repositories: Sequence[Repository], found: Sequence[Signature] | None
    ) -> None:
        """Keep the signatures of what is here now. A registry that cannot tell them is no reason to fail a pull."""
        try:
            found = await self._fetch(manifest_digest, repositories) if found is None else found
            await self._signatures.keep(manifest_digest, found)
        except BoxshipError as error:
            log.warning("the signatures of %s are not kept: %s", manifest_digest, error)

    async def _fetch(self, digest: str, repositories: Sequence[Repository]) -> Sequence[Signature]:
        """From the mirrors and the registry alike: a mirror need not have them, and cannot make them up."""
        found: dict[Signature, None] = {}
        problem: BoxshipError | None = None
        for repository in repositories:
            try:
                found.update(dict.fromkeys(await self._remote.retried(partial(fetch, repository, digest))))
            except BoxshipError as error:
                problem = error
        if problem is not None and not found:
            raise problem
        return tuple(found)


class Signed(msgspec.Struct, frozen=True):
    """What stands for an image under a name: `digest` is the one to sign, `digests` are all that count."""

    reference: str  # the repository, as signatures name it
    digest: str
    digests: tuple[str, ...]
    signatures: tuple[Signature, ...]


class Gate:
    """The policy, asked about images that are here."""

    def __init__(self, catalog: Catalog, signatures: Signatures, trust: Trust) -> None:
        self._catalog = catalog
        self.signatures = signatures
        self.trust = trust

    async def admit(self, text: str, identifier: str, verb: str = "make a container of") -> None:
        """Whether an image that a user called `text` may be used. One that is called by its id must be
        acceptable under each of its names. Raises Denied."""
        if not self.trust.asked:
            return
        name = self.name_of(text, identifier)
        names = [name] if name else [references.parse(known) for known in self._catalog.names(identifier)]
        for known in names:
            accepted = self.digests_of(identifier, known)
            await self.trust.judge(known.name, known.familiar, accepted, self._reader(accepted), verb)
        if not names:
            accepted = self.digests_of(identifier, None)
            await self.trust.judge("", digests.short(identifier), accepted, self._reader(accepted), verb)

    async def describe(self, text: str, identifier: str) -> Signed:
        """What is to be signed of an image that a user called `text`, and what it is signed with."""
        name = self.name_of(text, identifier)
        known = [references.parse(other) for other in self._catalog.names(identifier)]
        if name is None:
            name = known[0] if known else None
        accepted = self.digests_of(identifier, name)
        signatures = [entry for digest in accepted for entry in await self.signatures.read(digest)]
        return Signed(name.name if name else "", accepted[0], accepted, tuple(signatures))

    async def add(self, text: str, identifier: str, signature: Signature) -> str:
        """Keep a signature. Raises Invalid where it is for something else than that image."""
        described = await self.describe(text, identifier)
        digest = read_payload(signature.payload).digest
        if digest not in described.digests:
            raise Invalid(f"cannot keep the signature of {text}: it is for {digest}, not for {described.digest}")
        return await self.signatures.add(digest, signature)

    async def push(self, text: str, identifier: str, remote: Remote, credentials: Credentials | None) -> int:
        """Send what an image is signed with to the registry of its name; how many signatures there are."""
        name = self.name_of(text, identifier)
        if name is None:
            raise Invalid(f"cannot push the signatures of {text}: name the image as its registry does")
        own = remote.own
        to_own = own is not None and own.serves(name.domain)
        repository = await remote.repository(name, credentials)
        count = 0
        for digest in self.digests_of(identifier, name):
            if not self.signatures.has(digest):
                continue
            if to_own and own is not None:
                count += await self.signatures.give(own, name, digest, credentials or NOBODY)
            else:
                count += await remote.retried(partial(self.signatures.send, repository, digest))
        return count

    def name_of(self, text: str, identifier: str) -> Reference | None:
        """The name that a user meant, or None for an id."""
        if digests.is_digest(text) or digests.is_digest(f"sha256:{text}"):
            return None
        try:
            name = references.parse(text).with_default_tag()
        except BoxshipError:
            return None
        mine = {references.parse(known).name for known in self._catalog.names(identifier)}
        return name if name.name in mine else None

    def digests_of(self, identifier: str, name: Reference | None) -> tuple[str, ...]:
        """The digests that stand for an image under a name, what the registry knows it by first: the manifest or index
        of the name, those that its repository called it by, and the image's own manifest."""
        found: list[str] = []
        if name is not None:
            target = self._catalog.target(str(name))
            known = [references.parse(text) for text in self._catalog.names(identifier)]
            found += [other.digest for other in known if other.digest and other.name == name.name]
            if target is not None and target.image == identifier:
                found.insert(0 if not found or target.digest in found else len(found), target.digest)
        found.append(self._catalog.record(identifier).manifest)
        return tuple(dict.fromkeys(found))

    def _reader(self, accepted: Sequence[str]) -> Fetch:
        async def read() -> Sequence[Signature]:
            return [entry for digest in accepted for entry in await self.signatures.read(digest)]

        return read


def _read(path: Path) -> "tuple[Policy | None, str, dict[Path, object]]":
    """The policy, or what is wrong with it, and the versions of all files that it was made of."""
    from boxship.pki.policy import parse

    seen: dict[Path, object] = {}

    def read(file: Path) -> bytes:
        seen[file] = _version(file)  # before its content: what changes in between is noticed
        return read_file(file)

    try:
        return parse(read(path), path, read), "", seen
    except BoxshipError as error:
        return None, str(error), seen


def _version(path: Path) -> object:
    """What tells a file from its next version."""
    try:
        status = os.stat(path)
    except OSError as error:
        return error.errno
    return status.st_ino, status.st_size, status.st_mtime_ns
