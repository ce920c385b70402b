"""What the machine is short of. Pure.

Source: documentation "Node-pressure Eviction" (signals, thresholds, conditions, oscillation). Disk and inodes have two
bounds of which the lower counts, other than the original: on a large disk that is also used for other things a
percentage alone would make a node useless long before it is full.
"""

from collections.abc import Mapping, Sequence

import msgspec

from boxship.cluster.node.runtime import MachineUsage

MEMORY, DISK, INODES, PROCESSES = "memory.available", "nodefs.available", "nodefs.inodesFree", "pid.available"
CONDITIONS = {MEMORY: "MemoryPressure", DISK: "DiskPressure", INODES: "DiskPressure", PROCESSES: "PIDPressure"}
RESOURCES = {MEMORY: "memory", DISK: "ephemeral-storage", INODES: "inodes", PROCESSES: "pids"}
HELD_SECONDS = 300.0  # a condition stays for so long after it held, where nobody says otherwise
MIB, GIB = 1 << 20, 1 << 30


class Threshold(msgspec.Struct, frozen=True):
    """Less than `amount`, and less than `percent` of the whole, is too little; 0 leaves a bound out. `grace`: for how
    long it must be so (soft); then pods have at most `pod_grace` seconds to end."""

    signal: str
    amount: int = 0
    percent: float = 0.0
    grace: float = 0.0
    pod_grace: float = 0.0


THRESHOLDS = (
    Threshold(MEMORY, 100 * MIB),
    Threshold(DISK, 2 * GIB, 10.0),
    Threshold(INODES, 100_000, 5.0),
    Threshold(PROCESSES, 500, 2.0),
)


class Shortage(msgspec.Struct, frozen=True):
    threshold: Threshold
    available: int
    bound: int


class Watched(msgspec.Struct, frozen=True):
    """What is remembered from look to look: since when thresholds are met, and when conditions held last."""

    since: Mapping[Threshold, float] = {}
    held: Mapping[str, float] = {}


def available(usage: MachineUsage) -> Mapping[str, tuple[int, int]]:
    """What is left of what there is, by signal."""
    found = {
        MEMORY: (usage.memory_available, usage.memory_capacity),
        DISK: (usage.disk_available, usage.disk_capacity),
        INODES: (usage.inodes_free, usage.inodes),
        PROCESSES: (usage.processes_limit - usage.machine.processes, usage.processes_limit),
    }
    return {signal: pair for signal, pair in found.items() if pair[1] > 0}


def bound_of(threshold: Threshold, capacity: int) -> int:
    bounds = [threshold.amount] if threshold.amount else []
    if threshold.percent:
        bounds.append(int(capacity * threshold.percent / 100))
    return min(bounds, default=0)


def look(
    usage: MachineUsage, thresholds: Sequence[Threshold], watched: Watched, now: float
) -> tuple[Sequence[Shortage], Watched]:
    """What has to be acted upon, the worst for the machine first, and what is to be remembered."""
    since: dict[Threshold, float] = {}
    held = dict(watched.held)
    found = []
    left = available(usage)
    for threshold in thresholds:
        if threshold.signal not in left:
            continue
        amount, capacity = left[threshold.signal]
        bound = bound_of(threshold, capacity)
        if amount >= bound:
            continue
        since[threshold] = watched.since.get(threshold, now)
        held[CONDITIONS[threshold.signal]] = now
        if now - since[threshold] >= threshold.grace:
            found.append(Shortage(threshold, amount, bound))
    order = (MEMORY, DISK, INODES, PROCESSES)
    found.sort(key=lambda one: (order.index(one.threshold.signal), one.threshold.grace))
    return found, Watched(since, held)


def conditions(watched: Watched, now: float, seconds: float = HELD_SECONDS) -> Mapping[str, bool]:
    """By the condition's type."""
    return {kind: now - watched.held.get(kind, -seconds) < seconds for kind in set(CONDITIONS.values())}
