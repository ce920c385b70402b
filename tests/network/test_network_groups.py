"""Service groups: who gets what is new, as plain decisions and in the kernel."""

import asyncio
import socket
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from network_traffic import ask, inside, serve
from test_network_live import Restarted, end, restarted  # noqa: F401 (a fixture)
from test_network_resolver import resolve, values

from boxship.errors import Unavailable
from boxship.network import groups, rules
from boxship.network.groups import Standing
from boxship.network.model import AttachmentRecord, EndpointRecord, VirtualAddress
from boxship.network.networks import Networks
from boxship.spec.attachment import Attachment, Endpoint
from boxship.spec.container import EndpointRequest, NetworkSpec, PortRequest, PublishedPort
from boxship.sys import conntrack
from boxship.sys.nftables import Nftables

A, B, C, D = "a" * 64, "b" * 64, "c" * 64, "d" * 64
OUTSIDE_ADDRESS = "198.51.100.2"
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on busy machines
STANDINGS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(Standing))
PORTS = st.builds(
    PublishedPort,
    container_port=st.sampled_from((80, 53)),
    protocol=st.sampled_from(("tcp", "udp")),
    host_address=st.sampled_from(("0.0.0.0", "127.0.0.1")),
    host_port=st.sampled_from((8080, 8081)),
)


# decisions


@UNHURRIED
@given(st.sets(st.sampled_from("abcdef"), min_size=1), STANDINGS)
def test_the_best_serve_and_no_other(members: set[str], standings: dict[str, Standing]) -> None:
    chosen = groups.best(members, standings)
    assert chosen and chosen <= members
    lowest = min(groups.standing_of(standings, member) for member in chosen)
    rest = [groups.standing_of(standings, member) for member in members - chosen]
    assert all(standing < lowest for standing in rest)
    targets = {member: f"10.0.0.{ord(member)}" for member in members}
    serving = groups.serving(targets, standings)
    assert serving == [targets[member] for member in sorted(chosen)] or (not serving and lowest is Standing.LEAVING)


def test_a_member_that_leaves_gets_nothing_even_as_the_last() -> None:
    assert groups.serving({"a": "x"}, {}) == []
    assert groups.serving({"a": "x", "b": "y"}, {"a": Standing.RUNNING}) == ["x"]
    assert groups.serving({"a": "x", "b": "y"}, {"a": Standing.RUNNING, "b": Standing.READY}) == ["y"]


def member(name: str, address: str, *ports: PublishedPort, group: str = "g", virtual: str = "") -> AttachmentRecord:
    endpoint = EndpointRecord(Endpoint("net", "net", "e" * 64, "eth0", "", address, 24, "10.0.0.1", (), (name,)))
    return AttachmentRecord(name, name, endpoints=(endpoint,), ports=ports, group=group, virtual_name=virtual)


def elements_of(members: dict[str, list[PublishedPort]], standings: dict[str, Standing]) -> dict[str, dict[str, str]]:
    pairs = [(member(name, f"10.0.0.{ord(name)}", *ports), f"10.0.0.{ord(name)}") for name, ports in members.items()]
    return groups.port_elements(pairs, standings)


@UNHURRIED
@given(st.dictionaries(st.sampled_from("abcd"), st.lists(PORTS, max_size=3, unique=True)), STANDINGS)
def test_each_port_leads_to_all_that_serve_it(
    members: dict[str, list[PublishedPort]], standings: dict[str, Standing]
) -> None:
    found = elements_of(members, standings)
    chains = found.get("balances", {})
    used = [
        value.removeprefix("goto ") for name in ("balanced", "balanced_at") for value in found.get(name, {}).values()
    ]
    assert sorted(used) == sorted(chains)
    for name in ("published", "published_at"):
        assert not found.get(name, {}).keys() & found.get(name.replace("published", "balanced"), {}).keys()
    leaving = {name for name in members if groups.standing_of(standings, name) is Standing.LEAVING}
    text = " ".join([*chains.values(), *found.get("published", {}).values(), *found.get("published_at", {}).values()])
    assert not any(f"10.0.0.{ord(name)} ." in text for name in leaving)


