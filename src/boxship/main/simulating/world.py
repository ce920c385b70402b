"""The real API over a store in memory, in virtual time, and clients of it that cannot rely on anything: they wait, they
are refused, and sometimes what they asked for was done and they are not told. Everything follows from one seed."""

import asyncio
import math
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from boxship.cluster.access import Event, Listing
from boxship.cluster.api.api import Api, Parts
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.inside import Inside
from boxship.cluster.api.request import SYSTEM_MASTERS, User
from boxship.cluster.api.storage import Storage, Unsealed
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.schema.builtin import Schemas
from boxship.cluster.reconcile import cache, following
from boxship.cluster.scheduler import running
from boxship.store.memory import MemoryStore

EPOCH = 1_800_000_000.0
LAG = 0.05  # seconds at most until a watcher hears of something
MASTER = User("simulation", (SYSTEM_MASTERS,))
T = TypeVar("T")


class VirtualClock:
    """Implements the API's Clock by the loop's time."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds(), UTC)

    def seconds(self) -> float:
        return EPOCH + asyncio.get_running_loop().time()


class World:
    """One API. `sure` is a client that always succeeds at once; `trouble` how likely others fail."""

    def __init__(self, schemas: Schemas, chance: random.Random, trouble: float) -> None:
        self.clock = VirtualClock()
        self.chance = chance
        self.trouble = trouble
        catalog = Catalog(schemas)
        self._api = Api(Parts(storage=Storage(MemoryStore(), Unsealed()), catalog=catalog, clock=self.clock))
        self.sure = Inside(self._api, catalog, MASTER, "simulation")

    @property
    def unsure(self) -> "Unsure":
        return Unsure(self)

    async def run(self) -> None:
        """Without end."""
        await self._api.run()

    async def all(self, resource: str) -> list[Object]:
        return list((await self.sure.list(resource)).items)


class Unsure:
    """Implements access.Client over an API that fails as the world says."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def _try(self, request: Callable[[], Awaitable[T]]) -> T:
        world = self._world
        await asyncio.sleep(world.chance.random() * 0.01)
        if world.chance.random() < world.trouble:
            raise Failure(503, "ServiceUnavailable", "the simulation says no")
        answer = await request()
        if world.chance.random() < world.trouble:
            raise Failure(504, "Timeout", "the simulation does not say what happened")
        return answer

    async def get(self, resource: str, namespace: str, name: str, *, subresource: str = "") -> Object:
        return await self._try(lambda: self._world.sure.get(resource, namespace, name, subresource=subresource))

    async def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        return await self._try(lambda: self._world.sure.list(resource, namespace, labels=labels, fields=fields))

    async def watch(
        self, resource: str, namespace: str = "", *, version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        world = self._world
        async for event in world.sure.watch(resource, namespace, version=version, labels=labels, fields=fields):
            await asyncio.sleep(world.chance.random() * LAG)
            if world.chance.random() < world.trouble / 5:
                raise Failure(410, "Expired", "the simulation cuts this watch")
            yield event

    async def create(self, resource: str, namespace: str, object: Object, *, subresource: str = "") -> Object:
        return await self._try(lambda: self._world.sure.create(resource, namespace, object, subresource=subresource))

    async def update(self, resource: str, object: Object, *, subresource: str = "") -> Object:
        return await self._try(lambda: self._world.sure.update(resource, object, subresource=subresource))

    async def patch(
        self, resource: str, namespace: str, name: str, patch: Object | Sequence[Object], *, subresource: str = ""
    ) -> Object:
        return await self._try(
            lambda: self._world.sure.patch(resource, namespace, name, patch, subresource=subresource)
        )

    async def apply(
        self, resource: str, namespace: str, name: str, object: Object, *, manager: str, subresource: str = ""
    ) -> Object:
        return await self._try(
            lambda: self._world.sure.apply(resource, namespace, name, object, manager=manager, subresource=subresource)
        )

    async def delete(self, resource: str, namespace: str, name: str, **words: Any) -> None:
        await self._try(lambda: self._world.sure.delete(resource, namespace, name, **words))


@contextmanager
def seeded(seed: int) -> Iterator[random.Random]:
    """Inside the block all of this process's chance follows from the seed: names and uids that the API gives, too; and
    nobody gives others their turn because of how fast this machine is. A process that does this does nothing else."""
    chance = random.Random(seed)
    random.seed(seed)
    asked = os.urandom, random._urandom  # type: ignore[attr-defined]
    paces = following.SLICE_SECONDS, cache.SLICE_SECONDS, running.HELP_SHARE
    os.urandom = random._urandom = chance.randbytes  # type: ignore[attr-defined]
    following.SLICE_SECONDS, cache.SLICE_SECONDS, running.HELP_SHARE = math.inf, math.inf, 0
    try:
        yield chance
    finally:
        os.urandom, random._urandom = asked  # type: ignore[attr-defined]
        following.SLICE_SECONDS, cache.SLICE_SECONDS, running.HELP_SHARE = paces
