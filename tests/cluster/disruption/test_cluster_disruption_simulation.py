"""Evictions in a simulated world: whatever fails, lags or is killed, a budget never lets fewer pods be well than it
promises, and in the end everybody was evicted. A seed that fails replays exactly."""

import asyncio
import contextlib
import copy
from typing import Any, cast

import pytest
from workloads_simulation import World, run, workload

from boxship.cluster.access import Discovery
from boxship.cluster.controllers.disruption.controller import RESOURCE, Disruption
from boxship.cluster.controllers.disruption.leftovers import StaleDisruptions
from boxship.cluster.controllers.scaling import Scales
from boxship.cluster.controllers.workloads.starting import make_workloads
from boxship.cluster.controllers.workloads.times import stamp
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.runner import Runner

SEEDS = range(4)
REPLICAS = 5
PODS = "v1/pods"


class Disrupted(World):
    async def _controllers(self) -> None:
        made = make_workloads(lambda name: self.api, self.api, self.api.now)
        pods, scales = made.pods.cache, Scales(self.api, cast(Discovery, None))
        events = made.recorder.events_of(self.api, "controllermanager")
        budgets = Disruption(self.api, Cache(self.api, RESOURCE), pods, scales, events, self.api.now)
        stale = StaleDisruptions(self.api, pods, self.api.now)
        await Runner([*made.controllers, budgets, stale], made.parts).run()


def is_well(pod: Object) -> bool:
    ready = any(one["status"] == "True" for one in pod["status"].get("conditions") or () if one["type"] == "Ready")
    return ready and not pod["metadata"].get("deletionTimestamp")


def evict(world: World, name: str) -> bool:
    """As the API does it: the budget is charged, then the pod goes; sometimes the API dies in between."""
    known = copy.deepcopy(world.api.objects[RESOURCE]["default", "b"])
    status = known.get("status") or {}
    if status.get("observedGeneration") != 1 or not status.get("disruptionsAllowed"):
        return False
    charged = {**(status.get("disruptedPods") or {}), name: stamp(world.api.now())}
    known["status"] = {**status, "disruptionsAllowed": status["disruptionsAllowed"] - 1, "disruptedPods": charged}
    world.api.change(RESOURCE, known, "status")
    if world.chance.random() < 0.1:
        return False
    world.api.end(PODS, world.api.objects[PODS]["default", name])
    return True


@pytest.mark.parametrize("spec", [{"maxUnavailable": 2}, {"minAvailable": 3}, {"minAvailable": "60%"}])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_budget_is_kept(seed: int, spec: dict[str, Any]) -> None:
    async def scenario() -> None:
        world = Disrupted(seed)
        world.kubelets.flaps = False
        await world.create("apps/v1/replicasets", workload("ReplicaSet", replicas=REPLICAS))
        selector = {"matchLabels": {"app": "a"}}
        metadata = {"name": "b", "namespace": "default", "generation": 1}
        made = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata}
        await world.create(RESOURCE, {**made, "spec": {"selector": selector, **spec}})

        def well() -> list[str]:
            return [pod["metadata"]["name"] for pod in world.api.all(PODS) if is_well(pod)]

        def allowed() -> int:
            status = world.find(RESOURCE, "b").get("status") or {}
            return int(status.get("disruptionsAllowed") or 0)

        await world.settle(lambda: len(well()) == REPLICAS and allowed() == 2, seconds=120, deaths=1)
        world.api.checks.append(lambda: promised(len(well())))
        evicted: set[str] = set()

        async def drain() -> None:
            while True:
                await asyncio.sleep(world.chance.random())
                names = well()
                if names:
                    name = world.chance.choice(names)
                    if evict(world, name):
                        evicted.add(name)

        task = asyncio.create_task(drain())
        await world.settle(lambda: len(evicted) >= 12, seconds=3000, deaths=4)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await world.settle(lambda: len(well()) == REPLICAS and allowed() == 2, seconds=300, deaths=1)

    def promised(count: int) -> None:
        assert count >= 3, f"only {count} are well"

    run(scenario)
