"""Which node answers for a load balancer's address: one of the ready ones on its segment, chosen by all of them alike,
and the next one when it is gone. Pure but for what it remembers: only what a change concerns is elected anew, a node's
look at a time, so that thousands of nodes and addresses hold nobody up.
"""

import hashlib
import ipaddress
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence

import msgspec

from boxship.cluster.proxy.facts import Key

Segments = Sequence[ipaddress.IPv4Network]


class Candidate(msgspec.Struct, frozen=True):
    """A node's own address, and whether it may answer for others."""

    address: str
    ready: bool


class Balanced(msgspec.Struct, frozen=True):
    """A load balancer's addresses; `local`: only a node with endpoints of its own is of use."""

    addresses: tuple[str, ...]
    local: bool


def steps_to_elect(
    address: str, segments: Segments, nodes: Mapping[str, Candidate], local: Container[str] | None
) -> Iterator[str]:
    """At each step who leads so far; at last the one that answers, among those that are ready, share a segment of ours
    with the address and, with `local`, are in there; "" where it is nobody's, or some node's own."""
    segment = next((found for found in segments if ipaddress.IPv4Address(address) in found), None)
    best = "", b""
    for name, node in list(nodes.items()) if segment is not None else ():
        if node.address == address:
            yield ""
            return
        may = node.ready and node.address and (local is None or name in local)
        if may and segment is not None and ipaddress.IPv4Address(node.address) in segment:
            weight = hashlib.sha256(f"{address}\0{name}".encode()).digest()
            best = max(best, (name, weight), key=lambda pair: pair[1])
        yield best[0]
    yield best[0]


def elected(
    address: str, segments: Segments, nodes: Mapping[str, Candidate], local: Container[str] | None = None
) -> str:
    """Who answers."""
    *_, found = steps_to_elect(address, segments, nodes, local)
    return found


class Elections:
    """As one node sees them."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._segments: Segments = ()
        self._nodes: dict[str, Candidate] = {}
        self._services: dict[Key, Balanced] = {}
        self._ends: dict[Key, Counter[str]] = {}  # ready endpoints of each service by node
        self._won: dict[Key, list[str]] = {}  # addresses that are ours
        self._dirty: dict[Key, None] = {}

    def put_segments(self, segments: Segments) -> None:
        if list(segments) != list(self._segments):
            self._segments = segments
            self._dirty.update(dict.fromkeys(self._services))

    def put_node(self, name: str, node: Candidate | None) -> None:
        if node is None:
            self._nodes.pop(name, None)
        else:
            self._nodes[name] = node
        self._dirty.update(dict.fromkeys(self._services))

    def put_service(self, key: Key, service: Balanced | None) -> None:
        if service is None:
            self._services.pop(key, None)
            self._won.pop(key, None)
        else:
            self._services[key] = service
            self._dirty[key] = None

    def put_endpoints(self, service: Key, old: Counter[str], new: Counter[str]) -> bool:
        """A slice of a service has these instead of those. Whether anybody has to be elected anew."""
        ends = self._ends.setdefault(service, Counter())
        ends.update(new)
        ends.subtract(old)
        for node in old:
            if not ends[node]:
                del ends[node]
        if not ends:
            del self._ends[service]
        known = self._services.get(service)
        if known is None or not known.local:
            return False
        self._dirty[service] = None
        return True

    def steps(self) -> Iterator[None]:
        """Until nothing is left to do. What is told meanwhile counts."""
        while self._dirty:
            key, _ = self._dirty.popitem()
            service = self._services.get(key)
            won = []
            for address in service.addresses if service is not None else ():
                local = self._ends.get(key, Counter()) if service is not None and service.local else None
                leading = ""
                for found in steps_to_elect(address, self._segments, self._nodes, local):
                    leading = found
                    yield
                won += [address] if leading == self._node else []
            if won and self._services.get(key) is service:
                self._won[key] = won
            else:
                self._won.pop(key, None)
            yield

    @property
    def own(self) -> set[str]:
        """The addresses that this node answers for."""
        return {address for won in self._won.values() for address in won}
