"""Claims, volumes and classes of volumes go when they are deleted and nobody uses them."""

from pathlib import Path

import pytest
from world_kit import World, eventually, running_world

from boxship.cluster.controllers import protection
from boxship.cluster.controllers.workloads.pods import facts_of
from boxship.cluster.objects import Object

CLAIMS, VOLUMES, CLASSES = protection.CLAIMS, protection.VOLUMES, protection.CLASSES


def pod(**spec: object) -> Object:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "e", "ephemeral": {}}]
    return {"metadata": {"name": "p"}, "spec": {"volumes": volumes, **spec}, "status": {"phase": "Running"}}


def test_only_pods_with_a_node_that_have_not_ended_use_a_claim() -> None:
    assert not protection.uses(pod(), "c")
    running = pod(nodeName="n")
    assert protection.uses(running, "c") and protection.uses(running, "p-e") and not protection.uses(running, "x")
    assert not protection.uses({**running, "status": {"phase": "Failed"}}, "c")


@pytest.mark.parametrize("spec", [{}, {"nodeName": "n"}])
@pytest.mark.parametrize("phase", ["Running", "Failed"])
def test_pods_that_are_known_say_the_same(spec: Object, phase: str) -> None:
    made = {**pod(**spec), "status": {"phase": phase}}
    made["spec"]["volumes"][1]["ephemeral"] = {"volumeClaimTemplate": {}}
    made["metadata"] |= {"namespace": "default", "uid": "u", "resourceVersion": "1"}
    for name in ("c", "p-e", "x"):
        assert protection.has(facts_of(made), ("default", name)) is protection.uses(made, name)
    assert not protection.has(facts_of(made), ("other", "c"))


def claim(name: str, **spec: object) -> Object:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": wanted}


def volume(name: str) -> Object:
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def volume_class(name: str) -> Object:
    made = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": name}}
    return {**made, "driverName": "a.example", "parameters": {"iops": "1"}}


async def gone(world: World, resource: str, namespace: str, name: str) -> bool:
    return await world.found(resource, namespace, name) is None


async def is_bound(world: World, name: str) -> bool:
    return bool((await world.client.get(VOLUMES, "", name))["status"].get("phase") == "Bound")


async def test_what_is_used_waits_and_goes_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protection, "LAST_LOOK", 0.1)
    async with running_world(tmp_path) as world:
        for resource, made in ((VOLUMES, volume("free")), (VOLUMES, volume("bound")), (CLASSES, volume_class("fast"))):
            await world.client.create(resource, "", made)
        await world.client.create(CLAIMS, "default", claim("b", volumeName="bound", storageClassName=""))
        await eventually(lambda: is_bound(world, "bound"))
        await world.client.create(CLAIMS, "default", claim("c", volumeAttributesClassName="fast"))
        for resource, namespace, name in (
            (CLASSES, "", "fast"),
            (VOLUMES, "", "bound"),
            (VOLUMES, "", "free"),
        ):
            await world.client.delete(resource, namespace, name)
        await eventually(lambda: gone(world, VOLUMES, "", "free"))
        for resource, name in ((CLASSES, "fast"), (VOLUMES, "bound")):
            assert await world.found(resource, "", name) is not None
        await world.client.delete(CLAIMS, "default", "c")
        await eventually(lambda: gone(world, CLAIMS, "default", "c"))
        await eventually(lambda: gone(world, CLASSES, "", "fast"))
        await world.client.delete(CLAIMS, "default", "b")
        await eventually(lambda: gone(world, VOLUMES, "", "bound"))
