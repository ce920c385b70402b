"""Budgets and evictions on the real API in memory, with the controllers of workloads."""

from pathlib import Path
from typing import Any

import pytest
from world_kit import World, eventually, running_world

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure

BUDGETS = "policy/v1/poddisruptionbudgets"


def deployment(replicas: int) -> Object:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}}
    selector = {"matchLabels": {"app": "a"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    }


def budget(**spec: Any) -> Object:
    selector = {"matchLabels": {"app": "a"}}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "b"},
        "spec": {"selector": selector, **spec},
    }


async def run_pods(world: World, ready: str = "True") -> set[str]:
    """As agents: every pod runs; those that are deleted go."""
    names = set()
    for pod in (await world.client.list("v1/pods", "default")).items:
        name = pod["metadata"]["name"]
        if pod["metadata"].get("deletionTimestamp"):
            await world.client.delete("v1/pods", "default", name, grace=0)
            continue
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}
        await world.client.patch("v1/pods", "default", name, {"status": status}, subresource="status")
        names.add(name)
    return names


async def has_pods(world: World, count: int) -> set[str]:
    async def are_there() -> Any:
        names = await run_pods(world)
        return names if len(names) == count else None

    found: set[str] = await eventually(are_there, f"{count} pods")
    return found


async def says(world: World, **wanted: Any) -> Object:
    async def does() -> Any:
        status = (await world.client.get(BUDGETS, "default", "b")).get("status") or {}
        return status if all(status.get(key) == value for key, value in wanted.items()) else None

    found: Object = await eventually(does, f"the budget says {wanted}")
    return found


async def evict(world: World, name: str, **options: Any) -> None:
    eviction: Object = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    if options:
        eviction["deleteOptions"] = options
    await world.client.create("v1/pods", "default", eviction, subresource="eviction")


async def test_evictions_stay_within_the_budget(tmp_path: Path) -> None:
    async with running_world(tmp_path) as world:
        await eventually(lambda: world.found("v1/serviceaccounts", "default", "default"), "the account of pods")
        await world.client.create("apps/v1/deployments", "default", deployment(4))
        await world.client.create(BUDGETS, "default", budget(maxUnavailable=1))
        names = sorted(await has_pods(world, 4))
        await says(world, disruptionsAllowed=1, currentHealthy=4, desiredHealthy=3, expectedPods=4)

        with pytest.raises(Failure, match="UID in the precondition"):
            await evict(world, names[0], preconditions={"uid": "other"})
        await evict(world, names[0], dryRun=["All"])
        await says(world, disruptionsAllowed=1)
        pods = {pod["metadata"]["name"]: pod for pod in (await world.client.list("v1/pods", "default")).items}
        assert all(one["type"] != "DisruptionTarget" for one in pods[names[0]]["status"]["conditions"])
        await world.client.patch("v1/pods", "default", names[0], {"metadata": {"finalizers": ["example.com/kept"]}})
        await evict(world, names[0])
        gone = await world.client.get("v1/pods", "default", names[0])
        said = [one for one in gone["status"]["conditions"] if one["type"] == "DisruptionTarget"]
        assert gone["metadata"]["deletionTimestamp"] and said[0]["reason"] == "EvictionByEvictionAPI"
        with pytest.raises(Failure) as refused:
            await evict(world, names[1])
        assert refused.value.code == 429
        await world.client.patch("v1/pods", "default", names[0], {"metadata": {"finalizers": None}})
        names = sorted(await has_pods(world, 4))
        assert "disruptedPods" not in await says(world, disruptionsAllowed=1, currentHealthy=4)

        # The scale is its deployment's, whatever pods there are.
        await world.client.patch("apps/v1/deployments", "default", "a", {"spec": {"replicas": 2}})

        async def are_two() -> bool:
            return len(await run_pods(world)) == 2

        await eventually(are_two, "two pods")
        await says(world, disruptionsAllowed=1, currentHealthy=2, desiredHealthy=1, expectedPods=2)
        await world.client.patch(BUDGETS, "default", "b", {"spec": {"maxUnavailable": None, "minAvailable": "100%"}})
        await says(world, disruptionsAllowed=0, desiredHealthy=2, expectedPods=2)

        # Pods that are not ready go when enough others are, or always, if the budget says so.
        names = sorted(await run_pods(world, "False"))
        await says(world, currentHealthy=0)
        with pytest.raises(Failure) as refused:
            await evict(world, names[0])
        assert refused.value.code == 429
        await world.client.patch(BUDGETS, "default", "b", {"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}})
        await evict(world, names[0])


async def test_pods_that_nobody_scales(tmp_path: Path) -> None:
    async with running_world(tmp_path) as world:
        await eventually(lambda: world.found("v1/serviceaccounts", "default", "default"), "the account of pods")
        owner = await world.config_map("owner")
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
        metadata = {"name": "p", "labels": {"app": "a"}, "ownerReferences": [{**reference, "controller": True}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
        pod["spec"] = {"containers": [{"name": "c", "image": "one"}]}
        await world.client.create("v1/pods", "default", pod)
        await world.client.create(BUDGETS, "default", budget(minAvailable="50%"))
        await run_pods(world)

        async def failed() -> Any:
            conditions = (await world.client.get(BUDGETS, "default", "b")).get("status", {}).get("conditions") or ()
            return [one for one in conditions if one["reason"] == "SyncFailed"]

        (condition,) = await eventually(failed, "the budget says that it cannot be reckoned")
        assert condition["message"] == "configmaps does not implement the scale subresource"
        await world.client.patch(BUDGETS, "default", "b", {"spec": {"minAvailable": 1}})
        await says(world, disruptionsAllowed=0, currentHealthy=1, desiredHealthy=1, expectedPods=1)
        await world.client.patch(BUDGETS, "default", "b", {"spec": {"minAvailable": 0}})
        await says(world, disruptionsAllowed=1, currentHealthy=1)
