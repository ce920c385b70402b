"""Autoscalers on the real API in memory: metrics of all kinds, custom kinds, what they say where they cannot."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from world_kit import World, eventually, running_world

from boxship.cluster.access import Client, Listing
from boxship.cluster.controllers.autoscaling.controller import RESOURCE, HorizontalPodAutoscalers, Settings
from boxship.cluster.controllers.autoscaling.measuring import PODS, Measuring
from boxship.cluster.controllers.scaling import Scales
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.recording import Recorder
from boxship.cluster.reconcile.runner import Runner
from boxship.main.control_controllers import Served

DEPLOYMENTS = "apps/v1/deployments"


class Meter:
    """The client of the autoscaler, and what other servers serve: metrics as the test sets them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.used: dict[str, dict[str, str]] = {}  # pod → usage
        self.elsewhere: dict[str, list[Object]] = {}  # path → items
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def list(self, resource: str, namespace: str = "", **words: str) -> Listing:
        if resource != PODS:
            return await self._client.list(resource, namespace, **words)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Listing(
            tuple(
                {
                    "metadata": {"name": name, "namespace": namespace},
                    "timestamp": now,
                    "window": "15s",
                    "containers": [{"name": "c", "usage": usage}],
                }
                for name, usage in self.used.items()
            ),
            "",
        )

    async def ask(self, group: str, versions: Sequence[str], path: str, query: Mapping[str, str]) -> Object:
        self.asked.append((f"{group}/{path}", query))
        if f"{group}/{path}" not in self.elsewhere:
            raise Failure(404, "NotFound", f"no such metric: {path}")
        return {"items": self.elsewhere[f"{group}/{path}"]}


@contextlib.asynccontextmanager
async def running_scaler(folder: Path) -> AsyncIterator[tuple[World, Meter]]:
    async with running_world(folder, with_controllers=False) as world:
        meter = Meter(world.client)
        client = cast(Client, meter)
        scales = Scales(client, Served(world.catalog))
        recorder = Recorder(time.time)
        scaler = HorizontalPodAutoscalers(
            client,
            Cache(world.client, RESOURCE),
            Measuring(client, meter, scales),
            scales,
            recorder.events_of(client, "horizontal-pod-autoscaler"),
            time.time,
            Settings(period=0.02),
        )
        task = asyncio.create_task(Runner([scaler], [recorder.run]).run())
        try:
            yield world, meter
            assert not task.done(), task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def deploy(world: World, replicas: int) -> None:
    await world.client.create(
        "v1/serviceaccounts",
        "default",
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}},
    )
    template = {
        "metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "c", "image": "one", "resources": {"requests": {"cpu": "1"}}}]},
    }
    made: Object = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}
    made["spec"] = {"replicas": replicas, "selector": {"matchLabels": {"app": "a"}}, "template": template}
    await world.client.create(DEPLOYMENTS, "default", made)
    for number in range(replicas):
        pod: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{number}", "labels": {"app": "a"}}}
        await world.client.create("v1/pods", "default", {**pod, "spec": template["spec"]})
        old = "2026-01-01T00:00:00Z"
        ready = [{"type": "Ready", "status": "True", "lastTransitionTime": old}]
        status = {"phase": "Running", "startTime": old, "conditions": ready}
        await world.client.patch("v1/pods", "default", f"p{number}", {"status": status}, subresource="status")


def scaler(*metrics: Object, target: tuple[str, str, str] = ("apps/v1", "Deployment", "a"), **spec: Any) -> Object:
    reference = dict(zip(("apiVersion", "kind", "name"), target, strict=True))
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {"scaleTargetRef": reference, "maxReplicas": 10, "metrics": list(metrics), **spec},
    }


def cpu(share: int) -> Object:
    target = {"type": "Utilization", "averageUtilization": share}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


async def has(world: World, replicas: int) -> None:
    async def is_so() -> bool:
        return bool((await world.client.get(DEPLOYMENTS, "default", "a"))["spec"]["replicas"] == replicas)

    await eventually(is_so, f"{replicas} replicas")


async def says(world: World, **reasons: str) -> Object:
    """Once the conditions have these reasons: the status, with the messages by type."""

    async def does() -> Any:
        status = (await world.client.get(RESOURCE, "default", "h")).get("status") or {}
        conditions = {one["type"]: one for one in status.get("conditions") or ()}
        if all(conditions.get(type, {}).get("reason") == reason for type, reason in reasons.items()):
            return {**status, **{type: one["message"] for type, one in conditions.items()}}
        return None

    found: Object = await eventually(does, f"it says {reasons}")
    return found


async def events(world: World) -> set[tuple[str, str]]:
    items = (await world.client.list("v1/events", "default")).items
    return {(item["reason"], item["message"]) for item in items if item["involvedObject"]["name"] == "h"}


