"""The Kubernetes door in memory: a real API over a store in memory, and a gate that believes what a header says."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import msgspec

from boxship.cluster.api.api import Api, Parts
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.clock import SystemClock
from boxship.cluster.api.gate import Gate
from boxship.cluster.api.request import Ask, Decision, User
from boxship.cluster.api.storage import Storage, Unsealed
from boxship.cluster.objects import protobuf
from boxship.cluster.objects.failure import Failure, unauthorized
from boxship.cluster.objects.schema.builtin import Schemas, load
from boxship.doors.kube.door import Door
from boxship.doors.kube.health import Check, Health
from boxship.doors.kube.metrics import Metrics
from boxship.doors.kube.site import Facts, Site
from boxship.errors import Unavailable
from boxship.store.memory import MemoryStore
from boxship.transport.memory import Answer, Client

_schemas: list[Schemas] = []


def schemas() -> Schemas:
    """The built-in types, loaded once."""
    if not _schemas:
        _schemas.append(load(None))
    return _schemas[0]


class Believing:
    """Authentication and authorisation by word: the header X-User says who it is, and "nobody" may nothing."""

    async def authenticate(self, headers: Mapping[str, list[str]], certificate: bytes | None) -> User:
        name = headers.get("x-user", ["admin"])[0]
        if name == "wrong":
            raise unauthorized()
        return User(name, ("system:masters",))

    async def impersonate(self, user: User, headers: Mapping[str, list[str]], authorizer: Any) -> User:
        return user

    async def authorize(self, ask: Ask) -> Decision:
        return Decision(ask.user.name != "nobody")

    def refusal(self, ask: Ask, decision: Decision) -> Failure:
        return Failure(403, "Forbidden", f"forbidden: {ask.verb} {ask.path or ask.resource} {ask.namespace}/{ask.name}")


class Place:
    """The door with a client in front of it."""

    def __init__(self, door: Door, client: Client, catalog: Catalog) -> None:
        self.door = door
        self.client = client
        self.catalog = catalog
        self.is_well = True

    async def call(self, method: str, target: str, body: Any = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """One request; a body that is no bytes goes as JSON."""
        fields = dict(headers or {})
        if not isinstance(body, bytes) and not hasattr(body, "__aiter__"):
            body = json.dumps(body).encode()
            fields.setdefault("Content-Type", "application/json")
        return await self.client.call(method, target, body, fields)

    async def ask(self, method: str, target: str, body: Any = b"", **headers: str) -> tuple[int, Any]:
        """Status and decoded JSON."""
        answer = await self.call(method, target, body, {name.replace("_", "-"): text for name, text in headers.items()})
        data = await answer.read()
        return answer.status, msgspec.json.decode(data) if data else None


@contextlib.asynccontextmanager
async def running_door() -> AsyncIterator[Place]:
    store = MemoryStore()
    catalog = Catalog(schemas())
    api = Api(Parts(storage=Storage(store, Unsealed()), catalog=catalog, clock=SystemClock()))
    metrics = Metrics()
    place: list[Place] = []

    async def works() -> None:
        if not place[0].is_well:
            raise Unavailable("the store is away")

    believing = Believing()
    site = Site(catalog, Facts("10.0.0.1:6443", {"major": "1"}), Health([Check("etcd", works)]), metrics)
    read = partial(protobuf.read, schemas=schemas())
    door = Door(Gate(api, believing, believing), catalog, site, metrics, read)
    following = asyncio.create_task(api.run())
    try:
        async with Client(door.handle) as client:
            place.append(Place(door, client, catalog))
            namespace = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "demo"}}
            assert (await place[0].ask("POST", "/api/v1/namespaces", namespace))[0] == 201
            yield place[0]
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await store.close()
