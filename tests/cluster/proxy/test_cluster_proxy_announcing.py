"""Which node answers for a load balancer's address: one, the same for all, and another when it is gone."""

import asyncio
import random
from collections import Counter
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxy_kit import Objects, endpoints, service

from boxship.cluster.proxy.announcing import Announcer, balanced, candidate
from boxship.cluster.proxy.electing import Balanced, Candidate, Elections, elected

SEGMENT = IPv4Network("192.168.50.0/24")
ADDRESS = "192.168.50.200"


def nodes(count: int) -> dict[str, Candidate]:
    return {f"n{number}": Candidate(f"192.168.50.{number}", True) for number in range(1, count + 1)}


@given(st.integers(2, 9))
def test_when_a_node_goes_only_its_addresses_move(count: int) -> None:
    every = nodes(count)
    before = {f"192.168.50.{last}": elected(f"192.168.50.{last}", [SEGMENT], every) for last in range(100, 120)}
    gone = {**every, "n1": Candidate("192.168.50.1", False)}
    after = {address: elected(address, [SEGMENT], gone) for address in before}
    assert all(after[address] == name for address, name in before.items() if name != "n1")
    assert "n1" not in after.values() and "" not in after.values()


def test_who_may_answer() -> None:
    every = nodes(3)
    assert elected("10.0.0.1", [SEGMENT], every) == ""
    assert elected("192.168.50.2", [SEGMENT], every) == ""  # a node's own
    assert elected(ADDRESS, [SEGMENT], every, {"n2"}) == "n2"
    assert elected(ADDRESS, [SEGMENT], every, set()) == ""
    far = {"n1": Candidate("10.9.9.9", True), "n2": Candidate("192.168.50.2", True)}
    assert elected(ADDRESS, [SEGMENT], far) == "n2"


def test_what_is_kept_of_nodes_and_services() -> None:
    made: Any = {
        "metadata": {},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
    assert candidate(made) == Candidate("192.0.2.1", True)
    made["metadata"]["labels"] = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
    assert not candidate(made).ready
    spec = {"type": "LoadBalancer", "clusterIP": "10.96.0.9", "ports": [{"port": 80}]}
    lb: Any = {"metadata": {}, "spec": spec, "status": {"loadBalancer": {"ingress": [{"ip": ADDRESS}]}}}
    found = balanced(lb)
    assert found is not None and found.addresses == (ADDRESS,)
    assert balanced({**lb, "spec": {**spec, "loadBalancerClass": "else/where"}}) is None
    assert balanced({**lb, "status": {}}) is None


class Answering:
    """A network that remembers what it answers for."""

    def __init__(self) -> None:
        self.announcements = self
        self.own: set[str] | None = None

    async def segments(self) -> list[IPv4Network]:
        return [SEGMENT]

    async def lead(self, addresses: Any) -> None:
        self.own = set(addresses)

    async def changes(self) -> Any:
        yield
        await asyncio.Event().wait()


async def test_the_announcer_follows_services_and_endpoints() -> None:
    objects, network = Objects(), Answering()

    async def until(wanted: set[str]) -> None:
        async with asyncio.timeout(20):
            while network.own != wanted:
                assert not announcer.done()
                await asyncio.sleep(0.001)

    def node(name: str, last: int, ready: str) -> None:
        status = {
            "addresses": [{"type": "InternalIP", "address": f"192.168.50.{last}"}],
            "conditions": [{"type": "Ready", "status": ready}],
        }
        objects.put("v1/nodes", name, "", status=status)

    def balancer(**more: Any) -> None:
        status = {"loadBalancer": {"ingress": [{"ip": ADDRESS}]}}
        service(objects, "web", "10.96.0.9", type="LoadBalancer", status=status, **more)

    announcer = asyncio.create_task(Announcer(objects, network, "here").run())  # type: ignore[arg-type]
    await until(set())
    assert "v1/nodes" not in objects.watchers
    node("here", 1, "True")
    balancer()
    await until({ADDRESS})
    balancer(externalTrafficPolicy="Local")
    await until(set())
    endpoints(objects, "web", {"addresses": ["10.244.0.2"], "nodeName": "here"})
    await until({ADDRESS})
    node("here", 1, "Unknown")
    await until(set())
    announcer.cancel()
    await asyncio.gather(announcer, return_exceptions=True)


def change(dice: random.Random) -> tuple[str, Any, Any]:
    """What becomes of the world, or how much work is done meanwhile."""
    kind, gone = dice.choice(["node", "service", "slice", "slice", "work"]), dice.random() < 0.2
    names = ["n1", "n2", "n3", "here"]
    if kind == "node":
        address = dice.choice(["192.168.50.1", "192.168.50.2", "192.168.50.3", "10.9.9.9", ADDRESS, ""])
        return kind, dice.choice(names), None if gone else Candidate(address, dice.random() < 0.8)
    if kind == "service":
        addresses = dice.choice([(ADDRESS,), ("192.168.50.9", "10.0.0.1")])
        return kind, dice.choice("ab"), None if gone else Balanced(addresses, dice.random() < 0.7)
    if kind == "slice":
        return kind, (dice.choice("ab"), dice.choice("xy")), [dice.choice(names) for _ in range(dice.randint(0, 2))]
    return kind, dice.randint(0, 9), None


@pytest.mark.parametrize("seed", range(100))
def test_any_changes_elect_whom_a_fresh_look_elects(seed: int) -> None:
    dice, elections = random.Random(seed), Elections("here")
    elections.put_segments([SEGMENT])
    nodes: dict[str, Candidate | None] = {}
    services: dict[str, Balanced | None] = {}
    slices: dict[Any, list[str]] = {}
    running = elections.steps()
    for kind, key, value in (change(dice) for _ in range(40)):
        if kind == "node":
            elections.put_node(key, value)
            nodes[key] = value
        elif kind == "service":
            elections.put_service(("", key), value)
            services[key] = value
        elif kind == "slice":
            elections.put_endpoints(("", key[0]), Counter(slices.get(key, [])), Counter(value))
            slices[key] = value
        else:
            for _ in range(key):  # the others have their turn in between
                if next(running, "ended"):
                    running = elections.steps()
    for _ in (*running, *elections.steps()):
        pass
    wanted = set()
    there = {name: node for name, node in nodes.items() if node is not None}
    for name, one in services.items():
        ends = {node for (of, _), found in slices.items() if of == name for node in found}
        local = ends if one is not None and one.local else None
        addresses = one.addresses if one is not None else ()
        wanted |= {each for each in addresses if elected(each, [SEGMENT], there, local) == "here"}
    assert elections.own == wanted


def test_a_slice_looks_at_its_service_alone() -> None:
    elections = Elections("here")
    elections.put_segments([SEGMENT])
    for number in range(5_000):
        elections.put_node(f"n{number}", Candidate("10.0.0.1", True))
        elections.put_service(("", f"s{number}"), Balanced((ADDRESS,), number == 7))
    elections._dirty.clear()  # what comes next is what counts
    assert not elections.put_endpoints(("", "s1"), Counter(), Counter(["n1"])) and not list(elections.steps())
    assert elections.put_endpoints(("", "s7"), Counter(), Counter(["n1"]))
    assert 5_000 <= len(list(elections.steps())) < 5_010
