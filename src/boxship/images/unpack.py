"""From a layer's blob to an unpacked layer, with the proof that the blob is the layer that the config names."""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from boxship.content import Content, Lease, layer_key
from boxship.errors import Invalid
from boxship.images.intake import Blob
from boxship.images.model import Layer, Layers
from boxship.images.streams import PIECE, Inflated, beginning, compression
from boxship.spec import digest as digests
from boxship.spec.image import MEDIA_LAYER, MEDIA_LAYER_GZIP, MEDIA_LAYER_ZSTD

MEDIA_TYPES = {"": MEDIA_LAYER, "gzip": MEDIA_LAYER_GZIP, "zstd": MEDIA_LAYER_ZSTD}


class Place(msgspec.Struct, frozen=True):
    """Where a layer belongs: what it is, and on which other one it lies."""

    diff_id: str
    chain_id: str
    parent: str | None


def places(diff_ids: tuple[str, ...]) -> list[Place]:
    """The places of all layers of an image, lowest first."""
    chain = digests.chain_ids(diff_ids)
    return [Place(*item) for item in zip(diff_ids, chain, (None, *chain[:-1]), strict=True)] if chain else []


async def unpack(
    content: Content,
    layers: Layers,
    lease: Lease,
    blob: Blob,
    place: Place,
    known: Mapping[str, Layer] = {},
) -> Layer:
    """Unpack one layer if it is not there yet. `known` are the layers of images that are here, by chain id. Raises
    Invalid where the blob is another layer than the config names: nothing is taken on trust."""
    await lease.add(layer_key(place.chain_id))
    path = content.path(blob.digest)
    kind = compression(await asyncio.to_thread(beginning, path))
    if not kind and blob.digest != place.diff_id:
        raise _other(blob, place.diff_id, blob.digest)
    if layers.has_layer(place.chain_id):
        before = known.get(place.chain_id)
        if kind and (before is None or before.blob != blob.digest):
            await asyncio.to_thread(_verify, path, blob, place.diff_id)
        size = await layers.layer_usage(place.chain_id)
    else:
        size = await layers.apply(place.chain_id, place.parent, path, diff_id=place.diff_id if kind else "")
    media_type = MEDIA_TYPES.get(kind, f"{MEDIA_LAYER}+{kind}")
    return Layer(blob.digest, blob.size, place.diff_id, place.chain_id, size, media_type)


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
