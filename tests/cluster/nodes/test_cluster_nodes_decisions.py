"""Decisions about nodes: blocks of addresses, taints, zones, how long pods stay."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.cluster.controllers.nodes.blocks import Blocks
from boxship.cluster.controllers.nodes.evicting import tolerated_for
from boxship.cluster.controllers.nodes.facts import Node, facts_of
from boxship.cluster.controllers.nodes.health import same_taints, taints_of, unknown_conditions
from boxship.cluster.controllers.nodes.zones import Rates, State, Zones, rate_of, state_of
from boxship.cluster.controllers.workloads.pods import TimedToleration
from boxship.errors import Invalid

PREFIX = "node.kubernetes.io/"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=60))
def test_the_lowest_block_that_nobody_has(steps: list[tuple[bool, int]]) -> None:
    blocks = Blocks(ipaddress.ip_network("10.0.0.0/20"), 24)
    taken: list[str] = []
    for takes, which in steps:
        if takes:
            found = blocks.free()
            free = [n for n in range(16) if f"10.0.{n}.0/24" not in taken]
            assert found == (f"10.0.{free[0]}.0/24" if free else None)
            if found is not None:
                blocks.take(found)
                taken.append(found)
        elif taken:
            blocks.release(taken.pop(which % len(taken)))


def test_blocks_that_are_others() -> None:
    blocks = Blocks(ipaddress.ip_network("10.0.0.0/22"), 24)
    blocks.take("10.0.0.0/23")  # larger than ours
    blocks.take("192.168.0.0/24")
    blocks.take("fd00::/64")
    blocks.take("nonsense")
    assert blocks.free() == "10.0.2.0/24"
    blocks.take("10.0.2.128/25")  # smaller
    blocks.take("10.0.2.0/24")
    assert blocks.free() == "10.0.3.0/24"
    blocks.release("10.0.2.0/24")
    assert blocks.free() == "10.0.3.0/24"
    blocks.release("10.0.2.128/25")
    assert blocks.free() == "10.0.2.0/24"
    with pytest.raises(Invalid):
        Blocks(ipaddress.ip_network("10.0.0.0/24"), 16)


@pytest.mark.parametrize(
    ("node", "emptied", "wanted"),
    [
        (Node("n", conditions={"Ready": "True"}), True, set()),
        (Node("n"), True, {"not-ready:NoSchedule"}),
        (Node("n", conditions={"Ready": "False"}), False, {"not-ready:NoSchedule"}),
        (Node("n", conditions={"Ready": "False"}), True, {"not-ready:NoSchedule", "not-ready:NoExecute"}),
        (Node("n", conditions={"Ready": "Unknown"}), True, {"unreachable:NoSchedule", "unreachable:NoExecute"}),
        (
            Node("n", conditions={"Ready": "True", "DiskPressure": "True"}, unschedulable=True),
            True,
            {"disk-pressure:NoSchedule", "unschedulable:NoSchedule"},
        ),
        (Node("n", conditions={"Ready": "True", "DiskPressure": "Unknown"}), True, set()),
    ],
)
def test_taints_by_conditions(node: Node, emptied: bool, wanted: set[str]) -> None:
    made = taints_of(node, emptied, 0.0)
    assert {f"{one['key'].removeprefix(PREFIX)}:{one['effect']}" for one in made} == wanted
    again = Node("n", conditions=node.conditions, unschedulable=node.unschedulable, taints=made)
    assert taints_of(again, emptied, 99.0) == made  # with the times that they had


def test_taints_of_others_stay() -> None:
    theirs = (
        {"key": "gpu", "value": "a", "effect": "NoSchedule"},
        {"key": f"{PREFIX}out-of-service", "effect": "NoExecute"},
    )
    ours = {"key": f"{PREFIX}unreachable", "effect": "NoExecute", "timeAdded": "T"}
    node = Node("n", conditions={"Ready": "True"}, taints=(*theirs, ours))
    assert taints_of(node, True, 0.0) == theirs
    assert not same_taints(taints_of(node, True, 0.0), node.taints)
    assert same_taints(theirs, theirs[::-1])


def test_what_a_silent_node_is_said_to_be() -> None:
    known = [{"type": "Ready", "status": "True", "lastHeartbeatTime": "T"}, {"type": "Custom", "status": "True"}]
    made = {one["type"]: one for one in unknown_conditions(known, "C", 0.0)}
    assert made["Ready"]["reason"] == "NodeStatusUnknown" and made["Ready"]["lastHeartbeatTime"] == "T"
    assert made["PIDPressure"]["reason"] == "NodeStatusNeverUpdated" and made["PIDPressure"]["lastHeartbeatTime"] == "C"
    assert made["Custom"]["status"] == "True"
    assert {one["status"] for type, one in made.items() if type != "Custom"} == {"Unknown"}


@pytest.mark.parametrize(
    ("well", "ill", "state"),
    [
        (0, 0, State.NORMAL),
        (3, 0, State.NORMAL),
        (0, 1, State.FULL),
        (1, 2, State.NORMAL),
        (1, 3, State.PARTIAL),
        (4, 3, State.NORMAL),
        (9, 11, State.PARTIAL),
    ],
)
def test_how_a_zone_is(well: int, ill: int, state: State) -> None:
    assert state_of(well, ill) is state


def test_how_fast_a_zone_is_emptied() -> None:
    assert rate_of(State.NORMAL, 10, Rates()) == rate_of(State.FULL, 10, Rates()) == 0.1
    assert rate_of(State.PARTIAL, 50, Rates()) == 0.0 and rate_of(State.PARTIAL, 51, Rates()) == 0.01


def test_one_node_at_once_and_then_one_every_ten_seconds() -> None:
    now, told = 0.0, []
    zones = Zones(Rates(), lambda: now, lambda: told.append(now))
    nodes = [Node(f"n{n}", zone="a", conditions={"Ready": "True" if n < 6 else "False"}) for n in range(9)]
    for node in nodes:
        zones.see(None, node)
    assert zones.wait(nodes[6]) == 0.0
    assert zones.wait(nodes[7]) == pytest.approx(10.0)
    now = 10.0
    assert zones.wait(nodes[7]) == 0.0
    now = 1000.0
    assert zones.wait(nodes[8]) == 0.0 and zones.wait(nodes[8]) != 0.0  # no more than one is saved up
    assert not zones.is_deaf
    for number in range(6):
        zones.see(nodes[number], Node(f"n{number}", zone="a", conditions={"Ready": "Unknown"}))
    assert zones.is_deaf and zones.wait(nodes[8]) is None and told
    zones.see(None, Node("other", zone="b", conditions={"Ready": "True"}))
    assert not zones.is_deaf  # the zone is wholly ill, but others are heard


counts = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["a", "b"]), st.sampled_from(["True", "False", None])))


@given(counts)
def test_zones_count_right_whatever_happens(steps: list[tuple[int, str, str | None]]) -> None:
    zones = Zones(Rates(), lambda: 0.0, lambda: None)
    known: dict[int, Node] = {}
    for number, zone, ready in steps:
        new = Node(f"n{number}", zone=zone, conditions={"Ready": ready}) if ready else None
        zones.see(known.get(number), new)
        if new is None:
            known.pop(number, None)
        else:
            known[number] = new
        wells = [node.ready == "True" for node in known.values()]
        assert zones.is_deaf is (bool(wells) and not any(wells))
        for name in {node.zone for node in known.values()}:
            here = [node.ready == "True" for node in known.values() if node.zone == name]
            assert zones._zones[name].state is state_of(sum(here), len(here) - sum(here))


def toleration(key: str = "", seconds: int | None = None, operator: str = "Exists", value: str = "") -> TimedToleration:
    return TimedToleration(key, operator, value, "", seconds)


TAINT = {"key": "a", "effect": "NoExecute"}
OTHER = {"key": "b", "value": "5", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("tolerations", "taints", "seconds"),
    [
        ([], [TAINT], 0.0),
        ([toleration("b")], [TAINT], 0.0),
        ([toleration("a")], [TAINT], None),
        ([toleration("a", 30)], [TAINT], 30.0),
        ([toleration("a", -5)], [TAINT], 0.0),
        ([toleration("a", 30), toleration("", 10)], [TAINT], 10.0),
        ([toleration("a", 30), toleration("b", 10)], [TAINT], 30.0),
        ([toleration("a"), toleration("b", 10)], [TAINT, OTHER], 10.0),
        ([toleration("a")], [TAINT, OTHER], 0.0),
        ([toleration("b", None, "Equal", "5")], [OTHER], None),
        ([toleration("b", None, "Equal", "6")], [OTHER], 0.0),
        ([toleration("b", None, "Lt", "6")], [OTHER], None),
        ([toleration("b", None, "Gt", "6")], [OTHER], 0.0),
    ],
)
def test_how_long_a_pod_stays(
    tolerations: list[TimedToleration], taints: list[dict[str, str]], seconds: float | None
) -> None:
    assert tolerated_for(tolerations, taints) == seconds


def test_facts() -> None:
    labels = {"topology.kubernetes.io/zone": "z", "failure-domain.beta.kubernetes.io/region": "r"}
    node = facts_of({"metadata": {"name": "n", "labels": labels}, "spec": {"podCIDR": "10.0.0.0/24"}})
    assert node.zone == "r:z" and node.blocks == ("10.0.0.0/24",) and node.ready == ""
