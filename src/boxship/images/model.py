"""The values of the images room, and the one thing that it needs from elsewhere: a place to unpack layers."""

from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Protocol

import msgspec

from boxship.spec.image import MEDIA_LAYER, ImageConfig


class Layers(Protocol):
    """Unpacked layers by chain id, as the images room uses them. `apply` takes a tar, also a compressed one; it is
    atomic, refuses one whose uncompressed digest is not `diff_id` (where given) or whose files have more than
    `limit_bytes` (0: any), and returns the bytes it takes. A layer's parent may still be on its way."""

    def has_layer(self, chain_id: str) -> bool: ...

    async def apply(
        self,
        chain_id: str,
        parent: str | None,
        tar: AsyncIterator[bytes] | Path,
        *,
        diff_id: str = "",
        limit_bytes: int = 0,
    ) -> int: ...

    async def remove_layer(self, chain_id: str) -> None: ...

    async def layer_usage(self, chain_id: str) -> int: ...

    async def records_usage(self, chain_ids: Collection[str]) -> int: ...

    def layers(self) -> list[str]: ...


class Layer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One layer of an image: its blob as it came, and what it is unpacked. Sizes in bytes."""

    blob: str
    blob_size: int
    diff_id: str
    chain_id: str
    size: int
    media_type: str = MEDIA_LAYER


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is stored of an image. Times in nanoseconds since the epoch."""

    id: str
    manifest: str
    layers: tuple[Layer, ...]
    added_at: int
    tagged_at: int = 0
    parent: str = ""  # the image that it was committed from
    used_at: int = 0  # when a container was last made of it, to some minutes
    hidden: bool = False  # removed by force under a stopped container; its layers stay until that one is gone


class Target(msgspec.Struct, frozen=True):
    """What a name stands for: a manifest or an index, and the image that was chosen from it."""

    digest: str
    image: str


class Image(msgspec.Struct, frozen=True):
    """An image as people see it. `references` and `digests` are familiar forms, sorted; times in nanoseconds."""

    id: str
    references: tuple[str, ...]
    digests: tuple[str, ...]
    config: ImageConfig
    manifest: str
    size: int  # bytes of the unpacked layers
    created: int
    chain_id: str | None  # of the top layer
    layers: tuple[Layer, ...]
    parent: str
    tagged_at: int

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return self.config.rootfs.diff_ids


class Use(msgspec.Struct, frozen=True):
    """A container that was made of an image."""

    container_id: str
    image_id: str
    running: bool


class Removal(msgspec.Struct, frozen=True):
    """One step of a removal: `kind` is "Untagged" or "Deleted"."""

    kind: str
    what: str


class LayerProgress(msgspec.Struct, frozen=True):
    """A layer is being unpacked: layer `current` of `total`, `size` bytes of blob."""

    diff_id: str
    current: int
    total: int
    size: int


class Loaded(msgspec.Struct, frozen=True):
    """An image is there. `references` are its names in the archive; `replaced` maps those that stood for another image
    before to that image's id."""

    image_id: str
    references: tuple[str, ...] = ()
    replaced: dict[str, str] = {}


class HistoryEntry(msgspec.Struct, frozen=True):
    """One line of an image's history, newest first; `id` is "<missing>" where the step is not an image here."""

    id: str
    created: int
    created_by: str
    references: tuple[str, ...]
    size: int
    comment: str


class ImageUsage(msgspec.Struct, frozen=True):
    """Disk space of one image in bytes: all its layers, and those that other images have too."""

    image: Image
    size: int
    shared: int

    @property
    def unique(self) -> int:
        return self.size - self.shared


class Usage(msgspec.Struct, frozen=True):
    """Disk space of all images: of the unpacked layers, each counted once, of their records, and of the blobs."""

    images: tuple[ImageUsage, ...]
    layers_size: int
    records_size: int
    blobs_size: int
