"""Attach and detach on the default bridge, for real: reachability, published ports, what is left behind."""

import asyncio
import socket
from pathlib import Path

import pytest

from boxship.errors import Conflict, Exhausted, NotFound, Unavailable
from boxship.network.networks import Networks
from boxship.spec.container import EndpointRequest, NetworkSpec, PortRequest
from boxship.store import Operation
from boxship.store.memory import MemoryStore
from boxship.sys import namespace, netlink

from network_traffic import ask, serve  # isort: skip

BRIDGE = (EndpointRequest("bridge"),)


async def test_a_container_gets_an_address_and_reaches_its_gateway(networks: Networks) -> None:
    attachment = await networks.attach("a" * 64, "web", requests=BRIDGE, hostname="web")
    endpoint = attachment.endpoints[0]
    assert (endpoint.interface, endpoint.ipv4_address, endpoint.ipv4_prefix) == ("eth0", "10.201.0.2", 24)
    assert endpoint.gateway == "10.201.0.1" and endpoint.mac_address == "02:42:0a:c9:00:02"
    assert "10.201.0.2\tweb" in attachment.hosts
    assert attachment.resolv_conf == "nameserver 198.51.100.1\nsearch example.test\n"
    async with serve(None, "tcp", "0.0.0.0", 80, "host"):
        assert await ask(attachment.namespace, "tcp", "10.201.0.1", 80) == "host 10.201.0.2"


async def test_the_interfaces_have_the_mtu_of_the_uplink(networks: Networks) -> None:
    attachment = await networks.attach("a" * 64, "web", requests=BRIDGE)
    route = await asyncio.to_thread(namespace.run_inside, Path(attachment.namespace), netlink.RouteSocket)
    assert {link.name: link.mtu for link in route.links() if link.name != "lo"} == {"eth0": 1400}
    route.close()


async def test_published_ports_answer_from_everywhere(networks: Networks, machine) -> None:
    ports = (PortRequest(80, host_port="8080"), PortRequest(53, "udp", host_port="5353"))
    web = await networks.attach("a" * 64, "web", requests=BRIDGE, ports=ports)
    client = await networks.attach("b" * 64, "client", requests=BRIDGE)
    assert [(port.host_address, port.host_port) for port in web.ports] == [("0.0.0.0", 8080), ("0.0.0.0", 5353)]
    for protocol, inside, outside in (("tcp", 80, 8080), ("udp", 53, 5353)):
        async with serve(web.namespace, protocol, "0.0.0.0", inside, "web"):
            assert (await ask(machine.outside, protocol, "198.51.100.2", outside)) == "web 198.51.100.1"
            assert (await ask(None, protocol, "198.51.100.2", outside)).startswith("web ")
            assert (await ask(None, protocol, "127.0.0.1", outside)) == "web 10.201.0.1"
            assert (await ask(client.namespace, protocol, "198.51.100.2", outside)).startswith("web ")
            assert (await ask(web.namespace, protocol, "198.51.100.2", outside)) == "web 10.201.0.1"  # hairpin
            assert (await ask(client.namespace, protocol, "10.201.0.2", inside)) == "web 10.201.0.3"


async def test_going_out_is_masqueraded(networks: Networks, machine) -> None:
    web = await networks.attach("a" * 64, "web", requests=BRIDGE)
    async with serve(machine.outside, "tcp", "0.0.0.0", 80, "outside"):
        assert await ask(web.namespace, "tcp", "198.51.100.1", 80) == "outside 198.51.100.2"


async def test_unpublished_ports_do_not_answer_from_outside(networks: Networks, machine) -> None:
    web = await networks.attach("a" * 64, "web", requests=BRIDGE, ports=(PortRequest(80, host_port="8080"),))

    def route_to_container() -> None:
        route = netlink.RouteSocket()
        route.apply(netlink.set_default_route(route.index("eth0"), "198.51.100.2"))
        route.close()

    await asyncio.to_thread(namespace.run_inside, machine.outside, route_to_container)
    async with serve(web.namespace, "tcp", "0.0.0.0", 81, "web"), serve(web.namespace, "tcp", "0.0.0.0", 80, "web"):
        for port in (80, 81):  # a published port is reached by the host's address alone
            with pytest.raises(TimeoutError):
                await ask(machine.outside, "tcp", "10.201.0.2", port, timeout=0.4)
        assert (await ask(machine.outside, "tcp", "198.51.100.2", 8080)).startswith("web")


async def test_a_specific_host_address_answers_there_alone(networks: Networks, machine) -> None:
    ports = (PortRequest(80, host_address="127.0.0.1", host_port="8080"),)
    web = await networks.attach("a" * 64, "web", requests=BRIDGE, ports=ports)
    async with serve(web.namespace, "tcp", "0.0.0.0", 80, "web"):
        assert await ask(None, "tcp", "127.0.0.1", 8080) == "web 10.201.0.1"
        with pytest.raises((ConnectionRefusedError, TimeoutError)):
            await ask(machine.outside, "tcp", "198.51.100.2", 8080, timeout=0.4)


async def test_host_ports_are_held_against_everybody(networks: Networks) -> None:
    await networks.attach("a" * 64, "web", requests=BRIDGE, ports=(PortRequest(80, host_port="8080"),))
    with pytest.raises(OSError), socket.socket() as other:
        other.bind(("0.0.0.0", 8080))
    with pytest.raises(Unavailable, match=r"on endpoint b \([0-9a-f]{64}\): Bind for 0.0.0.0:8080 failed: port is"):
        await networks.attach("b" * 64, "b", requests=BRIDGE, ports=(PortRequest(80, host_port="8080"),))
    with socket.socket() as other:
        other.bind(("0.0.0.0", 8081))
        other.listen()
        with pytest.raises(Unavailable, match=r"0\.0\.0\.0:8081/tcp: address already in use"):
            await networks.attach("b" * 64, "b", requests=BRIDGE, ports=(PortRequest(80, host_port="8081"),))
    assert list(networks.endpoints("bridge")) == ["a" * 64]
    ranged = await networks.attach("b" * 64, "b", requests=BRIDGE, ports=(PortRequest(80, host_port="8080-8085"),))
    assert ranged.ports[0].host_port == 8081
    await networks.detach("a" * 64)
    with socket.socket() as other:
        other.bind(("0.0.0.0", 8080))


