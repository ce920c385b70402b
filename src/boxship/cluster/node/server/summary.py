"""What the machine, its pods and their containers use, as /stats/summary shows it. Pure.

Contract: k8s.io/kubelet stats/v1alpha1. What is used in a second (`usageNanoCores`) is told from the second question
on: of the time since the one before.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from boxship.cluster.node.plan.amounts import pod_resources
from boxship.cluster.node.planning import VolumeFigures
from boxship.cluster.node.runtime import MachineUsage, PodUsage, Usage
from boxship.cluster.node.server.prometheus import asked_of, containers_of, started_at
from boxship.cluster.objects import Object

SECOND = 1_000_000_000


def stamp(moment: int) -> str:
    return datetime.fromtimestamp(moment / SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def node_stats(name: str, machine: MachineUsage, before: MachineUsage | None, up: int) -> Object:
    """`before`: what was seen the last time; `up`: nanoseconds since the machine began."""
    usage, at = machine.machine, stamp(machine.machine.time)
    disk = _disk(machine, machine.disk_capacity - machine.disk_available, machine.inodes - machine.inodes_free, at)
    return {
        "nodeName": name,
        "startTime": stamp(usage.time - up),
        "cpu": _cpu(usage, at, before.machine if before is not None else None),
        "memory": {**_memory(usage, at, 0), "availableBytes": machine.memory_available},
        "network": _network(usage, at),
        "fs": disk,
        "runtime": {"imageFs": disk, "containerFs": disk},
        "rlimit": {"time": at, "maxpid": machine.processes_limit, "curproc": usage.processes},
    }


def pod_stats(
    pod: Object, usage: PodUsage, volumes: Sequence[VolumeFigures], machine: MachineUsage, before: PodUsage | None
) -> Object:
    metadata = pod["metadata"]
    at = stamp(usage.pod.time)
    known = {each["name"]: each for each in containers_of(pod)}
    limits = {name: _limit(pod, known.get(name, {}), name) for name in usage.containers}
    whole = pod_resources(pod).memory
    used = usage.pod.disk + sum(one.used for one in volumes if one.ephemeral)
    inodes = usage.pod.inodes + sum(one.inodes_used for one in volumes if one.ephemeral)
    return {
        "podRef": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
        "startTime": (pod.get("status") or {}).get("startTime"),
        "containers": [
            {
                "name": name,
                "startTime": started_at(pod, name),
                "cpu": _cpu(each, stamp(each.time), before.containers.get(name) if before is not None else None),
                "memory": _memory(each, stamp(each.time), limits[name]),
                "rootfs": _disk(machine, each.disk, each.inodes, stamp(each.time)),
            }
            for name, each in usage.containers.items()
        ],
        "cpu": _cpu(usage.pod, at, before.pod if before is not None else None),
        "memory": _memory(usage.pod, at, whole),
        "network": _network(usage.pod, at),
        **({"volume": [volume_stats(metadata["namespace"], one, at) for one in volumes]} if volumes else {}),
        "ephemeral-storage": _disk(machine, used, inodes, at),
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


def _limit(pod: Object, container: Object, name: str) -> int:
    """Of memory, in bytes; 0 for none."""
    return asked_of(pod, container, name)["container_spec_memory_limit_bytes"]


def _disk(machine: MachineUsage, used: int, inodes: int, at: str) -> Object:
    """Used by one of those who share the machine's disk."""
    return {
        "time": at,
        "availableBytes": machine.disk_available,
        "capacityBytes": machine.disk_capacity,
        "usedBytes": used,
        "inodesFree": machine.inodes_free,
        "inodes": machine.inodes,
        "inodesUsed": inodes,
    }


def _cpu(usage: Usage, at: str, before: Usage | None) -> Object:
    found: dict[str, object] = {"time": at}
    if before is not None and usage.time > before.time and usage.cpu >= before.cpu:
        found["usageNanoCores"] = (usage.cpu - before.cpu) * SECOND // (usage.time - before.time)
    return {**found, "usageCoreNanoSeconds": usage.cpu}


def _memory(usage: Usage, at: str, limit: int) -> Object:
    found = {
        "time": at,
        "usageBytes": usage.memory,
        "workingSetBytes": usage.working_set,
        "rssBytes": usage.rss,
    }
    return {**found, "availableBytes": max(0, limit - usage.working_set)} if limit else found


def _network(usage: Usage, at: str) -> Object:
    one = {"name": "eth0", "rxBytes": usage.received, "txBytes": usage.sent}
    return {"time": at, **one, "interfaces": [one]}
