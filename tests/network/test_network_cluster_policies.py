"""Network policies in the kernel, with real packets: who reaches a pod that walls surround, and whom it reaches."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from network_traffic import inside, serve
from policies_kit import State, lead

from boxship.network import policies_rules as rules
from boxship.network.cluster import ClusterNetwork
from boxship.network.networks import Networks
from boxship.network.policies_rules import Block, Change, Match, Ports, Wall
from boxship.network.policies_standing import Standing
from boxship.network.services_rules import Frontend
from boxship.spec.attachment import Attachment
from boxship.spec.container import EndpointRequest, NetworkSpec

A, B, C = "a" * 64, "b" * 64, "c" * 64
HOST, OUTSIDE = "198.51.100.2", "198.51.100.1"
SERVICE = "10.96.0.80"
EVERYTHING = Match(anybody=True, anything=True)


async def pod(networks: Networks, container_id: str) -> Attachment:
    return await networks.attach(container_id, container_id[0], requests=(EndpointRequest("pods"),))


async def reaches(where: Any, target: str, port: int = 80) -> bool:
    """Whether a connection comes about; the kernel answers for a busy server."""

    def connect() -> bool:
        try:
            socket.create_connection((target, port), timeout=0.4).close()
        except TimeoutError:
            return False
        return True

    return bool(await inside(where, connect))


async def those_that_reach(**tries: Coroutine[Any, Any, bool]) -> str:
    """The letters of those that came through, all tried at once."""
    found = await asyncio.gather(*tries.values())
    return "".join(letter for letter, yes in zip(tries, found, strict=True) if yes)


async def come_through(reached: Callable[[], Awaitable[str]], wanted: str) -> None:
    """These come through, and nobody else ever; what a busy machine was too slow for is tried again."""
    found = ""
    for _ in range(5):
        found = await reached()
        if set(found) >= set(wanted):
            break
    assert found == wanted


async def test_who_reaches_a_pod_behind_walls(networks: Networks, machine: Any, cluster: ClusterNetwork) -> None:
    await networks.create(NetworkSpec(name="compose"))
    a, b = await pod(networks, A), await pod(networks, B)
    c = await networks.attach(C, "c", requests=(EndpointRequest("compose"),))
    own, other = a.endpoints[0].ipv4_address, b.endpoints[0].ipv4_address
    compose = c.endpoints[0].ipv4_address
    await cluster.services.replace([Frontend(SERVICE, "tcp", 80, (f"{own} . 80",))])

    async def reached() -> str:
        """Which of: the other pod, the other pod by a service, the Compose container, the host, itself by a service."""
        return await those_that_reach(
            o=reaches(b.namespace, own),
            s=reaches(b.namespace, SERVICE),
            c=reaches(c.namespace, own),
            h=reaches(None, own),
            i=reaches(a.namespace, SERVICE),
            p=reaches(b.namespace, own, 81),
        )

    def walls(*matches: Match) -> dict[str, tuple[Wall, ...]]:
        return {own: (Wall("one", matches),)}

    async with serve(a.namespace, "tcp", "0.0.0.0", 80, "a"), serve(a.namespace, "tcp", "0.0.0.0", 81, "a"):
        await come_through(reached, "oschip")
        await lead(cluster, State(walls()))
        await come_through(reached, "hi")
        groups = {"friends": frozenset({"10.9.9.9"})}
        friends = Match(groups=("friends",), ports=(Ports("tcp", 80), Ports("tcp", 70, 80), Ports("udp")))
        await lead(cluster, State(walls(friends), groups=groups))
        await come_through(reached, "hi")
        await lead(cluster, State(walls(friends), groups={"friends": frozenset({other, "10.9.9.9"})}))
        await come_through(reached, "oshi")
        blocks = Match(blocks=(Block("10.0.0.0/8", (f"{other}/32",)), Block("192.0.2.0/24")), anything=True)
        await lead(cluster, State(walls(blocks)))
        assert compose.startswith("10.")
        await come_through(reached, "chi")
        sockets = {"web/tcp": frozenset({f"{own} . tcp . 81"})}
        named = Match(anybody=True, sockets=("web/tcp",))
        await lead(cluster, State(walls(named), sockets=sockets))
        await come_through(reached, "hip")
        two = {own: (Wall("one", (named,)), Wall("two", (EVERYTHING,)))}
        await lead(cluster, State(two, sockets=sockets))
        await come_through(reached, "oschip")
        await lead(cluster, State())
        await come_through(reached, "oschip")


async def test_whom_a_pod_behind_walls_reaches(networks: Networks, machine: Any, cluster: ClusterNetwork) -> None:
    a, b = await pod(networks, A), await pod(networks, B)
    own, other = a.endpoints[0].ipv4_address, b.endpoints[0].ipv4_address
    await cluster.services.replace([Frontend(SERVICE, "tcp", 80, (f"{other} . 80",))])

    async def reached() -> str:
        return await those_that_reach(
            o=reaches(a.namespace, other),
            s=reaches(a.namespace, SERVICE),
            w=reaches(a.namespace, OUTSIDE),
            h=reaches(a.namespace, HOST),
            b=reaches(b.namespace, own),  # what it answers is not what it asks
        )

    async with (
        serve(a.namespace, "tcp", "0.0.0.0", 80, "a"),
        serve(b.namespace, "tcp", "0.0.0.0", 80, "b"),
        serve(machine.outside, "tcp", "0.0.0.0", 80, "outside"),
        serve(None, "tcp", "0.0.0.0", 80, "host"),
    ):
        await lead(cluster, State(outgoing={own: (Wall("none", ()),)}))
        await come_through(reached, "hb")
        outside = Match(blocks=(Block("0.0.0.0/0", ("10.0.0.0/8",)),), ports=(Ports("tcp", 80),))
        await lead(cluster, State(outgoing={own: (Wall("none", ()), Wall("out", (outside,)))}))
        await come_through(reached, "whb")
        to_other = Match(groups=("b",), anything=True)
        walls = {own: (Wall("b", (to_other,)),)}
        await lead(cluster, State(outgoing=walls, groups={"b": frozenset({other})}))
        await come_through(reached, "oshb")
        both = State(incoming={other: (Wall("none", ()),)}, outgoing=walls, groups={"b": frozenset({other})})
        await lead(cluster, both)
        await come_through(reached, "hb")


async def test_open_connections_follow_the_policies(networks: Networks, cluster: ClusterNetwork) -> None:
    a, b = await pod(networks, A), await pod(networks, B)
    own = a.endpoints[0].ipv4_address

    def listen() -> socket.socket:
        made = socket.socket()
        made.bind(("0.0.0.0", 80))
        made.listen()
        made.settimeout(2)
        return made

    def connect() -> socket.socket:
        return socket.create_connection((own, 80), timeout=2)

    with await inside(a.namespace, listen) as server, await inside(b.namespace, connect) as client:
        accepted, _ = server.accept()
        accepted.settimeout(0.25)
        with accepted:
            client.sendall(b"1")
            assert accepted.recv(1) == b"1"
            await lead(cluster, State({own: (Wall("none", ()),)}))
            client.sendall(b"2")
            with pytest.raises(TimeoutError):
                accepted.recv(1)
            await lead(cluster, State({own: (Wall("all", (EVERYTHING,)),)}))
            accepted.settimeout(5)
            assert accepted.recv(1) == b"2"


async def test_rules_that_somebody_broke_are_put_right(networks: Networks, cluster: ClusterNetwork) -> None:
    a, b = await pod(networks, A), await pod(networks, B)
    own, other = a.endpoints[0].ipv4_address, b.endpoints[0].ipv4_address
    friends = {own: (Wall("one", (Match(groups=("friends",), anything=True),)),)}

    async def reached() -> str:
        return await those_that_reach(b=reaches(b.namespace, own))

    async with serve(a.namespace, "tcp", "0.0.0.0", 80, "a"):
        await lead(cluster, State(friends, groups={"friends": frozenset({"10.9.9.9"})}))
        await cluster._kernel.run(cluster._kernel.remove_table, "boxship_test_policies")
        await come_through(reached, "b")
        await lead(cluster, State(friends, groups={"friends": frozenset({"10.9.9.8"})}))
        await come_through(reached, "")
        await lead(cluster, State(friends, groups={"friends": frozenset({other})}))
        await come_through(reached, "b")


def test_ranges_are_merged() -> None:
    assert rules.merged(["80", "80-90", "91", "443", "85"]) == ["80-91", "443"]


def test_a_pod_more_is_an_element_more() -> None:
    wall = (Wall("one", (Match(groups=("g",), anything=True),)),)
    standing = Standing(())
    standing.take("t", Change({"10.0.0.2": wall}, groups={"g": {"10.0.0.9": True}}))
    text = standing.take("t", Change(groups={"g": {"10.0.0.8": True, "10.0.0.9": True}}))
    assert text.splitlines() == [f"add element ip t {rules.group_name('g')} {{ 10.0.0.8 }}"]
    more = standing.take("t", Change({"10.0.0.3": wall, "10.0.0.2": wall}))
    assert more.startswith("add element ip t incoming { 10.0.0.3 : goto walls_") and len(more.splitlines()) == 1
    assert standing.take("t", Change({"10.0.0.2": wall}, groups={"g": {"10.0.0.7": False}})) == ""
