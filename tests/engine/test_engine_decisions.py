"""The engine's pure decisions: moves, merging, restarts, health, names, placing, mounts."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.engine import merging, mounting, placing, restarts, states
from boxship.engine.health import after_probe, next_wait, probe_command
from boxship.engine.model import Container, Health, Phase, ProbeResult, Process, State
from boxship.engine.names import check_name, made_up_name, new_id
from boxship.errors import Conflict, Invalid
from boxship.spec.container import (
    SECOND,
    ContainerSpec,
    EndpointRequest,
    HealthCheck,
    MountRequest,
    PortRequest,
    RestartPolicy,
)
from boxship.spec.image import ExecutionConfig, ImageHealthCheck
from boxship.spec.signals import signal_number


def container(phase: Phase = Phase.CREATED, **spec: object) -> Container:
    return Container(
        id="c" * 64,
        name="box",
        created_at=1,
        image_id="sha256:" + "0" * 64,
        image_size=0,
        spec=ContainerSpec(image="busybox", **spec),
        process=Process(("sh",), (), "", "", None, ("sh",)),
        labels={},
        exposed_ports=("80/tcp", "53/udp"),
        volumes=(),
        stop_signal="SIGTERM",
        platform="linux/amd64",
        runtime="crun",
        state=State(phase=phase),
    )


@given(st.sampled_from(Phase), st.sampled_from(Phase))
def test_only_moves_of_the_table_are_made(before: Phase, after: Phase) -> None:
    box = container(before)
    if after is before or after in states.MOVES[before]:
        assert states.move(box, after).state.phase is after
    else:
        with pytest.raises(Conflict):
            states.move(box, after)


def test_every_phase_can_be_left_and_drawn() -> None:
    assert set(states.MOVES) == set(Phase)
    assert all(phase.value in states.diagram() for phase in Phase)


def test_records_survive_the_store() -> None:
    box = container(ports=(PortRequest(80, "tcp", "", "8080"),), mounts=(MountRequest("tmpfs", "/x"),))
    assert msgspec.json.decode(msgspec.json.encode(box), type=Container) == box


@pytest.mark.parametrize(
    ("name", "retries", "code", "count", "stopped", "wanted"),
    [
        ("no", 0, 1, 0, False, False),
        ("always", 0, 0, 99, False, True),
        ("always", 0, 0, 0, True, False),
        ("unless-stopped", 0, 1, 0, False, True),
        ("on-failure", 0, 0, 0, False, False),
        ("on-failure", 2, 1, 1, False, True),
        ("on-failure", 2, 1, 2, False, False),
    ],
)
def test_restart_policies(name: str, retries: int, code: int, count: int, stopped: bool, wanted: bool) -> None:
    assert restarts.wants_restart(RestartPolicy(name, retries), code, count, stopped) is wanted


def test_restart_delays_double_up_to_a_minute_and_begin_anew() -> None:
    delays, delay = [], 0
    for _ in range(12):
        delay = restarts.next_delay(delay, 0)
        delays.append(delay)
    assert delays[:4] == [SECOND // 10, SECOND // 5, 2 * SECOND // 5, 4 * SECOND // 5]
    assert delays[-1] == 60 * SECOND
    assert restarts.next_delay(delay, 10 * SECOND) == SECOND // 10


def test_the_users_variables_win_and_a_bare_name_takes_away() -> None:
    merged = merging.merge_environment(("A=1", "B"), ("A=0", "B=2", "C=3"))
    assert merged == ("A=1", "C=3")


IMAGE = ExecutionConfig(Entrypoint=("/entry",), Cmd=("serve",), WorkingDir="/srv", User="web")


@pytest.mark.parametrize(
    ("entrypoint", "command", "arguments"),
    [
        (None, None, ("/entry", "serve")),
        (None, ("x",), ("/entry", "x")),
        (("/mine",), None, ("/mine",)),
        (("/mine",), ("x",), ("/mine", "x")),
        (("",), ("x",), ("x",)),
    ],
)
def test_entrypoint_and_command(
    entrypoint: tuple[str, ...] | None, command: tuple[str, ...] | None, arguments: tuple[str, ...]
) -> None:
    spec = ContainerSpec(image="i", entrypoint=entrypoint, command=command)
    process = merging.merge_process(spec, IMAGE)
    assert process.arguments == arguments
    assert (process.working_directory, process.user) == ("/srv", "web")


def test_nothing_to_run_is_refused() -> None:
    with pytest.raises(Invalid, match="no command specified"):
        merging.merge_process(ContainerSpec(image="i"), ExecutionConfig())


def test_health_checks_merge_field_by_field() -> None:
    image = ExecutionConfig(Healthcheck=ImageHealthCheck(Test=("CMD", "x"), Interval=5, Retries=2))
    merged = merging.merge_health(ContainerSpec(image="i", health=HealthCheck(interval=7)), image)
    assert merged == HealthCheck(test=("CMD", "x"), interval=7, retries=2)


def probe(code: int) -> ProbeResult:
    return ProbeResult(0, 1, code, "")


def test_health_turns_after_retries_and_back_at_once() -> None:
    check = HealthCheck(test=("CMD", "x"), retries=2)
    health = after_probe(Health(), probe(1), check, 100 * SECOND)
    assert (health.status, health.failing_streak) == ("starting", 1)
    health = after_probe(health, probe(1), check, 100 * SECOND)
    assert health.status == "unhealthy"
    health = after_probe(health, probe(0), check, 100 * SECOND)
    assert (health.status, health.failing_streak) == ("healthy", 0)


def test_failures_in_the_start_period_do_not_count() -> None:
    check = HealthCheck(test=("CMD", "x"), retries=1, start_period=10 * SECOND, start_interval=SECOND)
    health = after_probe(Health(), probe(1), check, 5 * SECOND)
    assert (health.status, health.failing_streak) == ("starting", 0)
    assert next_wait(health, check, 5 * SECOND) == SECOND
    assert after_probe(health, probe(1), check, 11 * SECOND).status == "unhealthy"


@given(st.lists(st.integers(0, 1), max_size=30))
def test_only_the_last_five_probes_are_kept(codes: list[int]) -> None:
    health = Health()
    for code in codes:
        health = after_probe(health, probe(code), HealthCheck(test=("CMD", "x")), 0)
    assert [p.exit_code for p in health.probes] == codes[-5:]


def test_probe_commands() -> None:
    assert probe_command(HealthCheck(test=("CMD-SHELL", "a b")), ()) == ("/bin/sh", "-c", "a b")
    assert probe_command(HealthCheck(test=("NONE",)), ()) == ()


@given(st.text())
def test_names_are_safe_or_refused(text: str) -> None:
    try:
        name = check_name(text)
    except Invalid:
        return
    assert "/" not in name
    assert name not in (".", "..")
    assert name[0].isalnum()


def test_made_up_names_are_valid_and_free() -> None:
    taken: set[str] = set()
    for _ in range(2000):
        name = made_up_name(taken.__contains__)
        assert check_name(name) == name
        assert name not in taken
        taken.add(name)


def test_ids_are_no_numbers() -> None:
    assert all(not new_id()[:12].isdecimal() for _ in range(100))


@pytest.mark.parametrize(("text", "number"), [("SIGTERM", 15), ("kill", 9), ("1", 1), ("RTMIN+1", 35)])
def test_signals(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize("text", ["", "SIGNOPE", "0", "99", "-1", "²"])
def test_wrong_signals(text: str) -> None:
    with pytest.raises(Invalid):
        signal_number(text)


def test_the_modes_network_comes_first() -> None:
    spec = ContainerSpec(
        image="i", network_mode="a", endpoints=(EndpointRequest("b"), EndpointRequest("a", aliases=("x",)))
    )
    assert [request.network for request in placing.joins(spec)] == ["a", "b"]
    assert placing.joins(spec)[0].aliases == ("x",)
    assert placing.joins(ContainerSpec(image="i", network_mode="none")) == ()
    assert placing.joins(ContainerSpec(image="i"))[0].network == "bridge"
    linked = msgspec.structs.replace(spec, links=("db:store", "x"), mac_address="02:42:ac:11:65:43")
    assert placing.joins(linked)[0].links == ("db:store", "x") and placing.joins(linked)[1].links == ()
    assert placing.joins(linked)[0].mac_address == "02:42:ac:11:65:43"
    parted = msgspec.structs.replace(linked, endpoints=(EndpointRequest("b"),), endpoints_only=True)
    assert placing.joins(parted) == (EndpointRequest("b"),)
    again = msgspec.structs.replace(parted, endpoints=(EndpointRequest("b"), EndpointRequest("a")))
    assert placing.joins(again) == (EndpointRequest("a", mac_address="02:42:ac:11:65:43"), EndpointRequest("b"))


def test_publish_all_adds_the_exposed_ports_that_were_not_asked_for() -> None:
    box = container(ports=(PortRequest(80, "tcp", "", "8080"),), publish_all=True)
    assert placing.ports_wanted(box) == (PortRequest(80, "tcp", "", "8080"), PortRequest(53, "udp"))


def test_a_users_mount_hides_the_images_volume() -> None:
    spec = ContainerSpec(image="i", mounts=(MountRequest("tmpfs", "/data/"),))
    assert [m.kind for m in mounting.requested_mounts(spec, ("/data", "/other"))] == ["tmpfs", "volume"]


@pytest.mark.parametrize("target", ["relative", "/", "/proc", "/x/.."])
def test_wrong_targets(target: str) -> None:
    with pytest.raises(Invalid):
        mounting.check_target(target)


def test_the_same_target_twice() -> None:
    spec = ContainerSpec(image="i", mounts=(MountRequest("tmpfs", "/a"), MountRequest("tmpfs", "/a/")))
    with pytest.raises(Invalid, match="Duplicate mount point: /a"):
        mounting.requested_mounts(spec, ())
