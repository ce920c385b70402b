"""What services promise beyond an address: sticky clients, traffic that stays on the node, fences, datagrams that find
a new target, connections that outlive changes and restarts. With real packets."""

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from network_traffic import ask, inside, serve
from policies_kit import State, lead

from boxship.network.cluster import ClusterNetwork, Site
from boxship.network.networks import Networks
from boxship.network.policies_rules import Wall
from boxship.network.services_rules import Frontend
from boxship.spec.container import EndpointRequest
from boxship.sys import netlink
from boxship.sys.nftables import Nftables

NAMES = ("a", "b", "c")
HOST, OUTSIDE = "198.51.100.2", "198.51.100.1"
SERVICE, BALANCER = "10.96.0.80", "203.0.113.7"


class Pods:
    """Three pods that serve their names at 80 over TCP and UDP."""

    def __init__(self, namespaces: dict[str, str], addresses: dict[str, str]) -> None:
        self.namespaces, self.addresses = namespaces, addresses

    def targets(self, names: str) -> tuple[str, ...]:
        return tuple(f"{self.addresses[name]} . 80" for name in names)


@pytest_asyncio.fixture
async def pods(networks: Networks, cluster: ClusterNetwork) -> AsyncIterator[Pods]:
    namespaces, addresses = {}, {}
    async with contextlib.AsyncExitStack() as stack:
        for name in NAMES:
            made = await networks.attach(name * 64, name, requests=(EndpointRequest("pods"),))
            namespaces[name], addresses[name] = made.namespace, made.endpoints[0].ipv4_address
            for protocol in ("tcp", "udp"):
                await stack.enter_async_context(serve(made.namespace, protocol, "0.0.0.0", 80, name))
        yield Pods(namespaces, addresses)


async def heard(where: Any, address: str, port: int = 80, protocol: str = "tcp", times: int = 24) -> str:
    """Who answers, each once; "" is a refusal, "-" silence."""
    said = set()
    for _ in range(times):
        try:
            said.add((await ask(where, protocol, address, port, timeout=1))[0])
        except ConnectionRefusedError:
            return ""
        except TimeoutError:
            return "-"
    return "".join(sorted(said))


async def is_silent(where: Any, address: str, port: int = 80) -> bool:
    """Nobody answers, and nobody refuses."""

    def connect() -> bool:
        try:
            socket.create_connection((address, port), timeout=0.4).close()
        except TimeoutError:
            return True
        return False

    return bool(await inside(where, connect))


async def test_a_client_sticks_to_its_target(pods: Pods, cluster: ClusterNetwork, machine: Any) -> None:
    def frontends(names: str) -> list[Frontend]:
        targets = pods.targets(names)
        sticky = {"targets": targets, "affinity": "default/web/", "affinity_seconds": 600}
        return [Frontend(SERVICE, "tcp", 80, **sticky), Frontend("", "tcp", 30080, **sticky)]  # type: ignore[arg-type]

    await cluster.services.replace(frontends("abc"))
    first = {name: await heard(pods.namespaces[name], SERVICE, times=8) for name in NAMES}
    assert all(len(said) == 1 for said in first.values())
    outer = await heard(machine.outside, HOST, 30080, times=8)
    assert len(outer) == 1
    assert await heard(pods.namespaces["a"], "10.244.0.1", 30080, times=8) == first["a"]  # the same for all frontends
    await cluster.services.replace(frontends("abc"))  # as after a restart
    assert await heard(machine.outside, HOST, 30080, times=4) == outer
    assert {name: await heard(pods.namespaces[name], SERVICE, times=4) for name in NAMES} == first
    left = "abc".replace(outer, "")
    await cluster.services.change((), frontends(left))
    again = await heard(machine.outside, HOST, 30080, times=8)
    assert again in left
    await cluster.services.change((), frontends("abc"))
    assert await heard(machine.outside, HOST, 30080, times=4) == again
    await cluster.services.change([item.key for item in frontends("abc")], [])
    names = await cluster._kernel.run(cluster._kernel.names, "boxship_test_services")
    assert not [name for name in (*names["chain"], *names["set"]) if name.startswith(("clients_", "to_", "stick_"))]


