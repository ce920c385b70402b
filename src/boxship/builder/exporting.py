"""Hands the result out: as a named image, pushed to registries, as an archive or a tree of files that streams to the
caller. The same result and the same options give the same bytes."""

from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Protocol, TypeVar

import msgspec

from boxship.builder.channel import Channel
from boxship.builder.composing import Composed
from boxship.builder.dockerfile.arguments import EPOCH
from boxship.builder.model import BuildRequest, Built, Output, OutputData, StepProgress
from boxship.builder.operations import Executor, LayerTree
from boxship.builder.sources import BuildImages
from boxship.content import Content, Garbage, Lease
from boxship.errors import Invalid, Unsupported
from boxship.images import making, saving
from boxship.images.model import Layer
from boxship.images.remote.compressing import Compressor
from boxship.images.remote.credentials import by_domain
from boxship.images.remote.model import PushStep
from boxship.spec import reference as references
from boxship.spec.image import MEDIA_LAYER, Descriptor
from boxship.spec.reference import Reference

T = TypeVar("T")
PIECE_BYTES = 256 * 1024
COMPRESSIONS = ("uncompressed", "gzip", "zstd")
TRUE, FALSE = ("true", "1"), ("false", "0", "")
ANNOTATION = "annotation."
IMAGES = ("image", "oci", "docker")
ARCHIVE_ATTRIBUTES = ("name", "compression", "oci-mediatypes", "rewrite-timestamp")
IMAGE_ATTRIBUTES = (*ARCHIVE_ATTRIBUTES, "push", "store", "unpack")
FILES_ATTRIBUTES = ("platform-split",)  # of a build for one platform, which is never split
KEEPING = ("oci-mediatypes", "store", "unpack")  # what we do in any case
TITLES = {
    "image": "exporting to image",
    "oci": "exporting to oci image format",
    "docker": "exporting to docker image format",
    "tar": "exporting to client tarball",
    "local": "exporting to client directory",
}


class InternalStep(Protocol):
    """Shows a piece of work as a step of the build."""

    async def __call__(self, name: str, work: Awaitable[T]) -> T: ...


class Options(msgspec.Struct, frozen=True):
    """What --output says of an image."""

    names: tuple[Reference, ...]
    push: bool
    compression: str
    annotations: Mapping[str, str]


def options_of(request: BuildRequest, output: Output) -> Options:
    """Raises Invalid for wrong values, Unsupported for what we do not have."""
    annotations = dict(request.annotations)
    known = IMAGE_ATTRIBUTES if output.kind == "image" else ARCHIVE_ATTRIBUTES
    for name, value in output.attributes.items():
        if name.startswith(ANNOTATION):
            annotations[name.removeprefix(ANNOTATION)] = value
        elif name not in known:
            raise Unsupported(f"unsupported: output attribute {name}")
    dated = request.epoch is not None or bool(request.arguments.get(EPOCH))
    for name in (*KEEPING, *(("rewrite-timestamp",) if dated else ())):
        if name in output.attributes and not switch(output, name):
            raise Unsupported(f"unsupported: output attribute {name}={output.attributes[name]}")
    switch(output, "rewrite-timestamp")
    compression = output.attributes.get("compression", "uncompressed")
    if compression not in COMPRESSIONS:
        raise Invalid(f"unsupported compression type {compression}")
    tags = [*request.tags, *(name.strip() for name in output.attributes.get("name", "").split(",") if name.strip())]
    names = dict.fromkeys(references.parse(tag).with_default_tag() for tag in tags)
    push = switch(output, "push")
    if push and not names:
        raise Invalid("cannot push: the image has no name")
    return Options(tuple(names), push, compression, annotations)


def switch(output: Output, name: str) -> bool:
    """An attribute that is true or false. Raises Invalid."""
    value = output.attributes.get(name, "")
    if value not in TRUE + FALSE:
        raise Invalid(f"invalid value {value} for output attribute {name}")
    return value in TRUE


