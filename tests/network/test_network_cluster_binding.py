"""A pod sends under its own addresses alone: packets written by hand, as root with NET_RAW in a pod can."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any

from network_traffic import ask, inside, serve

from boxship.network import binding
from boxship.network.addresses import hardware_address
from boxship.network.cluster import ClusterNetwork, Site, pods_network
from boxship.network.networks import Networks
from boxship.network.routes import TUNNEL_NETWORK, TUNNEL_PORT, Node
from boxship.spec.attachment import Attachment
from boxship.spec.container import EndpointRequest, NetworkSpec
from boxship.store import Store
from boxship.sys import netlink
from boxship.sys.nftables import Nftables

A, B, C = "a" * 64, "b" * 64, "c" * 64
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
PORT = 5353


async def pod(networks: Networks, container_id: str) -> Attachment:
    return await networks.attach(container_id, container_id[0], requests=(EndpointRequest("pods"),))


def raw(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def datagram(source: str, target: str, text: bytes) -> bytes:
    """An IPv4 packet with a UDP datagram without a checksum."""
    body = struct.pack("!HHHH", PORT, PORT, 8 + len(text), 0) + text
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, 17, 0, *map(socket.inet_aton, (source, target))
    )
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def answer(mac: str, address: str) -> bytes:
    """An ARP answer that nobody asked for: this address is at that hardware address."""
    packed = socket.inet_aton(address)
    return struct.pack("!HHBBH", 1, IPV4, 6, 4, 2) + raw(mac) + packed + b"\xff" * 6 + packed


def send(kind: int, source: str, target: str, body: bytes) -> Any:
    """Work for `inside`: one frame out of eth0."""

    def work() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind)) as packet:
            packet.bind(("eth0", 0))
            packet.send(raw(target) + raw(source) + struct.pack("!H", kind) + body)

    return work


@contextlib.contextmanager
def frames_of(bridge: str) -> Iterator[socket.socket]:
    """All that comes up from a bridge's ports to the host."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as heard:
        heard.bind((bridge, 0))
        heard.settimeout(5)
        yield heard


def heard_until(heard: socket.socket, last: bytes) -> list[bytes]:
    """What came, up to the frame with this text."""
    found: list[bytes] = []
    while last not in b"".join(found[-1:]):
        found.append(heard.recv(2048))
    return found


async def test_a_pod_sends_under_its_own_addresses_alone(networks: Networks, cluster: ClusterNetwork) -> None:
    a, b = await pod(networks, A), await pod(networks, B)
    own, other = a.endpoints[0], b.endpoints[0]
    bridge = networks.get("pods").bridge
    assert bridge is not None
    gateway = next(link.mac_address for link in netlink.RouteSocket().links() if link.name == bridge.bridge)
    false = [
        send(IPV4, own.mac_address, gateway, datagram(other.ipv4_address, "10.244.0.1", b"false 1")),
        send(IPV4, own.mac_address, gateway, datagram("198.51.100.2", "10.244.0.1", b"false 2")),
        send(IPV4, other.mac_address, gateway, datagram(own.ipv4_address, "10.244.0.1", b"false 3")),
        send(IPV4, gateway, gateway, datagram(own.ipv4_address, "10.244.0.1", b"false 4")),
        send(ARP, own.mac_address, gateway, answer(own.mac_address, other.ipv4_address) + b"false 5"),
        send(ARP, own.mac_address, gateway, answer(other.mac_address, own.ipv4_address) + b"false 6"),
        send(ARP, other.mac_address, gateway, answer(other.mac_address, other.ipv4_address) + b"false 7"),
        send(IPV6, own.mac_address, gateway, bytes(40) + b"false 8"),
        send(IPV4, own.mac_address, gateway, datagram(own.ipv4_address, "255.255.255.255", b"false 9")),
    ]
    true = send(IPV4, own.mac_address, gateway, datagram(own.ipv4_address, "10.244.0.1", b"true one"))
    announced = send(ARP, own.mac_address, gateway, answer(own.mac_address, own.ipv4_address) + b"true two")
    with frames_of(bridge.bridge) as heard:
        for work in (*false, true, *false, announced):
            await inside(a.namespace, work)
        found = heard_until(heard, b"true two")
    assert any(b"true one" in frame for frame in found)
    assert not [frame for frame in found if b"false" in frame]
    async with serve(b.namespace, "tcp", "0.0.0.0", 80, "b"):
        assert await ask(a.namespace, "tcp", other.ipv4_address, 80) == f"b {own.ipv4_address}"


def bound() -> set[str]:
    """The interfaces that are bound in the kernel; none where there is no such table."""
    context = Nftables()
    try:
        tables = [item["table"]["name"] for item in context.query("list tables bridge") if "table" in item]
        listing = [item for name in tables for item in context.query(f"list table bridge {name}")]
    finally:
        context.close()
    sets = [item["set"] for item in listing if item.get("set", {}).get("name") == binding.BOUND]
    return {element["concat"][0] for found in sets for element in found.get("elem", ())}


