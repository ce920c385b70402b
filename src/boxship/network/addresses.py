"""Address management, pure: which subnet a new network gets, and which address a container.

Nothing here does I/O; the caller says which subnets the machine uses already.
"""

import ipaddress
from collections.abc import Collection, Iterable

from boxship.errors import Conflict, Denied, Exhausted, Invalid
from boxship.network.model import AddressPool
from boxship.spec.container import Subnet

IPv4Network = ipaddress.IPv4Network
MAXIMUM_PREFIX = 30


def parse_subnet(text: str) -> IPv4Network:
    """A subnet in CIDR notation, without host bits. Invalid otherwise, in Docker's words."""
    try:
        subnet = ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        raise Invalid(f"invalid subnet {text}: invalid CIDR block notation") from None
    if "/" not in text:
        raise Invalid(f"invalid subnet {text}: invalid CIDR block notation")
    if str(subnet) != text and ipaddress.IPv4Address(text.split("/")[0]) != subnet.network_address:
        raise Invalid(f"invalid subnet {text}: it should be {subnet}")
    return subnet


def _address(text: str, what: str) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        raise Invalid(f"invalid {what}: {text}") from None


def check_subnet(wanted: Subnet) -> Subnet:
    """A user's subnet with everything in it checked, and its gateway filled in (the first address unless given)."""
    subnet = parse_subnet(wanted.subnet)
    if subnet.prefixlen > MAXIMUM_PREFIX:
        raise Invalid(f"invalid subnet {wanted.subnet}: no room for a gateway and a container")
    inner = subnet
    if wanted.ip_range:
        try:
            inner = parse_subnet(wanted.ip_range)
        except Invalid:
            raise Invalid(f"invalid ip-range {wanted.ip_range}: invalid CIDR block notation") from None
        if not inner.subnet_of(subnet):
            raise Invalid(f"invalid ip-range {wanted.ip_range}: parent subnet is {subnet}")
    reserved = set()
    for name, text in wanted.reserved.items():
        if _address(text, "auxiliary address") not in subnet:
            raise Invalid(f"invalid auxiliary address {name}={text}: parent subnet is {subnet}")
        reserved.add(_address(text, "auxiliary address"))
    if wanted.gateway:
        if _address(wanted.gateway, "gateway address") not in subnet:
            raise Invalid(f"invalid gateway {wanted.gateway}: parent subnet is {subnet}")
        gateway = _address(wanted.gateway, "gateway address")
    else:
        first = inner.network_address + (1 if inner.network_address == subnet.network_address else 0)
        gateway = first
        while gateway in reserved:
            gateway += 1
    if gateway in (subnet.network_address, subnet.broadcast_address) or gateway not in subnet:
        raise Invalid(f"invalid gateway {gateway}: it is not a host's address of {subnet}")
    return Subnet(subnet=str(subnet), ip_range=wanted.ip_range, gateway=str(gateway), reserved=wanted.reserved)


def choose_subnet(pools: Iterable[AddressPool], used: Collection[IPv4Network]) -> Subnet:
    """The first piece of the pools that overlaps nothing in use. Exhausted where there is none."""
    ranges = sorted((int(other.network_address), int(other.broadcast_address)) for other in used)
    for pool in pools:
        base = parse_subnet(pool.base)
        size = 1 << (32 - pool.size)
        at, end = int(base.network_address), int(base.broadcast_address)
        for first, last in ranges:
            if first >= at + size:
                break
            if last >= at:
                at += (last - at + size) // size * size  # the next piece that begins behind it
        if at + size - 1 <= end:
            piece = ipaddress.IPv4Network((at, pool.size))
            return Subnet(subnet=str(piece), gateway=str(piece.network_address + 1))
    raise Exhausted("all predefined address pools have been fully subnetted")


def check_overlap(subnet: IPv4Network, known: Iterable[IPv4Network]) -> None:
    """Denied where a network that we know has a part of the subnet."""
    if any(subnet.overlaps(other) for other in known):
        raise Denied("invalid pool request: Pool overlaps with other one on this address space")


class Allocator:
    """The addresses of one subnet: which are taken, and which was given last. Addresses are text."""

    def __init__(self, subnet: Subnet) -> None:
        self._network = parse_subnet(subnet.subnet)
        self._range = parse_subnet(subnet.ip_range) if subnet.ip_range else self._network
        never = {self._network.network_address, self._network.broadcast_address}
        never |= {ipaddress.IPv4Address(text) for text in (subnet.gateway, *subnet.reserved.values()) if text}
        self._never = {int(address) for address in never}
        self._taken: set[int] = set()
        self._last = int(self._range.network_address) - 1

    @property
    def prefix(self) -> int:
        return self._network.prefixlen

    @property
    def taken(self) -> frozenset[str]:
        return frozenset(str(ipaddress.IPv4Address(number)) for number in self._taken)

    def take(self, wanted: str = "") -> str:
        """An address: the wanted one, or the lowest free one after that given last (then from the start again)."""
        if wanted:
            return self._take_fixed(wanted)
        low, high = int(self._range.network_address), int(self._range.broadcast_address)
        start = self._last + 1 if low <= self._last + 1 <= high else low
        for numbers in (range(start, high + 1), range(low, start)):
            for number in numbers:
                if number not in self._taken and number not in self._never:
                    self._taken.add(number)
                    self._last = number
                    return str(ipaddress.IPv4Address(number))
        raise Exhausted(f"no available IPv4 addresses on this network's address pools: {self._range}")

    def take_highest(self) -> str:
        """The highest free address, far from those that containers get, so that neither inherits what neighbours
        remember of the other."""
        low, high = int(self._range.network_address), int(self._range.broadcast_address)
        for number in range(high, low - 1, -1):
            if number not in self._taken and number not in self._never:
                self._taken.add(number)
                return str(ipaddress.IPv4Address(number))
        raise Exhausted(f"no available IPv4 addresses on this network's address pools: {self._range}")

    def _take_fixed(self, wanted: str) -> str:
        address = _address(wanted, "IPv4 address")
        if address not in self._network or int(address) in (
            int(self._network.network_address),
            int(self._network.broadcast_address),
        ):
            raise Invalid(f"no configured subnet or ip-range contain the IP address {wanted}")
        number = int(address)
        if number in self._taken or number in self._never:
            raise Conflict("Address already in use")
        self._taken.add(number)
        return str(address)

    def restore(self, address: str, *, last: bool = True) -> None:
        """Count an address as taken, as a record says; never fails, so that a restart finds everything again. With
        `last`, the next ones given lie above it."""
        number = int(ipaddress.IPv4Address(address))
        self._taken.add(number)
        if not last:
            return
        if int(self._range.network_address) <= number <= int(self._range.broadcast_address):
            self._last = max(self._last, number)

    def give_back(self, address: str) -> None:
        self._taken.discard(int(ipaddress.IPv4Address(address)))


def hardware_address(address: str) -> str:
    """The hardware address that belongs to an IPv4 address: stable, so that neighbours need not learn it anew."""
    return "02:42:" + ipaddress.IPv4Address(address).packed.hex(":")
