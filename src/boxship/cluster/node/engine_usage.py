"""What the engine counted, in the agent's words; pure."""

from collections.abc import Mapping, Sequence

from boxship.cluster.node.runtime import MachineUsage, PodUsage, Usage
from boxship.engine.pods_usage import ContainerUse, PodUse
from boxship.engine.values import GroupSample, MachineSample


def used(
    machine: MachineSample, pods: Sequence[PodUse], names: Mapping[str, str]
) -> tuple[MachineUsage, Sequence[PodUsage]]:
    """`names` are those of the containers in their pods, by the engine's ids."""
    whole = Usage(
        time=machine.time,
        cpu=machine.cpu,
        memory=machine.memory_used,
        working_set=machine.memory - machine.memory_available,
        rss=machine.rss,
        processes=machine.processes,
        disk=machine.disk - machine.disk_available,
        inodes=machine.inodes - machine.inodes_free,
        received=machine.received,
        sent=machine.sent,
    )
    return MachineUsage(
        machine=whole,
        memory_capacity=machine.memory,
        memory_available=machine.memory_available,
        disk_capacity=machine.disk,
        disk_available=machine.disk_available,
        inodes=machine.inodes,
        inodes_free=machine.inodes_free,
        processes_limit=machine.processes_limit,
        processors=machine.processors,
    ), [_pod(machine.time, pod, names) for pod in pods]


def _pod(time: int, pod: PodUse, names: Mapping[str, str]) -> PodUsage:
    containers = {names.get(use.id, use.id): _container(time, use) for use in pod.containers}
    disk = sum(usage.disk for usage in containers.values())
    inodes = sum(usage.inodes for usage in containers.values())
    return PodUsage(
        uid=pod.uid,
        pod=_usage(time, pod.group, disk=disk, inodes=inodes, received=pod.received, sent=pod.sent),
        containers=containers,
    )


def _container(time: int, use: ContainerUse) -> Usage:
    return _usage(time, use.group, disk=use.written + use.logs, inodes=use.inodes, received=0, sent=0)


def _usage(time: int, group: GroupSample, *, disk: int, inodes: int, received: int, sent: int) -> Usage:
    return Usage(
        time=time,
        cpu=group.cpu,
        memory=group.memory,
        working_set=group.working_set,
        rss=group.rss,
        processes=group.processes,
        disk=disk,
        inodes=inodes,
        received=received,
        sent=sent,
        periods=group.periods,
        throttled=group.throttled,
        throttled_time=group.throttled_time,
    )
