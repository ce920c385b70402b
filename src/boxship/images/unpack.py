"""From a layer's blob to an unpacked layer, with the proof that the blob is the layer that the config names."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from boxship.content import Content
from boxship.errors import Invalid
from boxship.images.holds import Hold, layer_key
from boxship.images.intake import Blob
from boxship.images.model import Layer, Layers
from boxship.images.streams import PIECE, Inflated, beginning, compression
from boxship.spec.image import MEDIA_LAYER, MEDIA_LAYER_GZIP, MEDIA_LAYER_ZSTD

MEDIA_TYPES = {"": MEDIA_LAYER, "gzip": MEDIA_LAYER_GZIP, "zstd": MEDIA_LAYER_ZSTD}


async def unpack(
    content: Content, layers: Layers, hold: Hold, blob: Blob, diff_id: str, chain_id: str, parent: str | None
) -> Layer:
    """Unpack one layer if it is not there yet. Raises Invalid where the blob is another layer."""
    await hold.add(layer_key(chain_id))
    path = content.path(blob.digest)
    kind = compression(await asyncio.to_thread(beginning, path))
    media_type = MEDIA_TYPES.get(kind, f"{MEDIA_LAYER}+{kind}")
    if not kind and blob.digest != diff_id:
        raise _other(blob, diff_id, blob.digest)
    if layers.has_layer(chain_id):
        if kind:
            async for _ in inflate(path, blob, diff_id):
                pass  # nothing is taken on trust: the blob is checked, although the layer is there
        size = await layers.layer_usage(chain_id)
    else:
        size = await layers.apply(chain_id, parent, inflate(path, blob, diff_id) if kind else path)
    return Layer(blob.digest, blob.size, diff_id, chain_id, size, media_type)


async def inflate(path: Path, blob: Blob, diff_id: str) -> AsyncIterator[bytes]:
    """The uncompressed tar of a blob; raises Invalid at its end where it is not the layer `diff_id`."""
    with path.open("rb") as file:
        hashed = hashlib.sha256()
        source = await asyncio.to_thread(Inflated, file)

        def piece() -> bytes:
            data = source.read(PIECE)
            hashed.update(data)
            return data

        while data := await asyncio.to_thread(piece):
            yield data
    found = "sha256:" + hashed.hexdigest()
    if found != diff_id:
        raise _other(blob, diff_id, found)


def _other(blob: Blob, diff_id: str, found: str) -> Invalid:
    return Invalid(f"cannot unpack blob {blob.digest}: invalid diffID for layer: expected {diff_id!r}, got {found!r}")
