"""A machine of its own for each test: the test's thread moves into a fresh network namespace, which plays the host; an
uplink leads to another namespace, which plays the world outside. The real machine's network is not touched."""

import ctypes
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from boxship.network.cluster import ClusterNetwork, Site, pods_network
from boxship.network.model import AddressPool, Settings
from boxship.network.networks import Networks
from boxship.store import Store
from boxship.store.memory import MemoryStore
from boxship.sys import namespace, netlink
from boxship.sys.nftables import Nftables

OUTSIDE = "198.51.100.1"
HOST = "198.51.100.2"
MTU = 1400


class Machine(msgspec.Struct):
    """Where a test's host and the world outside are."""

    outside: Path
    run_root: Path
    settings: Settings


def _switch(descriptor: int) -> None:
    if ctypes.CDLL(None).setns(descriptor, namespace.CLONE_NEWNET) < 0:
        raise OSError("cannot change the network namespace")


def _uplink(outside: Path) -> None:
    route = netlink.RouteSocket()
    descriptor = os.open(outside, os.O_RDONLY)
    route.apply(netlink.set_up(1), netlink.add_bridge("tmp0", mac="02:00:00:00:00:01", mtu=MTU))
    bridge = route.index("tmp0")
    veth = netlink.add_veth(
        "uplink", peer="eth0", peer_namespace=descriptor, peer_mac="02:00:00:00:00:02", mtu=MTU, bridge=bridge
    )
    route.apply(veth)
    route.apply(netlink.remove_link("tmp0"))
    index = route.index("uplink")
    route.apply(netlink.add_address(index, HOST, 24), netlink.set_up(index))
    route.apply(netlink.set_default_route(index, OUTSIDE))
    route.close()
    os.close(descriptor)

    def inside() -> None:
        route = netlink.RouteSocket()
        index = route.index("eth0")
        route.apply(netlink.set_up(1), netlink.add_address(index, OUTSIDE, 24), netlink.set_up(index))
        route.close()

    namespace.run_inside(outside, inside)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    if os.geteuid():
        pytest.skip("needs root")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    outside = tmp_path / "outside"
    namespace.create(outside, lambda: None)
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text(f"nameserver {OUTSIDE}\nsearch example.test\n")
    settings = Settings(
        pools=(AddressPool("10.201.0.0/16", 24),),
        address_lock=tmp_path / "addresses.lock",
        resolv_conf=resolv_conf,
        ready_namespaces=2,
    )
    try:
        if ctypes.CDLL(None).unshare(namespace.CLONE_NEWNET) < 0:
            raise OSError("cannot make a network namespace")
        namespace.write_setting("ipv4/ip_forward", "0")  # as on a machine that is no router, whatever this one is
        _uplink(outside)
        yield Machine(outside, tmp_path / "run", settings)
        assert not [link.name for link in netlink.RouteSocket().links() if link.name not in ("lo", "uplink")]
    finally:
        _switch(home)
        os.close(home)
        namespace.remove(outside)
        for left in (tmp_path / "run" / "netns").glob("*") if (tmp_path / "run").exists() else ():
            namespace.remove(left)


@pytest.fixture
def store() -> Store:
    return MemoryStore()


@pytest_asyncio.fixture
async def networks(machine: Machine, store: Store) -> AsyncIterator[Networks]:
    """A started room; what a test leaves attached is detached, and nothing of it may be left in the kernel."""
    made = Networks(store, machine.run_root, "test", machine.settings)
    await made.start()
    await made.recover(())
    yield made
    for network in made.list():
        for container_id in made.endpoints(network.id):
            await made.detach(container_id)
    for entry in (await store.list("endpoints/")).entries:
        await made.detach(entry.key.removeprefix("endpoints/"))
    assert await made.audit() == []
    await made.close()


@pytest_asyncio.fixture
async def cluster(networks: Networks) -> AsyncIterator[ClusterNetwork]:
    """The machine as a node with the pods' block 10.244.0.0/24; nothing of the cluster stays behind."""
    pods = await networks.create(pods_network("pods", "10.244.0.0/24", Site()))
    made = ClusterNetwork("test", pods, Site())
    await made.open()
    yield made
    await made.leave()
    await made.close()
    context = Nftables()
    left = str(context.query("list tables ip"))
    assert "boxship_test_services" not in left and "boxship_test_policies" not in left
    context.close()
