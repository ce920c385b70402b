"""The engine's words as the agent hears them; pure."""

import os
from pathlib import Path

import pytest

from boxship.cluster.node import engine_status as words
from boxship.cluster.node import log_links
from boxship.cluster.node.engine_usage import used
from boxship.cluster.node.runtime import CREATED, EXITED, RUNNING, ContainerRequest
from boxship.engine.model import Container, Event, Phase, Process, State
from boxship.engine.pods_records import Pod, PodPhase
from boxship.engine.pods_usage import ContainerUse, PodUse
from boxship.engine.values import GroupSample, MachineSample
from boxship.spec.container import ContainerSpec, LogPolicy, Resources, RestartPolicy
from boxship.spec.pod import PodSpec

LABELS = {
    words.POD_UID: "u1",
    words.CONTAINER_NAME: "main",
    words.ATTEMPT: "3",
    words.HASH: "h",
    words.IMAGE: "web:1",
}


def container(phase: Phase, **state: object) -> Container:
    return Container(
        id="c" * 64,
        name="k8s_x",
        created_at=5,
        image_id="sha256:1",
        image_size=0,
        spec=ContainerSpec(image="sha256:1"),
        process=Process((), (), "", "", None, None),
        labels=LABELS,
        exposed_ports=(),
        volumes=(),
        stop_signal="SIGTERM",
        platform="linux/amd64",
        runtime="crun",
        state=State(phase=phase, **state),  # type: ignore[arg-type]
    )


PHASES = [
    (Phase.CREATING, CREATED),
    (Phase.CREATED, CREATED),
    (Phase.STARTING, CREATED),
    (Phase.RUNNING, RUNNING),
    (Phase.PAUSED, RUNNING),
    (Phase.STOPPING, RUNNING),
    (Phase.EXITED, EXITED),
    (Phase.REMOVING, EXITED),
    (Phase.DEAD, EXITED),
]


@pytest.mark.parametrize(("phase", "heard"), PHASES)
def test_phases(phase: Phase, heard: str) -> None:
    status = words.container_status(container(phase))
    assert (status.phase, status.uid, status.name, status.attempt) == (heard, "u1", "main", 3)
    assert (status.hash, status.image, status.image_id) == ("h", "web:1", "sha256:1")


def test_why_it_ended() -> None:
    def told(**state: object) -> tuple[str, str, int]:
        status = words.container_status(container(Phase.EXITED, started_at=7, finished_at=9, **state))
        return status.reason, status.message, status.exit_code

    assert told() == ("Completed", "", 0)
    assert told(exit_code=3) == ("Error", "", 3)
    assert told(exit_code=137, oom_killed=True) == ("OOMKilled", "", 137)
    failed = words.container_status(container(Phase.CREATED, exit_code=127, error="no such file"))
    assert (failed.phase, failed.reason, failed.message, failed.finished_at) == (
        EXITED,
        "StartError",
        "no such file",
        5,
    )
    quick = words.container_status(container(Phase.EXITED, started_at=9, finished_at=7))
    assert quick.started_at <= quick.finished_at
    assert words.container_status(container(Phase.RUNNING, started_at=9, finished_at=7)).finished_at == 0


def asked(spec: ContainerSpec, **pod: object) -> ContainerSpec:
    shared = Pod(
        id="p",
        spec=PodSpec(uid="u1", namespace="ns", name="web-1", cgroup="a/b", **pod),  # type: ignore[arg-type]
        created_at=1,
        phase=PodPhase.READY,
    )
    wanted = ContainerRequest(uid="u1", name="main", attempt=2, hash="h", spec=spec)
    where = words.location_of(shared, wanted)
    assert where.container_name == "k8s_main_web-1_ns_u1_2"
    return words.spec_of(shared, wanted, spec, where, Path("/logs"))


