"""The builder's one face: builds, the cache of all builds, checks."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence

import msgspec

from boxship.builder.building import Build
from boxship.builder.cache import Cache, Record, claims_of
from boxship.builder.channel import Channel
from boxship.builder.dockerfile.syntax import Finding
from boxship.builder.exchange import Exchange, check_caches
from boxship.builder.exporting import Exporter, check_outputs
from boxship.builder.flights import Flights
from boxship.builder.layering import LayerShelf, Sums
from boxship.builder.loading import Loader
from boxship.builder.model import BuildEvent, BuildRequest, CacheRecord, Noticed
from boxship.builder.operations import Agents, Executor
from boxship.builder.records import SHORT, VOLUME, Volumes, chosen, freed_bytes, shown, shown_volume
from boxship.builder.sources import BuildImages, Fetched
from boxship.builder.workshop import Workshop
from boxship.content import Content, Garbage
from boxship.errors import Conflict, NotFound
from boxship.images.model import Layers
from boxship.images.remote.client import Remote
from boxship.store import Store

STEPS_LIMIT = 16  # steps executed at the same time, over all builds


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
        volumes: Volumes,
        remote: Remote | None = None,
        fetched: Fetched | None = None,
        settings: BuilderSettings = DEFAULTS,
    ) -> None:
        self._images = images
        self._executor = executor
        self._garbage = garbage
        self._volumes = volumes
        self._fetched = fetched
        self._tasks = tasks
        self._running: set[asyncio.Task[None]] = set()
        self._exporter = Exporter(images, executor, content, garbage)
        self._exchange = Exchange(images, content, remote)
        shelf = LayerShelf(content, layers)
        self.cache = Cache(store, content, garbage, layers, limit_bytes=settings.cache_limit_bytes)
        flights: Flights[Record] = Flights(tasks)
        self._workshop = Workshop(
            executor=executor,
            cache=self.cache,
            garbage=garbage,
            flights=flights,
            places=asyncio.Semaphore(settings.steps_limit),
            sums=Sums(executor),
            shelf=shelf,
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

    @property
    def waiting(self) -> int:
        """Steps that builds wait for, because they are being executed."""
        return self._workshop.flights.waiting

    async def build(self, request: BuildRequest, *, agents: Agents | None = None) -> AsyncGenerator[BuildEvent, None]:
        """Build; the events as they come, Built at the end. Whoever stops reading ends the build: then nothing of it
        runs any more. Raises BuildFailed where a step failed, other kinds where the request is wrong."""
        check_outputs(request)
        check_caches(request)
        channel = Channel()
        loader = Loader(request, self._images, self._fetched)
        fresh = secrets.token_hex(8)
        build = Build(request, self._workshop, loader, self._exporter, self._exchange, channel, agents, fresh)
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

    async def check(self, request: BuildRequest) -> tuple[Finding, ...]:
        """What the checks find in a Dockerfile; nothing is built. Raises BuildFailed for one that cannot be read."""
        wanted = msgspec.structs.replace(request, checks_only=True)
        found = [event.finding async for event in self.build(wanted) if isinstance(event, Noticed)]
        return tuple(finding for finding in found if finding.rule)

    # the cache

    async def cache_records(self) -> tuple[CacheRecord, ...]:
        """Everything in the cache, the longest unused first."""
        found = [shown(record, self.cache, self._garbage) for record in self.cache.all()]
        found += [shown_volume(volume) for volume in await self._volumes.list()]
        if self._fetched is not None:
            found += await self._fetched.shown()
        return tuple(sorted(found, key=lambda record: (record.used, record.id)))

    async def prune(
        self,
        *,
        everything: bool = False,
        keep_bytes: int = 0,
        until_ns: int = 0,
        filters: Mapping[str, Sequence[str]] = {},
    ) -> tuple[tuple[str, ...], int]:
        """Remove what no build uses: the ids, and the bytes set free when this returns. `until_ns` leaves what was used
        since. Raises Invalid for a wrong filter."""
        records = chosen(
            await self.cache_records(),
            everything=everything,
            keep_bytes=keep_bytes,
            until_ns=until_ns,
            filters=filters,
        )
        keys = {record.key[:SHORT]: record for record in self.cache.all()}
        removed = await self.cache.remove([keys[record.id] for record in records if record.id in keys])
        gone = {record.key[:SHORT] for record in removed}
        gone |= {record.id for record in records if record.id not in keys and await self._remove_other(record)}
        await self._garbage.settle([claim for record in removed for claim in claims_of(record)])
        found = [record for record in records if record.id in gone]
        return tuple(record.id for record in found), freed_bytes(found)

    async def _remove_other(self, record: CacheRecord) -> bool:
        """Remove a cache volume or something that was fetched; whether it was."""
        if record.kind != VOLUME:
            return self._fetched is not None and await self._fetched.remove(record.id)
        with contextlib.suppress(NotFound, Conflict):  # it is gone, or a step has begun to use it
            await self._volumes.remove(record.id)
            return True
        return False

    async def remove_cache_volume(self, identifier: str) -> int:
        """Remove one cache volume by its id, its beginning, or the id= of its mounts; the bytes set free. Raises
        NotFound, Conflict."""
        for volume in await self._volumes.list(sizes=False):
            if identifier == volume.identifier or (identifier and volume.id.startswith(identifier)):
                return await self._volumes.remove(volume.id)
        raise NotFound(f"cannot remove cache {identifier}: there is none")


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
