"""What the parts of a build hand each other: results of steps, and what all builds share."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from boxship.builder import keys
from boxship.builder.cache import Cache, Record
from boxship.builder.flights import Flights
from boxship.builder.graph import Source
from boxship.builder.layering import LayerShelf, Sums
from boxship.builder.model import BuildEvent
from boxship.builder.operations import Executor, LayerTree, Operation, Tree
from boxship.content import Garbage, Lease
from boxship.images.model import Image, Layer

Tell = Callable[[BuildEvent], None]


class Loaded(msgspec.Struct, frozen=True):
    """What a load brought: files, and the image where they are one's."""

    tree: Tree
    image: Image | None = None
    cached: bool = False


class Result(msgspec.Struct, frozen=True):
    """What a step left. `layer` is what it added, with the time in nanoseconds when that was first made and the key
    under which the cache has it."""

    tree: Tree
    layer: Layer | None = None
    created: int = 0
    key: str = ""
    cached: bool = False
    image: Image | None = None


class Loader(Protocol):
    """Brings what comes from outside the build."""

    async def load(self, source: Source, step: str, tell: Tell, lease: Lease) -> Loaded: ...


class Workshop(msgspec.Struct, frozen=True):
    """What all builds share."""

    executor: Executor
    cache: Cache
    garbage: Garbage
    flights: Flights[Record]
    places: asyncio.Semaphore  # steps that are executed at the same time, over all builds
    sums: Sums
    shelf: LayerShelf


class Wanted(msgspec.Struct, frozen=True):
    """A step that is looked for in the cache."""

    key: str
    parts: keys.Parts
    slot: str
    base: LayerTree
    operation: Operation
