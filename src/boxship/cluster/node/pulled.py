"""Which images the agent has pulled, and for whom: what came with one pod's secret is not open to the next pod.

An intent is durable before a pull begins and goes with the record that says by whose right it ended; so whatever a kill
leaves is known to have been pulled, and who wants it shows anew that he may. What was there without us is "preloaded".

Source: KEP-2535 and documentation "Images" (image pull credential verification). A record is of an image's id and, in
it, of repositories; it goes with the image.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from boxship.cluster.node.runtime import Credentials, ImageStatus
from boxship.errors import Exhausted, Invalid
from boxship.spec import reference as references

log = logging.getLogger(__name__)

NEVER, PRELOADED, LISTED, ALWAYS = (
    "NeverVerify",
    "NeverVerifyPreloadedImages",
    "NeverVerifyAllowlistedImages",
    "AlwaysVerify",
)
POLICIES = (NEVER, PRELOADED, LISTED, ALWAYS)
INTENT, RECORD = "intent/", "image/"
SECRETS_LIMIT = 100  # of one repository of an image; the oldest go, and are shown anew


class Verification(msgspec.Struct, frozen=True):
    """The original's imagePullCredentialsVerificationPolicy; `preloaded` are the names that LISTED lets be, without a
    tag; "HOST/PATH/*" are all below."""

    policy: str = PRELOADED
    preloaded: tuple[str, ...] = ()

    def is_asked(self, repository: str, pulled: bool) -> bool:
        """Whether a pod has to show that it may use an image that is here."""
        if self.policy == LISTED:
            return pulled or not any(_is_listed(repository, one) for one in self.preloaded)
        return self.policy == ALWAYS or (self.policy == PRELOADED and pulled)


class Secret(msgspec.Struct, frozen=True):
    """A pull secret, and what it said for the registry: its credentials' hash."""

    namespace: str
    name: str
    uid: str
    hash: str


