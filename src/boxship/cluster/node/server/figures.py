"""What the pods and the machine use: /stats/summary as JSON, /metrics/resource and /metrics/cadvisor for Prometheus.

Contract: k8s.io/kubelet stats/v1alpha1; "Resource metrics" of the Kubernetes documentation; kubelet_volume_stats_* of
its own /metrics. Figures are taken when they are asked for, at most one time a second, so that nobody pays for what
nobody reads.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from boxship.cluster.node.planning import VolumeFigures
from boxship.cluster.node.runtime import MachineUsage, PodUsage, Runtime
from boxship.cluster.node.server import PodsHere
from boxship.cluster.node.server.prometheus import cadvisor_lines, own_lines, resource_lines, volume_lines
from boxship.cluster.node.server.summary import node_stats, pod_stats
from boxship.cluster.objects.failure import Failure
from boxship.transport.exchange import Reply, Request

FRESH_SECONDS = 1.0
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[MachineUsage, Mapping[str, PodUsage]]


Volumes = Mapping[str, Sequence[VolumeFigures]]  # by the pod's uid


class MeasuredVolumes(Protocol):
    async def figures(self, uid: str) -> Sequence[VolumeFigures]:
        """How full a pod's volumes are; () where nothing is known of it."""


class Unmeasured:
    """Of a node that has none."""

    async def figures(self, uid: str) -> Sequence[VolumeFigures]:
        return ()


class Figures:
    """Of one node."""

    def __init__(self, runtime: Runtime, pods: PodsHere, node: str, volumes: MeasuredVolumes) -> None:
        self._runtime = runtime
        self._pods = pods
        self._volumes = volumes
        self._node = node
        self._lock = asyncio.Lock()
        self._taken = -FRESH_SECONDS
        self._sample: Sample | None = None
        self._before: Sample | None = None  # the one before, for what is used in a second

    async def _now(self) -> Sample:
        async with self._lock:
            if self._sample is None or time.monotonic() - self._taken >= FRESH_SECONDS:
                machine, pods = await self._runtime.usage()
                self._before = self._sample
                self._sample = (machine, {each.uid: each for each in pods})
                self._taken = time.monotonic()
            return self._sample

    async def stats(self, request: Request, words: list[str]) -> Reply:
        if words not in (["summary"], []):
            raise Failure(404, "NotFound", "404 page not found")
        machine, usages = await self._now()
        volumes = await self._of_volumes()
        before = self._before or (None, {})
        pods = [
            pod_stats(pod, usages[uid], volumes.get(uid, ()), machine, before[1].get(uid))
            for uid, pod in ((pod["metadata"].get("uid", ""), pod) for pod in self._pods.all())
            if uid in usages
        ]
        document = {"node": node_stats(self._node, machine, before[0], time.clock_gettime_ns(time.CLOCK_BOOTTIME))}
        return Reply(200, {"Content-Type": "application/json"}, msgspec.json.encode({**document, "pods": pods}))

    async def _of_volumes(self) -> Volumes:
        uids = [pod["metadata"].get("uid", "") for pod in self._pods.all()]
        found = await asyncio.gather(*(self._volumes.figures(uid) for uid in uids))
        return dict(zip(uids, found, strict=True))

    async def metrics(self, request: Request, words: list[str]) -> Reply:
        if words == ["resource"]:
            machine, usages = await self._now()
            text = "".join(resource_lines(machine, self._pods.all(), usages))
        elif words == ["cadvisor"]:
            machine, usages = await self._now()
            text = "".join(cadvisor_lines(machine, self._pods.all(), usages))
        elif not words:
            text = "".join(own_lines(self._node, self._pods.all(), await self._runtime.containers()))
            text += "".join(volume_lines(self._pods.all(), await self._of_volumes()))
        else:
            raise Failure(501, "NotImplemented", f"unsupported: /metrics/{'/'.join(words)}")
        return Reply(200, {"Content-Type": PROMETHEUS}, text.encode())
