"""The rules of Node.

Source: documentation "Nodes", "Node Labels, Annotations and Taints"; API reference NodeSpec, NodeStatus;
k8s.io/kubernetes, registry/core/node.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found, child, show
from boxship.cluster.objects.kinds.comparing import keep_status, path_of, take_spec_back
from boxship.cluster.objects.kinds.core_addresses import validate_range
from boxship.cluster.objects.kinds.core_placement import validate_effect
from boxship.cluster.objects.kinds.core_pod_warnings import OLD_LABELS
from boxship.cluster.objects.kinds.core_resources import parsed, validate_amount
from boxship.cluster.objects.rules import Rules


def _default(node: Object) -> None:
    status = node.get("status")
    if status and status.get("capacity") is not None and status.get("allocatable") is None:
        status["allocatable"] = dict(status["capacity"])
    spec = child(node, "spec")
    if spec.get("podCIDR"):
        # What the older field says counts.
        if (spec.get("podCIDRs") or [""])[0] != spec["podCIDR"]:
            spec["podCIDRs"] = [spec["podCIDR"]]
    elif spec.get("podCIDRs"):
        spec["podCIDR"] = spec["podCIDRs"][0]


def _prepare_create(node: Object) -> None:
    child(node, "spec").pop("configSource", None)


def _prepare_update(new: Object, old: Object) -> None:
    keep_status(new, old)


def _validate(node: Object) -> Sequence[Cause]:
    found = Found()
    spec = node.get("spec") or {}
    _validate_taints(found, spec.get("taints") or ())
    for key in ("capacity", "allocatable"):
        for name, text in (path_of(node, "status", key) or {}).items():
            validate_amount(found, name, parsed(text), f"status.{key}.{name}")
    ranges = spec.get("podCIDRs") or []
    for index, text in enumerate(ranges):
        validate_range(found, text, f"spec.podCIDRs[{index}]")
    if len(ranges) > 1:
        if len(_versions(ranges)) != 2 or len(ranges) > 2:
            found.invalid("spec.podCIDRs", ranges, "may specify no more than one CIDR for each IP family")
        for index, text in enumerate(ranges):
            if text in ranges[:index]:
                found.duplicate(f"spec.podCIDRs[{index}]", text)
    return found.causes


def _versions(ranges: Sequence[str]) -> set[int]:
    versions: set[int] = set()
    for text in ranges:
        try:
            versions.add(ipaddress.ip_network(text, strict=False).version)
        except ValueError:
            continue
    return versions


def _validate_taints(found: Found, taints: Sequence[Mapping[str, Any]]) -> None:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        at = f"metadata.taints[{index}]"
        key, effect, value = taint.get("key") or "", taint.get("effect") or "", taint.get("value") or ""
        found.because(f"{at}.key", key, names.qualified(key))
        found.because(f"{at}.value", value, names.label_value(value))
        validate_effect(found, effect, f"{at}.effect")
        if (key, effect) in seen:
            why = "taints must be unique by key and effect pair"
            found.add("FieldValueDuplicate", at, f"Duplicate value: {show(taint)}: {why}")
        seen.add((key, effect))


def _validate_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    after, before = new.get("spec") or {}, old.get("spec") or {}
    addresses = path_of(new, "status", "addresses") or []
    for index, address in enumerate(addresses):
        if address in addresses[:index]:
            found.duplicate(f"status.addresses[{index}]", address)
    for key, shown in (("podCIDRs", "podCIDR"), ("providerID", "providerID"), ("externalID", "")):
        if not before.get(key) or after.get(key) == before[key]:
            continue
        if shown:
            found.forbidden(f"spec.{key}", f'node updates may not change {shown} except from "" to valid')
        else:
            found.forbidden(f"spec.{key}", "may not be updated")
    return found.causes


def _fields(node: Object) -> dict[str, str]:
    return {"spec.unschedulable": "true" if path_of(node, "spec", "unschedulable") else "false"}


def _warnings(node: Object) -> Sequence[str]:
    spec = node.get("spec") or {}
    found = []
    if spec.get("configSource") is not None:
        found.append("spec.configSource: the feature is removed")
    if spec.get("externalID"):
        found.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
    labels = path_of(node, "metadata", "labels") or {}
    for key, text in OLD_LABELS.items():
        stable = text.split('"')[1]
        if key in labels and stable not in labels:
            found.append(f"metadata.labels[{key}]: {text}")
    return found


RULES = {
    "Node": Rules(
        default=_default,
        prepare_create=_prepare_create,
        prepare_update=_prepare_update,
        prepare_status=take_spec_back,
        validate=_validate,
        validate_update=_validate_update,
        validate_status=_validate_update,
        fields=_fields,
        warnings=_warnings,
    ),
}