def check_outputs(request: BuildRequest) -> None:
    """Refuse wrong outputs before anything is built. Raises Invalid, Unsupported."""
    if request.squash:
        raise Unsupported("unsupported: squash")
    if not any(output.kind in IMAGES for output in request.outputs):
        if request.annotations:
            raise Invalid("cannot annotate: no output is an image")
        if any(end.kind == "inline" for end in request.cache_to):
            raise Invalid("cannot use cache-to type=inline: no output is an image")
    for output in request.outputs:
        if output.kind in IMAGES:
            options_of(request, output)
        elif output.kind in ("tar", "local", "none"):
            known = () if output.kind == "none" else FILES_ATTRIBUTES
            for name in output.attributes:
                if name not in known:
                    raise Unsupported(f"unsupported: output attribute {name}")
                switch(output, name)
        else:
            raise Unsupported(f"unsupported: output type={output.kind}")


class Exporter:
    """Every kind of output."""

    def __init__(self, images: BuildImages, executor: Executor, content: Content, garbage: Garbage) -> None:
        self._images = images
        self._executor = executor
        self._content = content
        self._garbage = garbage
        self._compressor = Compressor(content)

    async def export(
        self, request: BuildRequest, composed: Composed, channel: Channel, lease: Lease, internal: InternalStep
    ) -> Built:
        """Hand out what was built, in every way that was asked for."""
        built = Built()
        for index, output in enumerate(request.outputs):
            if output.kind == "image":
                options = options_of(request, output)
                built = await internal(TITLES["image"], self._image(composed, options, lease))
                if options.push:
                    await self._push(request, options, channel, internal)
            elif output.kind in ("oci", "docker"):
                work = self._archive(composed, options_of(request, output), index, channel, lease)
                built = await internal(TITLES[output.kind], work)
            elif output.kind in ("tar", "local"):
                await internal(TITLES[output.kind], self._files(composed, index, channel))
        return built

    async def _image(self, composed: Composed, options: Options, lease: Lease) -> Built:
        layers = await self._compressed(composed.layers, options.compression, lease)
        image = await self._images.assemble(
            composed.config, layers, names=options.names, annotations=options.annotations
        )
        return Built(image.id, image.manifest, tuple(name.familiar for name in options.names))

    async def _push(self, request: BuildRequest, options: Options, channel: Channel, internal: InternalStep) -> None:
        credentials = by_domain(request.credentials)
        for name in options.names:
            title = f"pushing {name.familiar}"

            async def push(name: Reference = name, title: str = title) -> None:
                async for step in self._images.push(name, credentials=credentials.get(name.domain)):
                    if isinstance(step, PushStep) and step.total:
                        channel.tell(StepProgress(title, step.id or step.status, step.current, step.total))

            await internal(title, push())

    async def _archive(self, composed: Composed, options: Options, index: int, channel: Channel, lease: Lease) -> Built:
        layers = await self._compressed(composed.layers, options.compression, lease)
        record = await making.assemble(self._content, lease, composed.config, layers, options.annotations)
        selected = saving.Selected(record, composed.config, tuple(str(name) for name in options.names))
        await _send(saving.stream(self._content, self._garbage, [selected]), index, channel)
        return Built(record.id, record.manifest, tuple(name.familiar for name in options.names))

    async def _files(self, composed: Composed, index: int, channel: Channel) -> None:
        await _send(await self._executor.export(LayerTree(composed.layers), None), index, channel)

    async def _compressed(self, layers: tuple[Layer, ...], kind: str, lease: Lease) -> tuple[Layer, ...]:
        """The same layers with smaller blobs; those that came compressed stay as they are."""
        if kind == "uncompressed":
            return layers
        found = []
        for layer in layers:
            if layer.media_type == MEDIA_LAYER:
                plain = Descriptor(MEDIA_LAYER, layer.blob, layer.blob_size)
                made = await self._compressor.describe(lease, plain, kind)
                await lease.add(made.digest)
                if not self._content.exists(made.digest):
                    await self._compressor.make(lease, layer.blob, kind)
                layer = msgspec.structs.replace(layer, blob=made.digest, blob_size=made.size, media_type=made.mediaType)
            found.append(layer)
        return tuple(found)


async def _send(source: AsyncIterator[bytes], index: int, channel: Channel) -> None:
    """A stream in pieces of a good size; an empty one ends it."""
    buffer = bytearray()
    async for data in source:
        buffer += data
        if len(buffer) >= PIECE_BYTES:
            await channel.send(OutputData(index, bytes(buffer)))
            buffer.clear()
    if buffer:
        await channel.send(OutputData(index, bytes(buffer)))
    await channel.send(OutputData(index, b""))
