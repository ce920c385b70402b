"""rtnetlink: interfaces, addresses and routes of one namespace, in raw messages over one socket.

Written by hand because it is on the way of every container's start: a message is packed in microseconds, several go to
the kernel in one call, and nothing is imported or cached. A socket belongs to the namespace of the thread that opened
it; it must not be used by two threads at once.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator, Sequence

import msgspec

NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
REPLACE, EXCLUDE, CREATE = 0x100, 0x200, 0x400
BOOT = 3  # RTPROT_BOOT: routes that a program made
ERROR, DONE, DUMP_INTERRUPTED = 2, 3, 0x10
UP = 1  # IFF_UP
ANSWER_SECONDS = 10
BUFFER_BYTES = 1 << 18

Message = tuple[int, int, bytes]  # kind, flags, body


class Link(msgspec.Struct, frozen=True):
    """An interface. `counters` are rx and tx packets, bytes, errors, dropped, in the kernel's order of pairs."""

    index: int
    name: str
    up: bool
    alias: str = ""
    kind: str = ""
    master: int = 0
    mtu: int = 0
    mac_address: str = ""
    counters: tuple[int, ...] = ()


class Address(msgspec.Struct, frozen=True):
    """An IPv4 address of an interface."""

    index: int
    address: str
    prefix: int


