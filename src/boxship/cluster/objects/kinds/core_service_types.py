"""What a Service's type asks of it, and what goes when the type changes.

Source: documentation "Service" (types, traffic policies); k8s.io/kubernetes, registry/core/service. Addresses and ports
are given out, kept and taken back by the API (`api/services`), not here.
"""

from collections.abc import Mapping
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.kinds.comparing import keep_status

WITH_ADDRESS = ("ClusterIP", "LoadBalancer", "NodePort")
WITH_NODE_PORT = ("LoadBalancer", "NodePort")


def is_headless(spec: Mapping[str, Any]) -> bool:
    return list(spec.get("clusterIPs") or ()) == ["None"] or spec.get("clusterIP") == "None"


def is_outside(spec: Mapping[str, Any]) -> bool:
    """Can it be reached from outside the cluster?"""
    return spec.get("type") in WITH_NODE_PORT or (spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_check(spec: Mapping[str, Any]) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def prepare_create(service: Object) -> None:
    service["status"] = {"loadBalancer": {}}


def prepare_update(new: Object, old: Object) -> None:
    keep_status(new, old)
    after, before = new.get("spec") or {}, old.get("spec") or {}
    if before.get("type") == "LoadBalancer" != after.get("type"):
        new["status"] = {"loadBalancer": {}}
    for holds, key in ((is_outside, "externalTrafficPolicy"), (needs_health_check, "healthCheckNodePort")):
        if holds(before) and not holds(after) and after.get(key) == before.get(key):
            after.pop(key, None)
