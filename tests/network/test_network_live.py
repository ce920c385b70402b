"""Live connect and disconnect, and what a restart of the daemon finds again."""

import asyncio
import os
import socket
import subprocess
from pathlib import Path

import pytest
import pytest_asyncio
from network_traffic import ask, inside, serve
from test_network_resolver import resolve, values

from boxship.errors import Conflict, Denied, Invalid
from boxship.network.groups import Standing
from boxship.network.networks import Networks
from boxship.spec.container import EndpointRequest, NetworkSpec, PortRequest, Subnet
from boxship.store import Store
from boxship.store.memory import MemoryStore
from boxship.sys import namespace, netlink
from boxship.sys.nftables import Nftables

A, B = "a" * 64, "b" * 64


async def default_gateway(where: str) -> str:
    def read() -> str:
        route = netlink.RouteSocket()
        found = [item.gateway for item in route.routes() if item.prefix == 0]
        route.close()
        assert len(found) <= 1
        return found[0] if found else ""

    return str(await inside(where, read))


async def interfaces(where: str) -> dict[str, str]:
    def read() -> dict[str, str]:
        route = netlink.RouteSocket()
        addresses = {item.index: f"{item.address}/{item.prefix}" for item in route.addresses()}
        found = {link.name: addresses.get(link.index, "") for link in route.links() if link.up and link.name != "lo"}
        route.close()
        return found

    return dict(await inside(where, read))


async def test_connect_and_disconnect(networks: Networks) -> None:
    for name in ("one", "two"):
        await networks.create(NetworkSpec(name=name))
    a = await networks.attach(A, "a", requests=(EndpointRequest("bridge"),), hostname="a")
    assert "nameserver 198.51.100.1" in a.resolv_conf
    b = await networks.attach(B, "b", requests=(EndpointRequest("one"),), hostname="b")
    joined = await networks.connect(A, EndpointRequest("one", aliases=("alias",)))
    assert [endpoint.interface for endpoint in joined.endpoints] == ["eth0", "eth1"]
    assert "nameserver 127.0.0.11" in joined.resolv_conf and "10.201.1.3\ta" in joined.hosts
    assert await interfaces(a.namespace) == {"eth0": "10.201.0.2/24", "eth1": "10.201.1.3/24"}
    assert values(await resolve(b, "alias")) == ["10.201.1.3"]
    assert values(await resolve(a, "b")) == ["10.201.1.2"]
    async with serve(b.namespace, "tcp", "0.0.0.0", 80, "b"):
        assert await ask(a.namespace, "tcp", "10.201.1.2", 80) == "b 10.201.1.3"
    with pytest.raises(Denied, match="endpoint with name a already exists in network one"):
        await networks.connect(A, EndpointRequest("one"))
    left = await networks.disconnect(A, "one")
    assert [endpoint.interface for endpoint in left.endpoints] == ["eth0"]
    assert await interfaces(a.namespace) == {"eth0": "10.201.0.2/24"}
    assert not values(await resolve(b, "b.nothing")) and not (await resolve(b, "alias")).answer
    with pytest.raises(Conflict, match="is not connected to network one"):
        await networks.disconnect(A, "one")
    assert await networks.audit() == []


async def test_rules_that_somebody_flushed_come_back(networks: Networks, machine) -> None:
    a = await networks.attach(A, "a", requests=(EndpointRequest("bridge"),), ports=(PortRequest(80, host_port="8080"),))
    async with serve(a.namespace, "tcp", "0.0.0.0", 80, "a"):
        assert await ask(machine.outside, "tcp", "198.51.100.2", 8080) == "a 198.51.100.1"
        await asyncio.to_thread(subprocess.run, ["nft", "flush", "ruleset"], check=True)
        async with asyncio.timeout(20):
            while not await networks._kernel.run(networks._kernel.has_rules):
                await asyncio.sleep(0.01)
        assert await networks.audit() == []
        assert await ask(machine.outside, "tcp", "198.51.100.2", 8080) == "a 198.51.100.1"


async def test_the_default_route_follows_priority_then_name(networks: Networks) -> None:
    for name in ("b-net", "a-net", "z-net"):
        await networks.create(NetworkSpec(name=name))
    await networks.create(NetworkSpec(name="inner", internal=True))
    requests = (EndpointRequest("inner"), EndpointRequest("b-net"))
    a = await networks.attach(A, "a", requests=requests)
    gateways = {name: networks.get(name).gateway for name in ("a-net", "b-net", "z-net")}
    assert await default_gateway(a.namespace) == gateways["b-net"]
    await networks.connect(A, EndpointRequest("a-net"))
    assert await default_gateway(a.namespace) == gateways["a-net"]
    await networks.connect(A, EndpointRequest("z-net", gateway_priority=7))
    assert await default_gateway(a.namespace) == gateways["z-net"]
    await networks.disconnect(A, "z-net")
    assert await default_gateway(a.namespace) == gateways["a-net"]
    await networks.disconnect(A, "b-net")
    await networks.disconnect(A, "a-net")
    assert await default_gateway(a.namespace) == ""
    assert await networks.audit() == []


