"""What may change in a Service: its addresses and families stay, but for a second one that comes or goes.

Source: documentation "IPv4/IPv6 dual-stack" (switching between single-stack and dual-stack), "Service"; API reference
ServiceSpec.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found

ONCE = "may not change once set"


def validate_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    after, before = new.get("spec") or {}, old.get("spec") or {}
    if "ExternalName" not in (after.get("type"), before.get("type")):
        headless, was_headless = (list(spec.get("clusterIPs") or ()) == ["None"] for spec in (after, before))
        if not (headless and was_headless):
            _validate_list(found, after, before, "clusterIPs", "clusterIP")
        if not headless and not was_headless:
            _validate_list(found, after, before, "ipFamilies", "ipFamily")
    name, port = after.get("loadBalancerClass"), after.get("healthCheckNodePort") or 0
    if after.get("type") == before.get("type") == "LoadBalancer" and name != before.get("loadBalancerClass"):
        found.invalid("spec.loadBalancerClass", name, ONCE)
    if _local(after) and _local(before) and port != (before.get("healthCheckNodePort") or 0):
        found.forbidden("spec.healthCheckNodePort", "field is immutable")
    return found.causes


def _local(spec: Mapping[str, Any]) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _validate_list(found: Found, after: Mapping[str, Any], before: Mapping[str, Any], key: str, one: str) -> None:
    now, was = after.get(key) or [], before.get(key) or []
    path = f"spec.{key}"
    if len(now) == len(was):
        for index, value in enumerate(was):
            if value != now[index]:
                found.invalid(f"{path}[{index if key == 'clusterIPs' else 0}]", now, ONCE)
        return
    if was and now and now[0] != was[0]:
        found.invalid(f"{path}[0]", now, ONCE)
    if len(was) > len(now):
        if not now:
            found.invalid(f"{path}[0]", now, f"primary {one} can not be unset")
        elif len(now) == 1 and after.get("ipFamilyPolicy") != "SingleStack":
            why = f"must be set to 'SingleStack' when releasing the secondary {one}"
            found.invalid("spec.ipFamilyPolicy", after.get("ipFamilyPolicy"), why)
