"""A load that comes and goes in a simulated world: whatever fails, lags or is killed, there are never more replicas
than allowed or fewer than demanded, and in the end as many as the load needs. A seed that fails replays exactly."""

import asyncio
import copy
import math
from collections.abc import Sequence
from typing import Any, cast

import pytest
from workloads_simulation import Api, Kubelets, World, run, workload

from boxship.cluster.access import Discovery, Listing
from boxship.cluster.controllers.autoscaling.controller import RESOURCE, HorizontalPodAutoscalers, Settings
from boxship.cluster.controllers.autoscaling.measuring import PODS, Measuring, Nowhere
from boxship.cluster.controllers.scaling import Scales
from boxship.cluster.controllers.workloads.starting import make_workloads
from boxship.cluster.controllers.workloads.times import stamp
from boxship.cluster.objects import Object
from boxship.cluster.objects.catalog import built_in
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.resource import Resource
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.runner import Runner

SEEDS = range(4)
SETS = "apps/v1/replicasets"
LEAST, MOST, TARGET = 2, 10, 500  # replicas, and thousandths of a processor for each


class Scaled(Api):
    """With `scale`, and with metrics of what the load makes of the pods that run."""

    load = 0  # thousandths, of all pods together

    async def get(self, resource: str, namespace: str, name: str, *, subresource: str = "") -> Object:
        found = await super().get(resource, namespace, name)
        if subresource != "scale":
            return found
        status = {"replicas": (found.get("status") or {}).get("replicas", 0), "selector": "app=a"}
        spec = {"replicas": found["spec"]["replicas"]}
        kind = {"apiVersion": "autoscaling/v1", "kind": "Scale"}
        return {**kind, "metadata": found["metadata"], "spec": spec, "status": status}

    async def update(self, resource: str, object: Object, *, subresource: str = "") -> Object:
        if subresource != "scale":
            return await super().update(resource, object, subresource=subresource)
        await self._pass()
        metadata = object["metadata"]
        known = self._find(resource, (metadata["namespace"], metadata["name"]))
        if metadata["resourceVersion"] != known["metadata"]["resourceVersion"]:
            raise Failure(409, "Conflict", "the object has been modified")
        made = {**known, "metadata": dict(known["metadata"]), "spec": {**known["spec"], **object["spec"]}}
        return self._answer(self.change(resource, made))

    async def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        if resource != PODS:
            return await super().list(resource, namespace, labels=labels, fields=fields)
        await self._pass()
        running = [pod for pod in self.all("v1/pods") if pod["status"]["phase"] == "Running"]
        usage = {"memory": f"{self.load // max(len(running), 1)}m"}
        told = [pod for pod in running if self.chance.random() > 0.05]  # one or the other is missed
        return Listing(
            tuple(
                {
                    "metadata": {"name": pod["metadata"]["name"], "namespace": "default"},
                    "timestamp": stamp(self.now()),
                    "window": "0s",
                    "containers": [{"name": "c", "usage": usage}],
                }
                for pod in told
            ),
            "",
        )


class Served:
    def resources(self) -> Sequence[Resource]:
        found = built_in("apps", "v1", "replicasets")
        assert found is not None
        return [found]


class Slow(Kubelets):
    """Kubelets that let hours go by quickly."""

    async def run(self) -> None:
        self.flaps = False
        while True:
            await asyncio.sleep(self.api.chance.random() * 2)
            for pod in self.api.all("v1/pods"):
                if self.api.chance.random() < 0.5:
                    self.step(copy.deepcopy(pod))


class Loaded(World):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.scaled = Scaled(self.chance, 0.05)
        self.api = self.scaled
        self.kubelets = Slow(self.scaled)

    async def _controllers(self) -> None:
        made = make_workloads(lambda name: self.api, self.api, self.api.now)
        scales = Scales(self.api, cast(Discovery, Served()))
        measuring = Measuring(self.api, Nowhere(), scales)
        events = made.recorder.events_of(self.api, "horizontal-pod-autoscaler")
        scaler = HorizontalPodAutoscalers(
            self.api, Cache(self.api, RESOURCE), measuring, scales, events, self.api.now, Settings(period=15.0)
        )
        await Runner([*made.controllers, scaler], made.parts).run()


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_replicas_follow_the_load(seed: int, quick: bool) -> None:
    async def scenario() -> None:
        world = Loaded(seed)
        spec = {"containers": [{"name": "c", "image": "one", "resources": {"requests": {"memory": "1"}}}]}
        template = {"metadata": {"labels": {"app": "a"}}, "spec": spec}
        await world.create(SETS, workload("ReplicaSet", replicas=3, template=template))
        await world.create(RESOURCE, scaler(quick))
        world.api.checks.append(lambda: within(world))
        loads = [1200, 4000, 20_000, 2600, 300]
        for load in loads:
            world.scaled.load = load
            wanted = min(max(math.ceil(load / TARGET), LEAST), MOST)
            await world.settle(lambda wanted=wanted: near(world, wanted), seconds=2500, deaths=3)  # type: ignore[misc]

    def scaler(quick: bool) -> Object:
        target = {"type": "Utilization", "averageUtilization": TARGET // 10}
        spec: dict[str, Any] = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a"},
            "minReplicas": LEAST,
            "maxReplicas": MOST,
            "metrics": [{"type": "Resource", "resource": {"name": "memory", "target": target}}],
        }
        if quick:
            rule = {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}], "selectPolicy": "Max"}
            spec["behavior"] = {way: {**rule, "stabilizationWindowSeconds": 0} for way in ("scaleUp", "scaleDown")}
        metadata = {"name": "h", "namespace": "default"}
        return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec}

    def within(world: World) -> None:
        assert LEAST <= world.find(SETS, "a")["spec"]["replicas"] <= MOST

    def near(world: World, wanted: int) -> bool:
        """As many as it needs, or one more where that is within the tolerance."""
        replicas = world.find(SETS, "a")["spec"]["replicas"]
        return bool(wanted <= replicas <= wanted + 1 or replicas == min(wanted + wanted // 10, MOST))

    run(scenario)