async def test_published_ports_follow_the_way_out(networks: Networks, machine) -> None:
    for name in ("one", "two"):
        await networks.create(NetworkSpec(name=name))
    ports = (PortRequest(80, host_port="8080"),)
    a = await networks.attach(A, "a", requests=(EndpointRequest("one"),), ports=ports)
    await networks.connect(A, EndpointRequest("two", gateway_priority=1))
    async with serve(a.namespace, "tcp", "0.0.0.0", 80, "a"):
        assert await ask(machine.outside, "tcp", "198.51.100.2", 8080) == "a 198.51.100.1"
        left = await networks.disconnect(A, "two")
        assert left.ports == a.ports
        assert await ask(machine.outside, "tcp", "198.51.100.2", 8080) == "a 198.51.100.1"
        left = await networks.disconnect(A, "one")
        assert left.ports == ()
        again = await networks.connect(A, EndpointRequest("two"))
        assert again.ports == a.ports
        assert await ask(machine.outside, "tcp", "198.51.100.2", 8080) == "a 198.51.100.1"
    assert await networks.audit() == []


async def test_hosts_and_nones_connect_to_nothing(networks: Networks) -> None:
    await networks.create(NetworkSpec(name="one"))
    await networks.attach(A, "a", requests=(EndpointRequest("host"),))
    await networks.attach(B, "b", requests=(EndpointRequest("none"),))
    for container_id in (A, B):
        with pytest.raises(Invalid):
            await networks.connect(container_id, EndpointRequest("one"))
    with pytest.raises(Conflict, match="is not running"):
        await networks.connect("c" * 64, EndpointRequest("one"))


async def test_a_cancelled_attach_leaves_nothing(networks: Networks) -> None:
    await networks.create(NetworkSpec(name="one"))
    for delay in range(12):
        task = asyncio.create_task(
            networks.attach(A, "a", requests=(EndpointRequest("one"),), ports=(PortRequest(80, host_port="8080"),))
        )
        for _ in range(delay):
            await asyncio.sleep(0.0004)
        task.cancel()
        done = await asyncio.gather(task, return_exceptions=True)
        if not isinstance(done[0], BaseException):
            await networks.detach(A)
        assert networks.endpoints("one") == {}
        assert await networks.audit() == []


class Restarted:
    """A room, and others over the same store and run root, as after kill -9 of the daemon: of the first one only what
    the kernel closes for a dead process is closed."""

    def __init__(self, first: Networks, store: Store, machine) -> None:
        self.first = first
        self.store = store
        self.machine = machine

    async def again(
        self, live: set[str], pids: dict[str, int] | None = None, standings: dict[str, Standing] | None = None
    ) -> Networks:
        self.first._places.reservations.close()
        await self.first._resolver.close()
        await self.first._pool.close()
        await self.first._kernel.close()
        second = Networks(self.store, self.machine.run_root, "test", self.machine.settings)
        await second.start()
        await second.recover(live, pids, standings)
        return second


@pytest_asyncio.fixture
async def restarted(store: Store, machine) -> Restarted:
    first = Networks(store, machine.run_root, "test", machine.settings)
    await first.start()
    await first.recover(())
    return Restarted(first, store, machine)


async def end(second: Networks, *container_ids: str) -> None:
    for container_id in container_ids:
        await second.detach(container_id)
    await second.close()


async def test_a_restart_finds_everything_and_cuts_nothing(restarted: Restarted, machine) -> None:
    networks = restarted.first
    await networks.create(NetworkSpec(name="one"))
    ports = (PortRequest(80, host_port="8080"),)
    a = await networks.attach(A, "a", requests=(EndpointRequest("one"),), ports=ports, hostname="a")
    b = await networks.attach(B, "b", requests=(EndpointRequest("one"),), hostname="b")
    server = await asyncio.start_server(_echo, sock=await inside(a.namespace, _listener))
    connection = await asyncio.to_thread(namespace.run_inside, machine.outside, lambda: _connect("198.51.100.2", 8080))
    reader, writer = await asyncio.open_connection(sock=connection)
    writer.write(b"before\n")
    assert await reader.readline() == b"before\n"
    second = await restarted.again({A, B})
    writer.write(b"after\n")
    assert await reader.readline() == b"after\n"
    writer.close()
    server.close()
    assert second.attachment(A) == a
    assert values(await resolve(b, "a")) == [a.endpoints[0].ipv4_address]
    assert values(await resolve(b, "a", stream=True)) == [a.endpoints[0].ipv4_address]
    assert await second.audit() == []
    third = await second.attach("c" * 64, "c", requests=(EndpointRequest("one"),))
    assert third.endpoints[0].ipv4_address == "10.201.1.4"
    await end(second, A, B, "c" * 64)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


def _listener() -> socket.socket:
    made = socket.socket()
    made.bind(("0.0.0.0", 80))
    made.listen()
    made.setblocking(False)
    return made


def _connect(address: str, port: int) -> socket.socket:
    made = socket.create_connection((address, port), timeout=3)
    made.setblocking(False)
    return made


