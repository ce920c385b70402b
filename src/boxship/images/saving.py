"""Writes images into one tar that both Docker (of any age) and OCI tools load, blob by blob, without a temporary copy.

The blobs go out as they came in, so a load elsewhere gives the same ids and the same digests.
"""

import asyncio
import io
import tarfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from boxship.content import Content, Garbage
from boxship.errors import BoxshipError, Invalid, NotFound
from boxship.images.catalog import Catalog, blobs_of
from boxship.images.layouts import IMAGE_NAME, REFERENCE_NAME
from boxship.images.lookup import find
from boxship.images.model import Record
from boxship.spec import digest as digests
from boxship.spec import platform as platforms
from boxship.spec import reference as references
from boxship.spec.image import MEDIA_INDEX, MEDIA_MANIFEST, Descriptor, ImageConfig, Index, Platform

PIECE = 1024 * 1024  # bytes read at once
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class Selected(msgspec.Struct, frozen=True):
    """An image to be saved under some of its normalised names."""

    record: Record
    config: ImageConfig
    names: tuple[str, ...]


def select(catalog: Catalog, wanted: Sequence[str], platform: Platform | None) -> list[Selected]:
    """The images that the user means: a repository without a tag means all its tags, an id means no name. Raises
    NotFound, or Invalid where nothing is named."""
    if not wanted:
        raise Invalid("cannot save images: none is named")
    chosen: dict[str, list[str]] = {}
    for text in wanted:
        for identifier, names in _meant(catalog, text):
            chosen.setdefault(identifier, []).extend(names)
    selected = []
    for identifier, names in chosen.items():
        config = catalog.config(identifier)
        offered = Platform(config.architecture, config.os, config.variant)
        if platform is not None and not platforms.matches(platform, offered):
            raise NotFound(f"image does not provide the specified platform ({platforms.describe(platform)})")
        selected.append(Selected(catalog.record(identifier), config, tuple(dict.fromkeys(names))))
    return selected


def _meant(catalog: Catalog, text: str) -> list[tuple[str, list[str]]]:
    name = None
    if not digests.is_digest(text) and not digests.is_digest(f"sha256:{text}"):
        try:
            name = references.parse(text)
        except BoxshipError:
            name = None  # the beginning of an id, as in sha256:12ab
    if name is not None and name.is_name_only:
        found = []
        for known in catalog.names_in(name.name):
            target = catalog.target(known)
            assert target is not None
            found.append((target.image, [known]))
        if found:
            return found
    identifier = find(catalog, text)
    return [(identifier, [str(name)] if name is not None and name.tag and not name.digest else [])]


def documents(selected: Sequence[Selected], sizes: dict[str, int]) -> dict[str, bytes]:
    """The JSON files of the archive, by path; `sizes` of the manifests in bytes."""
    descriptors: list[Descriptor] = []
    entries: list[dict[str, Any]] = []
    repositories: dict[str, dict[str, str]] = {}
    for image in selected:
        record = image.record
        shown = Platform(image.config.architecture, image.config.os, image.config.variant)
        plain = Descriptor(MEDIA_MANIFEST, record.manifest, sizes[record.manifest], platform=shown)
        names = [references.parse(name) for name in image.names]
        for name in names:
            annotations = {IMAGE_NAME: str(name), REFERENCE_NAME: name.tag}
            descriptors.append(msgspec.structs.replace(plain, annotations=annotations))
            top = digests.encoded(record.layers[-1].chain_id) if record.layers else ""
            repositories.setdefault(name.familiar_name, {})[name.tag] = top
        if not names:
            descriptors.append(plain)
        entries.append(
            {
                "Config": blob_path(record.id),
                "RepoTags": [name.familiar for name in names] or None,
                "Layers": [blob_path(layer.blob) for layer in record.layers],
            }
        )
    encode = msgspec.json.encode
    index = {"schemaVersion": 2, "mediaType": MEDIA_INDEX} | msgspec.to_builtins(Index(tuple(descriptors)))
    files = {"index.json": encode(index), "manifest.json": encode(entries), "oci-layout": LAYOUT}
    if repositories:
        files["repositories"] = encode(repositories)
    return files


def blob_path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


async def stream(content: Content, garbage: Garbage, selected: Sequence[Selected]) -> AsyncGenerator[bytes, None]:
    """The tar. Raises NotFound where an image was removed before the first byte."""
    async with garbage.lease() as lease:
        blobs = dict.fromkeys(blob for image in selected for blob in blobs_of(image.record))
        for blob in blobs:
            await lease.add(blob)
        sizes = {blob: content.size(blob) for blob in blobs}
        yield _folder("blobs") + _folder("blobs/sha256")
        for blob, size in sizes.items():
            yield _header(blob_path(blob), size)
            async for data in _read(content.path(blob), size):
                yield data
            yield _padding(size)
        for path, data in documents(selected, sizes).items():
            yield _header(path, len(data)) + data + _padding(len(data))
        yield bytes(2 * tarfile.BLOCKSIZE)


async def _read(path: Path, size: int) -> AsyncGenerator[bytes, None]:
    def open_file() -> io.FileIO:
        return io.FileIO(path)

    with await asyncio.to_thread(open_file) as file:
        while size > 0:
            data = await asyncio.to_thread(file.read, min(PIECE, size))
            if not data:
                raise NotFound(f"cannot read blob {path.name}: it ends too early")
            size -= len(data)
            yield data


def _header(path: str, size: int) -> bytes:
    member = tarfile.TarInfo(path)
    member.size = size
    member.mode = 0o644
    return member.tobuf(tarfile.PAX_FORMAT)


def _folder(path: str) -> bytes:
    member = tarfile.TarInfo(path)
    member.type = tarfile.DIRTYPE
    member.mode = 0o755
    return member.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
