"""Which networks reach which: bridges among each other, internal ones, containers apart, the host's loopback."""

import asyncio
import socket
import struct
from pathlib import Path

import pytest
from network_traffic import ask, inside, serve

from boxship.network.networks import Networks
from boxship.spec.attachment import Attachment
from boxship.spec.container import EndpointRequest, NetworkSpec, PortRequest
from boxship.sys import namespace, netlink

OPTION = "com.docker.network.bridge."


async def join(networks: Networks, letter: str, network: str, **more: object) -> Attachment:
    return await networks.attach(letter * 64, letter, requests=(EndpointRequest(network),), hostname=letter, **more)


async def reaches(where: str | Path | None, address: str, port: int) -> bool:
    try:
        await ask(where, "tcp", address, port, timeout=0.3)
    except OSError:  # TimeoutError is one
        return False
    return True


async def comes_through(where: str | Path | None, address: str, port: int) -> bool:
    """What a busy machine was too slow for is tried again."""
    for _ in range(30):
        if await reaches(where, address, port):
            return True
    return False


async def test_bridges_reach_each_other_only_by_published_ports(networks: Networks) -> None:
    for name in ("one", "two"):
        await networks.create(NetworkSpec(name=name))
    a = await join(networks, "a", "one", ports=(PortRequest(80, host_port="8080"),))
    b = await join(networks, "b", "two")
    c = await join(networks, "c", "bridge")
    address = a.endpoints[0].ipv4_address
    async with serve(a.namespace, "tcp", "0.0.0.0", 80, "a"):
        for other in (b, c):
            assert not await reaches(other.namespace, address, 80)
            assert await comes_through(other.namespace, "198.51.100.2", 8080)
        assert await comes_through(None, address, 80)


async def test_an_internal_network_has_no_way_in_or_out(networks: Networks, machine) -> None:
    await networks.create(NetworkSpec(name="inner", internal=True))
    a = await join(networks, "a", "inner", ports=(PortRequest(80, host_port="8080"),))
    b = await join(networks, "b", "inner")
    assert a.ports == () and a.endpoints[0].gateway == ""
    async with serve(machine.outside, "tcp", "0.0.0.0", 80, "outside"), serve(a.namespace, "tcp", "0.0.0.0", 80, "a"):
        assert await comes_through(b.namespace, a.endpoints[0].ipv4_address, 80)
        assert not await reaches(a.namespace, "198.51.100.1", 80)
        assert not await reaches(machine.outside, "198.51.100.2", 8080)

        def add_default_route() -> None:  # even with a route of its own making
            route = netlink.RouteSocket()
            gateway = networks.get("inner").gateway
            route.apply(netlink.set_default_route(route.index("eth0"), gateway))
            route.close()

        await inside(a.namespace, add_default_route)
        assert not await reaches(a.namespace, "198.51.100.1", 80)


async def test_without_icc_containers_of_a_bridge_are_apart(networks: Networks, machine) -> None:
    await networks.create(NetworkSpec(name="apart", options={f"{OPTION}enable_icc": "false"}))
    a = await join(networks, "a", "apart", ports=(PortRequest(80, host_port="8080"),))
    b = await join(networks, "b", "apart")
    async with serve(a.namespace, "tcp", "0.0.0.0", 80, "a"), serve(machine.outside, "tcp", "0.0.0.0", 80, "outside"):
        assert not await reaches(b.namespace, a.endpoints[0].ipv4_address, 80)
        assert await comes_through(b.namespace, "198.51.100.1", 80)
        # With br_netfilter the kernel bridges such packets from port to port, which isolation forbids.
        bridged = namespace.read_setting("bridge/bridge-nf-call-iptables") == "1"
        assert await (reaches if bridged else comes_through)(b.namespace, "198.51.100.2", 8080) is not bridged
        assert await comes_through(machine.outside, "198.51.100.2", 8080)


async def test_without_masquerade_the_containers_address_goes_out(networks: Networks, machine) -> None:
    network = await networks.create(NetworkSpec(name="plain", options={f"{OPTION}enable_ip_masquerade": "false"}))
    a = await join(networks, "a", "plain")

    def route_back() -> None:
        route = netlink.RouteSocket()
        route.apply(netlink.set_default_route(route.index("eth0"), "198.51.100.2"))
        route.close()

    await inside(machine.outside, route_back)
    assert network.bridge and not network.bridge.masquerade
    async with serve(machine.outside, "tcp", "0.0.0.0", 80, "outside"):
        assert await ask(a.namespace, "tcp", "198.51.100.1", 80) == f"outside {a.endpoints[0].ipv4_address}"


async def test_the_hosts_loopback_stays_out_of_reach(networks: Networks) -> None:
    """A container that forges packets to 127.0.0.1 by its gateway's hardware address gets no answer."""
    a = await join(networks, "a", "bridge")
    gateway = bytes.fromhex("02420ac90001")

    def forge() -> None:
        payload = b"forged"
        udp = struct.pack("!HHHH", 5000, 5353, 8 + len(payload), 0) + payload
        header = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, bytes([10, 201, 0, 2]), bytes([127, 0, 0, 1])
        )
        total = sum(struct.unpack("!10H", header))
        checksum = ~(total + (total >> 16)) & 0xFFFF
        header = header[:10] + struct.pack("!H", checksum) + header[12:]
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as packet:
            packet.bind(("eth0", 0))
            mac = bytes.fromhex(a.endpoints[0].mac_address.replace(":", ""))
            for _ in range(3):
                packet.send(gateway + mac + b"\x08\x00" + header + udp)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 5353))
        server.settimeout(0.3)
        await inside(a.namespace, forge)
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(server.recv, 100)


async def test_a_machine_that_forwards_only_for_us_is_no_router(networks: Networks, machine, tmp_path: Path) -> None:
    other = tmp_path / "other"
    namespace.create(other, lambda: None)
    try:
        with other.open() as file:
            route = netlink.RouteSocket()
            route.apply(netlink.add_bridge("tmp0", mac="02:00:00:00:01:01", mtu=1400))
            veth = netlink.add_veth(
                "second",
                peer="eth0",
                peer_namespace=file.fileno(),
                peer_mac="02:00:00:00:01:02",
                mtu=1400,
                bridge=route.index("tmp0"),
            )
            route.apply(veth, netlink.remove_link("tmp0"))
            index = route.index("second")
            route.apply(netlink.add_address(index, "203.0.113.2", 24), netlink.set_up(index))

        def configure() -> None:
            inner = netlink.RouteSocket()
            index = inner.index("eth0")
            inner.apply(netlink.add_address(index, "203.0.113.1", 24), netlink.set_up(index))
            inner.apply(netlink.set_default_route(index, "203.0.113.2"))
            inner.close()

        await inside(other, configure)

        def route_back() -> None:
            inner = netlink.RouteSocket()
            inner.apply(netlink.set_default_route(inner.index("eth0"), "198.51.100.2"))
            inner.close()

        await inside(machine.outside, route_back)
        async with serve(machine.outside, "tcp", "0.0.0.0", 80, "outside"):
            assert await reaches(other, "198.51.100.2", 80) is False  # nobody listens on the host
            assert not await reaches(other, "198.51.100.1", 80)
        route.apply(netlink.remove_link("second"))
        route.close()
    finally:
        namespace.remove(other)
