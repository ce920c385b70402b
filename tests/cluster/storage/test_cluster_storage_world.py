"""Claims and volumes on an API in memory, with all controllers at work as their own accounts."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from storage_kit import CLAIMS, CLASSES, NODES, VOLUMES, claim, node, storage_class, volume
from world_kit import World, eventually, running_world

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure

SELECTED = {"volume.kubernetes.io/selected-node": "one"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running_world(tmp_path) as found:
        await found.client.create(NODES, "", node("one"))
        yield found


async def phase_of(world: World, resource: str, name: str) -> str:
    found = await world.found(resource, "" if resource == VOLUMES else "default", name)
    return found["status"].get("phase", "") if found is not None else "gone"


def comes(world: World, resource: str, name: str, phase: str) -> Any:
    async def look() -> bool:
        return await phase_of(world, resource, name) == phase

    return eventually(look, f"{resource} {name} becomes {phase}")


async def messages(world: World, name: str) -> set[str]:
    events = (await world.client.list("v1/events", "default")).items
    return {event["reason"] for event in events if event["involvedObject"]["name"] == name}


def told(world: World, name: str, reason: str) -> Any:
    async def look() -> bool:
        return reason in await messages(world, name)

    return eventually(look, f"{reason} is told of {name}")


async def test_a_claim_waits_for_the_volume_that_it_names(world: World) -> None:
    client = world.client
    await client.create(CLAIMS, "default", claim("c", storageClassName="hand", volumeName="late"))
    await comes(world, CLAIMS, "c", "Pending")
    for name in ("other", "late"):
        await client.create(VOLUMES, "", volume(name, "1Gi", storageClassName="hand"))
    await comes(world, CLAIMS, "c", "Bound")
    await comes(world, VOLUMES, "other", "Available")
    assert (await client.get(VOLUMES, "", "late"))["spec"]["claimRef"]["name"] == "c"


async def test_static_volumes_are_bound_and_released(world: World) -> None:
    client = world.client
    for name, size in (("big", "3Gi"), ("fit", "2Gi"), ("small", "1Mi")):
        await client.create(VOLUMES, "", volume(name, size, storageClassName="hand"))
    await comes(world, VOLUMES, "fit", "Available")
    await client.create(CLAIMS, "default", claim("c", storageClassName="hand"))
    await comes(world, CLAIMS, "c", "Bound")
    found = await client.get(CLAIMS, "default", "c")
    assert found["spec"]["volumeName"] == "fit"
    assert found["status"]["capacity"] == {"storage": "2Gi"}
    assert (await client.get(VOLUMES, "", "fit"))["spec"]["claimRef"]["uid"] == found["metadata"]["uid"]
    await client.delete(CLAIMS, "default", "c")
    await comes(world, VOLUMES, "fit", "Released")
    await client.create(CLAIMS, "default", claim("again", storageClassName="hand"))
    await comes(world, CLAIMS, "again", "Bound")
    assert (await client.get(CLAIMS, "default", "again"))["spec"]["volumeName"] == "big"
    # what was released may be taken again as soon as somebody says so
    await client.patch(VOLUMES, "", "fit", {"spec": {"claimRef": None}})
    await comes(world, VOLUMES, "fit", "Available")


async def test_a_claim_that_comes_first_waits(world: World) -> None:
    client = world.client
    await client.create(CLAIMS, "default", claim("c", storageClassName=""))
    await told(world, "c", "FailedBinding")
    await client.create(VOLUMES, "", volume("v"))
    await comes(world, CLAIMS, "c", "Bound")
    await client.delete(VOLUMES, "", "v")
    assert await phase_of(world, VOLUMES, "v") == "Bound"  # protected while it is bound


async def test_volumes_are_made_for_the_node_that_was_chosen(world: World) -> None:
    client = world.client
    await client.create(CLAIMS, "default", claim("c"))
    await told(world, "c", "WaitForFirstConsumer")
    assert (await client.get(CLAIMS, "default", "c"))["spec"]["storageClassName"] == "local"
    await client.patch(CLAIMS, "default", "c", {"metadata": {"annotations": SELECTED}})
    await comes(world, CLAIMS, "c", "Bound")
    await told(world, "c", "ProvisioningSucceeded")
    found = await client.get(CLAIMS, "default", "c")
    name = found["spec"]["volumeName"]
    made = await client.get(VOLUMES, "", name)
    assert made["spec"]["local"]["path"] == f"/data/local-volumes/{name}"
    assert made["spec"]["persistentVolumeReclaimPolicy"] == "Delete"

    await client.patch(CLAIMS, "default", "c", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})

    async def larger() -> bool:
        return (await client.get(CLAIMS, "default", "c"))["status"]["capacity"] == {"storage": "2Gi"}

    await eventually(larger, "the claim grows")
    assert (await client.get(VOLUMES, "", name))["spec"]["capacity"] == {"storage": "2Gi"}

    await client.delete(CLAIMS, "default", "c")

    async def going() -> Object | None:
        current = await client.get(VOLUMES, "", name)
        return current if current["metadata"].get("deletionTimestamp") else None

    left = await eventually(going, "the volume is to go")
    assert "boxship.io/local-volume" in left["metadata"]["finalizers"]  # the node has its folder still
    await client.delete(NODES, "", "one")
    await comes(world, VOLUMES, name, "gone")


async def test_who_cannot_grow_is_refused(world: World) -> None:
    client = world.client
    larger = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    await client.create(VOLUMES, "", volume("v"))
    await client.create(CLAIMS, "default", claim("c", storageClassName=""))
    await comes(world, CLAIMS, "c", "Bound")
    with pytest.raises(Failure, match="must support resize"):
        await client.patch(CLAIMS, "default", "c", larger)
    await client.create(CLAIMS, "default", claim("lonely", storageClassName=""))
    with pytest.raises(Failure, match=r"Only bound persistent volume claims|immutable after creation"):
        await client.patch(CLAIMS, "default", "lonely", larger)


async def test_a_node_that_cannot_hold_volumes_is_not_insisted_on(world: World) -> None:
    client = world.client
    await client.create(NODES, "", node("bare", ""))
    selected = {"volume.kubernetes.io/selected-node": "bare"}
    await client.create(CLAIMS, "default", claim("c", annotations=selected))

    async def free() -> bool:
        metadata = (await client.get(CLAIMS, "default", "c"))["metadata"]
        return "volume.kubernetes.io/selected-node" not in (metadata.get("annotations") or {})

    await eventually(free, "the scheduler may choose again")
    await told(world, "c", "ProvisioningFailed")


async def test_a_class_that_waits_for_nobody_and_one_that_comes_late(world: World) -> None:
    client = world.client
    await client.delete(CLASSES, "", "local")
    await client.create(CLAIMS, "default", claim("c"))
    await told(world, "c", "FailedBinding")
    await client.create(CLASSES, "", storage_class("now", "boxship.io/local", default=True, reclaimPolicy="Retain"))
    await comes(world, CLAIMS, "c", "Bound")
    assert (await client.get(CLAIMS, "default", "c"))["spec"]["storageClassName"] == "now"


async def test_claims_of_generic_volumes_are_made_for_their_pod(world: World) -> None:
    client = world.client

    async def account() -> bool:
        return await world.found("v1/serviceaccounts", "default", "default") is not None

    await eventually(account)
    await client.create(CLAIMS, "default", claim("web-taken"))
    volumes = [
        {"name": name, "ephemeral": {"volumeClaimTemplate": {"spec": claim()["spec"]}}} for name in ("scratch", "taken")
    ]
    spec = {"containers": [{"name": "main", "image": "busybox"}], "volumes": volumes}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec}
    made = await client.create("v1/pods", "default", pod)

    async def there() -> Object | None:
        return await world.found(CLAIMS, "default", "web-scratch")

    found = await eventually(there, "the claim")
    assert found["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    await told(world, "web", "FailedBinding")
    await client.delete("v1/pods", "default", "web", grace=0)

    async def gone() -> bool:
        return await world.found(CLAIMS, "default", "web-scratch") is None

    await eventually(gone, "the claim goes with its pod")
