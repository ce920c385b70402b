"""Sockets that the network room needs at places of its own: a container's namespace, a host port that must stay taken.

They are opened here and served elsewhere; whoever gets one closes it.
"""

import contextlib
import errno
import os
import random
import socket
import struct
from pathlib import Path

import msgspec

from boxship.errors import Internal, Unsupported
from boxship.sys import namespace

Socket = socket.socket
RESOLVER_ADDRESS = "127.0.0.11"
RESOLVER_PORTS = (32768, 60999)
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "sctp": socket.SOCK_STREAM}


class PortInUse(Internal):
    """Another socket of the host holds the port."""


class ResolverSockets(msgspec.Struct):
    """The two sockets at which a container's questions arrive, and their ports."""

    datagram: Socket
    stream: Socket
    datagram_port: int
    stream_port: int

    def close(self) -> None:
        self.datagram.close()
        self.stream.close()


def choose_resolver_ports() -> tuple[int, int]:
    """UDP and TCP ports for a resolver in a namespace in which nothing runs yet, so that any will do."""
    return random.randrange(*RESOLVER_PORTS), random.randrange(*RESOLVER_PORTS)


def open_resolver(datagram_port: int = 0, stream_port: int = 0) -> ResolverSockets:
    """UDP and TCP sockets at 127.0.0.11 in the calling thread's namespace, on the given ports or on any."""
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        datagram.bind((RESOLVER_ADDRESS, datagram_port))
        stream.bind((RESOLVER_ADDRESS, stream_port))
        stream.listen(64)
    except OSError as error:
        datagram.close()
        stream.close()
        raise Internal(f"cannot open the resolver's sockets: {error.strerror}") from None
    return ResolverSockets(datagram, stream, datagram.getsockname()[1], stream.getsockname()[1])


def reserve_port(protocol: str, address: str, port: int) -> Socket:
    """Hold a host port so that nobody else can take it: bound, never read. PortInUse where it is taken already."""
    try:
        held = socket.socket(
            socket.AF_INET, KINDS[protocol] | socket.SOCK_CLOEXEC, socket.IPPROTO_SCTP if protocol == "sctp" else 0
        )
    except OSError:
        raise Unsupported(f"unsupported: {protocol} (the kernel does not have it)") from None
    try:
        held.bind((address, port))
        if protocol == "udp":
            held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # what reaches it by mistake is dropped
    except OSError as error:
        try:
            if error.errno != errno.EADDRINUSE or protocol != "tcp":
                raise
            # Connections of a former server may linger on the port. Listening proves that nobody else uses it now.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((address, port))
            held.listen(0)
        except OSError as final:
            held.close()
            if final.errno == errno.EADDRINUSE:
                raise PortInUse(f"cannot bind {address}:{port}: in use") from None
            raise Internal(f"failed to bind host port {address}:{port}/{protocol}: {final.strerror}") from None
    return held


def announce_address(path: Path | int | None, interface: str, mac_address: str, address: str) -> None:
    """Tell the neighbours inside a namespace (None: the calling thread's) which hardware address an IPv4 address has
    now (a gratuitous ARP)."""
    mac = bytes.fromhex(mac_address.replace(":", ""))
    raw = socket.inet_aton(address)
    frame = b"\xff" * 6 + mac + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) + mac + raw + bytes(6) + raw

    def work() -> None:
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as packet,
        ):
            packet.bind((interface, 0))
            packet.send(frame)

    work() if path is None else namespace.run_inside(path, work)


def listen_at(path: Path, backlog: int = 16) -> Socket:
    """A stream socket that listens at a path of any length, mode 0600. Internal where it cannot be made."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            short = f"/proc/self/fd/{folder}/{path.name}"  # a socket's name may have 108 bytes
            listener.bind(short)
            os.chmod(short, 0o600)
        finally:
            os.close(folder)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise Internal(f"cannot listen at {path}: {error.strerror}") from error
    return listener
