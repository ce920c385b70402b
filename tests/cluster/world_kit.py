"""The API over a store in memory with its first objects, and the controllers at work on it, all in one process."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from boxship.cluster.api.api import Api, Parts
from boxship.cluster.api.authentication.authenticator import Authenticator
from boxship.cluster.api.authentication.tokens import TokenIssuer
from boxship.cluster.api.authorization.authorizer import Authorizer
from boxship.cluster.api.authorization.plugins import guards
from boxship.cluster.api.authorization.reviews import Reviews
from boxship.cluster.api.bootstrap.objects import Site
from boxship.cluster.api.bootstrap.start import begin
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.clock import SystemClock
from boxship.cluster.api.inside import Inside
from boxship.cluster.api.lookup import StoredObjects
from boxship.cluster.api.request import User
from boxship.cluster.api.storage import Storage, Unsealed
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.schema.builtin import Schemas, load
from boxship.main.control_admission import admission
from boxship.main.control_controllers import controllers
from boxship.pki.cluster import ClusterAuthority, open_authority
from boxship.store.memory import MemoryStore
from boxship.transport.client import HttpClient

MASTER = User("system:apiserver", ("system:masters",))
DEADLINE = 20.0  # seconds
ISSUER = "https://kubernetes.default.svc.cluster.local"
_schemas: list[Schemas] = []


def schemas() -> Schemas:
    if not _schemas:
        _schemas.append(load(None))
    return _schemas[0]


class World:
    """Everything of one control plane but its door."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock()
        self.authority: ClusterAuthority = open_authority(folder / "pki", [], datetime.now(UTC))
        self.store = MemoryStore()
        self.storage = Storage(self.store, Unsealed())
        self.catalog = Catalog(schemas())
        self.lookup = StoredObjects(self.storage, self.catalog)
        self.authorizer = Authorizer(self.storage)
        parts = Parts(storage=self.storage, catalog=self.catalog, clock=self.clock)
        self.itself = Inside(Api(parts), self.catalog, MASTER, "test")
        self.http = HttpClient(user_agent="test")
        chain = admission(
            self.lookup,
            self.catalog,
            self.itself,
            self.http,
            self.authorizer.decide,
            validating=guards(self.authorizer),
        )
        self.tokens = TokenIssuer(self.lookup, self.authority.tokens, self.clock, issuer=ISSUER)
        self.authenticator = Authenticator(self.lookup, self.authority.clients, self.tokens, self.clock)
        reviews = Reviews(self.authorizer, self.authenticator)
        self.api = Api(msgspec.structs.replace(parts, chain=chain, reviews=reviews, tokens=self.tokens))
        self.client = self.client_of(MASTER)
        self.site = Site(
            "192.0.2.1", 6443, "https://192.0.2.1:6443", ("10.96.0.0/16",), self.authority.ca_pem, b"proxy"
        )

    def client_of(self, user: User) -> Inside:
        return Inside(self.api, self.catalog, user, "test")

    async def found(self, resource: str, namespace: str, name: str) -> Object | None:
        try:
            return await self.client.get(resource, namespace, name)
        except Failure as failure:
            if failure.reason != "NotFound":
                raise
            return None

    async def config_map(self, name: str, *owners: Object, namespace: str = "default", **metadata: Any) -> Object:
        references = [reference(owner) for owner in owners]
        known = {"name": name, "ownerReferences": references, **metadata} if owners else {"name": name, **metadata}
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": known}
        return await self.client.create("v1/configmaps", namespace, made)

    async def names(self, resource: str, namespace: str = "default") -> set[str]:
        return {item["metadata"]["name"] for item in (await self.client.list(resource, namespace)).items}


def reference(owner: Object, *, blocks: bool = True) -> Object:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": blocks,
    }


@contextlib.asynccontextmanager
async def running_world(folder: Path, *, with_controllers: bool = True) -> AsyncIterator[World]:
    world = World(folder)
    await begin(world.itself, world.site)
    await world.authorizer.prepare()
    tasks = [asyncio.create_task(world.api.run()), asyncio.create_task(world.authorizer.follow())]
    if with_controllers:
        runner = controllers(world.api, world.catalog, world.authorizer, world.authority, world.tokens)
        tasks.append(asyncio.create_task(runner.run()))
    try:
        yield world
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await world.http.close()


async def eventually(condition: Callable[[], Any], what: str = "", seconds: float = DEADLINE) -> Any:
    """What the condition (a coroutine function) answers, as soon as it is true."""
    deadline = time.monotonic() + seconds
    while True:
        found = await condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.005)
