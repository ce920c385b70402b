"""rtnetlink for tunnels between machines: a VXLAN interface, who lives behind which machine, and news of the machine's
own addresses and routes. Messages only; `netlink.RouteSocket` sends them."""

import asyncio
import contextlib
import socket
import struct
from typing import Self

import msgspec

from boxship.sys.netlink import CREATE, EXCLUDE, NEWLINK, REPLACE, UP, Message, RouteSocket, attribute, attributes

NEWNEIGH, DELNEIGH, GETNEIGH = 28, 29, 30
BRIDGE = 7  # AF_BRIDGE: a hardware address behind a tunnel's far end
PERMANENT, SELF, PROXY = 0x80, 0x02, 0x08
ADDRESS_NEWS, ROUTE_NEWS = 0x10, 0x40  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE
NEWS_BYTES = 1 << 16


class Neighbour(msgspec.Struct, frozen=True, order=True):
    """A static entry of an interface: an address has a hardware address (`far` False), or a hardware address is behind
    the machine that has an address (`far` True)."""

    mac_address: str
    address: str
    far: bool


def add_vxlan(name: str, *, network: int, port: int, local: str, mac: str, mtu: int) -> Message:
    """A tunnel's end that learns nothing: who is where is said by neighbours' entries alone."""
    details = attribute(1, struct.pack("I", network)) + attribute(4, socket.inet_aton(local))
    details += attribute(7, b"\0") + attribute(15, struct.pack("!H", port))
    body = struct.pack("BxHiII", 0, 0, 0, UP, UP) + attribute(3, name.encode() + b"\0")
    body += attribute(1, bytes.fromhex(mac.replace(":", ""))) + attribute(4, struct.pack("I", mtu))
    return NEWLINK, CREATE | EXCLUDE, body + attribute(18, attribute(1, b"vxlan") + attribute(2, details))


def _neighbour(index: int, entry: Neighbour) -> bytes:
    family, flags = (BRIDGE, SELF) if entry.far else (socket.AF_INET, 0)
    body = struct.pack("BxxxiHBB", family, index, PERMANENT, flags, 0)
    body += attribute(1, socket.inet_aton(entry.address))
    return body + attribute(2, bytes.fromhex(entry.mac_address.replace(":", "")))


def set_neighbour(index: int, entry: Neighbour) -> Message:
    return NEWNEIGH, CREATE | REPLACE, _neighbour(index, entry)


def remove_neighbour(index: int, entry: Neighbour) -> Message:
    return DELNEIGH, 0, _neighbour(index, entry)


def _proxy(index: int, address: str) -> bytes:
    return struct.pack("BxxxiHBB", socket.AF_INET, index, 0, PROXY, 0) + attribute(1, socket.inet_aton(address))


def set_proxy(index: int, address: str) -> Message:
    """Have the machine answer for an address on an interface, where it has a way to it by another."""
    return NEWNEIGH, CREATE | REPLACE, _proxy(index, address)


def remove_proxy(index: int, address: str) -> Message:
    return DELNEIGH, 0, _proxy(index, address)


def neighbours(route: RouteSocket, index: int) -> set[Neighbour]:
    """The static entries of an interface."""
    found = set()
    for family in (socket.AF_INET, BRIDGE):
        body = struct.pack("BxxxiHBB", family, 0, 0, 0, 0)
        for data in route.dump(GETNEIGH, body):
            told, where, state, _, _ = struct.unpack_from("BxxxiHBB", data)
            values = dict(attributes(data[12:]))
            if told == family and where == index and state & PERMANENT and len(values.get(1, b"")) == 4:
                address = socket.inet_ntoa(values[1])
                found.add(Neighbour(values.get(2, b"").hex(":"), address, family == BRIDGE))
    return found


class RouteNews:
    """Wakes who waits when the machine's IPv4 addresses or routes change. Of the opening thread's namespace."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, 0)
        self._socket.bind((0, ADDRESS_NEWS | ROUTE_NEWS))

    async def changed(self) -> None:
        """Returns after the next change; several may come as one."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # more than the socket holds: a change, too
            await loop.sock_recv(self._socket, NEWS_BYTES)
        with contextlib.suppress(OSError):
            while self._socket.recv(NEWS_BYTES):
                pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
