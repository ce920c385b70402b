"""Which endpoints answer a service on this node, pure: the ready ones, near ones by hint or policy, and where none is
ready those that are on their way out but still serve."""

import ipaddress
from collections.abc import Callable, Sequence

import msgspec

from boxship.cluster.proxy.facts import EndpointFacts


class Place(msgspec.Struct, frozen=True):
    """This node, and the zone it is in ("": none). `inside` are the cluster's own subnets."""

    node: str
    zone: str = ""
    inside: tuple[ipaddress.IPv4Network, ...] = ()

    def is_inside(self, address: str) -> bool:
        return any(ipaddress.IPv4Address(address) in subnet for subnet in self.inside)


class Chosen(msgspec.Struct, frozen=True):
    """`everywhere` answers for policy Cluster, `local` for policy Local; `exist` says whether anyone answers at all."""

    everywhere: tuple[EndpointFacts, ...]
    local: tuple[EndpointFacts, ...]

    @property
    def exist(self) -> bool:
        return bool(self.everywhere or self.local)


def choose(endpoints: Sequence[EndpointFacts], place: Place) -> Chosen:
    ready = [item for item in endpoints if item.ready]
    leaving = [item for item in endpoints if item.serving and item.terminating]
    meant = _hint(ready, place)
    everywhere = [item for item in ready if meant(item)] or leaving
    local = [item for item in ready if item.node == place.node] or [item for item in leaving if item.node == place.node]
    return Chosen(tuple(everywhere), tuple(local))


def _hint(ready: Sequence[EndpointFacts], place: Place) -> Callable[[EndpointFacts], bool]:
    """For whom hints say that an endpoint is; they count only where each one has some and one is meant for us."""
    if all(item.nodes for item in ready) and any(place.node in item.nodes for item in ready):
        return lambda item: place.node in item.nodes
    if place.zone and all(item.zones for item in ready) and any(place.zone in item.zones for item in ready):
        return lambda item: place.zone in item.zones
    return lambda item: True
