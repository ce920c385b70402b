"""One object in several versions, and values that are sealed in the store."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from cluster_api_kit import APPLY, Asker, StillClock, running, schemas

from boxship.cluster.api.api import Api, Parts
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.request import View
from boxship.cluster.api.storage import Storage
from boxship.cluster.objects import Object
from boxship.store.memory import MemoryStore

V1, V2 = "autoscaling/v1/horizontalpodautoscalers", "autoscaling/v2/horizontalpodautoscalers"
CORE, EVENTS = "v1/events", "events.k8s.io/v1/events"


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    async with running() as asker:
        yield asker


def autoscaler(name: str) -> Object:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    return {"metadata": {"name": name}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}}


async def test_versions_of_one_kind(asker: Asker) -> None:
    sent = autoscaler("a")
    sent["spec"]["targetCPUUtilizationPercentage"] = 70
    made = await asker.create(V1, "default", sent)
    assert made["apiVersion"] == "autoscaling/v1" and made["spec"]["targetCPUUtilizationPercentage"] == 70
    new = await asker.get(V2, "default", "a")
    assert new["apiVersion"] == "autoscaling/v2" and new["spec"]["metrics"][0]["resource"]["name"] == "cpu"
    assert new["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    entry = await asker.store.get("/registry/horizontalpodautoscalers/default/a")
    assert entry is not None and entry.value.startswith(
        b'{"kind":"HorizontalPodAutoscaler","apiVersion":"autoscaling/v2"'
    )
    watches = [await asker.watch(path) for path in (V1, V2)]
    changed = await asker.patch(V1, "default", "a", {"spec": {"targetCPUUtilizationPercentage": 50}})
    assert changed["spec"]["targetCPUUtilizationPercentage"] == 50
    for watch, version in zip(watches, ("autoscaling/v1", "autoscaling/v2"), strict=True):
        for _ in range(2):
            assert (await watch.next())["object"]["apiVersion"] == version
        await watch.close()
    assert (await asker.update(V1, "default", changed))["metadata"]["resourceVersion"] == "2"
    applied = {**autoscaler("a"), "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler"}
    applied["spec"]["maxReplicas"] = 9
    forced = await asker.patch(V1, "default", "a", applied, APPLY, field_manager="m", force=True)
    assert forced["spec"]["maxReplicas"] == 9
    assert {item["spec"]["maxReplicas"] for item in (await asker.list(V2, "default"))["items"]} == {9}
    assert (await asker.list(V1, view=View("table")))["rows"][0]["cells"][0] == "a"


async def test_events_of_both_groups(asker: Asker) -> None:
    regarding = {"kind": "Pod", "name": "p", "namespace": "default"}
    event = {"metadata": {"name": "e"}, "involvedObject": regarding, "reason": "R", "message": "m", "type": "Normal"}
    await asker.create(CORE, "default", event)
    new = await asker.get(EVENTS, "default", "e")
    assert (new["note"], new["regarding"]["name"]) == ("m", "p")
    assert len((await asker.list(CORE, field_selector="involvedObject.name=p"))["items"]) == 1
    assert len((await asker.list(EVENTS, field_selector="regarding.name=p"))["items"]) == 1
    assert (await asker.list(CORE, field_selector="involvedObject.name=q"))["items"] == []
    listed = await asker.list(EVENTS, view=View("metadata"))
    assert listed["items"][0]["metadata"]["name"] == "e"


class Backwards:
    """A Sealer that anybody can open."""

    def seal(self, key: str, resource: str, value: bytes) -> bytes:
        return b"sealed:" + value[::-1] if resource == "secrets" else value

    def open(self, key: str, value: bytes) -> bytes:
        return value[7:][::-1] if value.startswith(b"sealed:") else value


async def test_sealed_values_are_opened_everywhere() -> None:
    store, clock = MemoryStore(), StillClock()
    async with running(store) as plain:
        api = Api(Parts(Storage(store, Backwards()), Catalog(schemas()), clock))
        asker = Asker(api, store, clock)
        secret: dict[str, Any] = {"metadata": {"name": "s", "labels": {"l": "1"}}, "stringData": {"k": "v"}}
        await asker.create("v1/secrets", "default", secret)
        entry = await store.get("/registry/secrets/default/s")
        assert entry is not None and entry.value.startswith(b"sealed:")
        assert (await asker.get("v1/secrets", "default", "s"))["data"] == {"k": "dg=="}
        for more in ({}, {"label_selector": "l=1"}, {"field_selector": "type=Opaque"}, {"limit": 1}):
            assert len((await asker.list("v1/secrets", **more))["items"]) == 1  # type: ignore[arg-type]
        for view in (View("table"), View("metadata")):
            await asker.list("v1/secrets", view=view)
        watch = await asker.watch("v1/secrets")
        assert (await watch.next())["object"]["data"] == {"k": "dg=="}
        assert (await asker.patch("v1/secrets", "default", "s", {"data": {"k": "eA=="}}))["data"] == {"k": "eA=="}
        assert await asker.api.lookup.get("v1/secrets", "default", "s")
        await watch.close()
        assert plain.store is store
