"""An Api over a store in memory, and words to ask it with."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from boxship.cluster.api.api import Api, Parts
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.request import Answer, Body, Options, Request, Stream, User
from boxship.cluster.api.storage import Storage, Unsealed
from boxship.cluster.objects import Object
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.schema.builtin import Schemas, load
from boxship.store import Store
from boxship.store.memory import MemoryStore

ADMIN = User("admin", ("system:masters",))
JSON = "application/json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

_schemas: list[Schemas] = []


def schemas() -> Schemas:
    """The built-in types, loaded once."""
    if not _schemas:
        _schemas.append(load(None))
    return _schemas[0]


class StillClock:
    """Implements Clock: the time is what the test says."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def forward(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Asker:
    """Asks an Api as a client would."""

    def __init__(self, api: Api, store: Store, clock: StillClock, user: User = ADMIN) -> None:
        self.api = api
        self.store = store
        self.clock = clock
        self.user = user

    def resource(self, path: str) -> Resource:
        found = self.api.catalog.at(path)
        assert found is not None, path
        return found

    def request(self, verb: str, path: str, namespace: str = "", name: str = "", **more: Any) -> Request:
        """`path` is "v1/pods" or "v1/pods/status"."""
        resource, subresource = path, ""
        if self.api.catalog.at(path) is None:
            resource, _, subresource = path.rpartition("/")
        options = more.pop("options", None) or Options(
            **{key: more.pop(key) for key in list(more) if key in Options.__struct_fields__}
        )
        return Request(
            user=more.pop("user", self.user),
            verb=verb,
            resource=self.resource(resource),
            namespace=namespace,
            name=name,
            subresource=subresource,
            options=options,
            agent=more.pop("agent", "test/1.0"),
            warn=[],
            notes={},
            **more,
        )

    async def ask(self, verb: str, path: str, namespace: str = "", name: str = "", **more: Any) -> Any:
        """The answered document."""
        answer = await self.api.perform(self.request(verb, path, namespace, name, **more))
        assert isinstance(answer, Answer)
        return msgspec.json.decode(await answer.whole())

    async def get(self, path: str, namespace: str, name: str, **more: Any) -> Any:
        return await self.ask("get", path, namespace, name, **more)

    async def list(self, path: str, namespace: str = "", **more: Any) -> Any:
        return await self.ask("list", path, namespace, **more)

    async def create(self, path: str, namespace: str, object: Object, **more: Any) -> Any:
        return await self.ask("create", path, namespace, body=Body(JSON, msgspec.json.encode(object)), **more)

    async def update(self, path: str, namespace: str, object: Object, **more: Any) -> Any:
        body = Body(JSON, msgspec.json.encode(object))
        return await self.ask("update", path, namespace, object["metadata"]["name"], body=body, **more)

    async def patch(self, path: str, namespace: str, name: str, patch: Any, kind: str = MERGE, **more: Any) -> Any:
        body = Body(kind, msgspec.json.encode(patch))
        return await self.ask("patch", path, namespace, name, body=body, **more)

    async def apply(self, path: str, namespace: str, object: Object, manager: str = "kubectl", **more: Any) -> Any:
        name = object["metadata"]["name"]
        return await self.patch(path, namespace, name, object, APPLY, field_manager=manager, **more)

    async def delete(self, path: str, namespace: str, name: str, **more: Any) -> Any:
        return await self.ask("delete", path, namespace, name, **more)

    async def watch(self, path: str, namespace: str = "", **more: Any) -> "Watch":
        stream = await self.api.perform(self.request("watch", path, namespace, **more))
        assert isinstance(stream, Stream)
        return Watch(stream)


class Watch:
    """The events of a stream, one by one."""

    def __init__(self, stream: Stream) -> None:
        self._pieces = stream.events
        self._ready: list[Any] = []
        self.raw: list[bytes] = []

    async def next(self, seconds: float = 5.0) -> Any:
        while not self._ready:
            async with asyncio.timeout(seconds):
                piece = await anext(self._pieces)
            self.raw.append(piece)
            self._ready += [msgspec.json.decode(line) for line in piece.splitlines()]
        return self._ready.pop(0)

    async def take(self, count: int) -> list[tuple[str, str]]:
        """Types and names of so many events."""
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]

    async def close(self) -> None:
        await self._pieces.aclose()  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def running(store: Store | None = None, **parts: Any) -> AsyncIterator[Asker]:
    """An Api that follows its store."""
    made = store or MemoryStore()
    clock = StillClock()
    catalog = Catalog(schemas())
    api = Api(Parts(Storage(made, Unsealed()), catalog, clock, **parts))
    following = asyncio.create_task(api.run())
    try:
        yield Asker(api, made, clock)
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await made.close()


def config_map(name: str, data: Mapping[str, str] | None = None, **metadata: Any) -> Object:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, **metadata}, "data": dict(data or {})}
