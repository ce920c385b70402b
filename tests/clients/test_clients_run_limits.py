"""`docker run` and resources: what a limit is in the container's cgroup, whether it holds, and how it changes live."""

import json
import re
from pathlib import Path

import pytest
from clients_box import SECONDS, Box

from daemons import until

MB = 1 << 20
# The file of a limit: (v1 controller, v1 file, v2 file).
FILES = {
    "memory": ("memory", "memory.limit_in_bytes", "memory.max"),
    "reservation": ("memory", "memory.soft_limit_in_bytes", "memory.low"),
    "pids": ("pids", "pids.max", "pids.max"),
    "cpuset": ("cpuset", "cpuset.cpus", "cpuset.cpus"),
    "shares": ("cpu", "cpu.shares", "cpu.weight"),
    "quota": ("cpu", "cpu.cfs_quota_us", "cpu.max"),
    "period": ("cpu", "cpu.cfs_period_us", "cpu.max"),
    "oom": ("memory", "memory.oom_control", "memory.oom.group"),
}
V2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()


def setting(box: Box, name: str, limit: str) -> str:
    """What the kernel has for a limit of a running container, read on the host."""
    controller, old, new = FILES[limit]
    pid = box.shows(name, "{{.State.Pid}}")
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if (V2 and not controllers) or controller in controllers.split(","):
            folder = "/sys/fs/cgroup" if V2 else _mount_of(controller)
            return Path(f"{folder}{path}/{new if V2 else old}").read_text().strip()
    raise AssertionError(f"no cgroup of {controller}")


def _mount_of(controller: str) -> str:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup" and controller in options.split(","):
            return place
    raise AssertionError(f"{controller} is not mounted")


def test_memory_limits_are_set(box: Box) -> None:
    name = box.up("--memory", "64m", "--memory-reservation", "32m", "--memory-swap", "64m")
    assert int(setting(box, name, "memory")) == 64 * MB
    assert int(setting(box, name, "reservation")) == 32 * MB
    shown = box.inspect(name)["HostConfig"]
    assert (shown["Memory"], shown["MemoryReservation"], shown["MemorySwap"]) == (64 * MB, 32 * MB, 64 * MB)


def test_memory_swap_follows_memory(box: Box) -> None:
    assert box.inspect(box.made("--memory", "64m"))["HostConfig"]["MemorySwap"] == 128 * MB
    assert box.inspect(box.made("--memory", "64m", "--memory-swap", "-1"))["HostConfig"]["MemorySwap"] == -1
    refused = [
        (("--memory", "1m"), "Minimum memory limit allowed is 6MB"),
        (("--memory-swap", "64m"), "You should always set the Memory limit when using Memoryswap limit"),
        (("--memory", "64m", "--memory-swap", "32m"), "Minimum memoryswap limit should be larger than memory limit"),
        (
            ("--memory", "64m", "--memory-reservation", "128m"),
            "Minimum memory limit can not be less than memory reserv",
        ),
    ]
    for flags, text in refused:
        assert text in box.fails("create", *flags, "busybox"), flags


def test_too_much_memory_is_the_end_and_is_told(box: Box) -> None:
    name = box.made("--memory", "16m", "--memory-swap", "16m", do="head -c 64m /dev/zero | tail")
    done = box.daemon.docker("start", "-a", name, check=False)
    assert done.returncode != 0
    assert box.shows(name, "{{.State.OOMKilled}}") == "true"
    with_init = box.made("--memory", "16m", "--memory-swap", "16m", do="exec tail /dev/zero")
    box.daemon.docker("start", "-a", with_init, check=False)
    assert box.shows(with_init, "{{.State.OOMKilled}} {{.State.ExitCode}}") == "true 137"
    assert box.events(f"container={name}")[-2:] == ["oom", "die"]


def test_oom_flags(box: Box) -> None:
    name = box.up("--oom-score-adj", "321")
    assert box.inside(name, "cat /proc/1/oom_score_adj") == "321"
    assert "range for oom score adj is [-1000, 1000]" in box.fails("create", "--oom-score-adj", "2000", "busybox")
    if not V2:
        name = box.up("--memory", "64m", "--oom-kill-disable")
        assert "oom_kill_disable 1" in setting(box, name, "oom")


def test_cpu_limits_are_set(box: Box) -> None:
    name = box.up("--cpus", "0.5", "--cpu-shares", "512", "--cpuset-cpus", "0")
    if V2:
        assert setting(box, name, "quota") == "50000 100000"
    else:
        assert (setting(box, name, "quota"), setting(box, name, "period")) == ("50000", "100000")
        assert setting(box, name, "shares") == "512"
    assert setting(box, name, "cpuset") == "0"
    assert box.inside(name, "nproc") == "1"
    name = box.up("--cpu-quota", "20000", "--cpu-period", "50000")
    assert setting(box, name, "quota").split()[0] == "20000"
    assert setting(box, name, "period").split()[-1] == "50000"


