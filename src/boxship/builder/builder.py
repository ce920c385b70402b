"""The builder's one face: builds, the cache of all builds, checks."""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator

import msgspec

from boxship.builder.building import Build
from boxship.builder.cache import Cache, Record
from boxship.builder.channel import Channel
from boxship.builder.exporting import Exporter
from boxship.builder.flights import Flights
from boxship.builder.layering import Shelf, Sums
from boxship.builder.loading import Loader
from boxship.builder.model import BuildEvent, BuildRequest
from boxship.builder.operations import Agents, Executor
from boxship.builder.solve import Workshop
from boxship.builder.sources import BuildImages, Fetched
from boxship.content import Content, Garbage
from boxship.images.model import Layers
from boxship.store import Store

STEPS_LIMIT = 16  # steps executed at the same time, over all builds

log = logging.getLogger(__name__)


class BuilderSettings(msgspec.Struct, frozen=True):
    """What the operator said. `cache_limit_bytes` 0: no limit."""

    cache_limit_bytes: int = 0
    steps_limit: int = STEPS_LIMIT


DEFAULTS = BuilderSettings()


class Builder:
    """All builds of an instance. `recover` comes before the collector's sweep, `close` at the end."""

    def __init__(
        self,
        *,
        store: Store,
        content: Content,
        garbage: Garbage,
        images: BuildImages,
        layers: Layers,
        executor: Executor,
        tasks: asyncio.TaskGroup,
        fetched: Fetched | None = None,
        settings: BuilderSettings = DEFAULTS,
    ) -> None:
        self._images = images
        self._executor = executor
        self._fetched = fetched
        self._tasks = tasks
        self._running: set[asyncio.Task[None]] = set()
        self._exporter = Exporter(images)
        shelf = Shelf(content, layers)
        self.cache = Cache(store, content, garbage, layers, limit_bytes=settings.cache_limit_bytes)
        flights: Flights[Record] = Flights(tasks)
        self._workshop = Workshop(
            executor=executor,
            cache=self.cache,
            garbage=garbage,
            flights=flights,
            places=asyncio.Semaphore(settings.steps_limit),
            sums=Sums(executor),
            rebase=shelf.rebase,
            store_files=shelf.store_files,
            read_files=shelf.read_files,
        )

    async def recover(self) -> None:
        """Find the cache again."""
        await self.cache.recover()

    async def close(self) -> None:
        """End every build."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        await self.cache.flush()

    async def build(self, request: BuildRequest, *, agents: Agents | None = None) -> AsyncGenerator[BuildEvent, None]:
        """Build; the events as they come, Built at the end. Whoever stops reading ends the build: then nothing of it
        runs any more. Raises BuildFailed where a step failed, other kinds where the request is wrong."""
        channel = Channel()
        loader = Loader(request, self._images, self._fetched)
        build = Build(request, self._workshop, loader, self._exporter, channel, agents, secrets.token_hex(8))
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = self._tasks.create_task(_run(build, channel, outcome))
        self._running.add(task)
        try:
            while (event := await channel.read()) is not None:
                yield event
            await outcome
        finally:
            task.cancel()
            await asyncio.wait([task])
            self._running.discard(task)


async def _run(build: Build, channel: Channel, outcome: asyncio.Future[None]) -> None:
    """The task of a build: its failure is its caller's, never the daemon's."""
    try:
        await build.run()
        outcome.set_result(None)
    except asyncio.CancelledError:
        outcome.cancel()
        raise
    except Exception as error:
        outcome.set_exception(error)
        outcome.exception()
    finally:
        channel.end()