class Access(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who has shown that a repository's image is his to use."""

    everyone: bool = False
    secrets: tuple[Secret, ...] = ()


class Pull(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record: access by repository, and the names under which other nodes gave the image, with the node."""

    image: str
    access: dict[str, Access] = {}
    nodes: dict[str, str] = {}
    written_at: float = 0.0


class Intent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A pull that is under way, or that a kill has ended. `node`: who gives it, "" for a registry."""

    name: str
    node: str = ""


class Shelf(Protocol):
    """A few keys that survive."""

    async def read(self) -> Mapping[str, bytes]: ...

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        """All or none; durable when it returns."""


class PullRecords:
    """One for a node, for as long as its process lives. Without a shelf nothing is kept."""

    def __init__(self, shelf: Shelf | None = None, now: Callable[[], float] = time.time) -> None:
        self._shelf = shelf
        self._now = now
        self._lock = asyncio.Lock()
        self._is_read = False
        self._records: dict[str, Pull] = {}
        self._intents: dict[str, Intent] = {}
        self._running: dict[str, int] = {}  # pulls under way, by name
        self._left: set[str] = set()  # names whose intents are of pulls that nobody ended

    async def recover(self, images: Callable[[], Awaitable[Sequence[ImageStatus]]]) -> None:
        """What is kept is read, once; and what a kill or a surprise left of pulls becomes records that admit nobody."""
        if self._is_read and not self._left:
            return
        async with self._lock:
            if not self._is_read:
                await self._read()
            try:
                await self._settle(await images() if self._left else ())
            except Exhausted as error:  # an intent that stays opens nothing
                log.warning("cannot note yet what pulls have left: %s", error)

    async def _settle(self, images: Sequence[ImageStatus]) -> None:
        left = [self._intents[name] for name in sorted(self._left)]
        for image in images:
            for intent in left:
                if is_named(image, intent.name):
                    known = intent if image.is_local(intent.name) else Intent(intent.name)
                    await self._write(self._with(image.id, known, None), None)
        for intent in left:
            self._left.discard(intent.name)
            if intent.name not in self._running:
                await self._write(None, intent.name)

    async def _read(self) -> None:
        """What cannot be read admits nobody: it says at least that something was pulled."""
        for key, value in (await self._shelf.read() if self._shelf else {}).items():
            image, name = key.removeprefix(RECORD), key.removeprefix(INTENT)
            try:
                if key.startswith(RECORD):
                    self._records[image] = msgspec.json.decode(value, type=Pull)
                else:
                    self._intents[name] = msgspec.json.decode(value, type=Intent)
            except msgspec.MsgspecError as error:
                log.warning("cannot read the record %s of a pull, it admits nobody: %s", key, error)
                if key.startswith(RECORD):
                    self._records[image] = Pull(image)
                else:
                    self._intents[name] = Intent(name)
        self._left |= set(self._intents)
        self._is_read = True

    def of(self, image: str) -> Pull | None:
        return self._records.get(image)

    def nodes_of(self, image: str) -> Mapping[str, str]:
        """The names that other nodes gave the image, with the node."""
        known = self._records.get(image)
        return known.nodes if known is not None else {}

    def is_asked(self, verification: Verification, image: ImageStatus, name: str) -> bool:
        """Whether a pod that names the image so has to show its right to it."""
        return verification.is_asked(
            references.parse(name).name, is_pulled(image, name, self.of(image.id), tuple(self._intents))
        )

    def is_open(self, image: ImageStatus, name: str) -> bool:
        """Whether it needs no secret."""
        record = self.of(image.id)
        if not is_pulled(image, name, record, tuple(self._intents)):
            return True
        access = record.access.get(references.parse(name).name) if record is not None else None
        return access is not None and access.everyone

    async def admits(self, image: ImageStatus, name: str, secrets: Sequence[Secret]) -> bool:
        """Whether one of the secrets has shown it before, or says what such a one said; that one is remembered, too.
        One that was changed since is not asked again, as with the original, but what it says now opens nothing."""
        repository = references.parse(name).name
        known = self._records.get(image.id)
        access = known.access.get(repository) if known is not None else None
        if access is None:
            return False
        if access.everyone:
            return True
        found = admitted(access, secrets)
        if found is not None and found not in access.secrets and any(found.hash == one.hash for one in access.secrets):
            await self.grant(image.id, name, Access(secrets=(found,)))
        return found is not None

    async def begin(self, name: str, node: str = "") -> None:
        """Before a pull; again as soon as it is known which node gives the image."""
        if not node:
            self._running[name] = self._running.get(name, 0) + 1
        intent = self._intents[name] = Intent(name, node)
        if self._shelf:
            await self._shelf.write({INTENT + name: msgspec.json.encode(intent)})

    async def done(self, name: str, image: str, access: Access, node: str = "") -> None:
        """A pull ended well. `node`: who gave the image, "" for a registry."""
        await self._write(self._with(image, Intent(name, node), access), self._ended(name))

    async def failed(self, name: str) -> None:
        await self._write(None, self._ended(name))

    def abandoned(self, name: str) -> None:
        """A pull that neither ended well nor failed: what it has brought is looked for at the next `recover`."""
        self._ended(name)
        if name in self._intents:
            self._left.add(name)

    async def grant(self, image: str, name: str, access: Access) -> None:
        record = self._with(image, Intent(name, self.nodes_of(image).get(name, "")), access)
        if record != self._records.get(image):
            await self._write(record, None)

    async def prune(self, images: Sequence[ImageStatus], listed_at: float) -> None:
        """Forget what is of no image that was there then."""
        here = {image.id for image in images}
        gone = [one.image for one in self._records.values() if one.image not in here and one.written_at < listed_at]
        for image in gone:
            del self._records[image]
        if gone and self._shelf:
            await self._shelf.write({RECORD + image: None for image in gone})

    def _ended(self, name: str) -> str | None:
        """The name whose intent goes: that of the last pull of several."""
        left = self._running.pop(name, 1) - 1
        if left > 0:
            self._running[name] = left
        return name if left <= 0 and name not in self._left else None

    def _with(self, image: str, intent: Intent, access: Access | None) -> Pull:
        known = self._records.get(image) or Pull(image)
        repository, nodes, granted = references.parse(intent.name).name, dict(known.nodes), dict(known.access)
        nodes.pop(intent.name, None)
        if intent.node:
            nodes[intent.name] = intent.node
        if access is not None and access != Access():
            granted[repository] = merged(granted.get(repository, Access()), access)
        found = msgspec.structs.replace(known, access=granted, nodes=nodes)
        return known if found == known and known.written_at else msgspec.structs.replace(found, written_at=self._now())

    async def _write(self, record: Pull | None, intent: str | None) -> None:
        """What is known here counts at once; an intent goes only when its record is durable."""
        changes: dict[str, bytes | None] = {}
        if record is not None:
            self._records[record.image] = record
            changes[RECORD + record.image] = msgspec.json.encode(record)
        if intent is not None:
            changes[INTENT + intent] = None
        if changes and self._shelf:
            await self._shelf.write(changes)
        if intent is not None:
            self._intents.pop(intent, None)


def is_named(image: ImageStatus, name: str) -> bool:
    """Whether a pull of that name may have brought the image."""
    wanted = references.parse(name)
    return name in image.names or any(references.parse(one).name == wanted.name for one in image.digests)


def is_pulled(image: ImageStatus, name: str, record: Pull | None, intents: Sequence[str]) -> bool:
    """Whether the agent has pulled what is named so; else it was there without it. What was built here under a name of
    its own stays open under that one, wherever it was pushed to."""
    repository = references.parse(name).name
    access = record.access if record is not None else {}
    if image.is_local(name) and repository not in access and (image.digests or not access):
        return False
    return record is not None or any(is_named(image, one) for one in intents)


def admitted(access: Access, secrets: Sequence[Secret]) -> Secret | None:
    """The first that says the same as one that is known, or that is one, even where it was changed."""
    hashes = {one.hash for one in access.secrets if one.hash}
    places = {(one.namespace, one.name, one.uid) for one in access.secrets if one.uid}
    for one in secrets:
        if one.hash in hashes or (one.namespace, one.name, one.uid) in places:
            return one
    return None


def merged(known: Access, more: Access) -> Access:
    """Of one secret what it said last."""
    if known.everyone or more.everyone:
        return Access(everyone=True)
    found = {(one.namespace, one.name, one.uid): one for one in known.secrets}
    for one in more.secrets:
        place = (one.namespace, one.name, one.uid)
        if found.get(place) != one:
            found.pop(place, None)
            found[place] = one
    return Access(secrets=tuple(found.values())[-SECRETS_LIMIT:])


def hash_of(credentials: Credentials) -> str:
    return hashlib.sha256(msgspec.json.encode(credentials)).hexdigest()


def parse_listed(text: str) -> str:
    """A name without tag and digest, "*" alone as the last part of its path. Raises Invalid."""
    name = text.removesuffix("/*")
    found = references.parse(name)
    if not found.is_name_only:
        raise Invalid(f"cannot use {text}: write it without a tag or digest")
    return found.name + ("/*" if text != name else "")


def _is_listed(repository: str, listed: str) -> bool:
    return repository.startswith(listed[:-1]) if listed.endswith("/*") else repository == listed
