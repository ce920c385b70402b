"""What limits become: refusals, updates, config.json and control files on both kinds of host."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.errors import BoxshipError, Conflict, Invalid
from boxship.runtime import limits, stats
from boxship.runtime.host import HostFacts
from boxship.runtime.processes import apply_limits
from boxship.spec.container import Resources, ThrottleRate
from boxship.sys.cgroup import Layout, Version

MIB = 1 << 20
NAMES = ("cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "freezer", "devices")
V1 = Layout(Version.V1, "/cg", {name: f"/cg/{name}" for name in NAMES})
V2 = Layout(Version.V2, "/cg", dict.fromkeys(("cpu", "cpuset", "memory", "pids", "io"), "/cg"), "/cg")
DISK = "/dev/disk"


def host(layout: Layout = V1, **changes: Any) -> HostFacts:
    facts = HostFacts(
        cgroup_version="2" if layout.is_v2 else "1",
        cgroup_namespaces=True,
        warnings=(),
        cpus=2,
        cpuset_cpus="0-1",
        cpuset_mems="0",
        kernel=(6, 1),
        layout=layout,
    )
    return msgspec.structs.replace(facts, **changes)


def number(path: str) -> tuple[int, int]:
    assert path == DISK
    return 8, 16


def lines(before: Resources, after: Resources, layout: Layout) -> list[str]:
    return [f"{write.file}={write.value}" for write in limits.writes(before, after, layout, number)]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"memory": MIB}, "Minimum memory limit allowed is 6MB"),
        ({"memory": 100 * MIB, "memory_swap": 50 * MIB}, "Minimum memoryswap limit should be larger than memory limit"),
        ({"memory_swap": 50 * MIB}, "You should always set the Memory limit when using Memoryswap limit, see usage"),
        ({"memory_reservation": MIB}, "Minimum memory reservation allowed is 6MB"),
        ({"memory": 10 * MIB, "memory_reservation": 20 * MIB}, "can not be less than memory reservation limit"),
        ({"memory_swappiness": 101}, "Invalid value: 101, valid memory swappiness range is 0-100"),
        ({"nano_cpus": 3_000_000_000}, "ange of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"),
        ({"nano_cpus": 1_000_000}, "ange of CPUs is from 0.01"),
        ({"nano_cpus": 1_000_000_000, "cpu_period": 100_000}, "Nano CPUs and CPU Period cannot both be set"),
        ({"nano_cpus": 1_000_000_000, "cpu_quota": 100_000}, "Nano CPUs and CPU Quota cannot both be set"),
        ({"cpu_period": 10}, "CPU cfs period can not be less than 1ms"),
        ({"cpu_quota": 10}, "CPU cfs quota can not be less than 1ms"),
        ({"cpu_shares": -1}, "invalid CPU shares"),
        ({"cpuset_cpus": "5"}, "Requested CPUs are not available - requested 5, available: 0-1"),
        ({"cpuset_mems": "1"}, "Requested memory nodes are not available - requested 1, available: 0"),
        ({"cpuset_cpus": "1-0"}, "Invalid value 1-0 for cpuset cpus"),
        ({"cpuset_cpus": "x"}, "Invalid value x for cpuset cpus"),
        ({"cpuset_mems": "0-"}, "Invalid value 0- for cpuset mems"),
        ({"cpuset_cpus": "0-99999999999"}, "for cpuset cpus"),
        ({"blkio_weight": 5}, "Range of blkio weight is from 10 to 1000"),
        ({"blkio_read_bps": (ThrottleRate("/dev/not-there", 1),)}, "/dev/not-there"),
        ({"blkio_read_bps": (ThrottleRate("/etc/passwd", 1),)}, "not a device"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, Any], message: str) -> None:
    for layout in (V1, V2):
        with pytest.raises(Invalid) as caught:
            limits.check(Resources(**asked), host(layout))
        assert message in str(caught.value)


def test_what_can_be() -> None:
    asked = Resources(
        memory=64 * MIB,
        memory_swap=-1,
        memory_reservation=32 * MIB,
        nano_cpus=1_500_000_000,
        cpu_shares=512,
        cpuset_cpus="0,1",
        cpuset_mems="0",
        pids_limit=-1,
    )
    assert limits.check(asked, host(V1)) == ()
    assert limits.check(asked, host(V2)) == ()
    assert limits.check(Resources(), host()) == ()


def test_what_a_host_cannot_hold_is_warned_of() -> None:
    bare = Layout(Version.V1, "/cg", {"devices": "/cg/devices"}, swap=False, weight=False)
    asked = Resources(
        memory=64 * MIB, memory_swap=128 * MIB, cpu_shares=5, cpuset_cpus="0", pids_limit=5, blkio_weight=50
    )
    text = "\n".join(limits.check(asked, host(bare)))
    for word in ("memory limit", "swap limit", "CPU shares", "cpuset", "PIDs limit", "Block I/O weight"):
        assert word in text
    assert limits.writes(Resources(), asked, bare, number) == []
    v2 = limits.check(Resources(memory_swappiness=5, oom_kill_disable=True), host(V2))
    assert len(v2) == 2
    assert limits.check(Resources(oom_kill_disable=True), host(V1)) != ()


@pytest.mark.parametrize("layout", [V1, V2])
def test_block_weights_without_a_controller_for_them_are_discarded(layout: Layout) -> None:
    asked = Resources(blkio_weight=300, blkio_weight_device=(ThrottleRate("/dev/null", 200),))
    bare = msgspec.structs.replace(layout, weight=False)
    assert limits.check(asked, host(bare)) == (
        "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
        "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.",
    )
    assert limits.check(asked, host(layout)) == ()
    assert limits.to_oci(asked, bare) == {}
    device = {"major": 1, "minor": 3, "weight": 200}
    assert limits.to_oci(asked, layout) == {"blockIO": {"weight": 300, "weightDevice": [device]}}
    assert lines(Resources(), asked, bare) == []


# --- updates ---


def test_swap_is_as_large_as_the_memory() -> None:
    assert limits.completed(Resources(memory=64 * MIB)).memory_swap == 128 * MIB
    for asked in (Resources(), Resources(memory=64 * MIB, memory_swap=-1), Resources(memory_reservation=64 * MIB)):
        assert limits.completed(asked) == asked


def test_an_update_changes_what_is_named() -> None:
    now = Resources(memory=64 * MIB, memory_swap=128 * MIB, cpu_shares=10, pids_limit=5)
    assert limits.changed(now, {}) == now
    assert limits.changed(now, {"cpu_shares": 0, "cpuset_cpus": "", "pids_limit": None}) == now
    assert limits.changed(now, {"cpu_shares": 20}) == msgspec.structs.replace(now, cpu_shares=20)
    assert limits.changed(now, {"pids_limit": -1}).pids_limit == -1
    larger = limits.changed(now, {"memory": 256 * MIB, "memory_swap": 512 * MIB})
    assert (larger.memory, larger.memory_swap) == (256 * MIB, 512 * MIB)
    smaller = limits.changed(Resources(memory=64 * MIB), {"memory": 32 * MIB})
    assert (smaller.memory, smaller.memory_swap) == (32 * MIB, 128 * MIB), "the swap that was in force stays"


@pytest.mark.parametrize(
    ("now", "changes", "message"),
    [
        (
            {"memory": 64 * MIB, "memory_swap": 128 * MIB},
            {"memory": 256 * MIB},
            "update the memoryswap at the same time",
        ),
        ({"memory": 64 * MIB}, {"memory": 256 * MIB}, "update the memoryswap at the same time"),
        ({"cpu_period": 1000}, {"nano_cpus": 1}, "Nano CPUs cannot be updated as CPU Period has already been set"),
        ({"cpu_quota": 1000}, {"nano_cpus": 1}, "Nano CPUs cannot be updated as CPU Quota has already been set"),
        ({"nano_cpus": 1}, {"cpu_period": 1000}, "CPU Period cannot be updated as NanoCPUs has already been set"),
        ({"nano_cpus": 1}, {"cpu_quota": 1000}, "CPU Quota cannot be updated as NanoCPUs has already been set"),
    ],
)
def test_updates_that_contradict(now: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Conflict, match=message):
        limits.changed(Resources(**now), changes)


# --- control files of a running container ---


def test_memory_is_raised_and_lowered_in_an_order_that_v1_takes() -> None:
    small, large = Resources(memory=64 * MIB, memory_swap=128 * MIB), Resources(memory=256 * MIB, memory_swap=512 * MIB)
    memory, both = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
    assert lines(small, large, V1) == [f"{both}={512 * MIB}", f"{memory}={256 * MIB}"]
    assert lines(large, small, V1) == [f"{memory}={64 * MIB}", f"{both}={128 * MIB}"]
    assert lines(Resources(), small, V1) == [f"{memory}={64 * MIB}", f"{both}={128 * MIB}"]
    assert lines(small, small, V1) == []


def test_swap_on_both_layouts() -> None:
    asked = Resources(memory=64 * MIB, memory_swap=96 * MIB)
    assert lines(Resources(), asked, V2) == [f"memory.max={64 * MIB}", f"memory.swap.max={32 * MIB}"]
    unlimited = Resources(memory=64 * MIB, memory_swap=-1)
    assert lines(Resources(), unlimited, V2) == [f"memory.max={64 * MIB}", "memory.swap.max=max"]
    assert lines(Resources(), unlimited, V1)[1] == "memory.memsw.limit_in_bytes=-1"
    default = Resources(memory=64 * MIB)
    assert lines(Resources(), default, V2)[1] == f"memory.swap.max={64 * MIB}"
    without = msgspec.structs.replace(V1, swap=False)
    assert lines(Resources(), asked, without) == [f"memory.limit_in_bytes={64 * MIB}"]


def test_processors_on_both_layouts() -> None:
    asked = Resources(nano_cpus=1_500_000_000, cpu_shares=1024, cpuset_cpus="0-1")
    assert lines(Resources(), asked, V1) == [
        "cpu.shares=1024",
        "cpu.cfs_period_us=100000",
        "cpu.cfs_quota_us=150000",
        "cpuset.cpus=0-1",
    ]
    assert lines(Resources(), asked, V2) == ["cpu.weight=39", "cpu.max=150000 100000", "cpuset.cpus=0-1"]
    assert lines(Resources(), Resources(cpu_quota=-1), V2) == ["cpu.max=max 100000"]
    assert lines(Resources(cpu_quota=5000), Resources(cpu_quota=5000, cpu_period=10_000), V2) == ["cpu.max=5000 10000"]
    assert [limits.weight_of_shares(shares) for shares in (2, 1024, 262_144)] == [1, 39, 10_000]


def test_processes_and_devices_on_both_layouts() -> None:
    asked = Resources(pids_limit=7, blkio_read_bps=(ThrottleRate(DISK, 5),), blkio_write_iops=(ThrottleRate(DISK, 6),))
    assert lines(Resources(), asked, V1) == [
        "pids.max=7",
        "blkio.throttle.read_bps_device=8:16 5",
        "blkio.throttle.write_iops_device=8:16 6",
    ]
    assert lines(Resources(), asked, V2) == ["pids.max=7", "io.max=8:16 rbps=5", "io.max=8:16 wiops=6"]
    for layout in (V1, V2):
        assert lines(asked, msgspec.structs.replace(asked, pids_limit=-1), layout) == ["pids.max=max"]


amounts = st.sampled_from((0, 6 * MIB, 64 * MIB, 256 * MIB, 1 << 40))
some_resources = st.builds(
    Resources,
    memory=amounts,
    memory_swap=st.one_of(amounts, st.just(-1)),
    memory_reservation=amounts,
    nano_cpus=st.sampled_from((0, 10_000_000, 2_000_000_000)),
    cpu_shares=st.integers(0, 300_000),
    cpuset_cpus=st.sampled_from(("", "0", "0-1")),
    pids_limit=st.sampled_from((0, -1, 5)),
)


@given(some_resources, some_resources, st.sampled_from((V1, V2)))
@settings(max_examples=200)
def test_writes_bring_one_state_to_the_other(before: Resources, after: Resources, layout: Layout) -> None:
    """Memory plus swap is never below memory, and what is asked for is what is written in the end."""
    try:
        limits.check(before, host(layout))
        limits.check(after, host(layout))
    except BoxshipError:
        return
    files = {write.file: write.value for write in limits.writes(Resources(), before, layout, number)}
    for write in limits.writes(before, after, layout, number):
        files[write.file] = write.value
        if not layout.is_v2:
            both = int(files.get("memory.memsw.limit_in_bytes", "-1"))
            memory = int(files.get("memory.limit_in_bytes", "-1"))
            if after.memory and before.memory:
                assert both == -1 or 0 <= memory <= both
    for write in limits.writes(Resources(), after, layout, number):
        assert files[write.file] == write.value


@given(st.text(alphabet="0123456789-, x", max_size=12))
def test_any_set_is_read_or_refused(text: str) -> None:
    try:
        assert all(0 <= each <= 8192 for each in limits.parse_set(text, "cpus"))
    except Invalid:
        return


def test_a_block_weight_is_that_of_the_scheduler(tmp_path: Path) -> None:
    layout = Layout(Version.V2, str(tmp_path), {"io": str(tmp_path)}, str(tmp_path))
    (tmp_path / "c").mkdir()
    cost, bfq = tmp_path / "c/io.weight", tmp_path / "c/io.bfq.weight"
    cost.write_text("default 100\n")
    wanted = limits.writes(Resources(), Resources(blkio_weight=300), layout)
    apply_limits(layout, "/c", wanted)
    assert cost.read_text().startswith("2930")
    bfq.write_text("default 100\n")
    cost.write_text("default 100\n")
    apply_limits(layout, "/c", wanted)
    assert (bfq.read_text()[:3], cost.read_text()) == ("300", "default 100\n")
    bfq.unlink()
    cost.unlink()
    with pytest.raises(Invalid, match=r"cannot set io\.weight to 2930"):
        apply_limits(layout, "/c", wanted)


# --- config.json ---


def test_config_of_both_layouts() -> None:
    asked = Resources(
        memory=64 * MIB,
        memory_reservation=32 * MIB,
        memory_swappiness=0,
        oom_kill_disable=True,
        nano_cpus=500_000_000,
        cpu_shares=1,
        cpuset_cpus="0",
        pids_limit=9,
        blkio_read_bps=(ThrottleRate(DISK, 5),),
    )
    made = limits.to_oci(asked, V1, number)
    assert made["memory"] == {
        "limit": 64 * MIB,
        "reservation": 32 * MIB,
        "swap": 128 * MIB,
        "disableOOMKiller": True,
        "swappiness": 0,
    }
    assert made["cpu"] == {"shares": 2, "quota": 50_000, "period": 100_000, "cpus": "0"}
    assert made["pids"] == {"limit": 9}
    assert made["blockIO"] == {"throttleReadBpsDevice": [{"major": 8, "minor": 16, "rate": 5}]}
    assert "swappiness" not in limits.to_oci(asked, V2, number)["memory"]
    assert limits.to_oci(Resources(), V1, number) == {}
    assert limits.to_oci(Resources(pids_limit=-1), V2, number) == {}
    assert limits.to_oci(Resources(oom_group=True), V2, number) == {"unified": {"memory.oom.group": "1"}}
    assert limits.to_oci(Resources(oom_group=True), V1, number) == {}


# --- readings ---


def test_files_of_both_layouts_are_read() -> None:
    assert stats.flat("nr_periods 5\nbroken\nx y\nthrottled_usec 7\n") == {"nr_periods": 5, "throttled_usec": 7}
    assert [stats.number(text) for text in ("42\n", "max\n", "", "-1")] == [42, 0, 0, 0]
    assert stats.block_v1("8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n") == (
        (8, 0, "Read", 4096),
        (8, 0, "Total", 4096),
    )
    sizes, counts = stats.block_v2("8:16 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n254:0 \n")
    assert sizes[:2] == ((8, 16, "read", 10), (8, 16, "write", 20))
    assert counts[:2] == ((8, 16, "read", 1), (8, 16, "write", 2))
    assert stats.system_time(["cpu 1 2 3 4 5 6 7 8 9 10"]) == 28 * stats.NANOSECOND_TICKS
