"""What a limit becomes on each kind of host. Pure, but for the numbers of block devices named by path.

Three readers: `check` refuses what cannot be, with Docker's texts; `to_oci` makes the part of config.json for a new
container; `writes` makes the control-file writes for a running one. What a host lacks is left out by both and warned
of by `check`: a limit is never dropped in silence.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from boxship.errors import Conflict, Invalid
from boxship.runtime.host import HostFacts
from boxship.spec.container import Resources, ThrottleRate
from boxship.sys.cgroup import Layout

MEBIBYTE = 1 << 20
MINIMUM_MEMORY = 6 * MEBIBYTE
CPU_BILLION = 1_000_000_000
DEFAULT_PERIOD = 100_000  # microseconds
MINIMUM_SHARES, MAXIMUM_SHARES = 2, 262_144

DeviceNumber = Callable[[str], tuple[int, int]]


class Write(msgspec.Struct, frozen=True):
    """One value for one control file of a controller; `otherwise` where the cgroup has no such file."""

    controller: str
    file: str
    value: str
    otherwise: "Write | None" = None


def check(resources: Resources, host: HostFacts, *, least_memory: int = MINIMUM_MEMORY) -> tuple[str, ...]:
    """Warnings for limits that this host cannot hold. Raises Invalid, with Docker's texts, for impossible ones.
    `least_memory` is Docker's; clusters know no such bound."""
    _check_memory(resources, least_memory)
    _check_cpus(resources, host)
    _check_sets(resources, host)
    _check_devices(resources)
    return tuple(_warnings(resources, host.layout))


