"""How a Service's addresses and ports are carried from one version to the next before new ones are allocated.

Source: documentation "Service" (changing types), "IPv4/IPv6 dual-stack"; k8s.io/kubernetes, registry/core/service. The
API calls `prepare_create` and `prepare_update` by the kind's Rules, then allocates what is still missing.
"""

from collections.abc import Mapping
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.kinds.checking import child
from boxship.cluster.objects.kinds.comparing import drop_status, keep_status

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
    drop_status(service)
    service["status"] = {"loadBalancer": {}}
    normalise_addresses(service, None)
    _drop_unused(service, None)


def prepare_update(new: Object, old: Object) -> None:
    keep_status(new, old)
    normalise_addresses(new, old)
    _drop_unused(new, old)
    _keep_allocated(new, old)


def normalise_addresses(new: Object, old: Object | None) -> None:
    """`clusterIP` and the first of `clusterIPs` are the same: what one says the other is made to say."""
    spec = child(new, "spec")
    address, listed = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if old is None:
        if address and not listed:
            spec["clusterIPs"] = [address]
        return
    had = old.get("spec") or {}
    old_address, old_listed = had.get("clusterIP") or "", had.get("clusterIPs") or []
    if old_address == address:
        return
    if not address:
        if old_listed == listed:
            spec.pop("clusterIPs", None)
    elif (not old_address and not listed) or old_listed == listed:
        spec["clusterIPs"] = [address]


def _drop_unused(new: Object, old: Object | None) -> None:
    """What belonged to the type that a service had before goes, where the client did not change it itself."""
    if old is None:
        return
    spec, had = new["spec"], old.get("spec") or {}
    if had.get("type") == spec.get("type") and is_outside(had) == is_outside(spec):
        if needs_health_check(had) and not needs_health_check(spec):
            _drop_same(spec, had, "healthCheckNodePort")
        return
    if had.get("type") in WITH_ADDRESS and spec.get("type") not in WITH_ADDRESS:
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            _drop_same(spec, had, key)
    if had.get("type") in WITH_NODE_PORT and spec.get("type") not in WITH_NODE_PORT:
        before = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in had.get("ports") or ()}
        for port in spec.get("ports") or ():
            if port.get("nodePort") and before.get((port.get("protocol"), port.get("port"))) == port["nodePort"]:
                del port["nodePort"]
    if needs_health_check(had) and not needs_health_check(spec):
        _drop_same(spec, had, "healthCheckNodePort")
    if had.get("type") == "LoadBalancer" and spec.get("type") != "LoadBalancer":
        for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            _drop_same(spec, had, key)
        new["status"] = {"loadBalancer": {}}
    if is_outside(had) and not is_outside(spec):
        _drop_same(spec, had, "externalTrafficPolicy")


def _drop_same(spec: Object, had: Mapping[str, Any], key: str) -> None:
    if key in spec and spec[key] == had.get(key):
        del spec[key]


def _keep_allocated(new: Object, old: Object) -> None:
    """A client that does not say its addresses and ports keeps them."""
    spec, had = new["spec"], old.get("spec") or {}
    both = spec.get("type") in WITH_ADDRESS and had.get("type") in WITH_ADDRESS
    if both and not spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec.update({key: had[key] for key in ("clusterIP", "clusterIPs") if had.get(key)})
    if spec.get("type") in WITH_NODE_PORT and had.get("type") in WITH_NODE_PORT:
        used = {port.get("nodePort") for port in spec.get("ports") or ()}
        before = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in had.get("ports") or ()}
        for port in spec.get("ports") or ():
            kept = before.get((port.get("protocol"), port.get("port")))
            if not port.get("nodePort") and kept and kept not in used:
                port["nodePort"] = kept
                used.add(kept)
    port = had.get("healthCheckNodePort")
    if port and needs_health_check(spec) and needs_health_check(had) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = port
