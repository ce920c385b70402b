"""Which records a name of the cluster has. Pure: it is told of changes and asked for names, and knows no sockets.

Source: Kubernetes DNS-Based Service Discovery 1.1; RFC 8020 (nothing lies below what does not exist, and what something
lies below exists), RFC 2308 (negative answers carry the SOA).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from boxship.cluster.dns.facts import Endpoint, Port, Service, Slice, undashed
from boxship.cluster.reconcile.cache import Key
from boxship.wire import dns_quick as wire

VERSION = "1.1.0"
SECONDS = 5  # that anybody may remember an answer: endpoints come and go
WEIGHTS = 100  # of all SRV records of one answer together, as CoreDNS has it
PROTOCOLS = ("_tcp", "_udp", "_sctp")
Labels = tuple[str, ...]


class Found(msgspec.Struct, frozen=True):
    """Records as they stand on the wire. `turns`: their order is changed with each answer. `elsewhere`: the answer ends
    with another name, whose records somebody else has."""

    answers: tuple[bytes, ...] = ()
    extras: tuple[bytes, ...] = ()
    exists: bool = True
    turns: bool = False
    elsewhere: str = ""


NOTHING = Found(exists=False)
EMPTY = Found()


class Zone:
    """`domain` is like "cluster.local"; `own` are the packed addresses of the nameserver itself."""

    def __init__(self, domain: str, own: Sequence[bytes] = ()) -> None:
        self.domain = domain.strip(".").lower()
        self._tail = tuple(self.domain.split("."))
        self._own = tuple(own)
        self._services: dict[Key, Service] = {}
        self._slices: dict[Key, dict[Key, Slice]] = defaultdict(dict)  # service → slice
        self._namespaces: set[str] = set()
        self._inhabited: dict[str, int] = defaultdict(int)  # namespace → services
        self._owners: dict[bytes, dict[Key, None]] = defaultdict(dict)  # cluster address → service
        self._places: dict[bytes, dict[Key, int]] = defaultdict(dict)  # endpoint → service → how often
        server = wire.encode_name(f"ns.dns.{self.domain}")
        self._apex = wire.encode_name(self.domain)
        self._server = server
        self._soa_data = wire.soa_data(server, wire.encode_name(f"hostmaster.{self.domain}"), 1, SECONDS)
        self.soa = wire.record(self._apex, wire.SOA, SECONDS, self._soa_data)

    # what is told

    def service_changed(self, key: Key, old: Service | None, new: Service | None) -> None:
        for address in old.addresses if old else ():
            _drop(self._owners, address, key)
        for address in new.addresses if new else ():
            self._owners[address][key] = None
        if new is not None:
            self._services[key] = new
            self._inhabited[key[0]] += old is None
        elif self._services.pop(key, None) is not None:
            self._inhabited[key[0]] -= 1
            if not self._inhabited[key[0]]:
                del self._inhabited[key[0]]

    def slice_changed(self, key: Key, old: Slice | None, new: Slice | None) -> None:
        for slice, step in ((old, -1), (new, 1)):
            if slice is None:
                continue
            service = (key[0], slice.service)
            for endpoint in slice.endpoints:
                known = self._places[endpoint.address]
                known[service] = known.get(service, 0) + step
                if known[service] <= 0:
                    _drop(self._places, endpoint.address, service)
        if old is not None:
            _drop(self._slices, (key[0], old.service), key)
        if new is not None:
            self._slices[(key[0], new.service)][key] = new

    def namespace_changed(self, key: Key, old: bool | None, new: bool | None) -> None:
        if new:
            self._namespaces.add(key[1])
        else:
            self._namespaces.discard(key[1])

    # what is asked

    def owns(self, labels: Labels) -> bool:
        """Whether the name lies in the zone, which then answers for it alone. "web.default.svc" is such a name, too:
        who has no search path may leave the domain out."""
        return labels[-len(self._tail) :] == self._tail or labels[-1:] == ("svc",)

    def find(self, labels: Labels, kind: int) -> Found:
        """Of a name in the zone."""
        rest = labels[: len(labels) - len(self._tail)] if labels[-len(self._tail) :] == self._tail else labels
        if not rest:
            return self._top(kind)
        if rest[-1] == "svc":
            return self._service_name(rest[:-1], kind)
        if rest[-1] == "pod":
            return self._pod_name(rest[:-1], kind)
        if rest == ("dns-version",):
            return _of(kind, wire.TXT, [wire.txt_data(VERSION)])
        if rest == ("dns",):
            return EMPTY
        if rest == ("ns", "dns"):
            return _addresses(self._own, kind)
        return NOTHING

    def pointer(self, address: bytes) -> Found | None:
        """The names of an address; None: the zone knows none, others may."""
        targets = [f"{name}.{namespace}.svc.{self.domain}" for namespace, name in self._owners.get(address, ())]
        headless: list[str] = []
        others: list[str] = []
        for key in self._places.get(address, ()) if not targets else ():
            service = self._services.get(key)
            for endpoint in self._endpoints(key):
                if service is not None and endpoint.address == address:
                    prefer = service.is_headless and endpoint.is_named
                    (headless if prefer else others).append(f"{endpoint.host}.{key[1]}.{key[0]}.svc.{self.domain}")
        names = sorted(set(targets or headless or others))
        if not names:
            return None
        return Found(tuple(wire.record(wire.SAME, wire.PTR, SECONDS, wire.encode_name(name)) for name in names))

    def _top(self, kind: int) -> Found:
        if kind == wire.SOA:
            return Found((wire.record(wire.SAME, wire.SOA, SECONDS, self._soa_data),))
        if kind == wire.NS:
            extras = tuple(wire.record(self._server, wire.A, SECONDS, one) for one in self._own if len(one) == 4)
            return Found((wire.record(wire.SAME, wire.NS, SECONDS, self._server),), extras)
        return EMPTY

    def _has_namespace(self, name: str) -> bool:
        return name in self._namespaces or name in self._inhabited

    def _pod_name(self, rest: Labels, kind: int) -> Found:
        if len(rest) < 2:
            return EMPTY if not rest or self._has_namespace(rest[0]) else NOTHING
        address = undashed(rest[0])
        if len(rest) > 2 or not address or not self._has_namespace(rest[1]):
            return NOTHING
        return _addresses([address], kind)

    def _service_name(self, rest: Labels, kind: int) -> Found:
        if len(rest) < 2:
            return EMPTY if not rest or self._has_namespace(rest[0]) else NOTHING
        key = (rest[-1], rest[-2])
        service = self._services.get(key)
        if service is None or len(rest) > 4:
            return NOTHING
        if service.external:
            return self._external(service, kind) if len(rest) == 2 else NOTHING
        if service.is_headless and not any(slice.endpoints for slice in self._of(key)):
            return NOTHING
        if len(rest) == 2:
            addresses = service.addresses or tuple(one.address for one in self._endpoints(key))
            return self._srv(key, service, None, kind) if kind == wire.SRV else _addresses(addresses, kind)
        if len(rest) == 3:
            return self._below(key, service, rest[0], kind)
        if rest[1] in PROTOCOLS and rest[0].startswith("_") and rest[0] != "_":
            return self._srv(key, service, (rest[0][1:], rest[1][1:]), kind)
        return NOTHING

    def _below(self, key: Key, service: Service, label: str, kind: int) -> Found:
        if label in PROTOCOLS:
            ports = service.ports or tuple(port for slice in self._of(key) for port in slice.ports)
            return EMPTY if any(f"_{port.protocol}" == label and port.name for port in ports) else NOTHING
        addresses = [one.address for one in self._endpoints(key) if one.host == label]
        return _addresses(addresses, kind) if addresses else NOTHING

    def _external(self, service: Service, kind: int) -> Found:
        """An alias. Where its target lies in the zone, it is looked up here."""
        target = wire.encode_name(service.external)
        answers = [wire.record(wire.SAME, wire.CNAME, SECONDS, target)]
        if kind == wire.CNAME:
            return Found(tuple(answers))
        labels = tuple(service.external.split("."))
        if not self.owns(labels):
            return Found(tuple(answers), elsewhere=service.external)
        rest = labels[: -len(self._tail)] if labels[-len(self._tail) :] == self._tail else labels
        known = self._services.get((rest[-2], rest[-3])) if len(rest) > 2 and rest[-1] == "svc" else None
        if known is not None and known.external:
            return Found(tuple(answers))  # an alias of an alias may be a circle
        answers += [target + one.removeprefix(wire.SAME) for one in self.find(labels, kind).answers]
        return Found(tuple(answers))

    def _srv(self, key: Key, service: Service, wanted: tuple[str, str] | None, kind: int) -> Found:
        """`wanted`: the name and the protocol of a port; None: all of them."""
        name = f"{key[1]}.{key[0]}.svc.{self.domain}"
        targets: list[tuple[int, bytes]] = []
        extras: dict[bytes, None] = {}
        if not service.is_headless:
            target = wire.encode_name(name)
            for port in _matching(service.ports, wanted):
                targets.append((port.number, target))
                extras |= {_address_record(target, address): None for address in service.addresses}
        else:
            for slice in self._of(key):
                for port in _matching(slice.ports, wanted):
                    for endpoint in slice.endpoints:
                        target = wire.encode_name(f"{endpoint.host}.{name}")
                        targets.append((port.number, target))
                        extras[_address_record(target, endpoint.address)] = None
        if not targets and wanted is not None and not any(_matching(service.ports, wanted)):
            return NOTHING
        weight = max(WEIGHTS // max(len(targets), 1), 1)
        data = [wire.srv_data(port, target, weight) for port, target in targets]
        answers = [wire.record(wire.SAME, wire.SRV, SECONDS, one) for one in data]
        return Found(tuple(answers), tuple(extras)) if kind in (wire.SRV, wire.ANY) else EMPTY

    def _of(self, key: Key) -> Iterable[Slice]:
        return self._slices.get(key, {}).values()

    def _endpoints(self, key: Key) -> Iterator[Endpoint]:
        for slice in self._of(key):
            yield from slice.endpoints


def _matching(ports: Iterable[Port], wanted: tuple[str, str] | None) -> Iterator[Port]:
    for port in ports:
        if wanted is None or (port.name == wanted[0] and port.protocol == wanted[1]):
            yield port


def _addresses(addresses: Iterable[bytes], kind: int) -> Found:
    wanted = {wire.A: (4,), wire.AAAA: (16,), wire.ANY: (4, 16)}.get(kind, ())
    records = dict.fromkeys(_address_record(wire.SAME, one) for one in addresses if len(one) in wanted)
    return Found(tuple(records), turns=len(records) > 1)


def _address_record(owner: bytes, address: bytes) -> bytes:
    return wire.record(owner, wire.A if len(address) == 4 else wire.AAAA, SECONDS, address)


def _of(kind: int, own: int, data: Sequence[bytes]) -> Found:
    if kind not in (own, wire.ANY):
        return EMPTY
    return Found(tuple(wire.record(wire.SAME, own, SECONDS, one) for one in data))


def _drop(table: dict, place: object, key: object) -> None:  # type: ignore[type-arg]
    found = table.get(place)
    if found is not None:
        found.pop(key, None)
        if not found:
            del table[place]
