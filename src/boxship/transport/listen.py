"""Where a server listens: unix sockets with mode and group, TCP with TLS, and plain TCP, which stays on this machine
unless it is asked for by name."""

import contextlib
import ipaddress
import os
import socket
import ssl
from pathlib import Path
from typing import Protocol

import msgspec

from boxship.errors import Conflict, Internal, Invalid

BACKLOG = 1024  # connections that the kernel keeps until they are accepted
UNIX_PATH_BYTES = 107
IP_FREEBIND = 15  # Linux; Python has no name for it


class UnixAddress(msgspec.Struct, frozen=True):
    """A unix socket. `group` is a number; None leaves it as the process has it."""

    path: Path
    mode: int = 0o660
    group: int | None = None


class TlsSource(Protocol):
    """Certificates that change while the server runs: each connection begins with what holds then. `version` grows
    with each change."""

    @property
    def version(self) -> int: ...

    def context(self) -> ssl.SSLContext: ...

    def revoked(self, serial: int) -> bool:
        """Whether the client's certificate of that serial number holds no longer: its connections are cut."""


class TlsAddress(msgspec.Struct, frozen=True):
    """A TCP port whose clients must show a certificate that `context` accepts; with `clients` False they need none, for
    a handler that knows its callers in another way. Port 0: any free one. `early`: the address need not be this
    machine's yet."""

    host: str
    port: int
    context: ssl.SSLContext | TlsSource
    clients: bool = True
    early: bool = False

    def now(self) -> ssl.SSLContext:
        """The context for a connection that begins now."""
        return self.context if isinstance(self.context, ssl.SSLContext) else self.context.context()

    @property
    def source(self) -> TlsSource | None:
        return None if isinstance(self.context, ssl.SSLContext) else self.context


class PlainAddress(msgspec.Struct, frozen=True):
    """A TCP port without TLS, for a handler that knows what it may tell whom. Only on this machine, unless `anywhere`.
    Port 0: any free one."""

    host: str
    port: int
    anywhere: bool = False


Address = UnixAddress | TlsAddress | PlainAddress


def open_unix(address: UnixAddress) -> socket.socket:
    """A listening unix socket; a dead one of that name goes. Nobody gets in before its rights are set."""
    path = address.path
    if len(os.fsencode(path)) > UNIX_PATH_BYTES:
        raise Invalid(f"cannot listen on {path}: path is longer than {UNIX_PATH_BYTES} bytes")
    if is_answered(path):
        raise Conflict(f"cannot listen on {path}: another process listens there")
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        umask = os.umask(0o777)
        try:
            opened.bind(str(path))
        finally:
            os.umask(umask)
        if address.group is not None:
            os.chown(path, -1, address.group)
        os.chmod(path, address.mode)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise Internal(f"cannot listen on {path}: {error.strerror}") from error
    return opened


def is_answered(path: Path) -> bool:
    """Whether a living process listens on the unix socket of that name. Raises Conflict where no socket is there."""
    if not path.exists():
        return False
    if not path.is_socket():
        raise Conflict(f"cannot listen on {path}: a file that is no socket is in the way")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
        return True


def open_tls(address: TlsAddress) -> socket.socket:
    """A bound TCP socket. Refuses a context that lets clients in without a certificate, where they must have one."""
    if address.clients and address.now().verify_mode is not ssl.CERT_REQUIRED:
        raise Invalid(f"cannot listen on {address.host}:{address.port}: TCP is offered with client certificates alone")
    return _open_tcp(address.host, address.port, early=address.early)


def open_plain(address: PlainAddress) -> socket.socket:
    """A bound TCP socket. Refuses addresses that other machines can reach, where that was not asked for."""
    opened = _open_tcp(address.host, address.port)
    place = opened.getsockname()[0]
    if not address.anywhere and not ipaddress.ip_address(place.partition("%")[0]).is_loopback:
        opened.close()
        raise Invalid(
            f"cannot listen on {address.host}:{address.port}: without TLS only addresses of this machine serve"
        )
    return opened


def outgoing_address(towards: str = "192.0.2.1") -> str:
    """The IPv4 address that this machine's packets to others carry; "" where they have no way out. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((towards, 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def _open_tcp(host: str, port: int, *, early: bool = False) -> socket.socket:
    try:
        family, kind, number, _, place = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind, number)
    except OSError as error:
        raise Internal(f"cannot listen on {host}:{port}: {error.strerror}") from error
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if early:
            opened.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        opened.bind(place)
    except OSError as error:
        opened.close()
        raise Internal(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return opened
