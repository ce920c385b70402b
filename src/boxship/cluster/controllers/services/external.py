"""Tells of external addresses of Services that the nodes do not serve: those that lie among the cluster's own, and
ports that another Service has already. It only tells; the nodes decide by the same rules, each by itself (`proxy`)."""

import ipaddress
from collections.abc import Collection, Mapping, Sequence

from boxship.cluster.controllers.services.ranges import ranges_of
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again

ALL: Key = ("", "")
REASON = "ExternalAddressNotServed"
Socket = tuple[str, str, int]  # address, protocol, port


class ExternalAddresses:
    name = "service-external-addresses"
    workers = 1

    def __init__(self, services: Cache, ranges: Cache, pods: str, events: Events) -> None:
        """`pods`: the range of the pods' addresses, "" where it is not known."""
        self._services = services
        self._ranges = ranges
        self._pods = [ipaddress.IPv4Network(pods)] if pods and ":" not in pods else []
        self._events = events
        self._claims: dict[Key, tuple[Socket, ...]] = {}
        self._told: dict[Key, tuple[str, tuple[str, ...]]] = {}
        self.caches = (services, ranges)
        self.queue: Queue[Key] = Queue()
        services.subscribe(self._service_changed)
        ranges.subscribe(lambda key, old, new: self.queue.add(ALL))

    async def reconcile(self, key: Key) -> Again | None:
        inside = [*self._pods, *(one for _, item in self._ranges.items() for one in ranges_of(item))]
        owners = owners_of(self._claims)
        for one in list(self._claims):
            service = self._services.get(one)
            complaints = left_out(one, service, owners, inside) if service is not None else ()
            told = (service["metadata"].get("uid", ""), complaints) if service is not None else ("", ())
            if complaints and self._told.get(one) != told:
                for text in complaints:
                    self._events.tell(service, "Warning", REASON, text)
            self._told[one] = told
        return None

    def _service_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        """Only Services with such addresses count: however many others there are."""
        found = claims_of(new) if new is not None else ()
        if found != self._claims.get(key, ()):
            self._claims.pop(key, None)
            self._told.pop(key, None)
            if found:
                self._claims[key] = found
            self.queue.add(ALL)


def claims_of(service: Object) -> tuple[Socket, ...]:
    spec = service.get("spec") or {}
    points = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    addresses = [*(spec.get("externalIPs") or ()), *(point["ip"] for point in points if point.get("ip"))]
    return tuple(
        dict.fromkeys(
            (address, port.get("protocol") or "TCP", int(port["port"]))
            for address in addresses
            for port in spec.get("ports") or ()
        )
    )


def owners_of(claims: Mapping[Key, Collection[Socket]]) -> Mapping[Socket, Key]:
    """Of several that claim a port of an address the first by namespace and name has it."""
    return {socket: key for key in sorted(claims, reverse=True) for socket in claims[key]}


def left_out(
    key: Key, service: Object, owners: Mapping[Socket, Key], inside: Sequence[ipaddress.IPv4Network]
) -> tuple[str, ...]:
    """What is told of a Service."""
    found: list[str] = []
    for text in (service.get("spec") or {}).get("externalIPs") or ():
        try:
            address = ipaddress.IPv4Address(text)
        except ValueError:
            found.append(f"unsupported: external address {text}: it is not IPv4")
            continue
        if any(address in network for network in inside):
            found.append(f"External address {text} is not served: it lies among the cluster's own")
    for socket in claims_of(service):
        owner = owners.get(socket, key)
        if owner != key:
            text, protocol, port = socket
            found.append(f"{protocol} port {port} of {text} is not served: it belongs to {'/'.join(owner)}")
    return tuple(found)
