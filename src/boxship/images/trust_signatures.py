"""Signatures of images, kept beside them: each as the manifest that a registry would list as a referrer, with its
payload, and a durable record that names both.

A signature lives as long as what it signs: when that blob goes, so do the records about it; a crash in between is made
good at the next start. What a signature is worth is the policy's business; here it is only kept, fetched and sent.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec

from boxship.content import Content, Garbage
from boxship.errors import BoxshipError, Exhausted, Invalid, NotFound, Unsupported
from boxship.images.documents import DOCUMENT_LIMIT
from boxship.images.remote.model import Credentials, OwnRegistry
from boxship.images.remote.repository import Repository, referrers_tag
from boxship.pki.payloads import (
    ARTIFACT_TYPE,
    PAYLOAD_BYTES,
    PAYLOAD_TYPE,
    SIGNATURE_ANNOTATION,
    SIGNATURES_LIMIT,
    Signature,
    read_payload,
)
from boxship.spec import digest as digests
from boxship.spec.image import MEDIA_INDEX, MEDIA_MANIFEST, Descriptor, Manifest
from boxship.spec.reference import Reference
from boxship.waiting.together import together

PREFIX = "signatures/"
EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"

log = logging.getLogger(__name__)


class Stored(msgspec.Struct, frozen=True):
    """The record of one signature."""

    subject: str
    manifest: str
    payload: str
    signature: str

    @property
    def keys(self) -> tuple[str, ...]:
        return self.manifest, self.payload, digests.of_bytes(EMPTY)


_read = msgspec.json.Decoder(Stored).decode
_write = msgspec.json.Encoder().encode


class Signatures:
    """Belongs to the loop. `recover` comes before the sweep; `run` is one task for as long as the daemon lives."""

    def __init__(self, content: Content, garbage: Garbage) -> None:
        self._content = content
        self._garbage = garbage
        self._known: dict[str, dict[str, Stored]] = {}  # by subject, then by manifest
        self._changing = asyncio.Lock()
        self._departed = garbage.departures()

    async def recover(self) -> None:
        """Claim what is recorded; forget what is about images that are gone."""
        gone = []
        for value in (await self._content.references.load((PREFIX,))).values():
            record = _read(value)
            if self._content.exists(record.subject):
                self._known.setdefault(record.subject, {})[record.manifest] = record
                self._garbage.claim(record.keys)
            else:
                gone.append(_key(record))
        if gone:
            await self._content.references.change(dict.fromkeys(gone))

    async def run(self) -> None:
        """Forget the signatures of what goes."""
        while True:
            subject = await self._departed.get()
            if subject not in self._known:
                continue
            try:
                async with self._changing:
                    if not self._content.exists(subject):  # else it came back meanwhile
                        await self._forget(subject)
            except BoxshipError as error:  # the next start forgets them
                log.error("cannot forget the signatures of %s: %s", subject, error)

    async def _forget(self, subject: str) -> None:
        records = self._known.pop(subject, {})
        if records:
            await self._content.references.change({_key(record): None for record in records.values()})
            self._garbage.release(key for record in records.values() for key in record.keys)

    def has(self, subject: str) -> bool:
        """Whether there is any signature of it."""
        return bool(self._known.get(subject))

    async def read(self, subject: str) -> tuple[Signature, ...]:
        """All signatures of a manifest or index."""
        found = []
        for record in list(self._known.get(subject, {}).values()):
            found.append(Signature(await self._content.read(record.payload, PAYLOAD_BYTES), record.signature))
        return tuple(found)

    async def add(self, subject: str, signature: Signature) -> str:
        """Keep a signature of something that is here; the digest of its manifest. Raises Invalid for one of something
        else, NotFound, Exhausted."""
        said = read_payload(signature.payload)
        if said.digest != subject:
            raise Invalid(f"cannot keep the signature: it is for {said.digest}, not for {subject}")
        async with self._changing, self._garbage.lease() as lease:
            await lease.add(subject)
            media_type = _media_type(await self._content.read(subject, DOCUMENT_LIMIT))
            described = Descriptor(media_type, subject, self._content.size(subject))
            manifest = manifest_of(described, signature)
            record = Stored(
                subject, digests.of_bytes(manifest), digests.of_bytes(signature.payload), signature.signature
            )
            known = self._known.get(subject, {})
            if record.manifest in known:
                return record.manifest
            if len(known) >= SIGNATURES_LIMIT:
                raise Exhausted(f"cannot keep the signature: {subject} has {SIGNATURES_LIMIT} of them")
            for key in record.keys:
                await lease.add(key)
            for data in (EMPTY, signature.payload, manifest):
                await self._content.put(data)
            await self._content.references.change({_key(record): _write(record)})
            self._known.setdefault(subject, {})[record.manifest] = record
            self._garbage.claim(record.keys)
        return record.manifest

    async def keep(self, subject: str, signatures: Iterable[Signature]) -> None:
        """Keep what a registry had about an image; one that cannot be kept is left out."""
        for signature in signatures:
            try:
                await self.add(subject, signature)
            except (Invalid, Exhausted) as error:
                log.warning("%s", error)

    # to and from registries

    async def send(self, repository: Repository, subject: str) -> int:
        """Push the signatures of a manifest that the repository has; how many there are."""
        records = list(self._known.get(subject, {}).values())
        for record in records:
            manifest = await self._content.read(record.manifest, DOCUMENT_LIMIT)
            for digest in record.keys[1:]:
                await self._send_blob(repository, digest)
            if not await repository.put_manifest(record.manifest, MEDIA_MANIFEST, manifest):
                await _list_by_tag(repository, subject, record.manifest, len(manifest))
        return len(records)

    async def _send_blob(self, repository: Repository, digest: str) -> None:
        if not await repository.has_blob(digest):
            data = await self._content.read(digest, PAYLOAD_BYTES)

            async def pieces() -> AsyncIterator[bytes]:
                yield data

            await repository.upload_rest(await repository.begin_upload(), digest, pieces, len(data))

    async def give(self, own: OwnRegistry, reference: Reference, subject: str, who: Credentials) -> int:
        """Put the signatures into our own registry, which has the blobs already; how many there are."""
        records = list(self._known.get(subject, {}).values())
        for record in records:
            await own.accept(reference.path, "", record.manifest, MEDIA_MANIFEST, who)
        return len(records)


async def fetch(repository: Repository, subject: str) -> list[Signature]:
    """All signatures that a repository has of a manifest: its referrers, and those under the older tag scheme."""
    older = _read_all(repository, subject, [signature_tag(subject)])
    found = await together([_referring(repository, subject), older])
    return list(dict.fromkeys(entry for entries in found for entry in entries))[:SIGNATURES_LIMIT]


async def _referring(repository: Repository, subject: str) -> list[Signature]:
    listed = await repository.referrers(subject, ARTIFACT_TYPE)
    return await _read_all(repository, subject, [entry.digest for entry in listed[:SIGNATURES_LIMIT]])


async def _read_all(repository: Repository, subject: str, names: Sequence[str]) -> list[Signature]:
    """The signatures in these manifests; what is missing or damaged is left out."""
    found: list[Signature] = []
    for name in names:
        if len(found) >= SIGNATURES_LIMIT:
            break
        try:
            document = await repository.manifest(name)
            found += await _signatures_in(repository, document.data)
        except NotFound:
            continue
        except (Invalid, Unsupported) as error:
            log.warning("a signature of %s cannot be read: %s", subject, error)
    return found


async def _signatures_in(repository: Repository, data: bytes) -> list[Signature]:
    """The signatures that a manifest holds: a layer for each, the signature itself in its annotation."""
    try:
        layers = msgspec.json.decode(data, type=Manifest).layers
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Invalid(f"cannot read the manifest of a signature: {error}") from error
    found = []
    for layer in layers[:SIGNATURES_LIMIT]:
        signature = (layer.annotations or {}).get(SIGNATURE_ANNOTATION)
        if layer.mediaType == PAYLOAD_TYPE and signature and layer.size <= PAYLOAD_BYTES:
            found.append(Signature(await repository.small_blob(layer.digest, PAYLOAD_BYTES), signature))
    return found


def manifest_of(subject: Descriptor, signature: Signature) -> bytes:
    """The referrer's manifest: the same bytes for the same signature, wherever it is made."""
    payload = {
        "mediaType": PAYLOAD_TYPE,
        "digest": digests.of_bytes(signature.payload),
        "size": len(signature.payload),
        "annotations": {SIGNATURE_ANNOTATION: signature.signature},
    }
    return msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": MEDIA_MANIFEST,
            "artifactType": ARTIFACT_TYPE,
            "config": {"mediaType": EMPTY_TYPE, "digest": digests.of_bytes(EMPTY), "size": len(EMPTY)},
            "layers": [payload],
            "subject": {"mediaType": subject.mediaType, "digest": subject.digest, "size": subject.size},
        }
    )