async def test_bindings_come_and_go_with_pods(
    networks: Networks, store: Store, machine: Any, cluster: ClusterNetwork
) -> None:
    await pod(networks, A), await pod(networks, B)
    await networks.create(NetworkSpec(name="compose"))
    await networks.attach(C, "c", requests=(EndpointRequest("compose"),))  # not bound: nobody asked for it
    veths = {records.endpoints[0].veth for key, records in networks._places.records.items() if key != C}
    assert bound() == veths and all(name.startswith(networks._places._veth_prefix + "p") for name in veths)
    context = Nftables()
    context.run("flush ruleset")  # somebody else
    context.close()
    await networks._ruleset.repair(Exception("flushed"))
    assert bound() == veths
    again = Networks(store, machine.run_root, "test", machine.settings)  # the next life, in which one pod is gone
    await again.start()
    assert bound() == veths
    await again.recover([A, C], {})
    assert len(bound()) == 1
    await again._background.close()
    await again._pool.close()
    await again._kernel.close()
    await networks.detach(B)
    await networks.detach(A)
    assert bound() == set()


def listen() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("0.0.0.0", PORT))
    made.settimeout(5)
    return made


def texts_until(server: socket.socket, last: bytes) -> list[bytes]:
    found: list[bytes] = []
    while not found or found[-1] != last:
        found.append(server.recv(100))
    return found


async def test_nobody_else_is_a_pod(networks: Networks, machine: Any, cluster: ClusterNetwork) -> None:
    """Containers of other networks and other machines, with the addresses of pods here and elsewhere."""
    a = await pod(networks, A)
    await networks.create(NetworkSpec(name="compose"))
    c = await networks.attach(C, "c", requests=(EndpointRequest("compose"),))
    own, there = a.endpoints[0].ipv4_address, c.endpoints[0]
    links = {link.name: link.mac_address for link in netlink.RouteSocket().links()}
    bridge, compose = networks.get("pods").bridge, networks.get("compose").bridge
    assert bridge is not None and compose is not None

    def forge(mac: str, target: str, *sources: str) -> Any:
        works = [send(IPV4, mac, target, datagram(source, own, b"false")) for source in sources]
        return lambda: [work() for work in works]

    await cluster.routes.lead([Node("10.244.1.0/24", "198.51.100.1")], "198.51.100.2")
    with await inside(a.namespace, listen) as server:
        false = ("10.244.0.1", "10.244.0.9", "10.244.1.9")
        await inside(c.namespace, forge(there.mac_address, links[compose.bridge], *false))
        await inside(machine.outside, forge("02:00:00:00:00:02", links["uplink"], "10.244.0.1", "10.244.0.9"))
        true = send(IPV4, there.mac_address, links[compose.bridge], datagram(there.ipv4_address, own, b"container"))
        await inside(c.namespace, true)
        far = send(IPV4, "02:00:00:00:00:02", links["uplink"], datagram("10.244.1.9", own, b"last"))
        await inside(machine.outside, far)
        assert texts_until(server, b"last") == [b"container", b"last"]


async def test_only_nodes_use_the_tunnel(networks: Networks, machine: Any) -> None:
    pods = await networks.create(pods_network("pods", "10.244.0.0/24", Site()))
    cluster = ClusterNetwork("test", pods, Site(), tunnel="always")
    await cluster.open()
    a = await pod(networks, A)

    async def comes(where: Any, target: str, answering: Any) -> bool:
        async with serve(answering, "udp", "0.0.0.0", TUNNEL_PORT, "x"):
            try:
                return bool(await ask(where, "udp", target, TUNNEL_PORT, timeout=0.3))
            except OSError:
                return False

    async def comes_at_last(where: Any) -> bool:
        """What a busy machine was too slow for is tried again."""
        for _ in range(30):
            if await comes(where, "198.51.100.1", machine.outside):
                return True
        return False

    assert await comes_at_last(a.namespace)
    await cluster.routes.lead([Node("10.244.1.0/24", "198.51.100.1")], "198.51.100.2")
    assert not await comes(a.namespace, "198.51.100.1", machine.outside)
    assert await comes_at_last(None)
    own = a.endpoints[0].ipv4_address

    def wrapped(target: str, text: bytes) -> Any:
        """Work for `inside`: a packet of another node's pod, as it comes out of the tunnel."""
        frame = raw(hardware_address("10.244.0.0")) + bytes(6) + b"\x08\x00" + datagram("10.244.1.9", own, text)
        packet = struct.pack("!II", 0x08 << 24, TUNNEL_NETWORK << 8) + frame

        def work() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(packet, (target, TUNNEL_PORT))

        return work

    with await inside(a.namespace, listen) as server:
        await inside(a.namespace, wrapped("10.244.0.1", b"false"))
        await inside(machine.outside, wrapped("198.51.100.2", b"last"))
        assert texts_until(server, b"last") == [b"last"]
    kernel = cluster._kernel
    await kernel.run(kernel.remove_table, "boxship_test_fence")
    assert await comes_at_last(a.namespace)
    await kernel.run(cluster._fence.restore)
    assert not await comes(a.namespace, "198.51.100.1", machine.outside)
    await cluster.routes.lead([], "198.51.100.2")
    assert await comes_at_last(a.namespace)
    await cluster.leave()
    assert not await kernel.run(kernel.has_table, "boxship_test_fence")
    await cluster.close()
