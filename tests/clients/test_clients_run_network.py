"""`docker run`: networks, names, addresses and published ports, seen from inside containers and from the host."""

import os
import re
import socket
import sys
import threading
from collections.abc import Callable

import pytest
from clients_box import SECONDS, Box

from daemons import until

SERVE = "mkdir -p /srv; hostname >/srv/index.html; exec httpd -f -p 80 -h /srv"
ECHO_UDP = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 53))
while True:
    data, client = server.recvfrom(2000)
    server.sendto(data, client)
"""


def fetch(address: str, port: int) -> str:
    """What a page server says to the host; empty while it can't be reached."""
    try:
        with socket.create_connection((address, port), timeout=2) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            data = b""
            while piece := connection.recv(4096):
                data += piece
    except OSError:
        return ""
    return data.decode().rpartition("\r\n\r\n")[2].strip()


def place(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    return address, int(port)


def free_ports(count: int) -> int:
    """The first of some consecutive free ports."""
    for first in range(41000, 60000, count):
        with_all = [socket.socket() for _ in range(count)]
        try:
            for offset, probe in enumerate(with_all):
                probe.bind(("0.0.0.0", first + offset))
            return first
        except OSError:
            continue
        finally:
            for probe in with_all:
                probe.close()
    raise AssertionError("no free ports")


def resolves(box: Box, name: str, wanted: str) -> list[str]:
    """Addresses of a name inside a container, sorted."""
    out = box.inside(
        name, f"nslookup -type=a {wanted} 127.0.0.11 2>/dev/null | sed -n '/^Name/,$p' | sed -n 's/^Address.*: //p'"
    )
    return sorted(out.split())


def test_the_default_bridge_gives_an_address_and_a_route(box: Box) -> None:
    name = box.up()
    address = box.address(name)
    length = box.shows(name, "{{.NetworkSettings.IPPrefixLen}}")
    assert f"inet {address}/{length} " in box.inside(name, "ip -4 addr show eth0")
    gateway = box.shows(name, "{{.NetworkSettings.Gateway}}")
    assert f"default via {gateway} dev eth0" in box.inside(name, "ip route")
    assert box.inside(name, f"ping -c 1 -W 2 {gateway} >/dev/null; echo $?") == "0"
    assert "127.0.0.11" not in box.inside(name, "cat /etc/resolv.conf")
    mac = box.shows(name, "{{.NetworkSettings.MacAddress}}")
    assert box.inside(name, "cat /sys/class/net/eth0/address") == mac


def test_a_port_is_published_on_a_chosen_and_on_a_given_port(box: Box) -> None:
    port = free_ports(1)
    name = box.up("-p", f"{port}:80", "-p", "127.0.0.1::80", "-h", "web", do=SERVE)
    places = box.published(name, "80/tcp")
    assert f"0.0.0.0:{port}" in places
    chosen = next(text for text in places if text.startswith("127.0.0.1:"))
    until(lambda: fetch(*place(chosen)) == "web", SECONDS, "the page")
    assert fetch("127.0.0.1", port) == "web"
    assert fetch(box.shows(name, "{{.NetworkSettings.Gateway}}"), port) == "web"
    other = box.up()
    assert (
        box.inside(other, f"wget -qO- http://$(ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p'):{port}/")
        == "web"
    )
    box.docker("rm", "-f", name)
    assert fetch("127.0.0.1", port) == ""


def test_a_port_of_one_host_address_is_not_open_on_others(box: Box) -> None:
    port = free_ports(1)
    name = box.up("-p", f"127.0.0.2:{port}:80", "-h", "web", do=SERVE)
    until(lambda: fetch("127.0.0.2", port) == "web", SECONDS, "the page")
    assert fetch("127.0.0.1", port) == ""
    assert box.published(name, "80") == [f"127.0.0.2:{port}"]


def test_ranges_of_ports(box: Box) -> None:
    first = free_ports(3)
    name = box.up(
        "-p",
        f"{first}-{first + 2}:7000-7002",
        do="for p in 7000 7001 7002; do nc -ll -p $p -e echo port $p & done; wait",
    )
    for offset in range(3):
        assert f"0.0.0.0:{first + offset}" in box.published(name, f"700{offset}/tcp")

    def said(port: int) -> str:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            return connection.makefile().read().strip()

    def all_say() -> bool:
        try:
            return [said(first + offset) for offset in range(3)] == ["port 7000", "port 7001", "port 7002"]
        except OSError:
            return False

    until(all_say, SECONDS, "all three ports answer")
    one_of = box.up("-p", f"{first}-{first + 5}:80", do=SERVE)
    assert place(box.published(one_of, "80")[0])[1] >= first + 3  # the first free one of the range


def test_udp(box: Box) -> None:
    port = free_ports(1)
    python = f"exec chroot /host {sys.executable} -c '{ECHO_UDP}'"  # busybox has no UDP server
    name = box.up("-v", "/:/host:ro", "-p", f"127.0.0.1:{port}:53/udp", do=python)
    assert box.published(name, "53/udp") == [f"127.0.0.1:{port}"]

    def echoes() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.2)
            probe.connect(("127.0.0.1", port))
            try:
                probe.send(b"datagram")
                return probe.recv(100) == b"datagram"
            except OSError:
                return False

    until(echoes, SECONDS, "the datagram comes back")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_publish_all_and_expose(box: Box) -> None:
    name = box.up("-P", "--expose", "80", "--expose", "90-91/udp", "-h", "all", do=SERVE)
    ports = box.inspect(name)["NetworkSettings"]["Ports"]
    assert set(ports) == {"80/tcp", "90/udp", "91/udp"}
    assert all(bindings for bindings in ports.values())
    until(lambda: fetch("127.0.0.1", place(box.published(name, "80")[0])[1]) == "all", SECONDS, "the page")
    silent = box.up("--expose", "80")
    assert box.inspect(silent)["NetworkSettings"]["Ports"] == {"80/tcp": None}
    assert "80/tcp" in box.docker("ps", "--filter", f"name={silent}", "--format", "{{.Ports}}")


