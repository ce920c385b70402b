"""Hands the result out: as a named image, or as an archive that streams to the caller."""

from collections.abc import Awaitable
from typing import Protocol, TypeVar

from boxship.builder.channel import Channel
from boxship.builder.composing import Composed
from boxship.builder.model import BuildRequest, Built, Output
from boxship.builder.sources import BuildImages
from boxship.content import Lease
from boxship.errors import Unsupported
from boxship.spec import reference as references

T = TypeVar("T")


class Internal(Protocol):
    """Shows a piece of work as a step of the build."""

    async def __call__(self, name: str, work: Awaitable[T]) -> T: ...


class Exporter:
    """Every kind of output."""

    def __init__(self, images: BuildImages) -> None:
        self._images = images

    async def export(
        self, request: BuildRequest, composed: Composed, channel: Channel, lease: Lease, internal: Internal
    ) -> Built:
        """Hand out what was built, in every way that was asked for."""
        built = Built()
        for output in request.outputs:
            if output.kind == "image":
                built = await internal("exporting to image", self._image(request, output, composed))
            elif output.kind != "none":
                raise Unsupported(f"unsupported: output type={output.kind}")
        return built

    async def _image(self, request: BuildRequest, output: Output, composed: Composed) -> Built:
        names = tuple(references.parse(tag) for tag in request.tags)
        image = await self._images.assemble(
            composed.config, composed.layers, names=names, annotations=request.annotations
        )
        shown = tuple(name.with_default_tag().familiar for name in names)
        return Built(image.id, image.manifest, shown)
