"""From layers' blobs to unpacked layers, with the proof that each blob is the layer that the config names.

The layers of an image are unpacked side by side; the room that does it sees to it that one is not there before the one
that it stands on.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from boxship.content import Content, Lease, layer_key
from boxship.errors import Conflict, Invalid, NotFound
from boxship.images.intake import Blob
from boxship.images.model import Layer, Layers
from boxship.images.streams import PIECE, Inflated, beginning, compression
from boxship.spec import digest as digests
from boxship.spec.image import MEDIA_LAYER, MEDIA_LAYER_GZIP, MEDIA_LAYER_ZSTD
from boxship.waiting.together import together

MEDIA_TYPES = {"": MEDIA_LAYER, "gzip": MEDIA_LAYER_GZIP, "zstd": MEDIA_LAYER_ZSTD}

LARGEST_RATIO = 200  # bytes of files to a byte of the layer's blob; more, and it is a bomb
SMALLEST_LIMIT = 4 << 30  # bytes of files that any layer may have


class Place(msgspec.Struct, frozen=True):
    """Where a layer belongs: what it is, and on which other one it lies."""

    diff_id: str
    chain_id: str
    parent: str | None


def places(diff_ids: tuple[str, ...]) -> list[Place]:
    """The places of all layers of an image, lowest first."""
    chain = digests.chain_ids(diff_ids)
    return [Place(*item) for item in zip(diff_ids, chain, (None, *chain[:-1]), strict=True)] if chain else []


async def unpack_all(
    content: Content,
    layers: Layers,
    lease: Lease,
    wanted: Sequence[tuple[Blob, Place]],
    known: Mapping[str, Layer] = {},
    limit: int = 0,
) -> list[Layer]:
    """Unpack layers, lowest first, as far as they are not there. `known` are the layers of images that are here, by
    chain id; with `limit` all have together at most that many bytes of archives, one after the other. Raises Invalid
    where a blob is another layer than the config names: nothing is taken on trust."""
    kinds = []
    for blob, place in wanted:
        await lease.add(blob.digest)
        await lease.add(layer_key(place.chain_id))
        kinds.append(await _kind(content, layers, blob, place, known))
    steps = list(zip(wanted, kinds, strict=True))
    missing = [(pair, kind) for pair, kind in steps if not layers.has_layer(pair[1].chain_id)]
    if limit:
        await _apply_within(content, layers, missing, limit)
    else:
        await _together([partial(_apply, content, layers, *pair, kind) for pair, kind in missing])
    return [await _layer(layers, *pair, kind) for pair, kind in steps]


async def unpack(
    content: Content,
    layers: Layers,
    lease: Lease,
    blob: Blob,
    place: Place,
    known: Mapping[str, Layer] = {},
    begun: "asyncio.Future[None] | None" = None,
) -> Layer:
    """As `unpack_all`, for one. From when `begun` is set the next layer may be unpacked beside this one. Raises
    Conflict where the layer below was given up: it is to be unpacked first, and this one again."""
    await lease.add(blob.digest)
    await lease.add(layer_key(place.chain_id))
    kind = await _kind(content, layers, blob, place, known)
    try:
        async with asyncio.TaskGroup() as group:
            if not layers.has_layer(place.chain_id):
                group.create_task(_apply(content, layers, blob, place, kind))
                await asyncio.sleep(0)  # it takes its place before it waits for anything
            if begun is not None and not begun.done():
                begun.set_result(None)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return await _layer(layers, blob, place, kind)


async def _apply_within(
    content: Content, layers: Layers, missing: Sequence[tuple[tuple[Blob, Place], str]], limit: int
) -> None:
    """From where nobody is trusted. What a layer takes on the disk stands for its archive's bytes."""
    for (blob, place), kind in missing:
        if limit <= 0:
            raise Invalid(f"cannot unpack blob {blob.digest}: the image has more files than it was said to have")
        await _apply(content, layers, blob, place, kind, limit)
        limit -= max(blob.size, await layers.layer_usage(place.chain_id))


async def _apply(content: Content, layers: Layers, blob: Blob, place: Place, kind: str, most: int = 0) -> None:
    proven = not kind and blob.digest == place.diff_id
    diff_id = "" if proven else place.diff_id
    path, limit = content.path(blob.digest), largest_files(blob.size)
    limit = min(limit, most) if most else limit
    await layers.apply(place.chain_id, place.parent, path, diff_id=diff_id, limit_bytes=limit)


def largest_files(blob_size: int) -> int:
    """Bytes of files that a layer may have, by the size of its blob."""
    return blob_size * LARGEST_RATIO + SMALLEST_LIMIT


async def _layer(layers: Layers, blob: Blob, place: Place, kind: str) -> Layer:
    media_type = MEDIA_TYPES.get(kind, f"{MEDIA_LAYER}+{kind}")
    size = await layers.layer_usage(place.chain_id)
    return Layer(blob.digest, blob.size, place.diff_id, place.chain_id, size, media_type)


async def _together(works: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Do works side by side that each need the one before. One that failed because another operation took back what
    it had begun is done again, in order."""

    async def attempt(work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (Conflict, NotFound):
            again.append(work)

    again: list[Callable[[], Awaitable[None]]] = []
    await together(attempt(work) for work in works)
    for work in works:
        if work in again:
            await work()


async def _kind(content: Content, layers: Layers, blob: Blob, place: Place, known: Mapping[str, Layer]) -> str:
    """The compression of a layer's blob; proves the blob where the layer is unpacked already."""
    path = content.path(blob.digest)
    kind = compression(await asyncio.to_thread(beginning, path))
    proven = not kind and blob.digest == place.diff_id
    if not kind and not proven and blob.digest.startswith("sha256:"):
        raise _other(blob, place.diff_id, blob.digest)
    if not proven and layers.has_layer(place.chain_id):
        before = known.get(place.chain_id)
        if before is None or before.blob != blob.digest:
            await asyncio.to_thread(_verify, path, blob, place.diff_id)
    return kind


async def restore(content: Content, layers: Layers, layer: Layer, place: Place) -> None:
    """Unpack again what should be there and is not whole. Raises Invalid or NotFound where its blob is not good."""
    await layers.remove_layer(place.chain_id)
    await layers.apply(place.chain_id, place.parent, content.path(layer.blob), diff_id=place.diff_id)


def _verify(path: Path, blob: Blob, diff_id: str) -> None:
    """Raises Invalid where the uncompressed blob is not the layer `diff_id`. Blocks."""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        source = Inflated(file)
        while data := source.read(PIECE):
            hashed.update(data)
    found = "sha256:" + hashed.hexdigest()
    if found != diff_id:
        raise _other(blob, diff_id, found)


def _other(blob: Blob, diff_id: str, found: str) -> Invalid:
    return Invalid(f"cannot unpack blob {blob.digest}: invalid diffID for layer: expected {diff_id!r}, got {found!r}")
