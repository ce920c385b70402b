"""Names at 127.0.0.11, asked from inside containers: own names, links, other networks, nameservers behind the host."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from network_traffic import inside

from boxship.network.networks import Networks
from boxship.spec.attachment import Attachment
from boxship.spec.container import EndpointRequest, NetworkSpec

LONG = [f"10.9.{number // 250}.{number % 250}" for number in range(300)]


def exchange(address: str, query: dns.message.Message, *, stream: bool, timeout: float = 3) -> dns.message.Message:
    wire = query.to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        client.connect((address, 53))
        if not stream:
            client.send(wire)
            return dns.message.from_wire(client.recv(65535))
        client.sendall(struct.pack("!H", len(wire)) + wire)
        data = b""
        while len(data) < 2 or len(data) < 2 + struct.unpack("!H", data[:2])[0]:
            data += client.recv(65535)
        return dns.message.from_wire(data[2:])


async def resolve(
    attachment: Attachment, name: str, kind: str = "A", *, stream: bool = False, edns: int | bool = False
) -> dns.message.Message:
    query = dns.message.make_query(name, kind, use_edns=edns)
    return await inside(attachment.namespace, lambda: exchange("127.0.0.11", query, stream=stream))


def values(answer: dns.message.Message) -> list[str]:
    return sorted(item.to_text() for group in answer.answer for item in group)


@contextlib.asynccontextmanager
async def nameserver(outside: Path) -> AsyncIterator[list[str]]:
    """A nameserver in the world outside: it knows outside.test and long.test, is silent about silent.test, and lists
    what it was asked and how."""
    asked: list[str] = []

    def reply(data: bytes, how: str) -> bytes | None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text()
        asked.append(f"{how} {name}")
        if name == "silent.test.":
            return None
        answer = dns.message.make_response(query)
        addresses = {"outside.test.": ["203.0.113.9"], "long.test.": LONG}.get(name)
        if addresses is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif how == "udp" and len(addresses) > 10:
            answer.flags |= dns.flags.TC
        else:
            answer.answer.append(dns.rrset.from_text_list(query.question[0].name, 60, "IN", "A", addresses))
        return answer.to_wire(max_size=65535)

    def listen(kind: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("0.0.0.0", 53))
        if kind == socket.SOCK_STREAM:
            made.listen()
        made.setblocking(False)
        return made

    loop = asyncio.get_running_loop()
    datagram = await inside(outside, lambda: listen(socket.SOCK_DGRAM))
    stream = await inside(outside, lambda: listen(socket.SOCK_STREAM))

    async def datagrams() -> None:
        while True:
            data, peer = await loop.sock_recvfrom(datagram, 4096)
            if (answer := reply(data, "udp")) is not None:
                await loop.sock_sendto(datagram, b"\0\0garbage", peer)
                await loop.sock_sendto(datagram, answer, peer)

    async def streams() -> None:
        while True:
            connection, _ = await loop.sock_accept(stream)
            with connection:
                data = await loop.sock_recv(connection, 4096)
                if (answer := reply(data[2:], "tcp")) is not None:
                    await loop.sock_sendall(connection, struct.pack("!H", len(answer)) + answer)

    tasks = [asyncio.create_task(datagrams()), asyncio.create_task(streams())]
    try:
        yield asked
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        datagram.close()
        stream.close()


async def join(networks: Networks, letter: str, *requests: EndpointRequest, **more: object) -> Attachment:
    return await networks.attach(letter * 64, f"name-{letter}", requests=requests, hostname=f"host-{letter}", **more)


async def test_names_aliases_short_ids_and_host_names(networks: Networks) -> None:
    await networks.create(NetworkSpec(name="web"))
    a = await join(networks, "a", EndpointRequest("web", aliases=("shared", "Other")))
    b = await join(networks, "b", EndpointRequest("web", aliases=("shared",)))
    assert a.resolv_conf == "nameserver 127.0.0.11\nsearch example.test\noptions ndots:0\n"
    first, second = a.endpoints[0].ipv4_address, b.endpoints[0].ipv4_address
    assert a.endpoints[0].dns_names == ("name-a", "shared", "Other", "a" * 12, "host-a")
    for stream in (False, True):
        for name in ("name-a", "NAME-A.", "other", "a" * 12, "host-a", "name-a.web"):
            assert values(await resolve(b, name, stream=stream)) == [first]
        assert values(await resolve(b, "shared", stream=stream)) == sorted([first, second])
    nothing = await resolve(b, "name-a", "AAAA")
    assert nothing.rcode() == dns.rcode.NOERROR and not nothing.answer
    reverse = await resolve(b, ".".join(reversed(first.split("."))) + ".in-addr.arpa", "PTR")
    assert values(reverse) == ["name-a.web."]
    order = {(await resolve(b, "shared")).answer[0][0].to_text() for _ in range(40)}
    assert order == {first, second}


async def test_only_networks_of_its_own(networks: Networks) -> None:
    for name in ("one", "two"):
        await networks.create(NetworkSpec(name=name, internal=True))
    await join(networks, "a", EndpointRequest("one"))
    b = await join(networks, "b", EndpointRequest("two"))
    assert (await resolve(b, "name-a")).rcode() == dns.rcode.SERVFAIL


async def test_links_are_names_of_one_container_alone(networks: Networks) -> None:
    await networks.create(NetworkSpec(name="one", internal=True))
    a = await join(networks, "a", EndpointRequest("one"))
    b = await join(networks, "b", EndpointRequest("one", links=("name-a:db",)))
    assert values(await resolve(b, "db")) == [a.endpoints[0].ipv4_address]
    assert (await resolve(a, "db")).rcode() == dns.rcode.SERVFAIL


async def test_the_rest_is_asked_of_the_hosts_nameserver(networks: Networks, machine) -> None:
    await networks.create(NetworkSpec(name="web"))
    a = await join(networks, "a", EndpointRequest("web"))
    async with nameserver(machine.outside) as asked:
        assert values(await resolve(a, "outside.test")) == ["203.0.113.9"]
        assert values(await resolve(a, "outside.test", stream=True)) == ["203.0.113.9"]
        assert (await resolve(a, "unknown.test")).rcode() == dns.rcode.NXDOMAIN
        assert asked == ["udp outside.test.", "udp outside.test.", "udp unknown.test."]
        asked.clear()
        whole = await resolve(a, "long.test", stream=True)
        assert len(values(whole)) == 300 and asked == ["udp long.test.", "tcp long.test."]
        cut = await resolve(a, "long.test", edns=True)
        assert cut.flags & dns.flags.TC and not cut.answer


async def test_own_nameservers_and_short_names(networks: Networks, machine) -> None:
    await networks.create(NetworkSpec(name="web"))
    machine.settings.resolv_conf.write_text("nameserver 198.51.100.77\n")
    a = await join(networks, "a", EndpointRequest("web"), dns=("198.51.100.1",), dns_options=("ndots:1",))
    assert "options ndots:1\n" in a.resolv_conf
    async with nameserver(machine.outside) as asked:
        assert values(await resolve(a, "outside.test")) == ["203.0.113.9"]
        asked.clear()
        assert (await resolve(a, "unknown")).rcode() == dns.rcode.NXDOMAIN
        assert asked == []


async def test_internal_networks_ask_nobody(networks: Networks, machine) -> None:
    await networks.create(NetworkSpec(name="inner", internal=True))
    a = await join(networks, "a", EndpointRequest("inner"))
    async with nameserver(machine.outside) as asked:
        assert (await resolve(a, "outside.test")).rcode() == dns.rcode.SERVFAIL
        assert asked == []
        await networks.create(NetworkSpec(name="outer"))
        await networks.connect("a" * 64, EndpointRequest("outer"))
        assert values(await resolve(a, "outside.test")) == ["203.0.113.9"]


async def test_a_silent_nameserver_is_a_failure_not_a_hang(
    networks: Networks, machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from boxship.transport import nameservers

    monkeypatch.setattr(nameservers, "ANSWER_SECONDS", 0.1)
    await networks.create(NetworkSpec(name="web"))
    a = await join(networks, "a", EndpointRequest("web"))
    async with nameserver(machine.outside) as asked:
        assert (await resolve(a, "silent.test")).rcode() == dns.rcode.SERVFAIL
        assert asked == ["udp silent.test."] * 2


async def test_containers_may_serve_port_53_themselves(networks: Networks) -> None:
    await networks.create(NetworkSpec(name="web", internal=True))
    a = await join(networks, "a", EndpointRequest("web"))

    def serve_and_ask() -> bytes:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        ):
            own.bind(("0.0.0.0", 53))
            client.connect(("127.0.0.1", 53))
            client.send(b"mine")
            return own.recv(100)

    assert await inside(a.namespace, serve_and_ask) == b"mine"
    assert values(await resolve(a, "name-a")) == [a.endpoints[0].ipv4_address]


async def test_garbage_is_answered_or_dropped(networks: Networks) -> None:
    await networks.create(NetworkSpec(name="web", internal=True))
    a = await join(networks, "a", EndpointRequest("web"))

    def send_garbage() -> list[bytes]:
        answers = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.2)
            client.connect(("127.0.0.11", 53))
            for data in (b"", b"x", b"\0" * 12, b"\x12\x34\x01\x00\x00\x01" + b"\xff" * 40, b"\xff" * 500):
                client.send(data)
                with contextlib.suppress(TimeoutError):
                    answers.append(client.recv(2048))
        return answers

    assert all(len(answer) == 12 for answer in await inside(a.namespace, send_garbage))
    assert values(await resolve(a, "name-a")) == [a.endpoints[0].ipv4_address]


async def test_renamed_and_detached_containers(networks: Networks) -> None:
    await networks.create(NetworkSpec(name="web", internal=True))
    a = await join(networks, "a", EndpointRequest("web"))
    b = await join(networks, "b", EndpointRequest("web"))
    await networks.rename("a" * 64, "renamed")
    assert values(await resolve(b, "renamed")) == [a.endpoints[0].ipv4_address]
    assert (await resolve(b, "name-a")).rcode() == dns.rcode.SERVFAIL
    assert networks.attachment("a" * 64).endpoints[0].dns_names[0] == "renamed"
    await networks.detach("a" * 64)
    assert (await resolve(b, "renamed")).rcode() == dns.rcode.SERVFAIL