def test_a_taken_port_is_refused_and_the_container_stays(box: Box) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        name = box.name()
        message = box.fails("run", "-d", "--name", name, "-p", f"{port}:80", "busybox", "true")
        assert str(port) in message
        assert "already" in message
        assert box.state(name) == "created"
    first = box.up("-p", f"{port}:80")
    second = box.made("-p", f"{port}:80")
    assert "port is already allocated" in box.fails("start", second)
    box.docker("stop", "-t", "0", first)
    box.docker("start", second)


def test_published_ports_come_back_with_a_restart_and_the_source_is_seen(box: Box) -> None:
    port = free_ports(1)
    name = box.up("-p", f"{port}:80", "-h", "again", do=SERVE)
    until(lambda: fetch("127.0.0.1", port) == "again", SECONDS, "the page")
    box.docker("restart", "-t", "0", name)
    until(lambda: fetch("127.0.0.1", port) == "again", SECONDS, "the page again")


def test_names_aliases_and_short_ids_resolve_on_user_networks(box: Box) -> None:
    network = box.network()
    web = box.up(
        "--network", network, "--network-alias", "shared", "--network-alias", "front", "-h", "host-of-web", do=SERVE
    )
    other = box.up("--network", network, "--network-alias", "shared")
    asks = box.up("--network", network)
    address = box.address(web, network)
    assert "nameserver 127.0.0.11" in box.inside(asks, "cat /etc/resolv.conf")
    for name in (web, "front", box.shows(web, "{{.Id}}")[:12], web.upper(), f"{web}.{network}"):
        assert resolves(box, asks, name) == [address], name
    assert resolves(box, asks, "shared") == sorted([address, box.address(other, network)])
    assert resolves(box, asks, "no-such-name.invalid") == []
    until(lambda: box.inside(asks, f"wget -qO- http://{web}/ || true") == "host-of-web", SECONDS, "the page by name")
    reverse = box.inside(asks, f"nslookup {address} 127.0.0.11 || true")
    assert f"{web}.{network}" in reverse
    box.docker("rm", "-f", other)
    assert resolves(box, asks, "shared") == [address]
    renamed = box.name()
    box.docker("rename", web, renamed)
    assert resolves(box, asks, renamed) == [address]
    assert resolves(box, asks, web) == []


def test_the_resolver_answers_over_tcp(box: Box) -> None:
    network = box.network()
    web, asks = box.up("--network", network), box.up("--network", network)
    query = (
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + bytes([len(web)]) + web.encode() + b"\x00\x00\x01\x00\x01"
    )
    frame = len(query).to_bytes(2, "big") + query
    octets = "".join(f"\\{byte:03o}" for byte in frame)
    out = box.inside(asks, f"(printf '{octets}'; sleep 0.3) | nc -w 2 127.0.0.11 53 | hexdump -v -e '1/1 \"%02x\"'")
    address = "".join(f"{int(part):02x}" for part in box.address(web, network).split("."))
    assert out[4:8] == "1234"
    assert out.endswith(f"0004{address}")


