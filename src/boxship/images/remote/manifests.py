"""Manifests and indexes that come from elsewhere: what they may be, and which image of an index is meant. Pure."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from boxship.errors import Invalid, NotFound, Unsupported
from boxship.images.documents import LAYER_LIMIT, parse
from boxship.images.remote.model import Document
from boxship.spec import digest as digests
from boxship.spec import platform as platforms
from boxship.spec.image import (
    DOCKER_CONFIG,
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    MEDIA_CONFIG,
    MEDIA_INDEX,
    MEDIA_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    Platform,
)

MANIFEST_BYTES = 4 * 1024 * 1024
INDEX_ENTRIES = 4096
SMALL_BYTES = 64 * 1024  # that are read at once
SCHEMA_ONE = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)
ACCEPT = (MEDIA_MANIFEST, MEDIA_INDEX, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST)
INDEXES = (MEDIA_INDEX, DOCKER_MANIFEST_LIST)
CONFIGS = (MEDIA_CONFIG, DOCKER_CONFIG)
REFERENCE_TYPE = "vnd.docker.reference.type"  # marks attestations, which are no images
FOREIGN = ("foreign", "nondistributable")
T = TypeVar("T")


async def read_aside(read: Callable[[Document], T], document: Document) -> T:
    """Read a document; a large one in a thread, so that the loop goes on."""
    return await asyncio.to_thread(read, document) if len(document.data) > SMALL_BYTES else read(document)


def check_document(wanted: str, data: bytes, content_type: str, named: str = "") -> Document:
    """What came for a tag or digest. `named` is the digest that the registry gave along. Raises Invalid for one that
    lies about its digest or kind, Unsupported for schema 1."""
    digest = digests.of_bytes(data)
    for claimed in (wanted if digests.is_digest(wanted) else "", named):
        if claimed and not digests.is_digest(claimed):
            raise Invalid(f"cannot read manifest {wanted}: the registry names {claimed[:200]!r} as its digest")
        if claimed and not digests.matches(claimed, data):
            raise Invalid(f"cannot read manifest {wanted}: manifest verification failed for digest {claimed}")
    if digests.is_digest(wanted):
        digest = wanted
    return Document(digest, kind_of(data, content_type, wanted), data)


def kind_of(data: bytes, content_type: str, wanted: str) -> str:
    """The media type: as the document says, else as the registry says. A document that could be read as two kinds is
    refused: others might see another image in it."""
    fields = parse(data, dict[str, Any], f"manifest {wanted}")
    said = content_type.partition(";")[0].strip()
    if fields.get("schemaVersion") == 1 or said in SCHEMA_ONE:
        raise Unsupported("unsupported: Docker image manifest version 2, schema 1")
    if "manifests" in fields and ("layers" in fields or "config" in fields):
        raise Invalid(f"cannot read manifest {wanted}: it is a manifest and an index at once")
    own = fields.get("mediaType") or ""
    if not own:
        own = said if said in ACCEPT else MEDIA_INDEX if "manifests" in fields else MEDIA_MANIFEST
    if own not in ACCEPT:
        raise Unsupported(f"unsupported: manifests of the media type {str(own)[:200]}")
    if said in ACCEPT and said != own:
        raise Invalid(f"cannot read manifest {wanted}: it says {own}, the registry says {said}")
    if (own in INDEXES) != ("manifests" in fields):
        raise Invalid(f"cannot read manifest {wanted}: it is no {own}")
    return str(own)


def read_manifest(document: Document) -> Manifest:
    """Raises Invalid where its parts are not named as they must be."""
    manifest = parse(document.data, Manifest, f"manifest {document.digest}")
    if len(manifest.layers) > LAYER_LIMIT:
        raise Invalid(f"cannot read manifest {document.digest}: more than {LAYER_LIMIT} layers")
    for part in (manifest.config, *manifest.layers):
        digests.validate(part.digest)
        if part.size < 0:
            raise Invalid(f"cannot read manifest {document.digest}: {part.digest} has {part.size} bytes")
    return manifest


def read_index(document: Document) -> Index:
    index = parse(document.data, Index, f"index {document.digest}")
    if len(index.manifests) > INDEX_ENTRIES:
        raise Invalid(f"cannot read index {document.digest}: more than {INDEX_ENTRIES} entries")
    for entry in index.manifests:
        digests.validate(entry.digest)
    return index


def check_image(manifest: Manifest) -> None:
    """Raises Unsupported for what is no image, such as a chart or a signature."""
    kind = manifest.config.mediaType
    if kind not in CONFIGS or (manifest.artifactType and manifest.artifactType not in CONFIGS):
        raise Unsupported(f"unsupported: pulling what is no image but {manifest.artifactType or kind}")
    if not manifest.config.digest.startswith("sha256:"):
        raise Unsupported("unsupported: images whose config is not named by sha256")


def choose(index: Index, platform: Platform | None, name: str) -> Descriptor:
    """The entry for a platform, this machine's where none is asked for. Raises NotFound, which lists what is there."""
    offers = [entry for entry in index.manifests if is_offer(entry)]
    wanted = platform or platforms.host()
    best = platforms.choose(wanted, [entry.platform or Platform() for entry in offers])
    if best is not None:
        return offers[best]
    unnamed = [entry for entry in offers if entry.platform is None or not entry.platform.os]
    if unnamed:
        return unnamed[0]  # its config says what it is for
    there = (
        ", ".join(dict.fromkeys(platforms.describe(entry.platform) for entry in offers if entry.platform)) or "nothing"
    )
    raise NotFound(
        f"no matching manifest for {platforms.describe(wanted)} in the manifest list entries of {name}: it has {there}"
    )


def is_offer(entry: Descriptor) -> bool:
    """Whether an index's entry may be an image, and not an attestation of one."""
    unknown = entry.platform is not None and entry.platform.os == "unknown"
    return not (REFERENCE_TYPE in (entry.annotations or {}) or entry.artifactType in UNWANTED or unknown)


UNWANTED: Sequence[str] = ("application/vnd.docker.attestation.manifest.v1+json",)


def is_foreign(layer: Descriptor) -> bool:
    """Whether the layer is not to be handed on by registries."""
    return any(word in layer.mediaType for word in FOREIGN)


def encode(value: Manifest | Index) -> bytes:
    """A manifest of our own as JSON, in the order of the specification; always the same bytes."""
    fields = msgspec.to_builtins(value)
    fields = {"schemaVersion": 2, "mediaType": value.mediaType, **fields}
    return msgspec.json.encode(fields)
