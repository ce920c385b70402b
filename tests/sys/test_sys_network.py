"""Namespaces, netlink, nftables and sockets against the real kernel, inside namespaces of the test's own."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxship.errors import Internal
from boxship.sys import namespace, netlink, nftables, sockets

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A namespace with its loopback up."""
    path = tmp_path / "place"

    def prepare() -> None:
        route = netlink.RouteSocket()
        route.apply(netlink.set_up(1))
        route.close()

    namespace.create(path, prepare)
    yield path
    namespace.remove(path)


def test_a_namespace_is_kept_and_let_go(tmp_path: Path) -> None:
    path = tmp_path / "one"
    here = namespace.identity("/proc/self/ns/net")
    inside = namespace.create(path, lambda: namespace.identity("/proc/thread-self/ns/net"))
    assert namespace.exists(path) and namespace.identity(path) == inside != here
    assert namespace.run_inside(path, lambda: namespace.identity("/proc/thread-self/ns/net")) == inside
    assert namespace.identity("/proc/thread-self/ns/net") == here
    namespace.keep(path, str(path))  # bound twice, as after a crash
    namespace.remove(path)
    namespace.remove(path)
    assert not path.exists() and not namespace.exists(path) and namespace.identity(path) == (0, 0)
    path.touch()
    assert not namespace.exists(path)


def test_failures_inside_come_out_and_leave_nothing(tmp_path: Path, place: Path) -> None:
    def fail() -> None:
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        namespace.create(tmp_path / "never", fail)
    assert not (tmp_path / "never").exists()
    with pytest.raises(ValueError, match="inside"):
        namespace.run_inside(place, fail)
    (tmp_path / "file").touch()
    with pytest.raises(Internal, match="cannot enter network namespace"):
        namespace.run_inside(tmp_path / "file", fail)
    with pytest.raises(Internal, match="cannot bind /nowhere"):
        namespace.keep(tmp_path / "gone", "/nowhere")
    assert not (tmp_path / "gone").exists()


def test_settings_are_the_namespaces_own(place: Path) -> None:
    before = namespace.read_setting("ipv4/ip_forward")

    def work() -> tuple[bool, str, bool, str]:
        done = namespace.write_setting("ipv4/ip_forward", "1")
        unknown = namespace.write_setting("ipv4/nonsense", "1")
        return done, namespace.read_setting("ipv4/ip_forward"), unknown, namespace.read_setting("nonsense")

    assert namespace.run_inside(place, work) == (True, "1", False, "")
    assert namespace.read_setting("ipv4/ip_forward") == before


