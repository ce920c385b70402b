"""New images: from a tar (import), from a container's changes (commit), from layers that are here (assemble)."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from boxship.content import Content, Lease
from boxship.errors import Invalid
from boxship.images.changes import apply
from boxship.images.documents import LAYER_LIMIT, timestamp
from boxship.images.intake import Blob
from boxship.images.loading import manifest_of, store
from boxship.images.model import Image, Layer, Layers, Record
from boxship.images.streams import PIECE, Bridge, Inflated
from boxship.images.unpack import places, unpack
from boxship.spec import digest as digests
from boxship.spec.image import ExecutionConfig, History, ImageConfig, Platform, RootFs

__all__ = [
    "Draft",
    "ExecutionConfig",
    "Layer",
    "assemble",
    "build",
    "changed",
    "commit_config",
    "import_config",
    "take_tar",
]


class Draft(msgspec.Struct, frozen=True):
    """An image that is to be: its config, and the blob of its top layer (None: it adds no files)."""

    config: ImageConfig
    blob: Blob | None


def changed(config: ExecutionConfig | None, changes: Sequence[str]) -> ExecutionConfig:
    """A config with Dockerfile instructions applied. Raises Invalid."""
    return apply(config or ExecutionConfig(), changes)


async def take_tar(content: Content, lease: Lease, source: AsyncIterator[bytes]) -> Blob:
    """Store a tar from a stream, uncompressed. Raises Invalid where there is none, Exhausted on a full disk."""
    bridge = Bridge(source)

    def work() -> Blob:
        reader = Inflated(bridge)
        ingest = content.begin()
        try:
            while data := reader.read(PIECE):
                ingest.write(data)
            if not ingest.size:
                raise Invalid("cannot read the archive: it is empty")
            while bridge.read(PIECE):
                pass
            bridge.call(lease.add(ingest.digest()))
            return Blob(ingest.finish(), ingest.size)
        finally:
            ingest.abandon()

    return await bridge.run(work)


def import_config(config: ExecutionConfig, blob: Blob, message: str, platform: Platform) -> Draft:
    """An image of one layer."""
    now = timestamp(time.time_ns())
    return Draft(
        ImageConfig(
            architecture=platform.architecture,
            os=platform.os,
            variant=platform.variant,
            rootfs=RootFs((blob.digest,)),
            config=config,
            created=now,
            history=(History(created=now, comment=message or "Imported from -"),),
        ),
        blob,
    )


def commit_config(
    parent: Image | None,
    config: ExecutionConfig,
    blob: Blob,
    author: str,
    comment: str,
    created_by: str,
    platform: Platform,
) -> Draft:
    """An image on top of another, or on nothing. A layer without files becomes an empty step, as Docker has it."""
    now = timestamp(time.time_ns())
    empty = blob.digest == digests.EMPTY_LAYER
    below = parent.diff_ids if parent else ()
    if len(below) >= LAYER_LIMIT:
        raise Invalid(f"cannot commit: the image would have more than {LAYER_LIMIT} layers")
    step = History(created=now, created_by=created_by, author=author, comment=comment, empty_layer=empty)
    return Draft(
        ImageConfig(
            architecture=parent.config.architecture if parent else platform.architecture,
            os=parent.config.os if parent else platform.os,
            variant=parent.config.variant if parent else platform.variant,
            rootfs=RootFs(below if empty else (*below, blob.digest)),
            config=config,
            created=now,
            author=author,
            history=(*((parent.config.history or ()) if parent else ()), step),
        ),
        None if empty else blob,
    )


async def build(
    content: Content, layers: Layers, lease: Lease, draft: Draft, below: Sequence[Layer]
) -> tuple[Record, ImageConfig]:
    """Unpack the new layer on those below, store config and manifest: an image without a name yet."""
    made = list(below)
    if draft.blob is not None:
        made.append(await unpack(content, layers, lease, draft.blob, places(draft.config.rootfs.diff_ids)[-1]))
    return await assemble(content, lease, draft.config, made), draft.config


async def assemble(
    content: Content,
    lease: Lease,
    config: ImageConfig,
    layers: Sequence[Layer],
    annotations: Mapping[str, str] = {},
) -> Record:
    """Store config and manifest of layers that are here: an image without a name yet. Raises Invalid where the config
    names other layers, or one is not under a lease of the caller's."""
    if tuple(layer.diff_id for layer in layers) != config.rootfs.diff_ids:
        raise Invalid("cannot make an image: its config names other layers than it is made of")
    if len(layers) > LAYER_LIMIT:
        raise Invalid(f"cannot make an image: it would have more than {LAYER_LIMIT} layers")
    for layer in layers:
        content.path(layer.blob)
    data = msgspec.json.encode(config)
    identifier = await store(content, lease, data)
    manifest = await store(content, lease, manifest_of(identifier, len(data), layers, annotations))
    return Record(identifier, manifest, tuple(layers), time.time_ns())
