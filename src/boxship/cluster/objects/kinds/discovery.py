"""The rules of discovery.k8s.io: EndpointSlice.

Source: pkg/apis/discovery (defaults, validation), documentation "EndpointSlices".
"""

from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found, fill, immutable, unique
from boxship.cluster.objects.kinds.core_addresses import parse_address, validate_reachable, wrong_address
from boxship.cluster.objects.kinds.metadata import validate_labels
from boxship.cluster.objects.rules import Rules

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
PROTOCOLS = ("SCTP", "TCP", "UDP")
FAMILIES = {"IPv4": 4, "IPv6": 6}
LARGEST = {"addresses": 100, "ports": 20000, "endpoints": 1000, "topology": 16, "hints": 8}
Item = Mapping[str, Any]


def _default(object: Object) -> None:
    for port in object.get("ports") or ():
        fill(port, {"name": "", "protocol": "TCP"})


def _validate_address(found: Found, kind: str, address: str, path: str) -> None:
    if kind == "FQDN":
        found.because(path, address, names.domain(address.removesuffix(".")))
        return
    family = FAMILIES.get(kind)
    if family is None:
        return
    parsed = parse_address(address)
    if parsed is None or parsed.version != family:
        found.because(path, address, wrong_address(address) or f"must be an {kind} address")
    else:
        found.because(path, address, wrong_address(address))
        validate_reachable(found, address, path)


def _validate_hints(found: Found, hints: Item, path: str) -> None:
    for key, check in (("forZones", names.label_value), ("forNodes", names.subdomain)):
        listed = hints.get(key) or ()
        if len(listed) > LARGEST["hints"]:
            found.too_many(f"{path}.{key}", len(listed), LARGEST["hints"])
            continue
        unique(found, listed, f"{path}.{key}", "name")
        for index, hint in enumerate(listed):
            name = hint.get("name") or ""
            found.because(f"{path}.{key}[{index}].name", name, check(name))


def _validate_endpoint(found: Found, endpoint: Item, kind: str, path: str) -> None:
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        found.required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > LARGEST["addresses"]:
        found.too_many(f"{path}.addresses", len(addresses), LARGEST["addresses"])
    for index, address in enumerate(addresses):
        _validate_address(found, kind, address, f"{path}.addresses[{index}]")
    topology = endpoint.get("deprecatedTopology") or {}
    if len(topology) > LARGEST["topology"]:
        found.too_many(f"{path}.deprecatedTopology", len(topology), LARGEST["topology"])
    validate_labels(found, topology, f"{path}.deprecatedTopology")
    for key, check in (("nodeName", names.subdomain), ("hostname", names.label)):
        if endpoint.get(key) is not None:
            found.because(f"{path}.{key}", endpoint[key], check(endpoint[key]))
    if endpoint.get("hints") is not None:
        _validate_hints(found, endpoint["hints"], f"{path}.hints")


def _validate_ports(found: Found, ports: Sequence[Item]) -> None:
    if len(ports) > LARGEST["ports"]:
        found.too_many("ports", len(ports), LARGEST["ports"])
        return
    unique(found, ports, "ports", "name")
    for index, port in enumerate(ports):
        path = f"ports[{index}]"
        name, protocol, application = port.get("name"), port.get("protocol"), port.get("appProtocol")
        if name:
            found.because(f"{path}.name", name, names.label(name))
        if not protocol:
            found.required(f"{path}.protocol")
        elif protocol not in PROTOCOLS:
            found.unsupported(f"{path}.protocol", protocol, PROTOCOLS)
        if application is not None:
            found.because(f"{path}.appProtocol", application, names.qualified(application))


def _validate(object: Object) -> Sequence[Cause]:
    found = Found()
    kind = object.get("addressType") or ""
    if not kind:
        found.required("addressType")
    elif kind not in ADDRESS_TYPES:
        found.unsupported("addressType", kind, ADDRESS_TYPES)
    endpoints = object.get("endpoints") or ()
    if len(endpoints) > LARGEST["endpoints"]:
        found.too_many("endpoints", len(endpoints), LARGEST["endpoints"])
    else:
        for index, endpoint in enumerate(endpoints):
            _validate_endpoint(found, endpoint, kind, f"endpoints[{index}]")
    _validate_ports(found, object.get("ports") or ())
    return found.causes


def _validate_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    immutable(found, new.get("addressType"), old.get("addressType"), "addressType")
    return found.causes


def _prepare_update(new: Object, old: Object) -> None:
    """Labels count as content: they say which service it belongs to."""
    after, before = new.setdefault("metadata", {}), old.get("metadata", {})
    if (after.get("labels") or {}) != (before.get("labels") or {}):
        after["generation"] = (before.get("generation") or 0) + 1


RULES: Mapping[str, Rules] = {
    "EndpointSlice": Rules(
        default=_default,
        prepare_update=_prepare_update,
        validate=_validate,
        validate_update=_validate_update,
        generation=True,
    )
}
