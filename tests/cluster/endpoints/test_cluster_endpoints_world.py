"""The controllers of endpoints on the real API, in memory."""

import time
from pathlib import Path
from typing import Any

from endpoints_kit import ready_addresses
from world_kit import World, eventually, running_world

from boxship.cluster.objects import Object

SLICES = "discovery.k8s.io/v1/endpointslices"
READY_SECONDS = 0.5  # measured: about 10 ms


def pod(name: str, **labels: str) -> Object:
    container = {"name": "c", "image": "i", "ports": [{"name": "http", "containerPort": 8080}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"nodeName": "n", "containers": [container], "serviceAccountName": "default"},
    }


def running(address: str, ready: str) -> Object:
    conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    return {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions}}


def service(name: str, **spec: Any) -> Object:
    spec = {"ports": [{"name": "http", "port": 80, "targetPort": "http"}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


async def slices_of(world: World, name: str) -> list[Object]:
    listing = await world.client.list(SLICES, "default", labels=f"kubernetes.io/service-name={name}")
    return list(listing.items)


async def test_a_service_gets_its_endpoints(tmp_path: Path) -> None:
    async with running_world(tmp_path) as world:
        await eventually(lambda: world.found("v1/serviceaccounts", "default", "default"))
        await world.client.create("v1/services", "default", service("web", selector={"app": "web"}))
        await world.client.create("v1/pods", "default", pod("a", app="web"))
        await world.client.patch("v1/pods", "default", "a", running("10.244.0.2", "False"), subresource="status")

        async def listed() -> bool:
            found = await slices_of(world, "web")
            return bool(found and found[0]["endpoints"])

        await eventually(listed)
        begun = time.perf_counter()
        await world.client.patch("v1/pods", "default", "a", running("10.244.0.2", "True"), subresource="status")

        async def ready() -> bool:
            return ready_addresses(await slices_of(world, "web")) == ["10.244.0.2"]

        await eventually(ready)
        taken = time.perf_counter() - begun
        assert taken < READY_SECONDS
        print(f"ready after {taken * 1000:.1f} ms")
        (slice,) = await slices_of(world, "web")
        assert slice["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]

        async def told() -> bool:
            subsets = ((await world.found("v1/endpoints", "default", "web")) or {}).get("subsets") or [{}]
            ready = subsets[0].get("addresses", [{}])[0].get("ip") == "10.244.0.2"
            return ready and subsets[0]["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]

        await eventually(told)
        await world.client.delete("v1/services", "default", "web")

        async def gone() -> bool:
            return not await slices_of(world, "web") and not await world.found("v1/endpoints", "default", "web")

        await eventually(gone)


async def test_endpoints_of_people_are_mirrored(tmp_path: Path) -> None:
    async with running_world(tmp_path) as world:
        await world.client.create("v1/services", "default", service("outside"))
        subset: Object = {"addresses": [{"ip": "192.0.2.9"}], "ports": [{"name": "http", "port": 80}]}
        made: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "outside"}, "subsets": [subset]}
        made = await world.client.create("v1/endpoints", "default", made)

        async def mirrored() -> bool:
            found = await slices_of(world, "outside")
            return ready_addresses(found) == sorted(one["ip"] for one in made["subsets"][0]["addresses"])

        await eventually(mirrored)
        (slice,) = await slices_of(world, "outside")
        assert slice["metadata"]["ownerReferences"][0]["kind"] == "Endpoints"
        made["subsets"][0]["addresses"].append({"ip": "192.0.2.10"})
        made = await world.client.update("v1/endpoints", made)
        await eventually(mirrored)
        assert [one["metadata"]["name"] for one in await slices_of(world, "outside")] == [slice["metadata"]["name"]]
        made["metadata"]["labels"] = {"endpointslice.kubernetes.io/skip-mirror": "true"}
        await world.client.update("v1/endpoints", made)

        async def gone() -> bool:
            return not await slices_of(world, "outside")

        await eventually(gone)
