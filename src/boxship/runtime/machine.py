"""What the machine has, and what is used of it, from files of the kernel: read, not measured, so it costs next to
nothing. Numbers that the kernel does not tell are 0."""

import contextlib
import os
import time
from pathlib import Path

import msgspec

from boxship.runtime.stats import flat, number, system_time
from boxship.sys import cgroup
from boxship.sys.cgroup import Layout

KIBIBYTE = 1 << 10
TICKS = os.sysconf("SC_CLK_TCK")
IDLE_FIELDS = slice(3, 5)  # of the numbers in /proc/stat: idle, and waiting for a disk


class MachineSample(msgspec.Struct, frozen=True):
    """One reading. Bytes, nanoseconds; `disk` is the filesystem of the folder that was asked about."""

    time: int
    cpu: int
    memory: int
    memory_available: int
    memory_used: int
    processes: int
    processes_limit: int
    disk: int
    disk_available: int
    inodes: int
    inodes_free: int
    received: int
    sent: int
    processors: int = 0
    rss: int = 0


class GroupSample(msgspec.Struct, frozen=True):
    """What the processes of a cgroup use, with all those below it. Where they have a limit of processor time: in how
    many of so many `periods` they had to wait for more (`throttled`), for `throttled_time` nanoseconds in all."""

    cpu: int = 0
    memory: int = 0
    working_set: int = 0
    rss: int = 0
    processes: int = 0
    periods: int = 0
    throttled: int = 0
    throttled_time: int = 0


def machine(folder: Path) -> MachineSample:
    """A few files of /proc and one statvfs(2)."""
    memory = _meminfo(_text("/proc/meminfo"))
    total, available = memory.get("MemTotal", 0), memory.get("MemAvailable", 0)
    disk = os.statvfs(folder)
    received, sent = _network(_text("/proc/net/dev"))
    return MachineSample(
        time=time.time_ns(),
        cpu=_busy(_text("/proc/stat")),
        memory=total,
        memory_available=available,
        memory_used=total - memory.get("MemFree", 0),
        processes=_processes(_text("/proc/loadavg")),
        processes_limit=number(_text("/proc/sys/kernel/pid_max")),
        disk=disk.f_blocks * disk.f_frsize,
        disk_available=disk.f_bavail * disk.f_frsize,
        inodes=disk.f_files,
        inodes_free=disk.f_favail,
        received=received,
        sent=sent,
        processors=len(os.sched_getaffinity(0)),
        rss=memory.get("AnonPages", 0),
    )


def group(layout: Layout, path: str) -> GroupSample:
    """Five small files at most."""

    def text(controller: str, name: str) -> str:
        return cgroup.read(layout, controller, path, name)

    if layout.is_v2:
        stat = flat(text("cgroup", "memory.stat"))
        turns = flat(text("cgroup", "cpu.stat"))
        cpu, waited = turns.get("usage_usec", 0) * 1000, turns.get("throttled_usec", 0) * 1000
        used, inactive, rss = number(text("cgroup", "memory.current")), "inactive_file", stat.get("anon", 0)
        processes = number(text("cgroup", "pids.current"))
    else:
        stat = flat(text("memory", "memory.stat"))
        turns = flat(text("cpu", "cpu.stat"))
        cpu, waited = number(text("cpuacct", "cpuacct.usage")), turns.get("throttled_time", 0)
        used, inactive = number(text("memory", "memory.usage_in_bytes")), "total_inactive_file"
        rss = stat.get("total_rss", 0)
        processes = number(text("pids", "pids.current"))
    return GroupSample(
        cpu=cpu,
        memory=used,
        working_set=max(0, used - stat.get(inactive, 0)),
        rss=rss,
        processes=processes,
        periods=turns.get("nr_periods", 0),
        throttled=turns.get("nr_throttled", 0),
        throttled_time=waited,
    )


def _text(path: str) -> str:
    with contextlib.suppress(OSError), open(path) as file:
        return file.read()
    return ""


def _meminfo(text: str) -> dict[str, int]:
    """ "MemTotal:  16384 kB" in bytes."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[name] = int(words[0]) * KIBIBYTE
    return found


def _busy(text: str) -> int:
    """Processor time that was not idle, in nanoseconds."""
    line = text.partition("\n")[0]
    fields = [int(word) for word in line.split()[1:8] if word.isdigit()]
    return system_time([line]) - sum(fields[IDLE_FIELDS]) * 1_000_000_000 // TICKS if fields else 0


def _processes(text: str) -> int:
    """ "0.1 0.2 0.3 2/345 6789": all threads of the machine."""
    words = text.split()
    return number(words[3].partition("/")[2]) if len(words) > 3 else 0


def _network(text: str) -> tuple[int, int]:
    """Bytes of all interfaces that are no loopback."""
    received = sent = 0
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        words = rest.split()
        if name.strip() != "lo" and len(words) > 8:
            received += number(words[0])
            sent += number(words[8])
    return received, sent
