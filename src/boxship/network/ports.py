"""Published ports: which host port a request gets, and the sockets that hold it so that nobody else can take it.

The sockets live and die with the daemon; after a restart they are opened again. They carry no traffic: the rules do.
The members of a service group hold a port together.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence

from boxship.errors import Invalid, Unavailable, Unsupported
from boxship.spec.container import PortRequest, PublishedPort
from boxship.sys import namespace, sockets

FALLBACK_RANGE = (32768, 60999)
PROTOCOLS = ("tcp", "udp", "sctp")


def parse_host_ports(text: str) -> range | None:
    """The host ports that a request allows; None means any free one."""
    first, dash, last = text.partition("-")
    if text in ("", "0"):
        return None
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise Invalid(f"invalid host port {text!r}")
    low, high = int(first), int(last) if dash else int(first)
    if not 0 < low <= high <= 65535:
        raise Invalid(f"invalid host port {text!r}")
    return range(low, high + 1)


def check_request(request: PortRequest, default_address: str) -> str:
    """The host address of a request, checked with the rest of it."""
    if request.protocol not in PROTOCOLS:
        raise Invalid(f"invalid proto: {request.protocol}")
    if not 0 < request.container_port <= 65535:
        raise Invalid(f"invalid container port {request.container_port}")
    text = request.host_address or default_address
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Invalid(f"invalid host IP address {text!r}") from None
    if address.version == 6:
        raise Unsupported(f"unsupported: IPv6 host address {text}")
    return str(address)


class _Shared:
    """A socket that holds a port for one container, or for all of a group that publish it."""

    def __init__(self, group: str, socket: sockets.Socket) -> None:
        self.group = group
        self.socket = socket
        self.users = 0


class Reservations:
    """The host ports that this daemon holds, by container."""

    def __init__(self) -> None:
        self._held: dict[str, list[tuple[PublishedPort, _Shared]]] = {}
        self._sockets: dict[tuple[str, str, int], _Shared] = {}  # protocol, host address, host port
        self._cursor = 0

    def held(self, container_id: str) -> tuple[PublishedPort, ...]:
        return tuple(port for port, _ in self._held.get(container_id, ()))

    def reserve(
        self, container_id: str, requests: Sequence[PortRequest], address: str, whose: str, group: str = ""
    ) -> None:
        """Take a host port for each request, or none at all. `whose` names the endpoint in an error."""
        try:
            for request in requests:
                self._reserve_one(container_id, request, check_request(request, address), whose, group)
        except BaseException:
            self.release(container_id)
            raise

    def _reserve_one(self, container_id: str, request: PortRequest, address: str, whose: str, group: str) -> None:
        allowed = parse_host_ports(request.host_port)
        shared = group if allowed is not None and len(allowed) == 1 else ""  # of a range, each member takes its own
        for number in allowed if allowed is not None else self._ephemeral():
            port = PublishedPort(request.container_port, request.protocol, address, number)
            if self._hold(container_id, port, shared):
                return
        failure = f"driver failed programming external connectivity on endpoint {whose}: "
        if allowed is None or len(allowed) > 1:
            raise Unavailable(f"{failure}Bind for {address} failed: all ports are allocated")
        if self._is_ours(request.protocol, allowed[0]):
            raise Unavailable(f"{failure}Bind for {address}:{allowed[0]} failed: port is already allocated")
        taken = f"{address}:{allowed[0]}/{request.protocol}"
        raise Unavailable(f"{failure}failed to bind host port {taken}: address already in use")

    def _is_ours(self, protocol: str, number: int) -> bool:
        ports = (port for held in self._held.values() for port, _ in held)
        return any(port.protocol == protocol and port.host_port == number for port in ports)

    def _hold(self, container_id: str, port: PublishedPort, group: str) -> bool:
        """Hold a port; False where somebody outside of the group has it."""
        key = (port.protocol, port.host_address, port.host_port)
        shared = self._sockets.get(key)
        if shared is None:
            try:
                shared = _Shared(group, sockets.reserve_port(*key))
            except sockets.PortInUse:
                return False
            self._sockets[key] = shared
        elif not group or shared.group != group or self._has(container_id, key):
            return False
        shared.users += 1
        self._held.setdefault(container_id, []).append((port, shared))
        return True

    def _has(self, container_id: str, key: tuple[str, str, int]) -> bool:
        ports = self.held(container_id)
        return any((port.protocol, port.host_address, port.host_port) == key for port in ports)

    def _ephemeral(self) -> Iterator[int]:
        """The machine's ephemeral ports, from the one after the last given."""
        words = namespace.read_setting("ipv4/ip_local_port_range").split()
        low, high = (int(words[0]), int(words[1])) if len(words) == 2 else FALLBACK_RANGE
        size = high - low + 1
        for _ in range(size):
            number = low + self._cursor % size
            self._cursor += 1
            yield number

    def restore(self, container_id: str, ports: Iterable[PublishedPort], group: str = "") -> list[PublishedPort]:
        """Take the ports of a container that kept running; those that somebody took meanwhile come back."""
        held = set(self.held(container_id))
        return [port for port in ports if port not in held and not self._hold(container_id, port, group)]

    def release(self, container_id: str) -> None:
        for port, shared in self._held.pop(container_id, ()):
            shared.users -= 1
            if not shared.users:
                del self._sockets[port.protocol, port.host_address, port.host_port]
                shared.socket.close()

    def close(self) -> None:
        for container_id in list(self._held):
            self.release(container_id)