@UNHURRIED
@given(st.dictionaries(st.sampled_from("abcd"), st.lists(PORTS, max_size=3, unique=True)), STANDINGS, STANDINGS)
def test_a_change_mentions_only_what_differs(
    members: dict[str, list[PublishedPort]], before: dict[str, Standing], after: dict[str, Standing]
) -> None:
    present, wanted = elements_of(members, before), elements_of(members, after)
    text = rules.change("t", present, wanted)
    assert bool(text) == (present != wanted)
    for chain, targets in wanted.get("balances", {}).items():
        assert (f"flush chain ip t {chain}\n" in text) == (present.get("balances", {}).get(chain) != targets)
    lines = text.splitlines()
    gone = [number for number, line in enumerate(lines) if line.startswith("delete chain")]
    assert gone == list(range(len(lines) - 2 * len(gone) + 1, len(lines), 2))  # each behind its flush, all at the end


def test_flows_that_go_on_are_those_of_members_that_stay() -> None:
    port = PublishedPort(53, "udp", "0.0.0.0", 5300)
    three = elements_of({"a": [port], "b": [port], "c": [port]}, dict.fromkeys("abc", Standing.READY))
    two = elements_of({"a": [port], "b": [port]}, dict.fromkeys("ab", Standing.READY))
    one = elements_of({"a": [port]}, {"a": Standing.READY})
    assert rules.moved_flows(three, two) == [rules.Moved(5300, "", ("10.0.0.97", "10.0.0.98"))]
    assert rules.moved_flows(two, one) == [rules.Moved(5300, "", ("10.0.0.97",))]
    assert rules.moved_flows(one, {}) == [rules.Moved(5300, "", ())]
    assert rules.moved_flows({}, one) == [rules.Moved(5300, "", ("10.0.0.97",))]
    assert rules.moved_flows(one, one) == []
    virtual = VirtualAddress("net", "g", "web", "10.0.0.254")
    members = [member(name, f"10.0.0.{ord(name)}", virtual="web") for name in "ab"]
    both = groups.virtual_elements(virtual, "br", members, dict.fromkeys("ab", Standing.READY))
    left = groups.virtual_elements(virtual, "br", members, {"a": Standing.READY})
    assert both["balances"] == {"virtual_10.0.0.254": "10.0.0.97, 10.0.0.98"}
    assert rules.moved_flows(both, left) == [rules.Moved(0, "10.0.0.254", ("10.0.0.97",))]
    nobody = groups.virtual_elements(virtual, "br", members, {})
    assert nobody == {"virtual_addresses": {"10.0.0.254": ""}}


# in the kernel


async def join(networks: Networks, identifier: str, *, port: int = 8080, **more: object) -> Attachment:
    """A member of a group on network "one" that publishes a TCP and a UDP port, and is ready."""
    ports = (PortRequest(80, host_port=str(port)), PortRequest(53, "udp", host_port=str(port)))
    wanted = {"ports": ports, "group": "p/web", "hostname": identifier[0], **more}
    request = EndpointRequest("one", aliases=("web",))
    return await networks.attach(identifier, identifier[0], requests=(request,), **wanted)


async def heard(where: str | Path | None, protocol: str, address: str, port: int, times: int = 30) -> set[str]:
    return {(await ask(where, protocol, address, port)).split()[0] for _ in range(times)}


def both(attached: Attachment, name: str) -> tuple[object, object]:
    return (
        serve(attached.namespace, "tcp", "0.0.0.0", 80, name),
        serve(attached.namespace, "udp", "0.0.0.0", 53, name),
    )


