"""The two Clients by one suite: beside the API in one process, and over HTTPS."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from control_kit import Control, running_control

from boxship.cluster.access import Client, Event
from boxship.cluster.access.remote import Remote, Server, api_client, path_of
from boxship.cluster.api.api import Api, Parts
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.clock import SystemClock
from boxship.cluster.api.inside import Inside
from boxship.cluster.api.request import User
from boxship.cluster.api.storage import Storage, Unsealed
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.schema.builtin import load
from boxship.store.memory import MemoryStore
from boxship.transport.client import Trust

MAPS = "v1/configmaps"


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("access")) as control:
        yield control


def server_of(control: Control) -> Server:
    pki = control.data / "pki"
    trust = Trust(ca_data=(pki / "ca.crt").read_text(), certificate=str(pki / "admin.crt"), key=str(pki / "admin.key"))
    return Server(control.url, trust)


@contextlib.asynccontextmanager
async def inside(_: Control) -> AsyncIterator[Client]:
    store = MemoryStore()
    catalog = Catalog(load(None))
    api = Api(Parts(storage=Storage(store, Unsealed()), catalog=catalog, clock=SystemClock()))
    following = asyncio.create_task(api.run())
    client = Inside(api, catalog, User("me", ("system:masters",)), "tests")
    await client.create("v1/namespaces", "", {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "default"}})
    try:
        yield client
    finally:
        following.cancel()
        await asyncio.wait([following])
        await store.close()


@contextlib.asynccontextmanager
async def remote(control: Control) -> AsyncIterator[Client]:
    client = api_client("tests")
    try:
        yield Remote(client, server_of(control))
    finally:
        await client.close()


@pytest.fixture(params=[inside, remote], ids=["inside", "remote"])
async def client(request: pytest.FixtureRequest, control: Control) -> AsyncIterator[Client]:
    async with request.param(control) as made:
        for each in (await made.list(MAPS, "default", labels="test")).items:
            await made.delete(MAPS, "default", each["metadata"]["name"])
        yield made


def config_map(name: str, **data: str) -> Object:
    metadata = {"name": name, "namespace": "default", "labels": {"test": name}}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": data}


async def test_an_object_lives_and_dies(client: Client) -> None:
    made = await client.create(MAPS, "default", config_map("a", x="1"))
    assert (await client.get(MAPS, "default", "a")) == made
    made["data"]["y"] = "2"
    changed = await client.update(MAPS, made)
    with pytest.raises(Failure) as caught:
        await client.update(MAPS, made)
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")
    assert (await client.patch(MAPS, "default", "a", {"data": {"x": None}}))["data"] == {"y": "2"}
    patched = await client.patch(MAPS, "default", "a", [{"op": "add", "path": "/data/z", "value": "3"}])
    assert patched["data"] == {"y": "2", "z": "3"}
    applied = await client.apply(MAPS, "default", "a", config_map("a", y="9"), manager="me")
    assert applied["data"] == {"y": "9", "z": "3"}
    with pytest.raises(Failure) as caught:
        await client.delete(MAPS, "default", "a", uid="other")
    assert caught.value.code == 409
    await client.delete(MAPS, "default", "a", uid=changed["metadata"]["uid"], propagation="Background")
    with pytest.raises(Failure) as caught:
        await client.get(MAPS, "default", "a")
    assert (caught.value.reason, caught.value.name, caught.value.kind) == ("NotFound", "a", "configmaps")


async def test_lists_and_selections(client: Client) -> None:
    for number in range(3):
        await client.create(MAPS, "default", config_map(f"l{number}"))
    found = await client.list(MAPS, "default", labels="test in (l0, l2)")
    assert [item["metadata"]["name"] for item in found.items] == ["l0", "l2"]
    assert found.items[0]["kind"] == "ConfigMap" and found.items[0]["apiVersion"] == "v1" and int(found.version) > 0
    found = await client.list(MAPS, fields="metadata.name=l1")
    assert [item["metadata"]["name"] for item in found.items] == ["l1"]
    with pytest.raises(Failure) as caught:
        await client.list(MAPS, labels="a b")
    assert caught.value.code == 400
    with pytest.raises(Failure) as caught:
        await client.list("v1/nothings")
    assert caught.value.code == 404


async def test_parts_of_objects(client: Client) -> None:
    await client.create("v1/nodes", "", {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n"}})
    status = {"status": {"nodeInfo": {"machineID": "7"}}}
    told = await client.patch("v1/nodes", "", "n", status, subresource="status")
    assert told["status"]["nodeInfo"]["machineID"] == "7"

    async def update() -> Object:
        """Controllers write the Node as well: it is read and written again where one was first."""
        while True:
            found = await client.get("v1/nodes", "", "n")
            made = {**found, "status": {**found["status"], "nodeInfo": {"machineID": "8"}}}
            try:
                return await client.update("v1/nodes", made, subresource="status")
            except Failure as failure:
                assert failure.reason == "Conflict"

    assert (await asyncio.wait_for(update(), 10))["status"]["nodeInfo"]["machineID"] == "8"
    await client.delete("v1/nodes", "", "n")


async def test_watches(client: Client) -> None:
    listing = await client.list(MAPS, "default", labels="test=w")
    events = client.watch(MAPS, "default", version=listing.version, labels="test=w")

    async def next_event() -> Event:
        while True:
            event = await asyncio.wait_for(anext(events), 10)
            if event.type != "BOOKMARK":
                return event

    first = asyncio.ensure_future(next_event())
    await client.create(MAPS, "default", config_map("w", a="b"))
    assert ((await first).type, first.result().object["data"]) == ("ADDED", {"a": "b"})
    await client.patch(MAPS, "default", "w", {"data": {"a": "c"}})
    assert (await next_event()).object["data"] == {"a": "c"}
    await client.delete(MAPS, "default", "w")
    assert (await next_event()).type == "DELETED"
    await events.aclose()  # type: ignore[attr-defined]


async def test_a_watch_survives_the_server(tmp_path: Path) -> None:
    with running_control(tmp_path) as control:
        async with remote(control) as client:
            listing = await client.list(MAPS, "default")
            events = client.watch(MAPS, "default", version=listing.version, labels="test")
            first = asyncio.ensure_future(anext(events))
            await client.create(MAPS, "default", config_map("one"))
            while (event := await asyncio.wait_for(first, 10)).type == "BOOKMARK":
                first = asyncio.ensure_future(anext(events))
            assert event.object["metadata"]["name"] == "one"
            following = asyncio.ensure_future(anext(events))
            await asyncio.to_thread(control.kill)
            with pytest.raises(Failure) as caught:
                await client.list(MAPS)
            assert caught.value.code == 503
            await asyncio.to_thread(control.start)
            await client.create(MAPS, "default", config_map("two"))
            while (event := await asyncio.wait_for(following, 20)).type == "BOOKMARK":
                following = asyncio.ensure_future(anext(events))
            assert (event.type, event.object["metadata"]["name"]) == ("ADDED", "two")


def test_paths() -> None:
    assert path_of("v1/pods", "a") == "/api/v1/namespaces/a/pods"
    assert path_of("v1/nodes", "", "n", "status") == "/api/v1/nodes/n/status"
    role = path_of("rbac.authorization.k8s.io/v1/clusterroles", "", "system:a/b")
    assert role == "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%2Fb"