def test_links_addresses_and_routes(place: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    namespace.create(other, lambda: None)
    descriptor = os.open(other, os.O_RDONLY)
    try:
        route = namespace.run_inside(place, netlink.RouteSocket)
        route.apply(netlink.add_bridge("br0", mac="02:42:0a:00:00:01", mtu=1400), netlink.set_alias("br0", "ours: é"))
        bridge = route.link("br0")
        assert bridge and (bridge.kind, bridge.mtu, bridge.alias, bridge.up) == ("bridge", 1400, "ours: é", True)
        pair = netlink.add_veth(
            "veth0", peer="eth0", peer_namespace=descriptor, peer_mac="02:42:0a:00:00:02", mtu=1400, bridge=bridge.index
        )
        route.apply(pair, netlink.set_port("veth0", isolated=True, hairpin=True))
        link = route.link("veth0")
        assert link and link.master == bridge.index and link.kind == "veth" and len(link.counters) == 8
        route.apply(netlink.add_address(bridge.index, "10.0.0.1", 24), netlink.set_default_route(0, "10.0.0.254"))
        assert netlink.Address(bridge.index, "10.0.0.1", 24) in route.addresses()
        assert netlink.Route("0.0.0.0", 0, "10.0.0.254", bridge.index, 0, protocol=3) in route.routes()
        assert netlink.Route("10.0.0.0", 24, "", bridge.index, 0, source="10.0.0.1", protocol=2) in route.routes()
        route.apply(netlink.remove_default_route())
        assert not [item for item in route.routes() if item.prefix == 0]
        assert {link.name for link in route.links()} >= {"lo", "br0", "veth0"}
        inner = namespace.run_inside(other, netlink.RouteSocket)
        peer = inner.link("eth0")
        assert peer and peer.mac_address == "02:42:0a:00:00:02" and not peer.up
        inner.close()
        route.apply(netlink.remove_link("veth0"), netlink.remove_link("br0"))
        assert route.link("veth0") is None
        route.close()
    finally:
        os.close(descriptor)
        namespace.remove(other)


def test_a_failing_message_is_told_and_the_others_are_done(place: Path) -> None:
    route = namespace.run_inside(place, netlink.RouteSocket)
    with pytest.raises(OSError, match="No such device") as error:
        route.apply(
            netlink.add_bridge("br0", mac="02:00:00:00:00:01", mtu=1500),
            netlink.remove_link("nothing"),
            netlink.add_bridge("br1", mac="02:00:00:00:00:02", mtu=1500),
        )
    assert error.value.errno == 19
    assert route.link("br0") and route.link("br1")
    with pytest.raises(FileExistsError):
        route.apply(netlink.add_bridge("br0", mac="02:00:00:00:00:01", mtu=1500))
    with pytest.raises(OSError, match="no interface none"):
        route.index("none")
    route.close()


def test_many_links_are_listed_whole(place: Path) -> None:
    route = namespace.run_inside(place, netlink.RouteSocket)
    names = [f"br{number}" for number in range(120)]
    route.apply(*(netlink.add_bridge(name, mac="02:00:00:00:00:01", mtu=1500) for name in names))
    assert {link.name for link in route.links()} >= set(names)
    route.close()


def test_rules_are_one_transaction(place: Path) -> None:
    def work() -> None:
        context = nftables.Nftables()
        context.run("add table ip t\nadd set ip t s { type ipv4_addr; }\nadd element ip t s { 10.0.0.1 }")
        with pytest.raises(Internal, match="cannot change nftables rules: "):
            context.run("add element ip t s { 10.0.0.2 }\ndelete element ip t s { 10.9.9.9 }")
        with pytest.raises(Internal, match="syntax error"):
            context.run("nonsense")
        listed = context.query("list set ip t s")
        assert [item["set"]["elem"] for item in listed if "set" in item] == [["10.0.0.1"]]
        context.run("")
        context.close()
        context.close()

    namespace.run_inside(place, work)


def test_the_resolvers_sockets_open_again_on_the_same_ports(place: Path) -> None:
    first = namespace.run_inside(place, sockets.open_resolver)
    ports = (first.datagram_port, first.stream_port)
    with pytest.raises(Internal, match="in use"):
        namespace.run_inside(place, lambda: sockets.open_resolver(*ports))
    first.close()
    second = namespace.run_inside(place, lambda: sockets.open_resolver(*ports))
    assert (second.datagram_port, second.stream_port) == ports
    assert second.stream.getsockname() == ("127.0.0.11", ports[1])
    second.close()


def test_a_held_port_is_held(place: Path) -> None:
    def work() -> None:
        held = sockets.reserve_port("tcp", "0.0.0.0", 8080)
        for reuse in (0, 1):
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
                other.bind(("127.0.0.1", 8080))
                other.listen()
        with pytest.raises(sockets.PortInUse):
            sockets.reserve_port("tcp", "127.0.0.1", 8080)
        sockets.reserve_port("udp", "0.0.0.0", 8080).close()
        held.close()
        sockets.reserve_port("tcp", "127.0.0.1", 8080).close()
        with pytest.raises(Internal, match=r"failed to bind host port 192\.0\.2\.99:80/tcp: Cannot assign"):
            sockets.reserve_port("tcp", "192.0.2.99", 80)

    namespace.run_inside(place, work)


def test_lingering_connections_of_a_former_server_hold_no_port(place: Path) -> None:
    def work() -> None:
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 8080))
        server.listen()
        client = socket.create_connection(("127.0.0.1", 8080))
        accepted, _ = server.accept()
        accepted.close()  # the server ends first, so the port stays in TIME_WAIT
        client.close()
        server.close()
        held = sockets.reserve_port("tcp", "0.0.0.0", 8080)
        with pytest.raises(sockets.PortInUse):
            sockets.reserve_port("tcp", "0.0.0.0", 8080)
        held.close()

    namespace.run_inside(place, work)