def test_what_a_pod_decides() -> None:
    plain = ContainerSpec(image="web:1", labels={"own": "1"}, restart=RestartPolicy("always"), auto_remove=True)
    made = asked(plain, hostname="web")
    assert made.network_mode == made.ipc_mode == "pod:u1" and made.pid_mode == "" and made.uts_mode == ""
    assert made.hostname == "web" and made.cgroup_parent == "a/b" and made.labels["own"] == "1"
    assert made.labels[words.POD_NAMESPACE] == "ns" and made.labels[words.POD_NAME] == "web-1"
    assert made.log_path == "/logs/ns_web-1_u1/main/2.log" and made.log.options["max-file"] == "5"
    assert made.restart.name == "no" and not made.auto_remove
    host = asked(plain, host_network=True, host_pid=True, host_ipc=True)
    assert (host.uts_mode, host.hostname, host.pid_mode, host.ipc_mode) == ("host", "", "host", "host")
    assert asked(plain, share_processes=True).pid_mode == "pod:u1"
    own = ContainerSpec(image="x", pid_mode="container:y", log=LogPolicy("none"), runtime="runc")
    assert asked(own, share_processes=True, runtime="crun").pid_mode == "container:y"
    assert asked(own, runtime="crun").runtime == "runc" and asked(plain, runtime="crun").runtime == "crun"
    assert asked(own).log.driver == "none"


def test_the_longest_names_fit() -> None:
    pod = Pod(id="p", spec=PodSpec(uid="u" * 36, namespace="n" * 63, name="p" * 253), created_at=1)
    wanted = ContainerRequest(uid="u" * 36, name="c" * 63, attempt=1_000_000, spec=ContainerSpec(image="x"))
    where = words.location_of(pod, wanted)
    assert len(where.container_name) <= 255 and where.container_name.endswith(f"_{'n' * 63}_{'u' * 36}_1000000")
    assert len(where.log.split("/")[0]) <= 255 and where.log.split("/")[0].endswith("_" + "u" * 36)


def test_what_is_news() -> None:
    def event(kind: str, action: str, **attributes: str) -> Event:
        return Event(kind, action, "x", attributes, 1)

    mine = {words.POD_UID: "u"}
    assert words.is_news(event("container", "die", **mine)) and words.is_news(event("pod", "destroy", uid="u"))
    assert not words.is_news(event("container", "die"))
    assert not words.is_news(event("container", "exec_start: ls", **mine))
    assert not words.is_news(event("image", "pull", **mine))


def test_changed_fields() -> None:
    before, after = Resources(memory=1, cpu_shares=2), Resources(memory=3, cpu_shares=2)
    assert words.changed_fields(before, after) == {"memory": 3}


def test_usage() -> None:
    machine = MachineSample(
        time=1,
        cpu=2,
        memory=100,
        memory_available=60,
        memory_used=70,
        processes=5,
        processes_limit=99,
        disk=1000,
        disk_available=400,
        inodes=50,
        inodes_free=20,
        received=7,
        sent=8,
    )
    group = GroupSample(cpu=10, memory=20, working_set=15, rss=12, processes=2)
    pods = [PodUse("u1", group, 3, 4, (ContainerUse("c1", group, 100, 11),))]
    whole, (pod,) = used(machine, pods, {"c1": "main"})
    assert (whole.machine.working_set, whole.machine.disk, whole.machine.inodes) == (40, 600, 30)
    assert (pod.uid, pod.pod.received, pod.pod.sent, pod.pod.disk) == ("u1", 3, 4, 111)
    assert pod.containers["main"].working_set == 15 and pod.containers["main"].disk == 111


def test_links_to_logs(tmp_path: Path) -> None:
    """As log shippers know them; a pod of the same name keeps its own."""
    links = tmp_path / "links"
    first, second = (tmp_path / f"shop_web-0_{uid}/main/0.log" for uid in ("u1", "u2"))
    for log, identifier in ((first, "a1"), (first.with_name("1.log"), "a2"), (second, "b1"), (second, "b1")):
        log_links.link(links, str(log), identifier)
    assert os.readlink(links / "web-0_shop_main-a2.log") == "/var/log/pods/shop_web-0_u1/main/1.log"
    log_links.unlink(links, str(first), "a1")
    log_links.unlink(links, str(first), "a1")
    assert sorted(path.name for path in links.iterdir()) == ["web-0_shop_main-a2.log", "web-0_shop_main-b1.log"]
    log_links.unlink_pod(links, "shop_web-0_u1")
    assert [path.name for path in links.iterdir()] == ["web-0_shop_main-b1.log"]
    assert len(log_links.link_name(tmp_path / f"n_{'p' * 200}_u/c/0.log", "i" * 64)) == 255
    for odd in ("", "x", "a_b_c_d"):  # folders that somebody else has made
        log_links.unlink_pod(links, odd)
    blocked = tmp_path / "file"
    blocked.touch()
    log_links.link(blocked / "links", str(first), "a1")  # a container runs without a link rather than not at all
    log_links.unlink(blocked / "links", str(first), "a1")
