"""What Ingress keeps of Services and EndpointSlices."""

from typing import Any

import msgspec

from boxship.cluster.objects import Object

SERVICE_NAME = "kubernetes.io/service-name"


class Port(msgspec.Struct, frozen=True):
    name: str
    number: int


class Service(msgspec.Struct, frozen=True):
    address: str = ""
    external: str = ""
    ports: tuple[Port, ...] = ()

    def port(self, wanted: str | int) -> Port | None:
        """By its name or its number."""
        return next((port for port in self.ports if wanted in (port.name, port.number)), None)


class Place(msgspec.Struct, frozen=True, order=True):
    """Where requests can go: an address or a name, and a port."""

    host: str
    port: int


class Endpoint(msgspec.Struct, frozen=True):
    address: str
    ready: bool
    serving: bool


class Slice(msgspec.Struct, frozen=True):
    service: str
    endpoints: tuple[Endpoint, ...]
    ports: tuple[Port, ...]


def service_of(service: Object) -> Service:
    spec = service.get("spec") or {}
    address = spec.get("clusterIP") or ""
    return Service(
        "" if address == "None" else address,
        _outside(str(spec.get("externalName") or "")) if spec.get("type") == "ExternalName" else "",
        _ports(spec.get("ports") or ()),
    )


def _outside(name: str) -> str:
    """A name for which nameservers are asked; not the machine itself, of which haproxy would reach what nobody may."""
    last = name.rstrip(".").lower().rpartition(".")[2]
    return "" if last == "localhost" or last.isdigit() else name


def slice_of(slice: Object) -> Slice:
    labels = slice["metadata"].get("labels") or {}
    endpoints = []
    for one in slice.get("endpoints") or () if slice.get("addressType") == "IPv4" else ():
        conditions = one.get("conditions") or {}
        ready = conditions.get("ready") is not False
        serving = ready if conditions.get("serving") is None else bool(conditions["serving"])
        endpoints += [Endpoint(address, ready, serving) for address in one.get("addresses") or ()]
    return Slice(str(labels.get(SERVICE_NAME) or ""), tuple(endpoints), _ports(slice.get("ports") or ()))


def _ports(ports: Any) -> tuple[Port, ...]:
    return tuple(
        Port(one.get("name") or "", int(one.get("port") or 0))
        for one in ports
        if (one.get("protocol") or "TCP") == "TCP"
    )
