"""The ways to other nodes' pods: decided from values, then with real packets, straight and through a tunnel."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from network_traffic import ask, serve

from boxship.network.cluster import ClusterNetwork, Site, pods_network
from boxship.network.cluster_kernel import ClusterKernel
from boxship.network.networks import Networks
from boxship.network.routes import Node, Plan, PodRoutes, Way, plan
from boxship.spec.container import EndpointRequest
from boxship.sys import namespace, netlink
from boxship.sys.tunnels import Neighbour

A = "a" * 64
HERE, THERE = "198.51.100.2", "198.51.100.1"
BLOCK, FAR = "10.244.0.0/24", "10.244.1.0/24"


def test_nodes_on_a_segment_are_reached_straight() -> None:
    own = [netlink.Address(3, "192.168.1.2", 24), netlink.Address(4, "10.96.0.10", 32)]
    near, far = Node(BLOCK, "192.168.1.3"), Node(FAR, "192.168.2.3")
    mac = "02:42:0a:f4:01:00"
    tunnel = frozenset({Neighbour(mac, "10.244.1.0", False), Neighbour(mac, "192.168.2.3", True)})
    assert plan([far, near, near], own, "auto") == Plan((Way(BLOCK, "192.168.1.3", 3), Way(FAR, "10.244.1.0")), tunnel)
    assert plan([near, far], own, "never") == Plan((Way(BLOCK, "192.168.1.3", 3),))
    assert [way.index for way in plan([near, far], own, "always").ways] == [0, 0]
    assert plan([], own, "always") == Plan(())


@pytest_asyncio.fixture
async def pods(networks: Networks) -> AsyncIterator[Any]:
    yield await networks.create(pods_network("pods", BLOCK, Site()))


def lead_there(outside: Path, nodes: list[Node], tunnel: str) -> None:
    """What the other node does for its part, in its own namespace."""

    async def lead() -> None:
        kernel = ClusterKernel()
        await PodRoutes(kernel, "vx", FAR, "10.244.1.1", tunnel=tunnel).lead(nodes, THERE)
        await kernel.close()

    namespace.run_inside(outside, lambda: asyncio.run(lead()))


def make_far_pods(outside: Path) -> None:
    def work() -> None:
        route = netlink.RouteSocket()
        route.apply(netlink.add_bridge("far", mac="02:42:0a:f4:01:01", mtu=1350))
        route.apply(netlink.add_address(route.index("far"), "10.244.1.1", 24))
        route.close()

    namespace.run_inside(outside, work)


@pytest.mark.parametrize("tunnel", ["auto", "always"])
async def test_pods_of_two_nodes_meet_without_translation(
    networks: Networks, machine: Any, pods: Any, tunnel: str
) -> None:
    make_far_pods(machine.outside)
    cluster = ClusterNetwork("test", pods, Site(), tunnel=tunnel)
    await cluster.open()
    a = await networks.attach(A, "a", requests=(EndpointRequest("pods"),))
    lead_there(machine.outside, [Node(BLOCK, HERE)], tunnel)
    await cluster.routes.lead([Node(FAR, THERE)], HERE)
    await cluster.routes.lead([Node(FAR, THERE)], HERE)
    async with (
        serve(machine.outside, "tcp", "10.244.1.1", 80, "far"),
        serve(a.namespace, "tcp", "0.0.0.0", 80, "a"),
    ):
        assert await ask(a.namespace, "tcp", "10.244.1.1", 80) == "far 10.244.0.2"
        assert await ask(None, "tcp", "10.244.1.1", 80) == "far 10.244.0.1"
        assert await ask(machine.outside, "tcp", "10.244.0.2", 80) == "a 10.244.1.1"
        links = await cluster._kernel.run(cluster._kernel.route.links)
        assert any(link.kind == "vxlan" for link in links) == (tunnel == "always")
        assert [link.mtu for link in links if link.kind == "vxlan"] == [1350] * (tunnel == "always")
        lead_there(machine.outside, [], tunnel)
        with pytest.raises(OSError):
            await ask(machine.outside, "tcp", "10.244.0.2", 80, timeout=0.3)
    await cluster.leave()
    left = await cluster._kernel.run(cluster._kernel.route.routes)
    assert not [route for route in left if route.protocol == 98 or route.destination == "10.96.0.0"]
    await cluster.close()