async def test_a_restart_takes_back_what_died_meanwhile(restarted: Restarted) -> None:
    networks = restarted.first
    await networks.create(NetworkSpec(name="one"))
    await networks.attach(A, "a", requests=(EndpointRequest("one"),), ports=(PortRequest(80, host_port="8080"),))
    await networks.attach(B, "b", requests=(EndpointRequest("one"),), ports=(PortRequest(80, host_port="8081"),))
    second = await restarted.again({B})
    assert list(second.endpoints("one")) == [B]
    assert await second.audit() == []
    await second.attach(A, "a", requests=(EndpointRequest("one"),), ports=(PortRequest(80, host_port="8080"),))
    await end(second, A, B)


async def test_a_restart_sweeps_strays_and_only_ours(restarted: Restarted, machine) -> None:
    networks = restarted.first
    a = await networks.attach(A, "a", requests=(EndpointRequest("bridge"),))
    stray = machine.run_root / "netns" / "stray"
    namespace.create(stray, lambda: None)
    (machine.run_root / "netns" / "plain-file").touch()
    route = netlink.RouteSocket()
    bridge = networks.get("bridge").bridge
    assert bridge
    descriptor = os.open(a.namespace, os.O_RDONLY)
    prefix = networks._places._veth_prefix
    for name, peer in ((f"{prefix}feedbeef", "x0"), ("bxaaaaastranger", "x1")):
        route.apply(
            netlink.add_veth(
                name,
                peer=peer,
                peer_namespace=descriptor,
                peer_mac="02:00:00:00:00:09",
                mtu=1400,
                bridge=route.index(bridge.bridge),
            )
        )
    os.close(descriptor)
    route.apply(netlink.add_bridge("br-lost", mac="02:00:00:00:00:01", mtu=1400))
    route.apply(netlink.set_alias("br-lost", "boxship:test:lost"))
    route.apply(netlink.add_bridge("br-other", mac="02:00:00:00:00:01", mtu=1400))
    route.apply(netlink.set_alias("br-other", "boxship:test2:x"))
    second = await restarted.again({A})
    names = {link.name for link in route.links()}
    assert {"bxaaaaastranger", "br-other"} <= names and not {f"{prefix}feedbeef", "br-lost"} & names
    assert not stray.exists() and not (machine.run_root / "netns" / "plain-file").exists()
    assert await second.audit() == []
    route.apply(netlink.remove_link("bxaaaaastranger"), netlink.remove_link("br-other"))
    route.close()
    await end(second, A)


async def test_a_restart_puts_missing_parts_back(restarted: Restarted, machine) -> None:
    networks = restarted.first
    await networks.create(NetworkSpec(name="one"))
    ports = (PortRequest(80, host_port="8080"),)
    a = await networks.attach(A, "a", requests=(EndpointRequest("one"),), ports=ports)
    context = Nftables()
    context.run("flush ruleset")
    context.close()
    route = netlink.RouteSocket()
    bridge = networks.get("one").bridge
    assert bridge
    names = [link.name for link in route.links() if link.kind == "veth" and link.name.startswith("bx")]
    route.apply(*(netlink.remove_link(name) for name in (*names, bridge.bridge)))
    route.close()
    second = await restarted.again({A})
    assert await second.audit() == []
    async with serve(a.namespace, "tcp", "0.0.0.0", 80, "a"):
        assert await ask(machine.outside, "tcp", "198.51.100.2", 8080) == "a 198.51.100.1"
    await end(second, A)


async def test_a_namespace_is_found_by_a_process_when_its_file_is_gone(restarted: Restarted) -> None:
    networks = restarted.first
    a = await networks.attach(A, "a", requests=(EndpointRequest("bridge"),))
    process = await asyncio.to_thread(
        namespace.run_inside, Path(a.namespace), lambda: subprocess.Popen(["sleep", "60"])
    )
    try:
        before = namespace.identity(a.namespace)
        namespace.remove(Path(a.namespace))
        second = await restarted.again({A}, {A: process.pid})
        assert namespace.identity(a.namespace) == before
        assert await second.audit() == []
    finally:
        process.kill()
        process.wait()
    await end(second, A)


async def test_a_subnet_that_others_took_meanwhile_is_given_up(store: Store, machine) -> None:
    first = Networks(store, machine.run_root, "test", machine.settings)
    await first.start()
    await first.recover(())
    subnet = (Subnet(subnet="10.99.0.0/24"),)
    for spec in (NetworkSpec(name="any"), NetworkSpec(name="fixed", subnets=subnet)):
        await first.create(spec)
    before = {network.name: network.subnet for network in first.list()}
    await first.close()
    other = Networks(MemoryStore(), machine.run_root.parent / "other", "other", machine.settings)
    await other.start()
    await other.recover(())
    second = Networks(store, machine.run_root, "test", machine.settings)
    await second.start()
    await second.recover(())
    after = {network.name: network.subnet for network in second.list()}
    assert before["bridge"] == other.get("bridge").subnet != after["bridge"]
    assert (after["any"], after["fixed"]) == (before["any"], before["fixed"])
    assert await second.audit() == [] and await other.audit() == []
    await other.close()
    await second.close()
