"""NetworkPolicy: which pods may speak with whom.

Source: pkg/apis/networking (defaults, validation), documentation "Network Policies". The rules are only held to their
form here; to enforce them is the network's work.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found, fill, quote
from boxship.cluster.objects.kinds.core_addresses import NO_RANGE, validate_range
from boxship.cluster.objects.kinds.metadata import validate_label_selector
from boxship.cluster.objects.rules import Rules

PROTOCOLS = ("SCTP", "TCP", "UDP")
DIRECTIONS = (("ingress", "from"), ("egress", "to"))
Item = dict[str, Any]


def _rules(object: Object) -> Iterator[tuple[str, str, Item]]:
    """Every rule with its path and the key of its peers."""
    spec = object.get("spec", {})
    for direction, peers in DIRECTIONS:
        for index, rule in enumerate(spec.get(direction) or ()):
            yield f"spec.{direction}[{index}]", peers, rule or {}


def _peers(object: Object) -> Iterator[tuple[str, Item]]:
    for path, key, rule in _rules(object):
        for index, peer in enumerate(rule.get(key) or ()):
            yield f"{path}.{key}[{index}]", peer


def _default(object: Object) -> None:
    spec = object.setdefault("spec", {})
    for _, _, rule in _rules(object):
        for port in rule.get("ports") or ():
            fill(port, {"protocol": "TCP"})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _validate_port(found: Found, port: Item, path: str) -> None:
    protocol, value, end = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None and protocol not in PROTOCOLS:
        found.unsupported(f"{path}.protocol", protocol, PROTOCOLS)
    if value is None:
        if end is not None:
            found.invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified")
        return
    if isinstance(value, str):
        if end is not None:
            found.invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric")
        found.because(f"{path}.port", value, names.port_name(value))
        return
    found.because(f"{path}.port", value, names.port(value))
    if end is not None:
        if end < value:
            found.invalid(f"{path}.endPort", end, "must be greater than or equal to `port`")
        found.because(f"{path}.endPort", end, names.port(end))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _validate_block(found: Found, block: Item, path: str) -> None:
    text = block.get("cidr")
    if not text:
        found.required(f"{path}.cidr")
        return
    validate_range(found, text, f"{path}.cidr")
    outer = _network(text)
    for index, hole in enumerate(block.get("except") or ()):
        at = f"{path}.except[{index}]"
        inner = _network(hole)
        if inner is None:
            found.invalid(at, hole, NO_RANGE)
            continue
        validate_range(found, hole, at)
        if outer is None:
            continue
        inside = inner.version == outer.version and inner.network_address in outer
        if not inside or outer.prefixlen >= inner.prefixlen:
            found.invalid(at, hole, "must be a strict subset of `cidr`")


def _validate_peer(found: Found, peer: Item, path: str) -> None:
    selectors = [key for key in ("podSelector", "namespaceSelector") if peer.get(key) is not None]
    for key in selectors:
        validate_label_selector(found, peer[key], f"{path}.{key}")
    block = peer.get("ipBlock")
    if block is not None:
        _validate_block(found, block, f"{path}.ipBlock")
        if selectors:
            found.forbidden(path, "may not specify both ipBlock and another peer")
    elif not selectors:
        found.required(path, "must specify a peer")


def _validate(object: Object) -> Sequence[Cause]:
    found = Found()
    spec = object.get("spec", {})
    validate_label_selector(found, spec.get("podSelector"), "spec.podSelector")
    for path, key, rule in _rules(object):
        for index, port in enumerate(rule.get("ports") or ()):
            _validate_port(found, port, f"{path}.ports[{index}]")
        for index, peer in enumerate(rule.get(key) or ()):
            _validate_peer(found, peer or {}, f"{path}.{key}[{index}]")
    types = spec.get("policyTypes") or ()
    if len(types) > 2:
        found.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")
        return found.causes
    for index, kind in enumerate(types):
        if kind not in ("Ingress", "Egress"):
            found.unsupported(f"spec.policyTypes[{index}]", kind, ("Ingress", "Egress"))
    return found.causes


def _warnings(object: Object) -> Sequence[str]:
    """Ranges that can be read in two ways."""
    said = []
    for path, peer in _peers(object):
        block = peer.get("ipBlock") or {}
        named = [("cidr", block.get("cidr"))]
        named += [(f"except[{index}]", text) for index, text in enumerate(block.get("except") or ())]
        for key, text in named:
            network = _network(text or "")
            address, _, length = (text or "").partition("/")
            if network is None or str(network.network_address) == address or network.prefixlen != _length(length):
                continue
            single = f"{address}/{network.max_prefixlen}"
            doubt = f"(should be {quote(str(network))} or {quote(single)}?)"
            said.append(f"{path}.ipBlock.{key}: CIDR value {quote(text or '')} is ambiguous in this context {doubt}")
    return said


def _length(text: str) -> int:
    return int(text) if text.isdigit() else -1


POLICY = Rules(default=_default, validate=_validate, warnings=_warnings, generation=True)