def _check_memory(asked: Resources, least: int) -> None:
    if asked.memory < 0 or 0 < asked.memory < least:
        raise Invalid("Minimum memory limit allowed is 6MB")
    if asked.memory > 0 and asked.memory_swap > 0 and asked.memory_swap < asked.memory:
        raise Invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
    if asked.memory == 0 and asked.memory_swap > 0:
        raise Invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
    if asked.memory_swap < -1:
        raise Invalid(f"invalid memory swap limit: {asked.memory_swap}; -1 lifts it")
    swappiness = asked.memory_swappiness
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise Invalid(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if asked.memory_reservation < 0 or 0 < asked.memory_reservation < least:
        raise Invalid("Minimum memory reservation allowed is 6MB")
    if 0 < asked.memory < asked.memory_reservation:
        raise Invalid("Minimum memory limit can not be less than memory reservation limit, see usage")


def _check_cpus(asked: Resources, host: HostFacts) -> None:
    if asked.nano_cpus:
        if asked.cpu_period:
            raise Invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set.")
        if asked.cpu_quota:
            raise Invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set.")
        if not CPU_BILLION // 100 <= asked.nano_cpus <= host.cpus * CPU_BILLION:
            raise Invalid(f"range of CPUs is from 0.01 to {host.cpus}.00, as there are only {host.cpus} CPUs available")
    if asked.cpu_shares < 0:
        raise Invalid(f"invalid CPU shares ({asked.cpu_shares}): value must be a positive integer")
    if asked.cpu_period and not 1000 <= asked.cpu_period <= 1_000_000:
        raise Invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < asked.cpu_quota < 1000:
        raise Invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if asked.cpu_realtime_period and asked.cpu_realtime_runtime > asked.cpu_realtime_period:
        raise Invalid("cpu real-time runtime cannot be higher than cpu real-time period")


def _check_sets(asked: Resources, host: HostFacts) -> None:
    for name, wanted, available in (
        ("CPUs", asked.cpuset_cpus, host.cpuset_cpus),
        ("memory nodes", asked.cpuset_mems, host.cpuset_mems),
    ):
        option = "cpus" if name == "CPUs" else "mems"
        if wanted and not parse_set(wanted, option) <= parse_set(available, option):
            raise Invalid(f"Requested {name} are not available - requested {wanted}, available: {available}")


def parse_set(text: str, option: str) -> frozenset[int]:
    """ "0-2,5" → {0, 1, 2, 5}. Raises Invalid with Docker's text."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isascii() or not first.isdigit() or (dash and not (last.isascii() and last.isdigit())):
            raise Invalid(f"Invalid value {text} for cpuset {option}")
        low, high = int(first), int(last or first)
        if low > high or high > 8192:
            raise Invalid(f"Invalid value {text} for cpuset {option}")
        found.update(range(low, high + 1))
    return frozenset(found)


def _check_devices(asked: Resources) -> None:
    for weight in (asked.blkio_weight, *(device.rate for device in asked.blkio_weight_device)):
        if weight and not 10 <= weight <= 1000:
            raise Invalid("Range of blkio weight is from 10 to 1000")
    rates = (asked.blkio_read_bps, asked.blkio_write_bps, asked.blkio_read_iops, asked.blkio_write_iops)
    for device in (*asked.blkio_weight_device, *(rate for group in rates for rate in group)):
        device_number(device.path)


def device_number(path: str) -> tuple[int, int]:
    """Major and minor of a device node. Raises Invalid where there is none."""
    try:
        number = os.stat(path).st_rdev
    except OSError as error:
        raise Invalid(f"cannot limit device {path}: {error.strerror}") from error
    if not number:
        raise Invalid(f"cannot limit device {path}: it is not a device")
    return os.major(number), os.minor(number)


def _warnings(asked: Resources, layout: Layout) -> list[str]:
    absent = " or the cgroup is not mounted"
    has = layout.controllers
    without_swap = "Memory limited without swap. Swap"
    lacks = [
        (asked.memory and "memory" not in has, f"memory limit capabilities{absent}. Limitation"),
        (asked.memory_swap > 0 and not layout.swap, f"swap limit capabilities{absent}. {without_swap}"),
        (asked.blkio_weight and not layout.weight, f"Block I/O weight{absent}. Weight"),
        (asked.blkio_weight_device and not layout.weight, f"Block I/O weight_device{absent}. Weight-device"),
        (asked.pids_limit > 0 and "pids" not in has, f"PIDs limit capabilities{absent}. PIDs limit"),
        (asked.cpu_shares and "cpu" not in has, f"CPU shares{absent}. Shares"),
        ((asked.cpuset_cpus or asked.cpuset_mems) and "cpuset" not in has, f"cpuset{absent}. Cpuset"),
        (layout.is_v2 and (asked.memory_swappiness or -1) >= 0, "memory swappiness capabilities. Memory swappiness"),
        (layout.is_v2 and asked.oom_kill_disable, "OomKillDisable. OomKillDisable"),
        (layout.is_v2 and asked.cpu_realtime_runtime, "CPU real-time runtime. CPU real-time runtime"),
    ]
    found = [f"Your kernel does not support {what} discarded." for lacking, what in lacks if lacking]
    if asked.oom_kill_disable and not asked.memory and not layout.is_v2:
        found.append("OOM killer is disabled for the container, but no memory limit is set, this can result in the "
                     "system running out of resources.")  # fmt: skip
    return found


def completed(asked: Resources) -> Resources:
    """The limits of a new container with Docker's defaults written down: swap as large as the memory."""
    if asked.memory > 0 and not asked.memory_swap:
        return msgspec.structs.replace(asked, memory_swap=2 * asked.memory)
    return asked


def changed(now: Resources, changes: Mapping[str, object]) -> Resources:
    """The limits after an update; fields that are absent, or zero, stay. Raises Conflict with Docker's texts."""
    wanted = {name: value for name, value in changes.items() if value not in (0, "", None, ())}
    memory, swap = wanted.get("memory"), wanted.get("memory_swap")
    if isinstance(memory, int) and not swap and 0 < memory_and_swap(now) < memory:
        raise Conflict(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    if wanted.get("nano_cpus") and (now.cpu_period or now.cpu_quota):
        name = "Period" if now.cpu_period else "Quota"
        raise Conflict(f"Conflicting options: Nano CPUs cannot be updated as CPU {name} has already been set")
    if now.nano_cpus and ("cpu_period" in wanted or "cpu_quota" in wanted):
        name = "Period" if "cpu_period" in wanted else "Quota"
        raise Conflict(f"Conflicting options: CPU {name} cannot be updated as NanoCPUs has already been set")
    # The swap limit that the kernel holds stays, as with Docker, also where it was never written down.
    return msgspec.structs.replace(completed(now), **wanted)


def memory_and_swap(asked: Resources) -> int:
    """The limit of memory plus swap: Docker's default is twice the memory. 0: none asked for, -1: unlimited."""
    return asked.memory_swap or (2 * asked.memory if asked.memory > 0 else 0)


def quota_and_period(asked: Resources) -> tuple[int, int]:
    """Microseconds of processor time within a period; 0 where not asked for."""
    if asked.nano_cpus:
        return asked.nano_cpus * DEFAULT_PERIOD // CPU_BILLION, DEFAULT_PERIOD
    return asked.cpu_quota, asked.cpu_period


def to_oci(asked: Resources, layout: Layout, number: DeviceNumber = device_number) -> dict[str, Any]:
    """`linux.resources` of config.json without the devices; the runtime itself converts it to v2 where that is."""
    quota, period = quota_and_period(asked)
    memory: dict[str, Any] = {
        "limit": asked.memory,
        "reservation": asked.memory_reservation,
        "swap": memory_and_swap(asked) if layout.swap else 0,
    }
    cpu: dict[str, Any] = {
        "shares": asked.cpu_shares and min(max(asked.cpu_shares, MINIMUM_SHARES), MAXIMUM_SHARES),
        "quota": quota,
        "period": period,
        "cpus": asked.cpuset_cpus,
        "mems": asked.cpuset_mems,
    }
    if not layout.is_v2:
        memory["disableOOMKiller"] = asked.oom_kill_disable
        cpu |= {"realtimePeriod": asked.cpu_realtime_period, "realtimeRuntime": asked.cpu_realtime_runtime}
    parts: dict[str, Any] = {
        "memory": {name: value for name, value in memory.items() if value},
        "cpu": {name: value for name, value in cpu.items() if value},
        "blockIO": _block_oci(asked, layout, number),
        "pids": {"limit": asked.pids_limit} if asked.pids_limit > 0 else {},
    }
    if not layout.is_v2 and asked.memory_swappiness is not None and asked.memory_swappiness >= 0:
        parts["memory"]["swappiness"] = asked.memory_swappiness
    if layout.is_v2 and asked.oom_group and "memory" in layout.controllers:
        parts["unified"] = {"memory.oom.group": "1"}
    return {name: part for name, part in parts.items() if part}


def _block_oci(asked: Resources, layout: Layout, number: DeviceNumber) -> dict[str, Any]:
    def rows(rates: tuple[ThrottleRate, ...], key: str) -> list[dict[str, int]]:
        found = []
        for rate in rates:
            major, minor = number(rate.path)
            found.append({"major": major, "minor": minor, key: rate.rate})
        return found

    block: dict[str, Any] = {
        "throttleReadBpsDevice": rows(asked.blkio_read_bps, "rate"),
        "throttleWriteBpsDevice": rows(asked.blkio_write_bps, "rate"),
        "throttleReadIOPSDevice": rows(asked.blkio_read_iops, "rate"),
        "throttleWriteIOPSDevice": rows(asked.blkio_write_iops, "rate"),
    }
    if layout.weight:
        block |= {"weight": asked.blkio_weight, "weightDevice": rows(asked.blkio_weight_device, "weight")}
    return {name: value for name, value in block.items() if value}


def weight_of_shares(shares: int) -> int:
    """CPU shares (2 to 262144) as a v2 weight (1 to 10000), as the runtimes convert."""
    shares = min(max(shares, MINIMUM_SHARES), MAXIMUM_SHARES)
    return 1 + (shares - MINIMUM_SHARES) * 9999 // (MAXIMUM_SHARES - MINIMUM_SHARES)


def weight_of_blkio(weight: int) -> int:
    """A blkio weight (10 to 1000) as a v2 weight (1 to 10000)."""
    return 1 + (weight - 10) * 9999 // 990


def writes(before: Resources, after: Resources, layout: Layout, number: DeviceNumber = device_number) -> list[Write]:
    """What to write to bring a running container from one set of limits to another, in an order that the kernel takes.

    Only what differs is written, and only to controllers that the host has.
    """
    make = _writes_v2 if layout.is_v2 else _writes_v1
    held = set(make(before, layout, number))
    wanted = [write for write in make(after, layout, number) if write not in held]
    if (
        after.memory > before.memory > 0 or after.memory < 0
    ) and not layout.is_v2:  # v1 holds memory below memory plus swap at any moment
        wanted.sort(key=lambda write: write.file == "memory.limit_in_bytes")
    return [write for write in wanted if write.controller in layout.controllers]


def _writes_v1(asked: Resources, layout: Layout, number: DeviceNumber) -> list[Write]:
    quota, period = quota_and_period(asked)
    swap = memory_and_swap(asked) if layout.swap else 0
    values = [
        ("memory", "memory.limit_in_bytes", asked.memory),
        ("memory", "memory.memsw.limit_in_bytes", swap),
        ("memory", "memory.soft_limit_in_bytes", asked.memory_reservation),
        ("memory", "memory.oom_control", int(asked.oom_kill_disable)),
        ("cpu", "cpu.shares", asked.cpu_shares),
        ("cpu", "cpu.cfs_period_us", period),
        ("cpu", "cpu.cfs_quota_us", quota),
        ("cpu", "cpu.rt_period_us", asked.cpu_realtime_period),
        ("cpu", "cpu.rt_runtime_us", asked.cpu_realtime_runtime),
        ("cpuset", "cpuset.cpus", asked.cpuset_cpus),
        ("cpuset", "cpuset.mems", asked.cpuset_mems),
        ("pids", "pids.max", "max" if asked.pids_limit < 0 else asked.pids_limit),
        ("blkio", "blkio.weight", asked.blkio_weight if layout.weight else 0),
    ]
    found = [Write(controller, file, str(value)) for controller, file, value in values if value]
    if asked.memory_swappiness is not None and asked.memory_swappiness >= 0:
        found.append(Write("memory", "memory.swappiness", str(asked.memory_swappiness)))
    for rates, file in (
        (asked.blkio_read_bps, "blkio.throttle.read_bps_device"),
        (asked.blkio_write_bps, "blkio.throttle.write_bps_device"),
        (asked.blkio_read_iops, "blkio.throttle.read_iops_device"),
        (asked.blkio_write_iops, "blkio.throttle.write_iops_device"),
    ):
        for rate in rates:
            major, minor = number(rate.path)
            found.append(Write("blkio", file, f"{major}:{minor} {rate.rate}"))
    return found


def _writes_v2(asked: Resources, layout: Layout, number: DeviceNumber) -> list[Write]:
    quota, period = quota_and_period(asked)
    swap = memory_and_swap(asked)
    found = []
    if asked.memory:
        found.append(Write("memory", "memory.max", "max" if asked.memory < 0 else str(asked.memory)))
    if swap:
        room = "max" if swap < 0 else str(max(0, swap - asked.memory))
        found.append(Write("memory", "memory.swap.max", room))
    if asked.memory_reservation:
        found.append(Write("memory", "memory.low", str(asked.memory_reservation)))
    if asked.cpu_shares:
        found.append(Write("cpu", "cpu.weight", str(weight_of_shares(asked.cpu_shares))))
    if quota or period:
        found.append(Write("cpu", "cpu.max", f"{quota if quota > 0 else 'max'} {period or DEFAULT_PERIOD}"))
    for file, value in (("cpuset.cpus", asked.cpuset_cpus), ("cpuset.mems", asked.cpuset_mems)):
        if value:
            found.append(Write("cpuset", file, value))
    if asked.pids_limit:
        found.append(Write("pids", "pids.max", str(asked.pids_limit) if asked.pids_limit > 0 else "max"))
    if asked.blkio_weight and layout.weight:
        # BFQ has a weight of its own, which the runtimes set where it is; it comes and goes with a kernel module.
        other = Write("io", "io.weight", str(weight_of_blkio(asked.blkio_weight)))
        found.append(Write("io", "io.bfq.weight", str(asked.blkio_weight), other))
    for rates, key in (
        (asked.blkio_read_bps, "rbps"),
        (asked.blkio_write_bps, "wbps"),
        (asked.blkio_read_iops, "riops"),
        (asked.blkio_write_iops, "wiops"),
    ):
        for rate in rates:
            major, minor = number(rate.path)
            found.append(Write("io", "io.max", f"{major}:{minor} {key}={rate.rate}"))
    return found
