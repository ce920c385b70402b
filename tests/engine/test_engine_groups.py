"""Service groups and locks: what labels mean, how a member stands, whose connections count, whose turn it is."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxship.engine import groups
from boxship.engine.checking import check_spec
from boxship.engine.locks import Locks, Ticket
from boxship.engine.model import Container, Health, Phase, Process, State
from boxship.errors import Conflict, Exhausted, Invalid
from boxship.network.connections import LISTEN, OPEN, count_open, listening
from boxship.network.groups import Standing
from boxship.spec.container import ContainerSpec, EndpointRequest, PublishedPort
from boxship.spec.duration import SECOND

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on busy machines


def container(labels: dict[str, str], *ports: PublishedPort, **state: object) -> Container:
    return Container(
        id="c" * 64,
        name="c",
        created_at=1,
        image_id="sha256:0",
        image_size=0,
        spec=ContainerSpec(image="x", labels=labels),
        process=Process((), (), "", "", None, None),
        labels=labels,
        exposed_ports=(),
        volumes=(),
        stop_signal="SIGTERM",
        platform="linux/amd64",
        runtime="crun",
        state=State(**state),  # type: ignore[arg-type]
        ports=ports,
    )


def test_labels() -> None:
    assert groups.read_labels({}) == groups.Wish()
    assert groups.read_labels({"boxship.group": "shop/web"}) == groups.Wish("shop/web")
    every = {"boxship.group": "a.b/c_d/E-1", "boxship.drain": "1m30s", "boxship.virtual-address": "the-shop.v2"}
    assert groups.read_labels(every) == groups.Wish("a.b/c_d/E-1", 90 * SECOND, "the-shop.v2")
    assert groups.read_labels({"boxship.group": "a", "boxship.drain": "0"}).drain == 0


WRONG = [
    ({"boxship.drain": "1s"}, "invalid label boxship.drain: it needs the label boxship.group"),
    ({"boxship.virtual-address": "x"}, "invalid label boxship.virtual-address: it needs the label boxship.group"),
    ({"boxship.group": ""}, "invalid label boxship.group: ''"),
    ({"boxship.group": "/a"}, "invalid label boxship.group: '/a'"),
    ({"boxship.group": "a//b"}, "invalid label boxship.group"),
    ({"boxship.group": "a\n"}, "invalid label boxship.group"),
    ({"boxship.group": "a" * 256}, "invalid label boxship.group"),
    ({"boxship.group": "a", "boxship.drain": "soon"}, "invalid label boxship.drain: invalid duration 'soon'"),
    ({"boxship.group": "a", "boxship.drain": "-1s"}, "invalid label boxship.drain: '-1s' is not between 0s and 1h0m0s"),
    ({"boxship.group": "a", "boxship.drain": "61m"}, "invalid label boxship.drain: '61m' is not between"),
    ({"boxship.group": "a", "boxship.virtual-address": "x-"}, "invalid label boxship.virtual-address: 'x-'"),
    ({"boxship.group": "a", "boxship.virtual-address": ""}, "invalid label boxship.virtual-address: ''"),
    ({"boxship.group": "a", "boxship.virtual-address": "x"}, "is on no network that resolves names"),
]


@pytest.mark.parametrize(("labels", "message"), WRONG)
def test_wrong_labels_are_refused_by_name(labels: dict[str, str], message: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_spec(ContainerSpec(image="x", labels=labels), ())
    assert message in str(caught.value)


@UNHURRIED
@given(st.dictionaries(st.sampled_from((groups.GROUP, groups.DRAIN, groups.VIRTUAL_ADDRESS)), st.text(max_size=20)))
def test_any_text_is_taken_or_refused(labels: dict[str, str]) -> None:
    try:
        wish = groups.read_labels(labels)
    except Invalid as error:
        assert str(error).startswith("invalid label boxship.")
    else:
        assert wish.group == labels.get(groups.GROUP, "")


def test_a_virtual_address_needs_a_network_of_names() -> None:
    labels = {"boxship.group": "a", "boxship.virtual-address": "x"}
    check_spec(ContainerSpec(image="x", labels=labels, network_mode="one"), ())
    joined = (EndpointRequest("bridge"), EndpointRequest("one"))
    check_spec(ContainerSpec(image="x", labels=labels, network_mode="bridge", endpoints=joined), ())
    for mode in ("host", "none", "default", "bridge"):
        with pytest.raises(Invalid, match="on no network that resolves names"):
            check_spec(ContainerSpec(image="x", labels=labels, network_mode=mode), ())


def test_how_a_member_stands() -> None:
    labels = {"boxship.group": "a"}

    def stands(**state: object) -> tuple[Standing, str]:
        made = container(labels, **state)
        return groups.standing(made), groups.why_not_ready(made)

    assert stands(phase=Phase.RUNNING) == (Standing.READY, "")
    assert stands(phase=Phase.RUNNING, health=Health("healthy")) == (Standing.READY, "")
    starting = stands(phase=Phase.RUNNING, health=Health("starting"))
    assert starting == (Standing.RUNNING, "its health check has not passed yet")
    assert stands(phase=Phase.RUNNING, health=Health("unhealthy")) == (Standing.RUNNING, "its health check fails")
    assert stands(phase=Phase.RUNNING, opening=True) == (Standing.RUNNING, "nobody listens at its published ports yet")
    assert stands(phase=Phase.PAUSED, health=Health("healthy")) == (Standing.PAUSED, "it is paused")
    assert stands(phase=Phase.RUNNING, leaving=True) == (Standing.LEAVING, "it has been asked to end")
    assert stands(phase=Phase.STOPPING) == (Standing.LEAVING, "it has been asked to end")
    for phase in (Phase.CREATED, Phase.STARTING, Phase.EXITED, Phase.RESTARTING):
        assert stands(phase=phase) == (Standing.LEAVING, "it does not run")


def test_what_a_stop_waits_for() -> None:
    published = (PublishedPort(80, "tcp", "0.0.0.0", 8080), PublishedPort(53, "udp", "0.0.0.0", 53))
    member, virtual = {"boxship.group": "a"}, {"boxship.group": "a", "boxship.virtual-address": "x"}
    assert groups.drain_of(container(member)) == 0
    assert groups.drain_of(container(member, *published)) == groups.drain_of(container(virtual)) == 10 * SECOND
    assert groups.drain_of(container({**member, "boxship.drain": "3s"})) == 3 * SECOND
    assert groups.drain_of(container({**member, "boxship.drain": "0s"}, *published)) == 0
    assert groups.drained_ports(container(member, *published)) == {80}
    assert groups.drained_ports(container(virtual, *published)) is None
    assert groups.drained_ports(container(member)) is None
    assert groups.group_of(container({})) == ""
    assert groups.group_of(container({"boxship.group": "from before it meant something"})) == ""


TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0200000A:0050 0100000A:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0200000A:0050 0100000A:9C41 06 00000000:00000000 00:00000000 00000000     0        0 0 3
   3: 0100007F:0050 0100007F:9C42 01 00000000:00000000 00:00000000 00000000     0        0 3 1
   4: 0200000A:9C43 0900000A:0050 01 00000000:00000000 00:00000000 00000000     0        0 4 1
  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 0000000000000000FFFF00000200000A:1F90 0000000000000000FFFF00000100000A:9C44 08 00000000:00000000
   2: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:9C45 01 00000000:00000000
   3: 00000000000000000000000001000000:1F90 00000000000000000000000001000000:9C46 01 00000000:00000000
"""


