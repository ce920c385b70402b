"""What a container uses, read from its cgroups. Parsing is pure; `sample` reads the files."""

import os
import time
from collections.abc import Iterable

from boxship.spec.stats import StatsSample
from boxship.sys import cgroup
from boxship.sys.cgroup import Layout

NANOSECOND_TICKS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
UNLIMITED = 1 << 62  # v1 says about 2^63 for no limit

Block = tuple[tuple[int, int, str, int], ...]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def flat(text: str) -> dict[str, int]:
    """Lines of "key value"."""
    pairs = (line.partition(" ") for line in text.splitlines())
    return {key: int(value) for key, _, value in pairs if _is_number(value)}


def number(text: str) -> int:
    """A single number; 0 for "max" and for nothing."""
    text = text.strip()
    return int(text) if _is_number(text) else 0


def _device(text: str) -> tuple[int, int] | None:
    major, _, minor = text.partition(":")
    return (int(major), int(minor)) if _is_number(major) and _is_number(minor) else None


def block_v1(text: str) -> Block:
    """Lines of "8:0 Read 4096"."""
    found = []
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 3 and _is_number(parts[2]) and (device := _device(parts[0])):
            found.append((*device, parts[1], int(parts[2])))
    return tuple(found)


def block_v2(text: str) -> tuple[Block, Block]:
    """io.stat, "8:0 rbytes=1 wbytes=2 rios=3 …", as bytes and operations."""
    sizes, counts = [], []
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if (device := _device(name)) is None:
            continue
        pairs = (pair.partition("=") for pair in rest.split())
        values = {key: int(value) for key, _, value in pairs if _is_number(value)}
        for word, size, count in (("read", "rbytes", "rios"), ("write", "wbytes", "wios")):
            sizes.append((*device, word, values.get(size, 0)))
            counts.append((*device, word, values.get(count, 0)))
    return tuple(sizes), tuple(counts)


def system_time(lines: Iterable[str]) -> int:
    """The machine's processor time in nanoseconds, from the first line of /proc/stat: user to steal."""
    fields = next(iter(lines), "cpu 0").split()[1:8]
    return sum(int(field) for field in fields) * NANOSECOND_TICKS


def sample(layout: Layout, path: str) -> StatsSample:
    """One reading. Files that the host lacks count as zero."""
    with open("/proc/stat") as file:
        machine = system_time([file.readline()])
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (_sample_v2 if layout.is_v2 else _sample_v1)(layout, path, machine, total)


def _sample_v1(layout: Layout, path: str, machine: int, total: int) -> StatsSample:
    def text(controller: str, name: str) -> str:
        return cgroup.read(layout, controller, path, name)

    throttling = flat(text("cpu", "cpu.stat"))
    ticks = flat(text("cpuacct", "cpuacct.stat"))
    limit = number(text("memory", "memory.limit_in_bytes"))
    sizes = block_v1(text("blkio", "blkio.throttle.io_service_bytes_recursive"))
    counts = block_v1(text("blkio", "blkio.throttle.io_serviced_recursive"))
    return StatsSample(
        time=time.time_ns(),
        cpu_total=number(text("cpuacct", "cpuacct.usage")),
        cpu_user=ticks.get("user", 0) * NANOSECOND_TICKS,
        cpu_system=ticks.get("system", 0) * NANOSECOND_TICKS,
        cpu_per_core=tuple(int(word) for word in text("cpuacct", "cpuacct.usage_percpu").split()),
        cpu_periods=throttling.get("nr_periods", 0),
        cpu_throttled_periods=throttling.get("nr_throttled", 0),
        cpu_throttled_time=throttling.get("throttled_time", 0),
        system_cpu=machine,
        online_cpus=os.cpu_count() or 1,
        memory_usage=number(text("memory", "memory.usage_in_bytes")),
        memory_max_usage=number(text("memory", "memory.max_usage_in_bytes")),
        memory_limit=limit if 0 < limit < min(UNLIMITED, total) else total,
        memory_fail_count=number(text("memory", "memory.failcnt")),
        memory_stats=flat(text("memory", "memory.stat")),
        pids=number(text("pids", "pids.current")),
        pids_limit=number(text("pids", "pids.max")),
        block_bytes=sizes,
        block_operations=counts,
        cgroup_version=1,
    )


def _sample_v2(layout: Layout, path: str, machine: int, total: int) -> StatsSample:
    def text(name: str) -> str:
        return cgroup.read(layout, "cgroup", path, name)

    processor = flat(text("cpu.stat"))
    limit = number(text("memory.max"))
    sizes, counts = block_v2(text("io.stat"))
    return StatsSample(
        time=time.time_ns(),
        cpu_total=processor.get("usage_usec", 0) * 1000,
        cpu_user=processor.get("user_usec", 0) * 1000,
        cpu_system=processor.get("system_usec", 0) * 1000,
        cpu_periods=processor.get("nr_periods", 0),
        cpu_throttled_periods=processor.get("nr_throttled", 0),
        cpu_throttled_time=processor.get("throttled_usec", 0) * 1000,
        system_cpu=machine,
        online_cpus=os.cpu_count() or 1,
        memory_usage=number(text("memory.current")),
        memory_max_usage=number(text("memory.peak")),
        memory_limit=limit if 0 < limit < total else total,
        memory_fail_count=flat(text("memory.events")).get("max", 0),
        memory_stats=flat(text("memory.stat")),
        pids=number(text("pids.current")),
        pids_limit=number(text("pids.max")),
        block_bytes=sizes,
        block_operations=counts,
        cgroup_version=2,
    )


def killed_for_memory(layout: Layout, path: str) -> bool:
    """Whether the kernel killed a process of the cgroup for want of memory."""
    if layout.is_v2:
        return flat(cgroup.read(layout, "cgroup", path, "memory.events")).get("oom_kill", 0) > 0
    return flat(cgroup.read(layout, "memory", path, "memory.oom_control")).get("oom_kill", 0) > 0