def signature_tag(digest: str) -> str:
    """The tag under which older cosign keeps an image's signatures."""
    return f"{referrers_tag(digest)}.sig"


async def _list_by_tag(repository: Repository, subject: str, manifest: str, size: int) -> None:
    """Add to the index that stands in for the list of referrers, where a registry keeps none."""
    tag = referrers_tag(subject)
    try:
        entries: list[dict[str, object]] = msgspec.json.decode((await repository.manifest(tag)).data)["manifests"]
    except NotFound:
        entries = []
    if any(entry.get("digest") == manifest for entry in entries):
        return
    entries.append({"mediaType": MEDIA_MANIFEST, "digest": manifest, "size": size, "artifactType": ARTIFACT_TYPE})
    index = {"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": entries}
    await repository.put_manifest(tag, MEDIA_INDEX, msgspec.json.encode(index))


class _Typed(msgspec.Struct, frozen=True):
    mediaType: str = MEDIA_MANIFEST


def _media_type(data: bytes) -> str:
    try:
        return msgspec.json.decode(data, type=_Typed).mediaType
    except msgspec.MsgspecError as error:
        raise Invalid(f"cannot sign what is no manifest: {error}") from error


def _key(record: Stored) -> str:
    return f"{PREFIX}{record.subject}/{digests.encoded(record.manifest)}"


__all__: Sequence[str] = ("Signatures", "fetch", "manifest_of", "signature_tag")
