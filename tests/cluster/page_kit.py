"""An API of a page for parts that only read and watch: objects are put, and told of."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from boxship.cluster.access import Event, Listing
from boxship.cluster.objects import Object

Key = tuple[str, str]


class Page:
    """Implements Reader and Watcher."""

    def __init__(self, **resources: Sequence[Object]) -> None:
        self.resources: dict[str, dict[Key, Object]] = {}
        self._watches: dict[str, list[asyncio.Queue[Event]]] = {}
        self.version = 1
        for name, objects in resources.items():
            for one in objects:
                self.put(name, one)

    def put(self, name: str, object: Object, kind: str = "MODIFIED") -> None:
        self.version += 1
        object = {**object, "metadata": {**object["metadata"], "resourceVersion": str(self.version)}}
        key = (object["metadata"].get("namespace", ""), object["metadata"]["name"])
        table = self.resources.setdefault(name, {})
        if kind == "DELETED":
            table.pop(key, None)
        else:
            table[key] = object
        for queue in self._watches.get(name, ()):
            queue.put_nowait(Event(kind, object))

    async def get(self, resource: str, namespace: str, name: str, *, subresource: str = "") -> Object:
        return self.resources[resource.rpartition("/")[2]][(namespace, name)]

    async def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        found = self.resources.get(resource.rpartition("/")[2], {})
        listed = tuple(one for one in found.values() if is_meant(one, namespace, fields))
        return Listing(listed, str(self.version))

    async def watch(
        self, resource: str, namespace: str = "", *, version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._watches.setdefault(resource.rpartition("/")[2], []).append(queue)
        while True:
            event = await queue.get()
            if is_meant(event.object, namespace, fields):
                yield event


def is_meant(object: Object, namespace: str, fields: str) -> bool:
    """Only metadata.name is understood."""
    metadata = object["metadata"]
    name = fields.removeprefix("metadata.name=")
    return namespace in ("", metadata.get("namespace", "")) and name in ("", metadata["name"])
