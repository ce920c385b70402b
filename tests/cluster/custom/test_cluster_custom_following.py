"""The follower of custom definitions over a store in memory: what it makes of good and of broken ones."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from boxship.cluster.api.api import Api, Parts
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.clock import SystemClock
from boxship.cluster.api.custom.customs import PREFIX, Customs
from boxship.cluster.api.inside import Inside
from boxship.cluster.api.lookup import StoredObjects
from boxship.cluster.api.request import SYSTEM_MASTERS, User
from boxship.cluster.api.storage import Storage, Unsealed
from boxship.cluster.objects.openapi.documents import Documents
from boxship.cluster.objects.schema import builtin
from boxship.store import Put
from boxship.store.memory import MemoryStore
from boxship.transport.client import HttpClient

SCHEMAS = builtin.load(None)
DEADLINE = 30.0  # seconds
DEFINITIONS = "apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(plural: str = "jars", served: bool = True) -> dict[str, Any]:
    return {
        "kind": "CustomResourceDefinition",
        "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": plural.title()},
            "versions": [
                {"name": "v1", "served": served, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
            ],
        },
    }


class Plane:
    """An API over a store in memory, with the follower at work."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        storage = Storage(self.store, Unsealed())
        self.catalog = Catalog(SCHEMAS)
        clock = SystemClock()
        api = Api(Parts(storage=storage, catalog=self.catalog, clock=clock))
        self.client = Inside(api, self.catalog, User("system:apiserver", (SYSTEM_MASTERS,)), "test")
        self.http = HttpClient()
        lookup = StoredObjects(storage, self.catalog)
        self.documents = Documents(None)
        self.customs = Customs(storage, self.catalog, self.documents, self.client, self.http, lookup, clock)

    def serves(self, plural: str) -> bool:
        return self.catalog.find("example.com", "v1", plural) is not None


@asynccontextmanager
async def plane(**stored: bytes) -> AsyncIterator[Plane]:
    made = Plane()
    for name, value in stored.items():
        await made.store.commit(Put(f"{PREFIX}{name}.example.com", value))
    await made.customs.prepare()
    task = asyncio.create_task(made.customs.follow())
    try:
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await made.http.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_definition_is_served_and_goes_again() -> None:
    async with plane() as made:
        await made.client.create(DEFINITIONS, "", definition())
        await until(lambda: made.serves("jars"))
        index = json.loads((await made.documents.v3_index())[0])["paths"]
        assert "apis/example.com/v1" in index
        await made.client.create("example.com/v1/jars", "default", {"metadata": {"name": "a"}})
        await made.client.delete(DEFINITIONS, "", "jars.example.com")
        await until(lambda: not made.serves("jars"))
        left = await made.store.list("/registry/example.com/")
        assert not left.entries
        assert not (await made.client.list(DEFINITIONS)).items


async def test_objects_of_an_unserved_kind_go_too() -> None:
    async with plane() as made:
        await made.client.create(DEFINITIONS, "", definition())
        await until(lambda: made.serves("jars"))
        await made.client.create("example.com/v1/jars", "default", {"metadata": {"name": "a"}})
        patch = {"spec": {"versions": definition(served=False)["spec"]["versions"]}}
        await made.client.patch(DEFINITIONS, "", "jars.example.com", patch)
        await until(lambda: not made.serves("jars"))
        await made.client.delete(DEFINITIONS, "", "jars.example.com")
        async with asyncio.timeout(DEADLINE):
            while (await made.store.list("/registry/example.com/")).entries:
                await asyncio.sleep(0.005)


async def test_what_is_broken_in_the_store_harms_nobody_else() -> None:
    established = {
        **definition("pots"),
        "status": {"conditions": [{"type": "Established", "status": "True"}], "acceptedNames": {}},
    }
    odd = json.loads(json.dumps(established).replace("pots", "pans"))
    del odd["spec"]["versions"][0]["storage"]
    async with plane(
        pots=json.dumps(established).encode(),
        pans=json.dumps(odd).encode(),
        junk=b"\xff",
        bare=b'{"metadata":{"name":"bare.example.com"}}',
        list=b'{"metadata":{"name":"list.example.com"},"spec":[]}',
    ) as made:
        assert made.serves("pots")
        assert not made.serves("pans")
        await made.store.commit(Put(f"{PREFIX}later.example.com", b"[]"))
        await made.client.create(DEFINITIONS, "", definition("cups"))
        await until(lambda: made.serves("cups"))
        assert made.serves("pots")


async def test_names_are_told_when_they_are_accepted() -> None:
    async with plane() as made:
        await made.client.create(DEFINITIONS, "", definition())
        await until(lambda: made.serves("jars"))
        found = await made.client.get(DEFINITIONS, "", "jars.example.com")
        assert found["status"]["acceptedNames"] == {
            "kind": "Jars",
            "listKind": "JarsList",
            "plural": "jars",
            "singular": "jars",
        }
        conditions = {each["type"]: each["status"] for each in found["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}