async def test_members_share_a_host_port_and_names(networks: Networks, machine) -> None:
    await networks.create(NetworkSpec(name="one"))
    a, b = await join(networks, A), await join(networks, B)
    c = await networks.attach(C, "c", requests=(EndpointRequest("one"),))
    address = {attached.endpoints[0].ipv4_address: name for attached, name in ((a, "a"), (b, "b"))}
    tcp_a, udp_a = both(a, "a")
    tcp_b, udp_b = both(b, "b")
    async with tcp_a, udp_a, tcp_b, udp_b:
        with pytest.raises(OSError):  # nobody has been said to be there
            await ask(machine.outside, "tcp", OUTSIDE_ADDRESS, 8080)
        await networks.stand(A, Standing.RUNNING)
        assert await heard(machine.outside, "tcp", OUTSIDE_ADDRESS, 8080, 5) == {"a"}
        await networks.stand(A, Standing.READY)
        await networks.stand(B, Standing.READY)
        for protocol in ("tcp", "udp"):
            assert await heard(machine.outside, protocol, OUTSIDE_ADDRESS, 8080) == {"a", "b"}
            assert await heard(None, protocol, "127.0.0.1", 8080) == {"a", "b"}
            assert await heard(c.namespace, protocol, OUTSIDE_ADDRESS, 8080) == {"a", "b"}
            assert await heard(a.namespace, protocol, OUTSIDE_ADDRESS, 8080) == {"a", "b"}
        assert await networks.audit() == []
        answer = await resolve(c, "web")
        assert set(values(answer)) == set(address) and answer.answer[0].ttl == 1
        answers = [(await resolve(c, "web")).answer[0] for _ in range(20)]
        firsts = Counter(next(iter(answer)).to_text() for answer in answers)
        assert set(firsts) == set(address)
        await networks.stand(B, Standing.RUNNING)
        assert await heard(None, "tcp", "127.0.0.1", 8080, 5) == {"a"}
        assert [address[found] for found in values(await resolve(c, "web"))] == ["a"]
        assert [address[found] for found in values(await resolve(c, "b"))] == ["b"]
        await networks.stand(A, Standing.LEAVING)
        assert await heard(None, "tcp", "127.0.0.1", 8080, 5) == {"b"}
        await networks.detach(A)
        assert await heard(None, "udp", "127.0.0.1", 8080, 5) == {"b"}
        assert await networks.audit() == []
    with pytest.raises(Unavailable, match=r"Bind for 0\.0\.0\.0:8080 failed: port is already allocated"):
        await networks.attach(D, "d", requests=(EndpointRequest("one"),), ports=(PortRequest(80, host_port="8080"),))
    with pytest.raises(Unavailable, match="port is already allocated"):
        await join(networks, D, group="p/other")
    with pytest.raises(Unavailable, match="port is already allocated"):  # twice in one container
        twice = (PortRequest(80, host_port="9000"), PortRequest(81, host_port="9000"))
        await join(networks, D, ports=twice)
    again = await join(networks, D, ports=(PortRequest(80, host_port="8000-8001"),))
    other = await join(networks, A, ports=(PortRequest(80, host_port="8000-8001"),))
    assert {again.ports[0].host_port, other.ports[0].host_port} == {8000, 8001}


async def test_a_name_is_answered_with_all_who_have_it(networks: Networks) -> None:
    """As the stock `docker compose up --scale` makes them: one alias for several containers, and no group."""
    await networks.create(NetworkSpec(name="one"))
    request = EndpointRequest("one", aliases=("web",))
    a, b, c = [await networks.attach(key, key[0], requests=(request,)) for key in (A, B, C)]
    addresses = {attached.endpoints[0].ipv4_address for attached in (a, b, c)}
    answers = [(await resolve(a, "web")).answer[0] for _ in range(40)]
    assert all({item.to_text() for item in answer} == addresses for answer in answers)
    assert {next(iter(answer)).to_text() for answer in answers} == addresses and answers[0].ttl == 600
    mixed = {"group": "p/web", "hostname": "d"}
    d = await networks.attach(D, "d", requests=(request,), **mixed)
    await networks.stand(D, Standing.PAUSED)
    assert set(values(await resolve(a, "web"))) == {*addresses, d.endpoints[0].ipv4_address}


