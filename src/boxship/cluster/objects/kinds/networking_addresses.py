"""ServiceCIDR and IPAddress, which say which service addresses there are and who has them.

Source: pkg/apis/networking/validation and documentation "Extend Service IP Ranges". Both are written in the canonical
form of their address, because their names are keys: what is only readable is refused here.
"""

import ipaddress
from collections.abc import Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import IMMUTABLE, Found, immutable, kept, quote
from boxship.cluster.objects.kinds.comparing import take_spec_back
from boxship.cluster.objects.kinds.core_addresses import NO_RANGE, parse_address, wrong_address
from boxship.cluster.objects.rules import Rules

HOST_BITS = "must not have bits set beyond the prefix length"
ONE_EACH = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


def strict_address(text: str) -> str:
    """Why a text is not an address in its canonical form."""
    why = wrong_address(text)
    if why:
        return why
    canonical = str(parse_address(text))
    return "" if text == canonical else f"must be in canonical form ({quote(canonical)})"


def strict_range(text: str) -> str:
    """Why a text is not a range in its canonical form."""
    prefix, _, length = text.partition("/")
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        return NO_RANGE
    if wrong_address(prefix) or not length.isdigit() or str(int(length)) != length:
        return NO_RANGE
    if interface.ip != interface.network.network_address:
        return HOST_BITS
    canonical = str(interface.network)
    return "" if text == canonical else f"must be in canonical form ({quote(canonical)})"


def _ranges(object: Object) -> list[str]:
    ranges: list[str] = object.get("spec", {}).get("cidrs") or []
    return ranges


def _validate_ranges(object: Object) -> Sequence[Cause]:
    found = Found()
    ranges = _ranges(object)
    if not ranges:
        found.required("spec.cidrs", "at least one CIDR required")
    elif len(ranges) > 2:
        found.invalid("spec.cidrs", ranges, "may only hold up to 2 values")
    else:
        wrong = [strict_range(text) for text in ranges]
        for index, why in enumerate(wrong):
            found.because(f"spec.cidrs[{index}]", ranges[index], why)
        if len(ranges) == 2 and not any(wrong) and len({":" in text for text in ranges}) == 1:
            found.invalid("spec.cidrs", ranges, ONE_EACH)
    return found.causes


def _validate_ranges_update(new: Object, old: Object) -> Sequence[Cause]:
    """A second range may come, of the other family; nothing else changes."""
    found = Found()
    after, before = _ranges(new), _ranges(old)
    if len(after) == len(before) or (len(before) == 1 and len(after) == 2):
        for index, text in enumerate(before):
            if after[index] != text:
                found.invalid(f"spec.cidrs[{index}]", after[index], IMMUTABLE)
    else:
        found.invalid("spec.cidrs", after, IMMUTABLE)
    return found.causes


def _without_status(object: Object) -> None:
    object.pop("status", None)


def _keep_status(new: Object, old: Object) -> None:
    kept(new, old, "status")


def _validate_parent(object: Object) -> Sequence[Cause]:
    found = Found()
    parent: dict[str, Any] | None = object.get("spec", {}).get("parentRef")
    if parent is None:
        found.required("spec.parentRef")
        return found.causes
    if parent.get("group"):
        found.because("spec.parentRef.group", parent["group"], names.subdomain(parent["group"]))
    for key in ("resource", "name"):
        value = parent.get(key)
        if value:
            found.because(f"spec.parentRef.{key}", value, names.path_segment(value))
        else:
            found.required(f"spec.parentRef.{key}")
    if parent.get("namespace"):
        found.because("spec.parentRef.namespace", parent["namespace"], names.path_segment(parent["namespace"]))
    return found.causes


def _validate_parent_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    parents = [object.get("spec", {}).get("parentRef") for object in (new, old)]
    immutable(found, parents[0], parents[1], "spec.parentRef")
    return found.causes


SERVICE_RANGE = Rules(
    prepare_create=_without_status,
    prepare_update=_keep_status,
    prepare_status=take_spec_back,
    validate=_validate_ranges,
    validate_update=_validate_ranges_update,
)
ADDRESS = Rules(
    validate=_validate_parent,
    validate_update=_validate_parent_update,
    validate_name=strict_address,
)