class Route(msgspec.Struct, frozen=True):
    """An IPv4 unicast route of the main table; destination "0.0.0.0"/0 is the default."""

    destination: str
    prefix: int
    gateway: str
    index: int
    metric: int
    source: str = ""
    protocol: int = 0  # who made it


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("HH", len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in a message's tail; stops at the first that does not fit."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("HH", data, at)
        if length < 4 or at + length > len(data):
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


def _text(data: bytes) -> bytes:
    return data + b"\0"


def _link_body(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("BxHiII", 0, 0, index, flags, change)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", "").replace("-", ""))


def _number(value: int) -> bytes:
    return struct.pack("I", value)


def add_veth(name: str, *, peer: str, peer_namespace: int, peer_mac: str, mtu: int, bridge: int) -> Message:
    """A pair: `name` here, up and a port of the bridge with that index; `peer` in the namespace behind a descriptor."""
    other = _link_body() + attribute(3, _text(peer.encode())) + attribute(28, _number(peer_namespace))
    other += attribute(1, _mac(peer_mac)) + attribute(4, _number(mtu))
    body = _link_body(flags=UP, change=UP) + attribute(3, _text(name.encode())) + attribute(4, _number(mtu))
    body += attribute(10, _number(bridge))
    body += attribute(18, attribute(1, b"veth") + attribute(2, attribute(1, other)))
    return NEWLINK, CREATE | EXCLUDE, body


def add_bridge(name: str, *, mac: str, mtu: int) -> Message:
    """A bridge that is up, with a fixed hardware address and no multicast snooping."""
    details = attribute(1, b"bridge") + attribute(2, attribute(23, b"\0"))
    body = _link_body(flags=UP, change=UP) + attribute(3, _text(name.encode()))
    body += attribute(1, _mac(mac)) + attribute(4, _number(mtu)) + attribute(18, details)
    return NEWLINK, CREATE | EXCLUDE, body


def set_alias(name: str, alias: str) -> Message:
    return SETLINK, 0, _link_body() + attribute(3, _text(name.encode())) + attribute(20, _text(alias.encode()))


def set_up(index: int) -> Message:
    return SETLINK, 0, _link_body(index, UP, UP)


def set_port(name: str, *, isolated: bool, hairpin: bool) -> Message:
    """Flags of a bridge's port: isolated ones exchange no frames among each other; with hairpin, a frame may leave by
    the port that it came in by."""
    flags = attribute(33, bytes([isolated])) + attribute(4, bytes([hairpin]))
    return NEWLINK, 0, _link_body() + attribute(3, _text(name.encode())) + attribute(18, attribute(5, flags))


def remove_link(name: str) -> Message:
    return DELLINK, 0, _link_body() + attribute(3, _text(name.encode()))


def add_address(index: int, address: str, prefix: int) -> Message:
    raw = socket.inet_aton(address)
    last = int.from_bytes(raw, "big") | ((1 << (32 - prefix)) - 1)
    body = struct.pack("BBBBi", 2, prefix, 0, 0, index) + attribute(2, raw) + attribute(1, raw)
    if prefix < 31:
        body += attribute(4, last.to_bytes(4, "big"))
    return NEWADDR, CREATE | REPLACE, body


def remove_address(index: int, address: str, prefix: int) -> Message:
    raw = socket.inet_aton(address)
    return DELADDR, 0, struct.pack("BBBBi", 2, prefix, 0, 0, index) + attribute(2, raw) + attribute(1, raw)


def set_default_route(index: int, gateway: str) -> Message:
    body = struct.pack("BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0)
    body += attribute(5, socket.inet_aton(gateway)) + (attribute(4, struct.pack("i", index)) if index else b"")
    return NEWROUTE, CREATE | REPLACE, body


def set_route(subnet: str, index: int, *, gateway: str = "", source: str = "", protocol: int = BOOT) -> Message:
    """Have a route to a subnet by an interface, through a gateway that is reached without asking, or straight."""
    destination, _, prefix = subnet.partition("/")
    scope, flags = (0, 4) if gateway else (253, 0)  # RT_SCOPE_LINK; RTNH_F_ONLINK
    body = struct.pack("BBBBBBBBI", 2, int(prefix), 0, 0, 254, protocol, scope, 1, flags)
    body += attribute(1, socket.inet_aton(destination)) + attribute(4, struct.pack("i", index))
    body += attribute(5, socket.inet_aton(gateway)) if gateway else b""
    body += attribute(7, socket.inet_aton(source)) if source else b""
    return NEWROUTE, CREATE | REPLACE, body


def remove_route(subnet: str, index: int) -> Message:
    destination, _, prefix = subnet.partition("/")
    body = struct.pack("BBBBBBBBI", 2, int(prefix), 0, 0, 254, 0, 255, 0, 0)
    return DELROUTE, 0, body + attribute(1, socket.inet_aton(destination)) + attribute(4, struct.pack("i", index))


def remove_default_route() -> Message:
    return DELROUTE, 0, struct.pack("BBBBBBBBI", 2, 0, 0, 0, 254, 0, 255, 0, 0)


class RouteSocket:
    """A netlink socket in the namespace of the thread that makes it. Errors of the kernel come as OSError."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.setsockopt(270, 11, 1)  # SOL_NETLINK, NETLINK_EXT_ACK: errors come with a sentence
        self._socket.setsockopt(270, 10, 1)  # NETLINK_CAP_ACK: they do not carry our message back
        self._socket.settimeout(ANSWER_SECONDS)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def _send(self, messages: Sequence[Message], flags: int) -> int:
        first = self._sequence + 1
        parts = []
        for kind, extra, body in messages:
            self._sequence += 1
            parts.append(struct.pack("IHHII", 16 + len(body), kind, REQUEST | flags | extra, self._sequence, 0) + body)
        self._socket.send(b"".join(parts))
        return first

    def _answers(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Kind, flags, sequence and body of every message in the next datagram."""
        data = self._socket.recv(BUFFER_BYTES)
        at = 0
        while at + 16 <= len(data):
            length, kind, flags, sequence, _ = struct.unpack_from("IHHII", data, at)
            yield kind, flags, sequence, data[at + 16 : at + length]
            at += (length + 3) & ~3

    def apply(self, *messages: Message) -> None:
        """Have the kernel do all of these in order. It goes on after one that fails; the first failure is raised."""
        first = self._send(messages, ACK)
        waiting = len(messages)
        failure: OSError | None = None
        while waiting:
            for kind, flags, sequence, body in self._answers():
                if sequence < first or kind != ERROR:
                    continue  # an answer to a request that timed out
                waiting -= 1
                failure = failure or _failure(flags, body)
        if failure:
            raise failure

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """Everything of a kind that the kernel has, one body each."""
        for _ in range(5):
            first = self._send([(kind, DUMP, body)], 0)
            found: list[bytes] = []
            done = interrupted = False
            while not done:
                for answer, flags, sequence, data in self._answers():
                    if sequence != first:
                        continue
                    interrupted = interrupted or bool(flags & DUMP_INTERRUPTED)
                    if answer == ERROR and (failure := _failure(0, data)):
                        raise failure
                    done = done or answer in (DONE, ERROR)
                    if answer not in (DONE, ERROR):
                        found.append(data)
            if not interrupted:
                break
        return found

    def link(self, name: str) -> Link | None:
        """The interface of that name, or None."""
        body = _link_body() + attribute(3, _text(name.encode()))
        first = self._send([(GETLINK, 0, body)], 0)
        while True:
            for kind, _, sequence, data in self._answers():
                if sequence == first:
                    return None if kind == ERROR else _parse_link(data)

    def index(self, name: str) -> int:
        """The index of the interface of that name; OSError where there is none."""
        found = self.link(name)
        if found is None:
            raise OSError(19, f"no interface {name}")
        return found.index

    def links(self) -> list[Link]:
        return [_parse_link(data) for data in self.dump(GETLINK, _link_body())]

    def addresses(self) -> list[Address]:
        found = []
        for data in self.dump(GETADDR, struct.pack("BBBBi", 2, 0, 0, 0, 0)):
            _, prefix, _, _, index = struct.unpack_from("BBBBi", data)
            values = dict(attributes(data[8:]))
            raw = values.get(2) or values.get(1)
            if raw:
                found.append(Address(index, socket.inet_ntoa(raw), prefix))
        return found

    def routes(self) -> list[Route]:
        found = []
        for data in self.dump(GETROUTE, struct.pack("BBBBBBBBI", 2, 0, 0, 0, 0, 0, 0, 0, 0)):
            _, prefix, _, _, table, protocol, _, kind, _ = struct.unpack_from("BBBBBBBBI", data)
            if kind != 1 or table != 254:
                continue
            values = dict(attributes(data[12:]))
            numbers = {key: struct.unpack("I", values[key])[0] for key in (4, 6) if key in values}
            gateway = socket.inet_ntoa(values[5]) if 5 in values else ""
            destination = socket.inet_ntoa(values[1]) if 1 in values else "0.0.0.0"
            source = socket.inet_ntoa(values[7]) if 7 in values else ""
            index, metric = numbers.get(4, 0), numbers.get(6, 0)
            found.append(Route(destination, prefix, gateway, index, metric, source, protocol))
        return found


def _failure(flags: int, body: bytes) -> OSError | None:
    code = -struct.unpack_from("i", body)[0]
    if not code:
        return None
    text = os.strerror(code)
    if flags & 0x200:  # NLM_F_ACK_TLVS; with NETLINK_CAP_ACK the sentence follows the 16-byte header of our message
        with contextlib.suppress(UnicodeDecodeError, KeyError):
            text += f" ({dict(attributes(body[20:]))[1].rstrip(bytes(1)).decode()})"
    return OSError(code, text)


def _parse_link(data: bytes) -> Link:
    index, flags = struct.unpack_from("iI", data, 4)
    values = dict(attributes(data[16:]))
    details = dict(attributes(values.get(18, b"")))
    counters = struct.unpack_from("8Q", values[23]) if len(values.get(23, b"")) >= 64 else ()

    def text(source: dict[int, bytes], kind: int) -> str:
        return source.get(kind, b"").rstrip(b"\0").decode(errors="replace")

    return Link(
        index=index,
        name=text(values, 3),
        up=bool(flags & UP),
        alias=text(values, 20),
        kind=text(details, 1),
        master=struct.unpack("I", values[10])[0] if 10 in values else 0,
        mtu=struct.unpack("I", values[4])[0] if 4 in values else 0,
        mac_address=values.get(1, b"").hex(":"),
        counters=counters,
    )
