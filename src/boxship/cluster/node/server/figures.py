"""What the pods and the machine use: /stats/summary as JSON, /metrics/resource as Prometheus reads it.

Contract: k8s.io/kubelet stats/v1alpha1; "Resource metrics" of the Kubernetes documentation. Figures are taken when they
are asked for, at most one time a second, so that nobody pays for what nobody reads.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from boxship.cluster.node.runtime import MachineUsage, PodUsage, Runtime, Usage
from boxship.cluster.node.server import PodsHere
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.transport.exchange import Reply, Request

FRESH_SECONDS = 1.0
SECOND = 1_000_000_000
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[MachineUsage, Mapping[str, PodUsage]]


class Figures:
    """Of one node."""

    def __init__(self, runtime: Runtime, pods: PodsHere, node: str) -> None:
        self._runtime = runtime
        self._pods = pods
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
        document = {"node": node_stats(self._node, machine), "pods": self._pod_stats(usages)}
        return Reply(200, {"Content-Type": "application/json"}, msgspec.json.encode(document))

    def _pod_stats(self, usages: Mapping[str, PodUsage]) -> list[Object]:
        return [
            pod_stats(pod, usages[pod["metadata"]["uid"]])
            for pod in self._pods.all()
            if pod["metadata"].get("uid") in usages
        ]

    async def metrics(self, request: Request, words: list[str]) -> Reply:
        if words == ["resource"]:
            machine, usages = await self._now()
            text = "".join(resource_lines(machine, self._pods.all(), usages))
        elif not words:
            text = f"# TYPE kubelet_node_name gauge\nkubelet_node_name{{node={_quoted(self._node)}}} 1\n"
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


def pod_stats(pod: Object, usage: PodUsage) -> Object:
    metadata = pod["metadata"]
    at = stamp(usage.pod.time)
    return {
        "podRef": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
        "startTime": (pod.get("status") or {}).get("startTime"),
        "containers": [
            {
                "name": name,
                "startTime": _started(pod, name),
                "cpu": _cpu(each, stamp(each.time)),
                "memory": _memory(each, stamp(each.time)),
                "rootfs": {"time": stamp(each.time), "usedBytes": each.disk, "inodesUsed": each.inodes},
            }
            for name, each in usage.containers.items()
        ],
        "cpu": _cpu(usage.pod, at),
        "memory": _memory(usage.pod, at),
        "network": _network(usage.pod, at),
        "ephemeral-storage": {"time": at, "usedBytes": usage.pod.disk, "inodesUsed": usage.pod.inodes},
        "process_stats": {"process_count": usage.pod.processes},
    }


def _started(pod: Object, container: str) -> str | None:
    for each in (pod.get("status") or {}).get("containerStatuses") or ():
        if each.get("name") == container:
            found: str | None = ((each.get("state") or {}).get("running") or {}).get("startedAt")
            return found
    return None


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


HELP = {
    "node_cpu_usage_seconds_total": ("counter", "Cumulative cpu time consumed by the node in core-seconds"),
    "node_memory_working_set_bytes": ("gauge", "Current working set of the node in bytes"),
    "pod_cpu_usage_seconds_total": ("counter", "Cumulative cpu time consumed by the pod in core-seconds"),
    "pod_memory_working_set_bytes": ("gauge", "Current working set of the pod in bytes"),
    "container_cpu_usage_seconds_total": ("counter", "Cumulative cpu time consumed by the container in core-seconds"),
    "container_memory_working_set_bytes": ("gauge", "Current working set of the container in bytes"),
    "container_start_time_seconds": ("gauge", "Start time of the container since unix epoch in seconds"),
    "resource_scrape_error": ("gauge", "1 if there was an error while getting container metrics, 0 otherwise"),
}


def resource_lines(machine: MachineUsage, pods: Sequence[Object], usages: Mapping[str, PodUsage]) -> Iterator[str]:
    """Prometheus' text: each sample with its own time in milliseconds."""
    samples: dict[str, list[str]] = {name: [] for name in HELP}

    def add(kind: str, labels: str, usage: Usage) -> None:
        at = usage.time // 1_000_000
        samples[f"{kind}_cpu_usage_seconds_total"].append(f"{labels} {usage.cpu / SECOND:.9f} {at}")
        samples[f"{kind}_memory_working_set_bytes"].append(f"{labels} {usage.working_set} {at}")

    add("node", "", machine.machine)
    for pod in pods:
        metadata = pod["metadata"]
        usage = usages.get(metadata.get("uid", ""))
        if usage is None:
            continue
        where = f"namespace={_quoted(metadata['namespace'])},pod={_quoted(metadata['name'])}"
        add("pod", f"{{{where}}}", usage.pod)
        for name, each in usage.containers.items():
            labels = f"{{container={_quoted(name)},{where}}}"
            add("container", labels, each)
            started = _started(pod, name)
            if started:
                seconds = datetime.fromisoformat(started).timestamp()
                samples["container_start_time_seconds"].append(f"{labels} {seconds:.0f}")
    samples["resource_scrape_error"].append(" 0")
    for name, lines in samples.items():
        kind, text = HELP[name]
        yield f"# HELP {name} [STABLE] {text}\n# TYPE {name} {kind}\n"
        for line in lines:
            yield f"{name}{line}\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