async def test_connections_stay_where_they_are(networks: Networks, machine) -> None:
    await networks.create(NetworkSpec(name="one"))
    a, b = await join(networks, A), await join(networks, B)

    def listen(kind: int, port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, kind)
        made.bind(("0.0.0.0", port))
        if kind == socket.SOCK_STREAM:
            made.listen()
        made.setblocking(False)
        return made

    def connect(kind: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, kind)
        made.settimeout(3)
        made.connect((OUTSIDE_ADDRESS, 8080))
        made.setblocking(False)
        return made

    loop = asyncio.get_running_loop()
    await networks.stand(A, Standing.READY)
    server = await inside(a.namespace, lambda: listen(socket.SOCK_STREAM, 80))
    datagrams = await inside(a.namespace, lambda: listen(socket.SOCK_DGRAM, 53))
    client = await inside(machine.outside, lambda: connect(socket.SOCK_STREAM))
    flow = await inside(machine.outside, lambda: connect(socket.SOCK_DGRAM))
    connection, _ = await loop.sock_accept(server)

    async def passes() -> None:
        async with asyncio.timeout(20):
            await loop.sock_sendall(client, b"x")
            assert await loop.sock_recv(connection, 10) == b"x"

    async def flows() -> None:
        async with asyncio.timeout(20):
            await loop.sock_sendall(flow, b"y")
            data, peer = await loop.sock_recvfrom(datagrams, 10)
            await loop.sock_sendto(datagrams, data, peer)
            assert await loop.sock_recv(flow, 10) == b"y"

    await passes()
    await flows()
    async with serve(b.namespace, "udp", "0.0.0.0", 53, "b"):
        await networks.stand(B, Standing.READY)
        await passes()
        await flows()
        await networks.stand(A, Standing.LEAVING)
        await passes()
        await loop.sock_sendall(flow, b"y")  # a flow never ends by itself, so it goes on at another member
        async with asyncio.timeout(20):
            assert (await loop.sock_recv(flow, 10)).startswith(b"b ")
    for opened in (server, datagrams, client, flow, connection):
        opened.close()


async def test_who_was_not_answered_is_led_elsewhere(networks: Networks, machine) -> None:
    """A member whose queue is full drops what comes; its client asks again, and must not ask one that has left."""
    await networks.create(NetworkSpec(name="one"))
    a, b = await join(networks, A), await join(networks, B)

    def refuse() -> None:
        context = Nftables()
        context.run("add table ip full\nadd chain ip full in { type filter hook input priority 0; }")
        context.run("add rule ip full in counter drop")
        context.close()

    def refused() -> int:
        context = Nftables()
        listed = context.query("list table ip full")
        context.close()
        return int(next(item["rule"]["expr"][0]["counter"]["packets"] for item in listed if "rule" in item))

    await inside(a.namespace, refuse)
    await networks.stand(A, Standing.READY)
    async with serve(b.namespace, "tcp", "0.0.0.0", 80, "b"):
        asking = asyncio.create_task(ask(machine.outside, "tcp", OUTSIDE_ADDRESS, 8080, timeout=30))
        async with asyncio.timeout(20):
            while not await inside(a.namespace, refused):
                await asyncio.sleep(0.01)
        await networks.stand(B, Standing.READY)
        await networks.stand(A, Standing.LEAVING)
        await networks.forget_unanswered(A)
        assert (await asking).startswith("b ")
        talking = await asyncio.to_thread(lambda: socket.create_connection((b.endpoints[0].ipv4_address, 80)))
        assert await asyncio.to_thread(conntrack.forget_unanswered, b.endpoints[0].ipv4_address) == 0
        talking.close()