async def test_a_free_port_is_picked(networks: Networks) -> None:
    made = await networks.attach("a" * 64, "web", requests=BRIDGE, ports=(PortRequest(80), PortRequest(81)))
    numbers = [port.host_port for port in made.ports]
    assert len(set(numbers)) == 2 and min(numbers) >= 1024


async def test_none_and_host(networks: Networks) -> None:
    none = await networks.attach("a" * 64, "a", requests=(EndpointRequest("none"),), hostname="a")
    assert none.namespace and [endpoint.network_name for endpoint in none.endpoints] == ["none"]
    with pytest.raises(OSError):
        await ask(none.namespace, "tcp", "198.51.100.1", 80)
    host = await networks.attach("b" * 64, "b", requests=(EndpointRequest("host"),), hostname="b")
    assert host.namespace == "" and host.endpoints[0].ipv4_address == ""
    assert host.resolv_conf == "nameserver 198.51.100.1\nsearch example.test\n"
    assert list(networks.endpoints("host")) == ["b" * 64]


async def test_detach_is_idempotent_and_attach_is_not(networks: Networks) -> None:
    await networks.attach("a" * 64, "web", requests=BRIDGE)
    with pytest.raises(Conflict):
        await networks.attach("a" * 64, "web", requests=BRIDGE)
    await networks.detach("a" * 64)
    await networks.detach("a" * 64)
    with pytest.raises(NotFound):
        networks.attachment("a" * 64)
    again = await networks.attach("a" * 64, "web", requests=BRIDGE)
    assert again.endpoints[0].ipv4_address == "10.201.0.3"  # not the one that may still be on its way out


async def test_a_udp_flow_follows_the_container_that_has_the_port(networks: Networks, machine) -> None:
    """One client socket, so one flow: before the port is published, with one container, with another."""

    def client() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.connect(("198.51.100.2", 5353))
        made.settimeout(2)
        return made

    peer = await asyncio.to_thread(namespace.run_inside, machine.outside, client)
    peer.send(b"too early")
    port = (PortRequest(53, "udp", host_port="5353"),)
    for letter in "ab":
        made = await networks.attach(letter * 64, letter, requests=BRIDGE, ports=port)
        async with serve(made.namespace, "udp", "0.0.0.0", 53, letter):
            for _ in range(3):
                try:
                    peer.send(b"who?")
                    answer = await asyncio.to_thread(peer.recv, 100)
                    break
                except ConnectionRefusedError:  # the kernel's word about the packet before
                    continue
            assert answer.decode().startswith(letter)
        await networks.detach(letter * 64)
    peer.close()


async def test_statistics_are_the_containers_own(networks: Networks) -> None:
    web = await networks.attach("a" * 64, "web", requests=BRIDGE)
    async with serve(None, "tcp", "0.0.0.0", 80, "host"):
        await ask(web.namespace, "tcp", "10.201.0.1", 80)
    counters = (await networks.statistics("a" * 64))["eth0"]
    assert counters["tx_packets"] >= 4 and counters["tx_bytes"] > 200 and counters["rx_errors"] == 0


async def test_rules_flushed_by_somebody_are_put_right(networks: Networks, machine) -> None:
    from boxship.sys.nftables import Nftables

    context = Nftables()
    context.run("flush ruleset")
    context.close()
    web = await networks.attach("a" * 64, "web", requests=BRIDGE, ports=(PortRequest(80, host_port="8080"),))
    async with serve(web.namespace, "tcp", "0.0.0.0", 80, "web"):
        assert (await ask(machine.outside, "tcp", "198.51.100.2", 8080)).startswith("web")
    assert await networks.audit() == []


class FailingStore(MemoryStore):
    """A store whose disk may be full."""

    full = False

    async def commit(self, *operations: Operation) -> int:
        if self.full:
            raise Exhausted("no space left on device")
        return await super().commit(*operations)


async def test_a_full_disk_leaves_nothing_half_done(machine) -> None:
    store = FailingStore()
    room = Networks(store, machine.run_root, "test", machine.settings)
    await room.start()
    await room.recover(())
    await room.create(NetworkSpec(name="one"))
    ports = (PortRequest(80, host_port="8080"),)
    requests = (EndpointRequest("one"), EndpointRequest("bridge"))
    store.full = True
    for _ in range(3):
        with pytest.raises(Exhausted):
            await room.attach("a" * 64, "a", requests=requests, ports=ports)
        with pytest.raises(Exhausted):
            await room.create(NetworkSpec(name="two"))
        assert await room.audit() == []
    store.full = False
    await room.attach("a" * 64, "a", requests=BRIDGE, ports=ports)
    store.full = True
    with pytest.raises(Exhausted):
        await room.connect("a" * 64, EndpointRequest("one"))
    with pytest.raises(Exhausted):
        await room.detach("a" * 64)
    store.full = False
    await room.attach("b" * 64, "b", requests=BRIDGE, ports=ports)
    await room.recover({"b" * 64})
    await room.attach("a" * 64, "a", requests=BRIDGE)
    assert await room.audit() == []
    for letter in "ab":
        await room.detach(letter * 64)
    await room.close()