def test_wrong_cpu_limits_are_refused(box: Box) -> None:
    for flags in (
        ("--cpus", "1000"),
        ("--cpus", "1", "--cpu-quota", "10000"),
        ("--cpuset-cpus", "1000"),
        ("--cpuset-cpus", "x"),
        ("--cpu-period", "10"),
        ("--cpu-quota", "10"),
        ("--cpu-shares", "-1"),
        ("--cpuset-mems", "77"),
    ):
        assert box.fails("create", *flags, "busybox"), flags


def test_cpus_hold(box: Box) -> None:
    name = box.up("--cpus", "0.2", do="while :; do :; done")
    stat = "nr_throttled"
    controller, folder = ("", "/sys/fs/cgroup") if V2 else ("cpu", _mount_of("cpu"))
    pid = box.shows(name, "{{.State.Pid}}")
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    path = next(path for _, found, path in lines if controller in found.split(","))
    file = Path(f"{folder}{path}/cpu.stat")
    until(lambda: int(re.search(rf"{stat} (\d+)", file.read_text())[1]) > 0, SECONDS, "it is held back")  # type: ignore[index]


def test_pids_limit_holds(box: Box) -> None:
    name = box.up("--pids-limit", "7")
    assert setting(box, name, "pids") == "7"
    out = box.docker(
        "exec", name, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done 2>&1; echo end", check=False
    )
    assert "can't fork" in out or "end" not in out
    assert setting(box, box.up(), "pids") == "max"


def test_update_live(box: Box) -> None:
    name = box.up("--memory", "64m", "--memory-swap", "128m")
    box.docker("update", "--memory", "96m", "--cpus", "0.25", "--pids-limit", "50", "--cpuset-cpus", "0", name)
    assert int(setting(box, name, "memory")) == 96 * MB
    assert setting(box, name, "quota").split()[0] == "25000"
    assert setting(box, name, "pids") == "50"
    box.docker("update", "--memory", "32m", "--memory-swap", "32m", name)
    assert int(setting(box, name, "memory")) == 32 * MB
    box.docker("update", "--pids-limit", "-1", name)
    assert setting(box, name, "pids") == "max"
    box.docker("restart", "-t", "0", name)
    assert int(setting(box, name, "memory")) == 32 * MB
    assert setting(box, name, "quota").split()[0] == "25000"
    assert box.fails("update", "--memory", "1m", name)
    assert int(setting(box, name, "memory")) == 32 * MB
    assert box.fails("update", "--cpuset-cpus", "999", name)


def test_update_of_a_stopped_container_counts_at_its_start(box: Box) -> None:
    name = box.made()
    box.docker("update", "--memory", "48m", "--memory-swap", "-1", "--cpu-shares", "300", name)
    box.docker("start", name)
    assert int(setting(box, name, "memory")) == 48 * MB
    box.docker("update", "--restart", "on-failure:3", name)
    assert (
        box.shows(name, "{{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}")
        == "on-failure:3"
    )


def test_block_weights(box: Box) -> None:
    assert box.inspect(box.made("--blkio-weight", "300"))["HostConfig"]["BlkioWeight"] == 300
    assert box.fails("create", "--blkio-weight", "5", "busybox")


def test_cgroup_parent(box: Box) -> None:
    parent = f"boxship-{box.name()}"
    name = box.up("--cgroup-parent", f"/{parent}")
    pid = box.shows(name, "{{.State.Pid}}")
    assert f"/{parent}/" in Path(f"/proc/{pid}/cgroup").read_text()
    box.docker("rm", "-f", name)
    until(lambda: not [*Path("/sys/fs/cgroup").glob(f"*/{parent}")], SECONDS, "the empty parent goes with its last")


def test_stats(box: Box) -> None:
    name = box.up("--memory", "64m", "--pids-limit", "20", do="while :; do :; done")
    shown = json.loads(box.docker("stats", "--no-stream", "--format", "json", name))
    assert shown["Name"] == name
    assert float(shown["CPUPerc"].rstrip("%")) > 1
    assert shown["MemUsage"].endswith("/ 64MiB")
    assert int(shown["PIDs"]) >= 1
    assert "/" in shown["NetIO"]
    with box.client("stats", "--format", "{{.Name}} {{.PIDs}}", name) as process:
        assert process.stdout is not None
        assert name.encode() in process.stdout.readline()
    assert name in box.docker("stats", "--no-stream", "-a", "--format", "{{.Name}}")


@pytest.mark.parametrize("value", ["9223372036854775808", "99999999999999999999999g"])
def test_absurd_sizes_are_refused(box: Box, value: str) -> None:
    assert box.fails("create", "--memory", value, "busybox")
