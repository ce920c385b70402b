"""The controllers of nodes on the real API in memory: what an agent writes, and what becomes of it."""

from pathlib import Path
from typing import Any

from world_kit import World, eventually, running_world

from boxship.cluster.objects import Object

STAMP = "2026-01-01T00:00:00Z"


def node(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {}}


async def say(world: World, name: str, ready: str, **more: str) -> None:
    """As an agent writes its status."""
    known = await world.client.get("v1/nodes", "", name)
    said = {"Ready": ready, **more}
    known["status"] = {
        **(known.get("status") or {}),
        "conditions": [
            {"type": type, "status": status, "lastHeartbeatTime": STAMP, "lastTransitionTime": STAMP, "reason": "Test"}
            for type, status in said.items()
        ],
    }
    await world.client.update("v1/nodes", known, subresource="status")


async def taints(world: World, name: str) -> set[str]:
    spec = (await world.client.get("v1/nodes", "", name)).get("spec") or {}
    return {f"{taint['key']}:{taint['effect']}" for taint in spec.get("taints") or ()}


async def tainted(world: World, name: str, *wanted: str) -> None:
    async def are() -> bool:
        return await taints(world, name) == set(wanted)

    await eventually(are, f"{name} has the taints {wanted}")


async def block(world: World, name: str) -> Any:
    async def has() -> Any:
        return (await world.client.get("v1/nodes", "", name))["spec"].get("podCIDR")

    return await eventually(has, f"{name} has a block")


def pod(name: str, on: str, **spec: Any) -> Object:
    metadata = {"name": name, "labels": {"app": "a"}}
    containers = [{"name": "c", "image": "one"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": containers, "nodeName": on, **spec},
    }


async def test_a_node_from_its_first_word_to_its_end(tmp_path: Path) -> None:
    async with running_world(tmp_path) as world:
        for name in ("n0", "n1", "n2"):
            await world.client.create("v1/nodes", "", node(name))
        blocks = {name: await block(world, name) for name in ("n0", "n1", "n2")}
        assert sorted(blocks.values()) == ["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"]
        assert await taints(world, "n0") == {"node.kubernetes.io/not-ready:NoSchedule"}

        for name in ("n0", "n1", "n2"):
            await say(world, name, "True", MemoryPressure="False")
        await eventually(lambda: world.found("v1/serviceaccounts", "default", "default"), "the account of pods")
        await tainted(world, "n0")
        await say(world, "n0", "True", MemoryPressure="True", DiskPressure="True", PIDPressure="True")
        await tainted(
            world, "n0", *(f"node.kubernetes.io/{one}-pressure:NoSchedule" for one in ("memory", "disk", "pid"))
        )
        await say(world, "n0", "True", NetworkUnavailable="True")
        await tainted(world, "n0", "node.kubernetes.io/network-unavailable:NoSchedule")
        await say(world, "n0", "True")
        await world.client.patch("v1/nodes", "", "n0", {"spec": {"unschedulable": True}})
        await tainted(world, "n0", "node.kubernetes.io/unschedulable:NoSchedule")
        await world.client.patch("v1/nodes", "", "n0", {"spec": {"unschedulable": None}})
        await tainted(world, "n0")

        # A node that says it is not ready is emptied, but not of what tolerates that.
        await world.client.create("v1/pods", "default", pod("stays", "n0"))
        never = [
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}
        ]
        await world.client.create("v1/pods", "default", pod("goes", "n0", tolerations=never))
        ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
        await world.client.patch("v1/pods", "default", "stays", ready, subresource="status")
        await say(world, "n0", "False")
        await tainted(world, "n0", "node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute")

        async def is_deleted() -> Any:
            found = await world.client.get("v1/pods", "default", "goes")
            reasons = {one.get("reason") for one in found["status"].get("conditions") or ()}
            return found["metadata"].get("deletionTimestamp") and "DeletionByTaintManager" in reasons

        await eventually(is_deleted, "the pod that does not tolerate it goes")

        async def is_unready() -> bool:
            found = await world.client.get("v1/pods", "default", "stays")
            assert not found["metadata"].get("deletionTimestamp")
            return bool(found["status"]["conditions"][0]["status"] == "False")

        await eventually(is_unready, "the pod that stays is not ready")
        await say(world, "n0", "True")
        await tainted(world, "n0")

        # What a node had is free for the next.
        await world.client.delete("v1/nodes", "", "n1")
        await world.client.create("v1/nodes", "", node("n9"))
        assert await block(world, "n9") == blocks["n1"]

        # A taint of an administrator's says that what is deleted there ends without a word of the node.
        await world.client.patch(
            "v1/nodes",
            "",
            "n0",
            {"spec": {"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute", "value": "x"}]}},
        )
        await say(world, "n0", "False")

        async def are_gone() -> bool:
            return not await world.names("v1/pods")

        await eventually(are_gone, "all pods of a node that is out of service")


async def test_a_pod_that_never_had_a_node_goes_at_once(tmp_path: Path) -> None:
    async with running_world(tmp_path) as world:
        made = pod("waiting", "")
        made["metadata"]["finalizers"] = ["example.com/kept"]
        await eventually(lambda: world.found("v1/serviceaccounts", "default", "default"), "the account of pods")
        del made["spec"]["nodeName"]
        await world.client.create("v1/pods", "default", made)
        await world.client.delete("v1/pods", "default", "waiting")
        await world.client.patch("v1/pods", "default", "waiting", {"metadata": {"finalizers": None}})

        async def is_gone() -> bool:
            return not await world.names("v1/pods")

        await eventually(is_gone, "the pod")