async def test_traffic_that_stays_on_the_node(pods: Pods, cluster: ClusterNetwork, machine: Any) -> None:
    def service(near: str, **more: Any) -> Frontend:
        return Frontend("", "tcp", 30080, pods.targets("abc"), near=pods.targets(near), closed="drop", **more)

    await cluster.services.replace([service("a")])
    assert await ask(machine.outside, "tcp", HOST, 30080) == f"a {OUTSIDE}"  # the client's own address is seen
    assert await heard(machine.outside, HOST, 30080) == "a"
    assert await heard(pods.namespaces["b"], HOST, 30080) == "abc" == await heard(None, HOST, 30080)
    await cluster.services.change((), [service("")])
    assert await is_silent(machine.outside, HOST, 30080)
    assert await heard(pods.namespaces["b"], HOST, 30080) == "abc"
    await cluster.services.change((), [service("ab", affinity="x", affinity_seconds=60)])
    assert await heard(machine.outside, HOST, 30080) in "ab"
    await cluster.services.change((), [Frontend("", "tcp", 30080, closed="drop")])
    assert await is_silent(pods.namespaces["b"], HOST, 30080)


async def test_a_balancer_with_a_fence(pods: Pods, cluster: ClusterNetwork, machine: Any) -> None:
    def way() -> None:
        route = netlink.RouteSocket()
        route.apply(netlink.set_route(f"{BALANCER}/32", route.index("eth0"), gateway=HOST))
        route.close()

    await inside(machine.outside, way)
    await cluster.services.replace([Frontend(BALANCER, "tcp", 80, pods.targets("ab"))])
    assert await heard(machine.outside, BALANCER) == "ab"
    for sources, silent in ((("192.0.2.0/24",), True), (("192.0.2.0/24", "198.51.100.0/24"), False), ((), True)):
        await cluster.services.change((), [Frontend(BALANCER, "tcp", 80, pods.targets("ab"), sources=sources)])
        assert await is_silent(machine.outside, BALANCER) == silent
    await cluster.services.change((), [Frontend(BALANCER, "tcp", 80, pods.targets("ab"))])
    assert await heard(machine.outside, BALANCER) == "ab"


async def test_an_address_that_the_machine_answers_for(pods: Pods, cluster: ClusterNetwork, machine: Any) -> None:
    address = "198.51.100.77"
    await cluster.services.replace([Frontend(address, "tcp", 80, pods.targets("ab"))])
    with pytest.raises(OSError):
        await ask(machine.outside, "tcp", address, 80, timeout=0.3)
    for _ in range(2):
        await cluster.announcements.lead([address, "203.0.113.1"])
    assert await heard(machine.outside, address) == "ab" == await heard(None, address)
    with pytest.raises(OSError):
        await ask(machine.outside, "tcp", address, 81, timeout=0.3)
    await cluster.announcements.lead([])
    left = await cluster._kernel.run(cluster._kernel.route.routes)
    assert not [route for route in left if route.destination == address]


async def test_datagrams_leave_a_target_that_is_gone(pods: Pods, cluster: ClusterNetwork, machine: Any) -> None:
    def open_client() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(1)
        return made

    def say(to: str, port: int) -> str:
        client.sendto(b"who?", (to, port))
        return client.recv(100).decode()[0]

    def service(names: str) -> Frontend:
        return Frontend("", "udp", 30053, pods.targets(names))

    with await inside(machine.outside, open_client) as client:
        await cluster.services.replace([])
        with pytest.raises(OSError):
            await asyncio.to_thread(say, HOST, 30053)
        await cluster.services.change((), [service("a")])
        assert [await asyncio.to_thread(say, HOST, 30053) for _ in range(3)] == ["a", "a", "a"]
        await cluster.services.change((), [service("ab")])
        assert await asyncio.to_thread(say, HOST, 30053) == "a"  # nothing is wrong with it
        await cluster.services.change((), [service("b")])
        assert [await asyncio.to_thread(say, HOST, 30053) for _ in range(3)] == ["b", "b", "b"]
        await cluster.services.replace([service("ab")])  # as a new life does, which knows no old targets
        assert await asyncio.to_thread(say, HOST, 30053) == "b"
        await cluster.services.replace([service("a")])
        assert [await asyncio.to_thread(say, HOST, 30053) for _ in range(3)] == ["a", "a", "a"]


async def test_who_waits_for_a_target_that_is_gone_is_led_to_another(
    pods: Pods, cluster: ClusterNetwork, machine: Any
) -> None:
    """As when a pod's first answer was never sent: each try of a connection goes where the first one went."""

    def silence() -> None:
        context = Nftables()
        context.run(
            "add table ip mute; add chain ip mute in { type filter hook input priority 0; }; "
            "add rule ip mute in tcp flags syn counter drop"
        )
        context.close()

    def dropped() -> int:
        context = Nftables()
        listed = context.query("list table ip mute")
        context.close()
        return int(next(item["rule"]["expr"][1]["counter"]["packets"] for item in listed if "rule" in item))

    def service(names: str) -> Frontend:
        return Frontend("", "tcp", 30080, pods.targets(names))

    await inside(pods.namespaces["a"], silence)
    await cluster.services.replace([service("a")])
    asking = asyncio.create_task(ask(machine.outside, "tcp", HOST, 30080, timeout=30))
    async with asyncio.timeout(20):
        while not await inside(pods.namespaces["a"], dropped):
            await asyncio.sleep(0.01)
    await cluster.services.change((), [service("b")])
    assert (await asking)[0] == "b"