async def test_a_virtual_address_stands_for_the_group(networks: Networks, machine) -> None:
    await networks.create(NetworkSpec(name="one"))
    await networks.create(NetworkSpec(name="two"))
    a = await join(networks, A, virtual_name="shop")
    b = await join(networks, B, virtual_name="shop")
    c = await networks.attach(C, "c", requests=(EndpointRequest("one"),))
    d = await networks.attach(D, "d", requests=(EndpointRequest("two"),))
    network = networks.get("one").id
    assert networks.virtual_addresses("p/web", "shop") == {network: "10.201.1.254"}
    assert values(await resolve(c, "shop")) == values(await resolve(a, "shop.one")) == ["10.201.1.254"]
    assert len(values(await resolve(c, "web"))) == 2
    tcp_a, udp_a = both(a, "a")
    tcp_b, udp_b = both(b, "b")
    async with tcp_a, udp_a, tcp_b, udp_b, serve(None, "tcp", "0.0.0.0", 80, "host"):
        with pytest.raises(OSError):  # nobody serves, the host itself least of all
            await ask(c.namespace, "tcp", "10.201.1.254", 80)
        await networks.stand(A, Standing.READY)
        await networks.stand(B, Standing.READY)
        for protocol, port in (("tcp", 80), ("udp", 53)):
            for where in (c.namespace, a.namespace, b.namespace, None):
                assert await heard(where, protocol, "10.201.1.254", port) == {"a", "b"}
        for where in (d.namespace, machine.outside):  # another network, and the world
            with pytest.raises(OSError):
                await ask(where, "tcp", "10.201.1.254", 80, timeout=0.5)
        await networks.stand(A, Standing.LEAVING)
        assert await heard(a.namespace, "tcp", "10.201.1.254", 80, 5) == {"b"}
        assert await networks.audit() == []
    assert set(networks.endpoints("one")) == {A, B, C}
    await networks.connect(A, EndpointRequest("two"))
    assert values(await resolve(d, "shop")) == ["10.201.2.254"]
    await networks.detach(A)
    await networks.detach(B)
    assert values(await resolve(c, "shop")) == ["10.201.1.254"]  # the members may come back
    await networks.keep_virtual({("p/web", "other")})
    assert networks.virtual_addresses("p/web", "shop") == {} and await networks.audit() == []
    assert not (await resolve(c, "shop")).answer


async def test_a_restart_finds_groups_again(restarted: Restarted) -> None:  # noqa: F811
    networks = restarted.first
    await networks.create(NetworkSpec(name="one"))
    a, b = await join(networks, A, virtual_name="shop"), await join(networks, B, virtual_name="shop")
    tcp_a, udp_a = both(a, "a")
    tcp_b, udp_b = both(b, "b")
    async with tcp_a, udp_a, tcp_b, udp_b:
        await networks.stand(A, Standing.READY)
        await networks.stand(B, Standing.READY)
        second = await restarted.again({A, B}, standings={A: Standing.READY, B: Standing.READY})
        assert await second.audit() == []
        for address, port in (("127.0.0.1", 8080), ("10.201.1.254", 80)):
            assert await heard(None, "tcp", address, port) == {"a", "b"}
        assert values(await resolve(a, "shop")) == ["10.201.1.254"]
        with pytest.raises(Unavailable, match="port is already allocated"):
            await join(second, C, group="p/other")
        await asyncio.to_thread(_flush)
        await second.stand(B, Standing.RUNNING)
        assert await heard(None, "tcp", "127.0.0.1", 8080, 5) == {"a"}
        third = await Restarted(second, restarted.store, restarted.machine).again({B}, standings={B: Standing.READY})
        assert await heard(None, "tcp", "127.0.0.1", 8080, 5) == {"b"}
        assert await heard(None, "tcp", "10.201.1.254", 80, 5) == {"b"}
        assert await third.audit() == []
    await end(third, B)


def _flush() -> None:
    """What an administrator does who restores a firewall."""
    context = Nftables()
    context.run("flush ruleset")
    context.close()