async def test_up_and_down_by_the_processor(tmp_path: Path) -> None:
    async with running_scaler(tmp_path) as (world, meter):
        await deploy(world, 2)
        still = {"scaleDown": {"stabilizationWindowSeconds": 0}}
        await world.client.create(RESOURCE, "default", scaler(cpu(50), minReplicas=1, behavior=still))
        said = await says(world, ScalingActive="FailedGetResourceMetric", AbleToScale="SucceededGetScale")
        lacks = "unable to get metrics for resource cpu: no metrics returned from resource metrics API"
        why = f"failed to get cpu utilization: {lacks}"
        assert said["ScalingActive"] == f"the HPA was unable to compute the replica count: {why}"

        async def told() -> bool:
            found = await events(world)
            whole = f"failed to get cpu resource metric value: {why}"
            text = f"invalid metrics (1 invalid out of 1), first error is: {whole}"
            return ("FailedGetResourceMetric", why) in found and ("FailedComputeMetricsReplicas", text) in found

        await eventually(told, "its events")
        meter.used = {"p0": {"cpu": "900m", "memory": "1Mi"}, "p1": {"cpu": "600m", "memory": "1Mi"}}
        await has(world, 3)
        meter.used = {"p0": {"cpu": "100m"}, "p1": {"cpu": "100m"}}
        await has(world, 1)

        async def rescaled() -> bool:
            found = await events(world)
            up = "New size: 3; reason: cpu resource utilization (percentage of request) above target"
            return {
                ("SuccessfulRescale", up),
                ("SuccessfulRescale", "New size: 1; reason: All metrics below target"),
            } <= found

        await eventually(rescaled, "what was done is told")
        meter.used = {"p0": {"cpu": "500m"}, "p1": {"cpu": "500m"}}
        said = await says(world, AbleToScale="ReadyForNewScale", ScalingLimited="DesiredWithinRange")

        async def settled() -> bool:
            status = (await world.client.get(RESOURCE, "default", "h"))["status"]
            current = {"averageUtilization": 50, "averageValue": "500m"}
            shown = [{"type": "Resource", "resource": {"name": "cpu", "current": current}}]
            return bool(status.get("currentMetrics") == shown and status["desiredReplicas"] == 1)

        await eventually(settled, "its status")

        # What limits it.
        await world.client.patch(RESOURCE, "default", "h", {"spec": {"minReplicas": 4}})
        await has(world, 4)
        await world.client.patch(DEPLOYMENTS, "default", "a", {"spec": {"replicas": 0}})
        await says(world, ScalingActive="ScalingDisabled")
        await world.client.patch(DEPLOYMENTS, "default", "a", {"spec": {"replicas": 20}})
        await has(world, 10)

        # Two for the same pods.
        other = scaler(cpu(50), minReplicas=1)
        other["metadata"]["name"] = "other"
        await world.client.create(RESOURCE, "default", other)
        said = await says(world, ScalingActive="AmbiguousSelector")
        text = "pods by selector app=a are controlled by multiple HPAs: [default/h default/other]"
        assert said["ScalingActive"] == text


async def test_metrics_of_other_servers(tmp_path: Path) -> None:
    async with running_scaler(tmp_path) as (world, meter):
        await deploy(world, 2)
        described = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "i"}
        metrics = [
            {
                "type": "Pods",
                "pods": {"metric": {"name": "hits"}, "target": {"type": "AverageValue", "averageValue": "10"}},
            },
            {
                "type": "Object",
                "object": {
                    "describedObject": described,
                    "metric": {"name": "rps"},
                    "target": {"type": "Value", "value": "100"},
                },
            },
            {
                "type": "External",
                "external": {
                    "metric": {"name": "queue", "selector": {"matchLabels": {"q": "a"}}},
                    "target": {"type": "AverageValue", "averageValue": "30"},
                },
            },
        ]
        meter.elsewhere = {
            "custom.metrics.k8s.io/namespaces/default/pods/*/hits": [
                {"describedObject": {"name": "p0"}, "value": "10"},
                {"describedObject": {"name": "p1"}, "value": "10"},
            ],
            "custom.metrics.k8s.io/namespaces/default/ingresses.networking.k8s.io/i/rps": [{"value": "150"}],
        }
        still = {"scaleDown": {"stabilizationWindowSeconds": 0}}
        await world.client.create(RESOURCE, "default", scaler(*metrics, behavior=still))
        # One of the three cannot be had: going up is right all the same, going down is not.
        await has(world, 3)
        meter.elsewhere["custom.metrics.k8s.io/namespaces/default/ingresses.networking.k8s.io/i/rps"] = [
            {"value": "10"}
        ]
        meter.elsewhere["custom.metrics.k8s.io/namespaces/default/pods/*/hits"] = [
            {"describedObject": {"name": "p0"}, "value": "2"},
            {"describedObject": {"name": "p1"}, "value": "2"},
        ]
        said = await says(world, ScalingActive="FailedGetExternalMetric")
        lacks = "unable to fetch metrics from external metrics API"
        assert lacks in said["ScalingActive"] and "replica count: unable to get external" in said["ScalingActive"]
        whole = "failed to get queue external metric value: failed to get queue external metric: unable to get external"

        async def told() -> bool:
            return any(
                reason == "FailedComputeMetricsReplicas" and whole in text for reason, text in await events(world)
            )

        await eventually(told, "an event has the whole text")
        assert ("external.metrics.k8s.io/namespaces/default/queue", {"labelSelector": "q=a"}) in meter.asked
        meter.elsewhere["external.metrics.k8s.io/namespaces/default/queue"] = [{"value": "170"}, {"value": "10"}]
        await has(world, 6)
        said = await says(world, ScalingActive="ValidMetricFound")
        assert {one["type"] for one in said["currentMetrics"]} == {"Pods", "Object", "External"}


async def test_what_is_not_there(tmp_path: Path) -> None:
    async with running_scaler(tmp_path) as (world, _):
        target = ("apps/v1", "ReplicaSet", "missing")
        await world.client.create(RESOURCE, "default", scaler(cpu(50), target=target))
        said = await says(world, AbleToScale="FailedGetScale")
        assert 'replicasets.apps "missing" not found' in said["AbleToScale"]
        await world.client.patch(
            RESOURCE, "default", "h", {"spec": {"scaleTargetRef": {"apiVersion": "x/v1", "kind": "X"}}}
        )

        async def unknown() -> bool:
            said = await says(world, AbleToScale="FailedGetScale")
            return 'no matches for kind "X" in group "x"' in said["AbleToScale"]

        await eventually(unknown, "it says that there is no such kind")
