"""The objects of one resource as they are known now: listed once, then watched, listed again where the watch cannot go
on. Whoever wants to hear of changes subscribes; the order of changes to one object is kept."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from typing import Any

from boxship.cluster.access import Event, Listing
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.following import Source, follow, others_first

Key = tuple[str, str]  # namespace ("" for a cluster's resource) and name
Told = Callable[[Key, Any, Any], None]  # key, what was kept before, what is kept now; None: it is not there
SLICE_SECONDS = 0.0005  # of reading objects before others have their turn


def whole(object: Object) -> Object:
    return object


class Cache:
    """One resource ("v1/namespaces"). `keep` says what of an object is kept: less is better where there are many."""

    def __init__(
        self,
        source: Source,
        resource: str,
        *,
        keep: Callable[[Object], Any] = whole,
        labels: str = "",
        fields: str = "",
        pace: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._pace = pace
        self.resource = resource
        self._source = source
        self._keep = keep
        self._labels = labels
        self._fields = fields
        self._items: dict[Key, tuple[str, Any]] = {}  # with the resourceVersion
        self._told: list[Told] = []
        self._ready = asyncio.Event()

    def get(self, key: Key) -> Any:
        """None: it is not there."""
        found = self._items.get(key)
        return found[1] if found else None

    def keys(self) -> list[Key]:
        return list(self._items)

    def items(self) -> Iterator[tuple[Key, Any]]:
        return ((key, kept) for key, (_, kept) in self._items.items())

    def __len__(self) -> int:
        return len(self._items)

    def subscribe(self, told: Told) -> None:
        """Hear of every change from now on; of what is there already at once."""
        self._told.append(told)
        for key, (_, kept) in list(self._items.items()):
            told(key, None, kept)

    async def ready(self) -> None:
        """Wait until all was listed once."""
        await self._ready.wait()

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set()

    async def run(self) -> None:
        """Without end. What the API refuses or cannot do now is tried again."""
        await follow(self._source, self.resource, self, labels=self._labels, fields=self._fields, pace=self._pace)

    async def listed(self, pages: AsyncIterator[Listing]) -> None:
        """For `follow`: everything as it is now."""
        gone = dict.fromkeys(self._items)
        until = self._pace() + SLICE_SECONDS
        async for page in pages:
            for item in page.items:
                key = key_of(item)
                gone.pop(key, None)
                known = self._items.get(key)
                if known is None or known[0] != item["metadata"].get("resourceVersion"):
                    self._put(key, item)
                if self._pace() > until:
                    await others_first()
                    until = self._pace() + SLICE_SECONDS
        for key in gone:
            self._remove(key)
        self._ready.set()

    def changed(self, event: Event) -> None:
        """For `follow`: one object."""
        if event.type == "DELETED":
            self._remove(key_of(event.object))
        else:
            self._put(key_of(event.object), event.object)

    def _put(self, key: Key, object: Object) -> None:
        old = self.get(key)
        kept = self._keep(object)
        self._items[key] = (object["metadata"].get("resourceVersion", ""), kept)
        self._tell(key, old, kept)

    def _remove(self, key: Key) -> None:
        known = self._items.pop(key, None)
        if known is not None:
            self._tell(key, known[1], None)

    def _tell(self, key: Key, old: Any, new: Any) -> None:
        for told in self._told:
            told(key, old, new)


async def run_all(tasks: asyncio.TaskGroup, caches: Collection[Cache]) -> None:
    """Have caches run among the tasks; returns when each knows what there is."""
    for cache in caches:
        tasks.create_task(cache.run())
    for cache in caches:
        await cache.ready()


def key_of(object: Object) -> Key:
    metadata = object["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
