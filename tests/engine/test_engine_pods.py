"""What pods decide without a machine: texts, limits that are lifted, settings that are refused, what records say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.engine.accounting import name_of
from boxship.engine.checking import check_spec
from boxship.engine.model import ProcessHandle
from boxship.engine.placing import is_shared, joins
from boxship.engine.pods_parts import resolv_conf
from boxship.engine.pods_records import Pod, PodPhase, PodRecords
from boxship.errors import Conflict, Invalid, NotFound
from boxship.runtime import limits, machine, sharing
from boxship.spec.attachment import Endpoint
from boxship.spec.container import ContainerSpec, Resources
from boxship.spec.pod import PodSpec
from boxship.sys.cgroup import Layout, Version

V1 = Layout(Version.V1, "/c", {name: f"/c/{name}" for name in ("cpu", "memory", "pids", "cpuset", "blkio")})
V2 = Layout(Version.V2, "/c", dict.fromkeys(("cpu", "memory", "pids", "cpuset", "io"), "/c"))


def spec(**changes: object) -> PodSpec:
    return PodSpec(uid="u", namespace="default", name="p", **changes)  # type: ignore[arg-type]


def test_resolv_conf_is_exactly_what_was_asked_for() -> None:
    text = resolv_conf(spec(dns=("10.96.0.10", "1.1.1.1"), dns_search=("a.svc", "svc"), dns_options=("ndots:5",)))
    assert text == "search a.svc svc\nnameserver 10.96.0.10\nnameserver 1.1.1.1\noptions ndots:5\n"
    assert resolv_conf(spec(dns=("1.1.1.1",))) == "nameserver 1.1.1.1\n"
    assert resolv_conf(spec()) == ""


GOOD = [
    "net.core.somaxconn",
    "net/ipv4/ip_forward",
    "kernel.shmmax",
    "kernel.msgmnb",
    "fs.mqueue.msg_max",
    "kernel.sem",
]
BAD = ["vm.swappiness", "kernel.pid_max", "kernel.hostname", "fs.file-max", "kernel.shmmaxx", "network.x", ""]


def test_only_settings_of_own_namespaces() -> None:
    sharing.check_settings(dict.fromkeys(GOOD, "1"), network=True, ipc=True)
    for name in BAD:
        with pytest.raises(Invalid, match="not of a namespace"):
            sharing.check_settings({name: "1"}, network=True, ipc=True)
    for name in GOOD:
        shared = name.startswith("net")
        with pytest.raises(Invalid):
            sharing.check_settings({name: "1"}, network=not shared, ipc=shared)


def test_modes_of_pods() -> None:
    asked = ContainerSpec(image="x", network_mode="pod:u", ipc_mode="pod:u", pid_mode="pod:u")
    check_spec(asked, ())
    assert joins(asked) == () and is_shared("pod:u") and is_shared("container:x") and not is_shared("podman")
    with pytest.raises(Invalid, match="log path"):
        check_spec(ContainerSpec(image="x", log_path="relative.log"), ())


async def test_records_say_who_may_join() -> None:
    records = PodRecords(None, None)  # type: ignore[arg-type]
    pod = Pod(id="i", spec=spec(), created_at=1)
    records._by_uid["u"] = pod
    with pytest.raises(Conflict, match="creating"):
        records.ready("pod:u")
    with pytest.raises(Conflict, match="gone"):
        records.ready("pod:other")
    with pytest.raises(NotFound):
        records.get("other")
    ended = Pod(
        id="i",
        spec=spec(),
        created_at=1,
        phase=PodPhase.READY,
        ipc_namespace="/i",
        holder=ProcessHandle(7, 1),
        endpoints=(Endpoint("n", "pods", "e", ipv4_address="10.0.0.2"), Endpoint("n", "pods", "e")),
    )
    records._by_uid["u"] = ended
    assert records.ready("pod:u") is ended and records.find("u") is ended
    assert ended.namespace("ipc") == "/i" and ended.namespace("pid") == "/proc/7/ns/pid"
    assert ended.addresses == ("10.0.0.2",) and pod.namespace("pid") == ""


amounts = st.builds(
    Resources,
    memory=st.sampled_from((0, 64 << 20, 96 << 20)),
    cpu_quota=st.sampled_from((0, 5000, 20000)),
    cpu_shares=st.sampled_from((0, 2, 512)),
    pids_limit=st.sampled_from((0, 10, 20)),
)


@given(amounts, amounts)
def test_a_change_of_limits_leaves_those_that_were_asked_for(before: Resources, after: Resources) -> None:
    """The files of a v1 cgroup after a change say the same as those of a new one, or that nothing is limited."""
    files = {write.file: write.value for write in limits.writes(Resources(), before, V1)}
    changed = sharing.lifted(before, after)
    order = [write.file for write in limits.writes(before, changed, V1)]
    files |= {write.file: write.value for write in limits.writes(before, changed, V1)}
    wanted = {write.file: write.value for write in limits.writes(Resources(), after, V1)}
    for name, value in files.items():
        if name in ("cpu.cfs_period_us", "cpu.shares"):
            continue
        assert value == wanted.get(name, value if value in ("-1", "max") else "none"), name
    if {"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"} <= set(order):
        raised = after.memory > before.memory or not after.memory
        first = "memory.memsw.limit_in_bytes" if raised and before.memory else "memory.limit_in_bytes"
        assert min(order, key=lambda name: (not name.startswith("memory"), order.index(name))) == first
    lifted_v2 = {write.file: write.value for write in limits.writes(before, changed, V2)}
    assert "-1" not in lifted_v2.values()


def test_what_the_kernel_tells_of_the_machine() -> None:
    assert machine._meminfo("MemTotal:  100 kB\nMemAvailable: 40 kB\nHugePages_Total: 3\nodd\n") == {
        "MemTotal": 102400,
        "MemAvailable": 40960,
        "HugePages_Total": 3072,
    }
    assert machine._processes("0.1 0.2 0.3 2/345 6789\n") == 345 and machine._processes("") == 0
    text = "h\nh\n  lo: 1 0 0 0 0 0 0 0 1\n eth0: 10 0 0 0 0 0 0 0 20 0\n eth1: 5 0 0 0 0 0 0 0 6 0\n"
    assert machine._network(text) == (15, 26)
    assert machine._busy("cpu 100 0 50 1000 10 0 0 0 0 0\n") == 150 * 1_000_000_000 // machine.TICKS
    assert machine._busy("") == 0


def test_every_folder_of_pods_has_an_account() -> None:
    for path in ("pods/logs", "pods/sandboxes", "pods/1234", "pods/memory"):
        assert name_of(path, {})[0].startswith("pods: ")
    for path in ("local-volumes", "node", "seccomp"):
        assert not name_of(path, {})[0].startswith("other")