def test_questions_of_other_names_go_to_the_given_servers(box: Box) -> None:
    network = box.network()
    question = threading.Event()

    def serve(server: socket.socket) -> None:
        while not question.is_set():
            try:
                data, client = server.recvfrom(2000)
            except OSError:
                return
            end = data.index(b"\x00", 12) + 5
            if data[end - 4 : end - 2] == b"\x00\x01":
                answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x07"
                server.sendto(data[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + data[12:end] + answer, client)
            else:
                server.sendto(data[:2] + b"\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00" + data[12:end], client)

    gateway = box.inspect(network, "network")["IPAM"]["Config"][0]["Gateway"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((gateway, 53))
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        name = box.up("--network", network, "--dns", gateway)
        assert resolves(box, name, "far.example.org") == ["192.0.2.7"]
        question.set()


def test_dns_options_on_the_default_bridge(box: Box) -> None:
    flags = ["--dns", "192.0.2.1", "--dns", "192.0.2.2", "--dns-search", "example.org", "--dns-option", "ndots:3"]
    lines = box.run(*flags, do="cat /etc/resolv.conf").splitlines()
    assert [line for line in lines if line.startswith("nameserver")] == ["nameserver 192.0.2.1", "nameserver 192.0.2.2"]
    assert "search example.org" in lines
    assert "options ndots:3" in lines
    network = box.network()
    text = box.run("--network", network, *flags, do="cat /etc/resolv.conf")
    assert "nameserver 127.0.0.11" in text
    assert "search example.org" in text
    assert re.search(r"^options .*ndots:3", text, re.MULTILINE)
    assert "search" not in box.run("--dns-search", ".", do="cat /etc/resolv.conf")


def test_extra_hosts_and_host_gateway(box: Box) -> None:
    flags = [
        "--add-host",
        "db:192.0.2.9",
        "--add-host",
        "eq=192.0.2.10",
        "--add-host",
        "host.docker.internal:host-gateway",
    ]
    name = box.up(*flags)
    hosts = box.inside(name, "cat /etc/hosts")
    assert re.search(r"^192\.0\.2\.9\s+db$", hosts, re.MULTILINE)
    assert re.search(r"^192\.0\.2\.10\s+eq$", hosts, re.MULTILINE)
    gateway = box.inspect("bridge", "network")["IPAM"]["Config"][0]["Gateway"]
    assert re.search(rf"^{re.escape(gateway)}\s+host\.docker\.internal$", hosts, re.MULTILINE)
    assert re.search(rf"^{re.escape(box.address(name))}\s+\S", hosts, re.MULTILINE)
    network = box.network()
    assert "db" in box.run("--network", network, "--add-host", "db:192.0.2.9", do="cat /etc/hosts")


def test_a_fixed_address_and_mac(box: Box) -> None:
    network = box.network("--subnet", "10.91.7.0/24")
    name = box.up("--network", network, "--ip", "10.91.7.77", "--mac-address", "02:42:aa:bb:cc:dd")
    assert "inet 10.91.7.77/24" in box.inside(name, "ip addr show eth0")
    assert box.inside(name, "cat /sys/class/net/eth0/address") == "02:42:aa:bb:cc:dd"
    box.docker("restart", "-t", "0", name)
    assert "inet 10.91.7.77/24" in box.inside(name, "ip addr show eth0")
    assert "Address already in use" in box.fails(
        "run", "--rm", "--network", network, "--ip", "10.91.7.77", "busybox", "true"
    )
    assert "10.9.9.9" in box.fails("run", "--rm", "--network", network, "--ip", "10.9.9.9", "busybox", "true")
    assert "user" in box.fails("run", "--rm", "--ip", "172.17.0.99", "busybox", "true")


def test_several_networks_at_create_with_options_of_their_own(box: Box) -> None:
    first, second = box.network("--subnet", "10.91.8.0/24"), box.network("--subnet", "10.91.9.0/24")
    name = box.up(
        "--network", f"name={first},alias=one,ip=10.91.8.8",
        "--network", f"name={second},alias=two,mac-address=02:42:00:00:09:09",
    )  # fmt: skip
    assert "10.91.8.8/24" in box.inside(name, "ip addr")
    assert "02:42:00:00:09:09" in box.inside(name, "ip link")
    assert box.inside(name, "ls /sys/class/net").split() == ["eth0", "eth1", "lo"]
    assert resolves(box, box.up("--network", first), "one") == ["10.91.8.8"]
    assert resolves(box, box.up("--network", second), "two") == [box.address(name, second)]
    assert resolves(box, box.up("--network", second), "one") == []


def test_networks_are_apart(box: Box) -> None:
    first, second = box.network(), box.network()
    web = box.up("--network", first, "-p", "127.0.0.1::80", do=SERVE)
    inside, outside = box.up("--network", first), box.up("--network", second)
    address = box.address(web, first)
    until(lambda: box.inside(inside, f"timeout 2 wget -qO- http://{address}/ || true"), SECONDS, "the page from within")
    assert box.inside(outside, f"timeout 1 wget -qO- http://{address}/ 2>&1 || echo shut").endswith("shut")
    assert box.inside(outside, f"ping -c 1 -W 1 {address} >/dev/null || echo shut") == "shut"
    assert box.inside(box.up(), f"timeout 1 wget -qO- http://{address}/ 2>&1 || echo shut").endswith("shut")
    assert resolves(box, outside, web) == []


def test_an_internal_network_has_no_way_out(box: Box) -> None:
    internal = box.network("--internal")
    web, asks = box.up("--network", internal, do=SERVE), box.up("--network", internal)
    until(lambda: box.inside(asks, f"timeout 2 wget -qO- http://{web}/ || true"), SECONDS, "the page from within")
    assert "default" not in box.inside(asks, "ip route")
    other = box.address(box.up())
    assert box.inside(asks, f"ping -c 1 -W 1 {other} >/dev/null 2>&1 || echo shut") == "shut"


def test_connect_and_disconnect_live(box: Box) -> None:
    network, server = box.network("--subnet", "10.91.10.0/24"), box.up(do=SERVE)
    asks = box.up("--network", network)
    box.docker("network", "connect", "--alias", "late", "--ip", "10.91.10.10", network, server)
    assert "inet 10.91.10.10/24" in box.inside(server, "ip addr show eth1")
    assert resolves(box, asks, "late") == ["10.91.10.10"]
    until(lambda: box.inside(asks, "timeout 2 wget -qO- http://late/ || true"), SECONDS, "the page by its new name")
    assert "already exists in network" in box.fails("network", "connect", network, server)
    box.docker("network", "disconnect", network, server)
    assert box.inside(server, "ls /sys/class/net").split() == ["eth0", "lo"]
    assert resolves(box, asks, "late") == []
    assert "is not connected to" in box.fails("network", "disconnect", network, server)
    box.docker("network", "disconnect", "bridge", server)
    assert box.inside(server, "ls /sys/class/net").split() == ["lo"]
    box.docker("network", "connect", "bridge", server)
    assert box.address(server) in box.inside(server, "ip addr")


def test_connecting_a_stopped_container_counts_at_its_start(box: Box) -> None:
    network, name = box.network(), box.made()
    box.docker("network", "connect", "--alias", "later", network, name)
    box.docker("start", name)
    assert box.inside(name, "ls /sys/class/net").split() == ["eth0", "eth1", "lo"]
    box.docker("stop", "-t", "0", name)
    box.docker("network", "disconnect", network, name)
    box.docker("start", name)
    assert box.inside(name, "ls /sys/class/net").split() == ["eth0", "lo"]


def test_parted_from_the_network_of_its_mode_and_joined_again(box: Box) -> None:
    network = box.network()
    name = box.made("--network", network)  # what docker-compose 1 does before every start
    box.docker("network", "disconnect", network, name)
    assert box.inspect(name)["NetworkSettings"]["Networks"] == {}
    assert "is not connected to" in box.fails("network", "disconnect", network, name)
    box.docker("network", "connect", "--alias", "again", network, name)
    box.docker("start", name)
    assert box.shows(name, "{{.HostConfig.NetworkMode}}") == network
    assert box.inside(name, "nslookup again | grep -c Address") == "2"
    box.docker("network", "disconnect", network, name)
    assert box.inside(name, "ls /sys/class/net") == "lo"
    box.docker("restart", "-t", "0", name)
    assert box.inside(name, "ls /sys/class/net") == "lo"
    lonely = box.made("--network", "none")
    assert "private (none) mode" in box.fails("network", "connect", network, lonely)
    box.docker("network", "disconnect", "none", lonely)
    box.docker("network", "connect", network, lonely)
    box.docker("start", lonely)
    assert box.inside(lonely, "ls /sys/class/net").split() == ["eth0", "lo"]


def test_no_network(box: Box) -> None:
    assert "user defined networks only" in box.fails("run", "--rm", "--network", "none", "--ip", "1.2.3.4", "busybox")
    assert box.run("--network", "none", do="ls /sys/class/net; ip route") == "lo"
    assert (
        box.run("--network", "none", do="ping -c 1 -W 1 127.0.0.1 >/dev/null && echo loopback works")
        == "loopback works"
    )


def test_the_hosts_network(box: Box) -> None:
    done = box.daemon.docker("run", "--rm", "--network", "host", "-p", "80:80", "busybox", "true")
    assert "Published ports are discarded when using host network mode" in done.stderr
    name = box.up("--network", "host", do="exec sleep 1000")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
        assert box.inside(name, f"nc 127.0.0.1 {port} </dev/null && echo open") == "open"
    assert box.inside(name, "hostname") == socket.gethostname()
    assert box.inside(name, "readlink /proc/self/ns/net") == os.readlink("/proc/self/ns/net")


def test_the_network_of_another_container(box: Box) -> None:
    network = box.network()
    web = box.up("--network", network, "-h", "web", do=SERVE)
    until(lambda: box.inside(web, "wget -qO- http://127.0.0.1/ || true") == "web", SECONDS, "the page")
    flags = ["--network", f"container:{web}"]
    assert box.run(*flags, do="wget -qO- http://127.0.0.1/; hostname; cat /etc/hostname").split() == [
        "web",
        "web",
        "web",
    ]
    assert box.run(*flags, do=f"cat /etc/hosts | grep -c {box.address(web, network)}") == "1"
    assert "conflicting options" in box.fails("run", "--rm", *flags, "-p", "80:80", "busybox", "true")
    assert "conflicting options" in box.fails("run", "--rm", *flags, "-h", "x", "busybox", "true")
    assert "No such container" in box.fails("run", "--rm", "--network", "container:nobody", "busybox", "true")
    stopped = box.made()
    assert "non running" in box.fails("run", "--rm", "--network", f"container:{stopped}", "busybox", "true")


def test_an_unknown_network_fails_at_the_start(box: Box) -> None:
    name = box.name()
    assert "network no-such-network not found" in box.fails(
        "run", "-d", "--name", name, "--network", "no-such-network", "busybox"
    )
    assert box.state(name) == "created"


def test_many_clients_of_one_port(box: Box) -> None:
    name = box.up("-p", "127.0.0.1::80", "-h", "busy", do=SERVE)
    where = place(box.published(name, "80")[0])
    until(lambda: fetch(*where) == "busy", SECONDS, "the page")
    seen: list[str] = []
    run: Callable[[], None] = lambda: seen.append(fetch(*where))  # noqa: E731
    threads = [threading.Thread(target=run) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["busy"] * 40


def test_links_are_names_that_one_container_knows(box: Box) -> None:
    network = box.network()
    database, asks, other = box.up("--network", network), box.made(), box.up("--network", network)
    box.docker("network", "connect", "--link", f"{database}:db", network, asks)
    box.docker("start", asks)
    assert resolves(box, asks, "db") == [box.address(database, network)]
    assert resolves(box, other, "db") == []


def test_the_gateway_is_the_one_of_highest_priority(box: Box) -> None:
    first, second = box.network("--subnet", "10.91.11.0/24"), box.network("--subnet", "10.91.12.0/24")
    name = box.up("--network", f"name={first},gw-priority=1", "--network", f"name={second},gw-priority=7")
    assert "default via 10.91.12.1" in box.inside(name, "ip route")
    box.docker("network", "disconnect", second, name)
    assert "default via 10.91.11.1" in box.inside(name, "ip route")


def test_options_of_a_connection_that_are_not_known(box: Box) -> None:
    network, name = box.network(), box.up()
    assert "unsupported: endpoint option" in box.fails("network", "connect", "--driver-opt", "a=b", network, name)
    assert "v6" in box.fails("network", "connect", "--ip6", "fd00::5", network, name)
    assert box.fails("network", "connect", "--link-local-ip", "169.254.3.3", network, name)
    assert box.inside(name, "ls /sys/class/net").split() == ["eth0", "lo"]
