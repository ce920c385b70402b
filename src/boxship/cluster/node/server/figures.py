"""What the pods and the machine use: /stats/summary as JSON, /metrics/resource and /metrics/cadvisor for Prometheus.

Contract: k8s.io/kubelet stats/v1alpha1; "Resource metrics" of the Kubernetes documentation; kubelet_volume_stats_* of
its own /metrics. Figures are taken when they are asked for, at most one time a second, so that nobody pays for what
nobody reads.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from boxship.cluster.node.planning import VolumeFigures
from boxship.cluster.node.runtime import MachineUsage, PodUsage, Runtime, Usage
from boxship.cluster.node.server import PodsHere
from boxship.cluster.node.server.prometheus import cadvisor_lines, own_lines, resource_lines, started_at, volume_lines
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.transport.exchange import Reply, Request

FRESH_SECONDS = 1.0
SECOND = 1_000_000_000
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

    async def _now(self) -> Sample:
        async with self._lock:
            if self._sample is None or time.monotonic() - self._taken >= FRESH_SECONDS:
                machine, pods = await self._runtime.usage()
                self._sample = (machine, {each.uid: each for each in pods})
                self._taken = time.monotonic()
            return self._sample

    async def stats(self, request: Request, words: list[str]) -> Reply:
        if words not in (["summary"], []):
            raise Failure(404, "NotFound", "404 page not found")
        machine, usages = await self._now()
        document = {"node": node_stats(self._node, machine), "pods": self._pod_stats(usages, await self._of_volumes())}
        return Reply(200, {"Content-Type": "application/json"}, msgspec.json.encode(document))

    async def _of_volumes(self) -> Volumes:
        uids = [pod["metadata"].get("uid", "") for pod in self._pods.all()]
        return {uid: await self._volumes.figures(uid) for uid in uids}

    def _pod_stats(self, usages: Mapping[str, PodUsage], volumes: Volumes) -> list[Object]:
        return [
            pod_stats(pod, usages[pod["metadata"]["uid"]], volumes.get(pod["metadata"]["uid"], ()))
            for pod in self._pods.all()
            if pod["metadata"].get("uid") in usages
        ]

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


def stamp(moment: int) -> str:
    return datetime.fromtimestamp(moment / SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def node_stats(name: str, machine: MachineUsage) -> Object:
    usage, at = machine.machine, stamp(machine.machine.time)
    disk = {
        "time": at,
        "availableBytes": machine.disk_available,
        "capacityBytes": machine.disk_capacity,
        "usedBytes": machine.disk_capacity - machine.disk_available,
        "inodes": machine.inodes,
        "inodesFree": machine.inodes_free,
        "inodesUsed": machine.inodes - machine.inodes_free,
    }
    return {
        "nodeName": name,
        "cpu": _cpu(usage, at),
        "memory": {**_memory(usage, at), "availableBytes": machine.memory_available},
        "network": _network(usage, at),
        "fs": disk,
        "runtime": {"imageFs": disk},
        "rlimit": {"time": at, "maxpid": machine.processes_limit, "curproc": usage.processes},
    }


def pod_stats(pod: Object, usage: PodUsage, volumes: Sequence[VolumeFigures]) -> Object:
    metadata = pod["metadata"]
    at = stamp(usage.pod.time)
    return {
        "podRef": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
        "startTime": (pod.get("status") or {}).get("startTime"),
        "containers": [
            {
                "name": name,
                "startTime": started_at(pod, name),
                "cpu": _cpu(each, stamp(each.time)),
                "memory": _memory(each, stamp(each.time)),
                "rootfs": {"time": stamp(each.time), "usedBytes": each.disk, "inodesUsed": each.inodes},
            }
            for name, each in usage.containers.items()
        ],
        "cpu": _cpu(usage.pod, at),
        "memory": _memory(usage.pod, at),
        "network": _network(usage.pod, at),
        **({"volume": [volume_stats(metadata["namespace"], one, at) for one in volumes]} if volumes else {}),
        "ephemeral-storage": {
            "time": at,
            "usedBytes": usage.pod.disk + sum(one.used for one in volumes if one.ephemeral),
            "inodesUsed": usage.pod.inodes + sum(one.inodes_used for one in volumes if one.ephemeral),
        },
        "process_stats": {"process_count": usage.pod.processes},
    }


def volume_stats(namespace: str, volume: VolumeFigures, at: str) -> Object:
    claim = {"pvcRef": {"name": volume.claim, "namespace": namespace}} if volume.claim else {}
    return {
        "time": at,
        "availableBytes": volume.available,
        "capacityBytes": volume.capacity,
        "usedBytes": volume.used,
        "inodesFree": volume.inodes_free,
        "inodes": volume.inodes,
        "inodesUsed": volume.inodes_used,
        "name": volume.name,
        **claim,
    }


def _cpu(usage: Usage, at: str) -> Object:
    return {"time": at, "usageCoreNanoSeconds": usage.cpu}


def _memory(usage: Usage, at: str) -> Object:
    return {
        "time": at,
        "usageBytes": usage.memory,
        "workingSetBytes": usage.working_set,
        "rssBytes": usage.rss,
    }


def _network(usage: Usage, at: str) -> Object:
    return {"time": at, "name": "eth0", "rxBytes": usage.received, "txBytes": usage.sent}