def test_open_connections() -> None:
    assert count_open(TABLE, {80}) == 1  # neither the ended one nor that over loopback, nor the container's own
    assert count_open(TABLE, {8080}) == 1
    assert count_open(TABLE, {80, 8080}) == count_open(TABLE, None) == 2
    assert listening(TABLE) == {80, 8080}
    assert listening(TABLE.replace("00000000:0050 0", "0100007F:0050 0")) == {8080}
    assert count_open(TABLE, {443}) == count_open(TABLE, ()) == count_open("", None) == 0


@UNHURRIED
@given(st.text(), st.lists(st.tuples(st.integers(1, 3), st.integers(0, 12))))
def test_any_table_is_read(garbage: str, rows: list[tuple[int, int]]) -> None:
    count_open(garbage, None)
    lines = [f"0: 0200000A:{port:04X} 0100000A:9C40 {state:02X} 0:0" for port, state in rows]
    listening = {port for port, state in rows if state == LISTEN}
    expected = sum(port in listening and state in OPEN for port, state in rows)
    assert count_open("\n".join(lines), None) == expected


# locks


def test_one_holds_and_the_others_wait_in_turn() -> None:
    locks = Locks()
    first = locks.ask("shop", "one", wait=False)
    assert first.held.is_set() and locks.holder("shop") is first
    with pytest.raises(Conflict, match=r"^shop is locked by one since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"):
        locks.ask("shop", "two", wait=False)
    assert locks.ask("other", "two", wait=False).held.is_set()
    second, third = (locks.ask("shop", name, wait=True) for name in ("two", "three"))
    assert not second.held.is_set() and not third.held.is_set()
    locks.leave(second)
    assert locks.holder("shop") is first
    locks.leave(first)
    locks.leave(first)
    assert third.held.is_set() and locks.holder("shop") is third
    locks.leave(third)
    assert locks.holder("shop") is None
    assert locks.ask("shop", "", wait=False).owner == "somebody"


@UNHURRIED
@given(st.lists(st.tuples(st.sampled_from(("ask", "leave")), st.integers(0, 7)), max_size=60))
def test_a_lock_has_one_holder_the_first_who_came(steps: list[tuple[str, int]]) -> None:
    locks = Locks()
    waiting: list[Ticket] = []
    for step, number in steps:
        if step == "ask":
            waiting.append(locks.ask("x", str(number), wait=True))
        elif waiting:
            locks.leave(waiting.pop(number % len(waiting)))
        assert [ticket.held.is_set() for ticket in waiting] == [at == 0 for at in range(len(waiting))]
        assert locks.holder("x") is (waiting[0] if waiting else None)


def test_wrong_names_and_too_many() -> None:
    locks = Locks()
    for name in ("", "a/b", "-a", "a b", "a" * 129, "ä"):
        with pytest.raises(Invalid, match="invalid lock name"):
            locks.ask(name, "x", wait=True)
    for owner in ("a\nb", "x" * 257):
        with pytest.raises(Invalid, match="query parameter owner"):
            locks.ask("a", owner, wait=True)
    for _ in range(256):
        locks.ask("a", "x", wait=True)
    with pytest.raises(Exhausted, match="256 clients wait for it"):
        locks.ask("a", "x", wait=True)
