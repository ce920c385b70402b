"""Config maps and secrets that pods of this node use: each watched by itself, as a node may, as long as somebody holds
it. What nobody holds is asked for when it is wanted. Each watch takes a connection, so there is a limit: what is beyond
it is asked for once a minute."""

import asyncio
from collections.abc import Collection

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.following import Source
from boxship.cluster.reconcile.narrowed import OneNamespace
from boxship.cluster.reconcile.queue import Queue

Place = tuple[str, str, str]  # resource, namespace, name
MOST_WATCHES = 400
POLL_SECONDS = 60.0


class HeldObjects:
    """`changed` gets each place whose object became another, came or went."""

    def __init__(self, source: Source) -> None:
        self.changed: Queue[Place] = Queue()
        self._source = source
        self._held: dict[str, frozenset[Place]] = {}  # by holder
        self._caches: dict[Place, Cache] = {}
        self._wanted = asyncio.Event()

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        """Raises Failure."""
        cache = self._caches.get((resource, namespace, name))
        if cache is None or not cache.is_ready:
            return await self._source.get(resource, namespace, name)
        found = cache.get((namespace, name))
        if found is None:
            plural = resource.rpartition("/")[2]
            raise Failure(404, "NotFound", f'{plural} "{name}" not found', name=name, kind=plural)
        object: Object = found
        return object

    def hold(self, holder: str, places: Collection[Place]) -> None:
        """These and no others, from now on."""
        if self._held.get(holder, frozenset()) != frozenset(places):
            self._held[holder] = frozenset(places)
            self._wanted.set()

    def drop(self, holder: str) -> None:
        if self._held.pop(holder, None):
            self._wanted.set()

    def holders(self, place: Place) -> list[str]:
        return [holder for holder, places in self._held.items() if place in places]

    async def run(self) -> None:
        """Without end."""
        running: dict[Place, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._wanted.clear()
                wanted = {place for places in self._held.values() for place in places}
                for place in running.keys() - wanted:
                    running.pop(place).cancel()
                    self._caches.pop(place, None)
                for place in wanted - running.keys():
                    way = self._follow if len(self._caches) < MOST_WATCHES else self._ask_again
                    running[place] = tasks.create_task(way(place))
                    await asyncio.sleep(0)  # so that it is counted
                await self._wanted.wait()

    async def _follow(self, place: Place) -> None:
        resource, namespace, name = place

        def told(key: Key, old: object, new: object) -> None:
            self.changed.add(place)

        cache = Cache(OneNamespace(self._source, namespace), resource, fields=f"metadata.name={name}")
        cache.subscribe(told)
        self._caches[place] = cache
        await cache.run()

    async def _ask_again(self, place: Place) -> None:
        known = ""
        while True:
            try:
                found = (await self._source.get(*place))["metadata"].get("resourceVersion", "")
            except Failure as failure:
                found = "gone" if failure.reason == "NotFound" else known
            if found != known:
                known = found
                self.changed.add(place)
            await asyncio.sleep(POLL_SECONDS)
