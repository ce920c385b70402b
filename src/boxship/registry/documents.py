"""Reads a manifest or an index that is pushed, and refuses what no client could use. Pure.

What is accepted is stored byte for byte; only its descriptors are looked at. One document has one reading: a body that
is a manifest and an index at once, or says another type than the request did, is refused.
"""

import hashlib
from typing import Any

import msgspec

from boxship.registry.model import JsonObject, Manifest, Part, Settings
from boxship.registry.names import check_digest
from boxship.registry.refusals import DigestInvalid, ManifestInvalid
from boxship.spec.image import DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, MEDIA_INDEX, MEDIA_MANIFEST

IMAGES = (MEDIA_MANIFEST, DOCKER_MANIFEST)
INDEXES = (MEDIA_INDEX, DOCKER_MANIFEST_LIST)
SIZE_LIMIT = (1 << 63) - 1
ELSEWHERE = ("nondistributable", ".foreign.")  # in media types of layers that may lie elsewhere

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def digest_of(data: bytes, algorithm: str) -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def read_manifest(data: bytes, content_type: str, digest: str, now: int, settings: Settings) -> Manifest:
    """What a manifest is made of. `content_type` is what the request says, "" where it says nothing. Raises
    ManifestInvalid, naming what is wrong."""
    if len(data) > settings.manifest_bytes:
        raise ManifestInvalid(f"cannot store manifest: it has more than {settings.manifest_bytes} bytes")
    try:
        document = _decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ManifestInvalid(f"cannot read manifest: {error}") from None
    if document.get("schemaVersion") != 2:
        raise ManifestInvalid("cannot store manifest: its schemaVersion is not 2")
    media_type = _media_type(document, content_type)
    is_index = media_type in INDEXES
    if ("manifests" in document) != is_index or (is_index and ("layers" in document or "config" in document)):
        raise ManifestInvalid(f"cannot store manifest: its fields are not those of {media_type}")
    subject = _subject(document)
    if is_index:
        children = _descriptors(document, "manifests", settings)
        parts: list[JsonObject] = []
        artifact_type = _text(document, "artifactType")
    else:
        children = []
        config = _descriptor(document.get("config"), "config")
        parts = [config, *_descriptors(document, "layers", settings)]
        artifact_type = _text(document, "artifactType") or config["mediaType"]
    named = {entry["digest"] for entry in (*parts, *children)}
    if digest in named or digest == subject:
        raise ManifestInvalid(f"cannot store manifest {digest}: it names itself")
    return Manifest(
        media_type=media_type,
        size=len(data),
        pushed_at=now,
        parts=tuple({part["digest"]: Part(part["digest"], part["size"]) for part in parts if _is_here(part)}.values()),
        children=tuple(dict.fromkeys(child["digest"] for child in children)),
        subject=subject,
        artifact_type=artifact_type if subject else "",
        annotations=_annotations(document) if subject else None,
    )


def _media_type(document: JsonObject, content_type: str) -> str:
    inner = _text(document, "mediaType")
    outer = content_type.partition(";")[0].strip()
    if inner and outer and inner != outer:
        raise ManifestInvalid(f"cannot store manifest: the request says {outer}, the manifest {inner}")
    found = outer or inner
    if not found:
        raise ManifestInvalid("cannot store manifest: neither the request nor the manifest says its media type")
    if found not in IMAGES + INDEXES:
        raise ManifestInvalid(f"cannot store manifest: unsupported media type {found[:200]}")
    return found


def _subject(document: JsonObject) -> str:
    subject = document.get("subject")
    return _descriptor(subject, "subject")["digest"] if subject is not None else ""


def _descriptors(document: JsonObject, field: str, settings: Settings) -> list[JsonObject]:
    listed = document.get(field)
    if listed is None:
        return []
    if not isinstance(listed, list):
        raise ManifestInvalid(f"cannot store manifest: {field} is not a list")
    if len(listed) > settings.manifest_parts:
        raise ManifestInvalid(f"cannot store manifest: {field} has more than {settings.manifest_parts} entries")
    return [_descriptor(entry, f"{field}[{number}]") for number, entry in enumerate(listed)]


def _descriptor(value: object, where: str) -> JsonObject:
    """The descriptor, checked. Its size is compared with the blob's later."""
    if not isinstance(value, dict):
        raise ManifestInvalid(f"cannot store manifest: {where} is not a descriptor")
    if not isinstance(value.get("mediaType"), str) or not value["mediaType"]:
        raise ManifestInvalid(f"cannot store manifest: {where} has no mediaType")
    size = value.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= SIZE_LIMIT:
        raise ManifestInvalid(f"cannot store manifest: {where} has no valid size")
    if not isinstance(value.get("digest"), str):
        raise ManifestInvalid(f"cannot store manifest: {where} has no digest")
    try:
        check_digest(value["digest"])
    except DigestInvalid as error:
        raise ManifestInvalid(f"cannot store manifest: {where}: {error}") from None
    return value


def _is_here(part: JsonObject) -> bool:
    """Whether the blob must be in the repository: not a layer that its owner allows to be fetched elsewhere alone."""
    return not (part.get("urls") and any(word in part["mediaType"] for word in ELSEWHERE))


def _text(document: JsonObject, field: str) -> str:
    value = document.get(field, "")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ManifestInvalid(f"cannot store manifest: {field} is not a text")
    return value


def _annotations(document: JsonObject) -> dict[str, str] | None:
    value = document.get("annotations")
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ManifestInvalid("cannot store manifest: annotations are not texts")
    return value
