"""Whom services lead to, as it is in force."""

import asyncio
import os
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.cluster.proxy.facts import EndpointFacts, SliceFacts, slice_facts
from boxship.cluster.proxy.led import Led, pods_led_to
from boxship.main import node_traffic
from boxship.main.node_traffic import NodeTraffic, shares_network

KEY, OTHER = ("default", "web"), ("default", "more")
LABELS = {
    "kubernetes.io/service-name": "web",
    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
}


def test_only_pods_of_this_node_that_stay_count() -> None:
    def endpoint(uid: str, node: str, **conditions: bool) -> dict[str, object]:
        return {
            "addresses": ["10.244.0.2"],
            "nodeName": node,
            "conditions": conditions,
            "targetRef": {"kind": "Pod", "uid": uid},
        }

    found = slice_facts(
        {
            "metadata": {"namespace": "default", "labels": LABELS},
            "addressType": "IPv4",
            "ports": [{"port": 80}],
            "endpoints": [
                endpoint("here", "node", ready=True),
                endpoint("elsewhere", "other", ready=True),
                endpoint("unready", "node", ready=False),
                endpoint("leaving", "node", ready=False, serving=True, terminating=True),
                endpoint("published", "node", ready=True, terminating=True),
                {"addresses": ["10.244.0.3"]},
            ],
        },
        "node",
    )
    assert found is not None
    assert pods_led_to([found]) == {"here"}
    assert pods_led_to([SliceFacts(KEY, {}, (EndpointFacts("10.244.0.2"),))]) == frozenset()


pods = st.frozensets(st.sampled_from("abcd"))
words = st.lists(st.tuples(st.booleans(), st.dictionaries(st.sampled_from((KEY, OTHER)), pods)))


@given(words)
def test_it_knows_what_it_was_told_last(told: Sequence[tuple[bool, dict[tuple[str, str], frozenset[str]]]]) -> None:
    led, services = Led(), dict[tuple[str, str], frozenset[str]]()
    for all, changed in told:
        if all:
            services = dict(changed)
            led.told_all(changed)
        else:
            services |= changed
            led.told(changed)
        assert {pod for pod in "abcd" if led.leads_to(pod)} == set().union(*services.values())


class Connections:
    """Stands for the network room: how many connections are found open at each look."""

    def __init__(self, *counts: int) -> None:
        self.counts = list(counts)

    async def open_connections(self, pid: int, ports: object) -> int:
        return self.counts.pop(0) if self.counts else 0


@pytest.fixture(autouse=True)
def _networks_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_traffic, "shares_network", lambda pid: pid == os.getpid())


async def test_nobody_counts_the_connections_of_the_machine() -> None:
    led, connections = Led(), Connections(1)
    led.told_all({KEY: frozenset("a")})
    waiting = asyncio.create_task(
        NodeTraffic(led, connections).left("a", [os.getpid()], 30.0)  # type: ignore[arg-type]
    )
    await asyncio.sleep(0)
    led.told_all({})
    await waiting
    assert connections.counts == [1]


def test_who_shares_the_machines_network() -> None:
    assert shares_network(os.getpid()) and shares_network(1 << 30)


async def test_a_pod_ends_when_nobody_is_led_to_it_and_all_have_their_answers() -> None:
    led, connections = Led(), Connections(2, 1)
    led.told_all({})
    traffic = NodeTraffic(led, connections)  # type: ignore[arg-type]
    await traffic.left("a", [1], 30.0)
    assert connections.counts, "nobody was ever led to it"
    led.told({KEY: frozenset("ab"), OTHER: frozenset("a")})
    waiting = asyncio.create_task(traffic.left("a", [1], 30.0))
    await asyncio.sleep(0)
    led.told({KEY: frozenset("b")})
    await asyncio.sleep(0)
    assert not waiting.done() and len(connections.counts) == 2
    led.told({OTHER: frozenset()})
    await waiting
    assert not connections.counts


async def test_after_a_restart_it_is_first_heard_who_is_led_to() -> None:
    led, connections = Led(), Connections(1)
    traffic = NodeTraffic(led, connections)  # type: ignore[arg-type]
    waiting = asyncio.create_task(traffic.left("a", [1], 30.0))
    await asyncio.sleep(0)
    led.told_all({KEY: frozenset("a")})
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done() and connections.counts
    led.told({KEY: frozenset()})
    await waiting
    assert not connections.counts
    await NodeTraffic(Led(), connections).left("a", [1], 0.02)  # type: ignore[arg-type]


async def test_it_is_not_waited_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_traffic, "LONGEST_ANSWER", 0.02)
    led, connections = Led(), Connections(*[1] * 1000)
    traffic = NodeTraffic(led, connections)  # type: ignore[arg-type]
    led.told_all({KEY: frozenset("ab")})
    await traffic.left("a", [1], 0.02)
    assert led.leads_to("a") and len(connections.counts) == 1000, "the first wait was given up, and what follows it"
    waiting = asyncio.create_task(traffic.left("b", [1], 30.0))
    await asyncio.sleep(0)
    led.told_all({})
    await waiting
    assert 900 < len(connections.counts) < 1000, "connections stay"