async def test_a_new_life_takes_over(pods: Pods, cluster: ClusterNetwork, networks: Networks, machine: Any) -> None:
    def service(names: str) -> list[Frontend]:
        return [Frontend(SERVICE, "tcp", 80, pods.targets(names)), Frontend("", "tcp", 30080, pods.targets(names))]

    def open_connection() -> socket.socket:
        return socket.create_connection((HOST, 30080), timeout=2)

    await cluster.services.replace([*service("ab"), Frontend("10.96.0.81", "tcp", 80, pods.targets("a"))])
    with await inside(machine.outside, open_connection) as client:
        assert await asyncio.to_thread(client.recv, 1) in (b"a", b"b")
        lives = ClusterNetwork("test", networks.get("pods"), Site())  # the old one was killed
        asked = asyncio.create_task(heard(pods.namespaces["c"], SERVICE, times=300))
        for names in ("ab", "b", "abc"):
            await lives.open()
            await lives.services.replace(service(names))
        assert "" != await asked != "-"
        assert await heard(pods.namespaces["c"], SERVICE) == "abc"
        assert await heard(pods.namespaces["c"], "10.96.0.81") == ""
        await lives.close()


async def test_more_ranges_of_service_addresses(pods: Pods, cluster: ClusterNetwork, machine: Any) -> None:
    def routes() -> set[str]:
        route = netlink.RouteSocket()
        found = {f"{item.destination}/{item.prefix}" for item in route.routes()}
        route.close()
        return found

    await cluster.services.replace([Frontend("10.98.0.9", "tcp", 80, pods.targets("a"))])
    await cluster.reserve(["10.96.0.0/16", "10.98.0.0/24"])
    assert {"10.96.0.0/16", "10.98.0.0/24"} <= await inside(None, routes)
    assert await heard(None, "10.98.0.9", times=1) == "a"
    assert await heard(pods.namespaces["a"], "10.98.0.10", times=1) == ""
    await cluster.reserve([])
    left = await inside(None, routes)
    assert "10.98.0.0/24" not in left and {"10.96.0.0/16", "10.244.0.0/24"} <= left


async def test_rules_that_somebody_flushed_come_back_at_once(pods: Pods, cluster: ClusterNetwork) -> None:
    def flush() -> None:
        made = Nftables()
        made.run("delete table ip boxship_test_services\ndelete table ip boxship_test_policies\n")
        made.close()

    def program() -> None:  # somebody else's
        subprocess.run(["nft", "add table ip boxship_nonsense; delete table ip boxship_nonsense"], check=True)

    async def whole(table: str) -> bool:
        return {"chain", "set", "map"} <= set(await cluster._kernel.run(cluster._kernel.names, table))

    wall = {pods.addresses["b"]: (Wall("none", ()),)}
    await cluster.services.replace([Frontend(SERVICE, "tcp", 80, pods.targets("ab"))])
    await lead(cluster, State(wall))
    assert await whole("boxship_test_services")
    keeping = asyncio.create_task(cluster.keep_rules())
    for _ in range(2):
        await asyncio.to_thread(flush)
        await asyncio.to_thread(program)
        async with asyncio.timeout(5):
            while not all([await whole(table) for table in ("boxship_test_services", "boxship_test_policies")]):
                await asyncio.sleep(0.01)
    assert await heard(pods.namespaces["a"], SERVICE, times=1) in "a-"
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_rules_that_somebody_flushed_come_back(pods: Pods, cluster: ClusterNetwork) -> None:
    await cluster.services.replace([Frontend(SERVICE, "tcp", 80, pods.targets("a"))])
    await cluster._kernel.run(cluster._kernel.remove_table, "boxship_test_services")
    await cluster.services.change((), [Frontend("10.96.0.81", "tcp", 80, pods.targets("b"))])
    assert await heard(pods.namespaces["c"], SERVICE, times=4) == "a"
    assert await heard(pods.namespaces["c"], "10.96.0.81", times=4) == "b"
