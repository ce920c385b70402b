"""What the zone keeps of Services and EndpointSlices: few facts, so that ten thousand services are no burden."""

import ipaddress
from typing import Any

import msgspec

from boxship.cluster.objects import Object

SERVICE_NAME = "kubernetes.io/service-name"
HEADLESS = "None"


class Port(msgspec.Struct, frozen=True):
    name: str
    protocol: str  # "tcp"
    number: int


class Service(msgspec.Struct, frozen=True):
    """`addresses` are packed; none: it is headless, or leads elsewhere (`external`)."""

    addresses: tuple[bytes, ...] = ()
    external: str = ""
    ports: tuple[Port, ...] = ()

    @property
    def is_headless(self) -> bool:
        return not self.addresses and not self.external


class Endpoint(msgspec.Struct, frozen=True):
    """One ready address. `host` is its own label below the service's name; `is_named`: the pod asked for it."""

    address: bytes
    host: str
    is_named: bool


class Slice(msgspec.Struct, frozen=True):
    service: str
    endpoints: tuple[Endpoint, ...]
    ports: tuple[Port, ...]


def service_of(service: Object) -> Service:
    spec = service.get("spec") or {}
    ports = _ports(spec.get("ports") or ())
    if spec.get("type") == "ExternalName":
        return Service(external=str(spec.get("externalName") or "").rstrip(".").lower(), ports=ports)
    listed = spec.get("clusterIPs") or [spec.get("clusterIP") or ""]
    return Service(tuple(packed for text in listed if (packed := packed_address(text))), ports=ports)


def slice_of(slice: Object) -> Slice:
    labels = slice["metadata"].get("labels") or {}
    endpoints = []
    for one in slice.get("endpoints") or ():
        if (one.get("conditions") or {}).get("ready") is False:
            continue
        host = str(one.get("hostname") or "").lower()
        for text in one.get("addresses") or ():
            address = packed_address(text)
            if address:
                endpoints.append(Endpoint(address, host or dashed(text), bool(host)))
    return Slice(str(labels.get(SERVICE_NAME) or ""), tuple(endpoints), _ports(slice.get("ports") or ()))


def is_there(_: Object) -> bool:
    """Of a namespace nothing is kept."""
    return True


def packed_address(text: str) -> bytes:
    """b"": it is no address."""
    try:
        return ipaddress.ip_address(text).packed
    except ValueError:
        return b""


def dashed(text: str) -> str:
    return text.replace(".", "-").replace(":", "-").lower()


def undashed(label: str) -> bytes:
    """The address that a label stands for; b"": none."""
    parts = label.split("-")
    if len(parts) == 4 and all(part.isdigit() for part in parts):
        return packed_address(".".join(parts))
    return packed_address(label.replace("-", ":")) if ":" in label.replace("-", ":") else b""


def _ports(ports: Any) -> tuple[Port, ...]:
    return tuple(
        Port(str(one.get("name") or "").lower(), str(one.get("protocol") or "TCP").lower(), int(one.get("port") or 0))
        for one in ports
    )
