"""Loading images from an archive: take it in, find what is in it, unpack, and only then name it."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

import msgspec

from boxship.content import Content, Lease
from boxship.errors import Conflict, Invalid
from boxship.images.documents import parse_config
from boxship.images.intake import Archive
from boxship.images.layouts import Found, find
from boxship.images.model import Layer, LayerProgress, Layers, Record, Target
from boxship.images.streams import Bridge
from boxship.images.unpack import places, unpack_all
from boxship.spec import digest as digests
from boxship.spec.image import MEDIA_CONFIG, Descriptor, ImageConfig, Manifest, Platform


class Ready(msgspec.Struct, frozen=True):
    """An image whose parts are all on the disk, without a record or a name yet."""

    record: Record
    config: ImageConfig
    names: tuple[str, ...]
    target: Target


async def take(
    content: Content, lease: Lease, source: AsyncIterator[bytes], platform: Platform | None, limit: int = 0
) -> list[Found]:
    """Read an archive to its end; the images in it. Raises Invalid, NotFound (platform), Exhausted, Canceled, or
    Conflict where it has more than `limit` bytes (0: any)."""
    bridge = Bridge(source)
    archive = Archive(content, limit)

    def work() -> list[Found]:
        archive.take(bridge, lease)
        return find(archive, platform)

    return await bridge.run(work)


def expected(images: Sequence[Found], identifier: str) -> Found:
    """The one image of that id, without its names. Raises Conflict for anything else."""
    came = [digests.of_bytes(one.config) for one in images]
    if came != [identifier]:
        raise Conflict(f"cannot load image {identifier}: {', '.join(came) or 'nothing'} came in its place")
    return msgspec.structs.replace(images[0], names=())


async def prepare(
    content: Content, layers: Layers, lease: Lease, found: Found, known: Mapping[str, Layer], limit: int = 0
) -> AsyncGenerator[LayerProgress | Ready, None]:
    """Store and unpack the parts of one image: progress, then what is ready to be named. `known` are the layers of the
    images that are here; `limit` are the bytes of all archives of files in it, decompressed (0: any)."""
    config = parse_config(found.config)
    diff_ids = config.rootfs.diff_ids
    if len(diff_ids) != len(found.layers):
        raise Invalid(f"invalid manifest, layers length mismatch: expected {len(found.layers)}, got {len(diff_ids)}")
    identifier = await store(content, lease, found.config)
    wanted = list(zip(found.layers, places(diff_ids), strict=True))
    for index, (blob, place) in enumerate(wanted):
        yield LayerProgress(place.diff_id, index + 1, len(wanted), blob.size)
    made = await unpack_all(content, layers, lease, wanted, known, limit)
    manifest = found.manifest
    if manifest:
        await lease.add(manifest)
    else:
        manifest = await store(content, lease, manifest_of(identifier, len(found.config), made))
    if found.target:
        await lease.add(found.target)
    record = Record(identifier, manifest, tuple(made), time.time_ns())
    yield Ready(record, config, found.names, Target(found.target or manifest, identifier))


async def store(content: Content, lease: Lease, data: bytes) -> str:
    """Put a small blob under a lease; its digest."""
    await lease.add(digests.of_bytes(data))
    return await content.put(data)


def manifest_of(
    identifier: str, config_size: int, layers: Sequence[Layer], annotations: Mapping[str, str] = {}
) -> bytes:
    """A manifest for an image that came without one."""
    manifest = Manifest(
        config=Descriptor(MEDIA_CONFIG, identifier, config_size),
        layers=tuple(Descriptor(layer.media_type, layer.blob, layer.blob_size) for layer in layers),
        annotations=dict(sorted(annotations.items())) or None,
    )
    # Registries insist on the two that are our structs' defaults.
    document = {"schemaVersion": manifest.schemaVersion, "mediaType": manifest.mediaType}
    return msgspec.json.encode(document | msgspec.to_builtins(manifest))
