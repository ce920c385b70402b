"""Reading what a container uses, from fake trees of both versions."""

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from boxship.runtime import stats
from boxship.sys import cgroup

V1 = {
    "cpu": {"cpu.stat": "nr_periods 5\nnr_throttled 2\nthrottled_time 77\n"},
    "cpuacct": {
        "cpuacct.usage": "123456789\n",
        "cpuacct.stat": "user 3\nsystem 4\n",
        "cpuacct.usage_percpu": "100 200 \n",
    },
    "memory": {
        "memory.usage_in_bytes": "4096\n",
        "memory.max_usage_in_bytes": "8192\n",
        "memory.limit_in_bytes": "1048576\n",
        "memory.failcnt": "3\n",
        "memory.stat": "cache 10\ntotal_inactive_file 5\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    },
    "pids": {"pids.current": "4\n", "pids.max": "max\n"},
    "blkio": {
        "blkio.throttle.io_service_bytes_recursive": "8:0 Read 512\n8:0 Write 1024\nTotal 1536\n",
        "blkio.throttle.io_serviced_recursive": "8:0 Read 1\n8:0 Write 2\nTotal 3\n",
    },
}
V2 = {
    "cpu.stat": "usage_usec 1000\nuser_usec 600\nsystem_usec 400\nnr_periods 5\nnr_throttled 2\nthrottled_usec 7\n",
    "memory.current": "4096\n",
    "memory.peak": "8192\n",
    "memory.max": "max\n",
    "memory.events": "low 0\nmax 3\noom 1\noom_kill 1\n",
    "memory.stat": "anon 10\ninactive_file 5\n",
    "pids.current": "4\n",
    "pids.max": "9\n",
    "io.stat": "8:0 rbytes=512 wbytes=1024 rios=1 wios=2 dbytes=0 dios=0\n",
}


def test_version_1(tmp_path: Path) -> None:
    for controller, files in V1.items():
        (tmp_path / controller / "box").mkdir(parents=True)
        (tmp_path / controller / "cgroup.procs").touch()
        for name, text in files.items():
            (tmp_path / controller / "box" / name).write_text(text)
    layout = cgroup.detect(str(tmp_path))
    found = stats.sample(layout, "/box")
    tick = stats.NANOSECOND_TICKS
    assert (found.cpu_total, found.cpu_user, found.cpu_system) == (123456789, 3 * tick, 4 * tick)
    assert found.cpu_per_core == (100, 200)
    assert (found.cpu_periods, found.cpu_throttled_periods, found.cpu_throttled_time) == (5, 2, 77)
    assert (found.memory_usage, found.memory_max_usage, found.memory_limit) == (4096, 8192, 1048576)
    assert found.memory_fail_count == 3
    assert found.memory_stats == {"cache": 10, "total_inactive_file": 5}
    assert (found.pids, found.pids_limit) == (4, 0)
    assert found.block_bytes == ((8, 0, "Read", 512), (8, 0, "Write", 1024))
    assert found.block_operations == ((8, 0, "Read", 1), (8, 0, "Write", 2))
    assert found.cgroup_version == 1
    assert found.system_cpu > 0
    assert stats.killed_for_memory(layout, "/box")


def test_version_2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu io memory pids\n")
    (tmp_path / "box").mkdir()
    for name, text in V2.items():
        (tmp_path / "box" / name).write_text(text)
    layout = cgroup.detect(str(tmp_path))
    found = stats.sample(layout, "/box")
    assert (found.cpu_total, found.cpu_user, found.cpu_system) == (1_000_000, 600_000, 400_000)
    assert found.cpu_throttled_time == 7000
    assert found.memory_limit == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert found.memory_fail_count == 3
    assert (found.pids, found.pids_limit) == (4, 9)
    assert found.block_bytes == ((8, 0, "read", 512), (8, 0, "write", 1024))
    assert found.block_operations == ((8, 0, "read", 1), (8, 0, "write", 2))
    assert found.cgroup_version == 2
    assert stats.killed_for_memory(layout, "/box")


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu\n")
    layout = cgroup.detect(str(tmp_path))
    found = stats.sample(layout, "/gone")
    assert found.cpu_total == found.memory_usage == found.pids == 0
    assert not stats.killed_for_memory(layout, "/gone")


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    stats.flat(text)
    stats.number(text)
    stats.block_v1(text)
    stats.block_v2(text)
    stats.system_time(["cpu  1 2 3 4 5 6 7 8 9 10"])
