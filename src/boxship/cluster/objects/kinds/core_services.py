"""The rules of Service, and what the allocation of its addresses and ports needs of them.

Source: documentation "Service", "IPv4/IPv6 dual-stack", "Service Internal Traffic Policy"; API reference ServiceSpec;
k8s.io/kubernetes, registry/core/service. Which addresses and ports are free is not decided here: before allocation
`validate` lets pass what allocation will fill in.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found, child, choice
from boxship.cluster.objects.kinds.comparing import field_table, take_spec_back
from boxship.cluster.objects.kinds.core_addresses import (
    is_dual_stack,
    parse_address,
    validate_address,
    validate_port,
    validate_port_number,
    validate_range,
    validate_reachable,
)
from boxship.cluster.objects.kinds.core_service_types import (
    WITH_ADDRESS,
    WITH_NODE_PORT,
    is_headless,
    is_outside,
    needs_health_check,
    prepare_create,
    prepare_update,
)
from boxship.cluster.objects.kinds.core_service_updates import validate_update
from boxship.cluster.objects.kinds.metadata import validate_labels
from boxship.cluster.objects.rules import Rules

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
FAMILIES = ("IPv4", "IPv6")
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
TRAFFIC_POLICIES = ("Cluster", "Local")
DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
AFFINITY_SECONDS = 10800
LONGEST_AFFINITY = 86400
RANGES_ANNOTATION = "service.beta.kubernetes.io/load-balancer-source-ranges"
HINTS = "service.kubernetes.io/topology-aware-hints"
MODE = "service.kubernetes.io/topology-mode"


def _default(service: Object) -> None:
    spec = child(service, "spec")
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = spec.get("sessionAffinityConfig") or {}
        if (config.get("clientIP") or {}).get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}
    if not spec.get("type"):
        spec["type"] = "ClusterIP"
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port") or 0
    if is_outside(spec) and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if spec["type"] in WITH_ADDRESS and spec.get("internalTrafficPolicy") is None:
        spec["internalTrafficPolicy"] = "Cluster"
    if spec["type"] == "LoadBalancer":
        if spec.get("allocateLoadBalancerNodePorts") is None:
            spec["allocateLoadBalancerNodePorts"] = True
        for ingress in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            if ingress.get("ip") and ingress.get("ipMode") is None:
                ingress["ipMode"] = "VIP"


def _validate(service: Object) -> Sequence[Cause]:
    found = Found()
    annotations = (service.get("metadata") or {}).get("annotations") or {}
    spec = service.get("spec") or {}
    if MODE in annotations and HINTS in annotations and annotations[MODE] != annotations[HINTS]:
        why = f"must match annotations[{HINTS}] when both are specified"
        found.invalid(f"metadata.annotations[{MODE}]", annotations[MODE], why)
    kind, ports = spec.get("type") or "", spec.get("ports") or ()
    headless = is_headless(spec)
    if not ports and not headless and kind != "ExternalName":
        found.required("spec.ports")
    if kind in WITH_NODE_PORT and headless:
        found.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind == "ExternalName":
        _validate_external_name(found, spec)
    _validate_ports(found, spec, ports)
    if spec.get("selector"):
        validate_labels(found, spec["selector"], "spec.selector")
    _validate_affinity(found, spec)
    if kind != "ExternalName":
        validate_cluster_addresses(found, spec)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        before = len(found.causes)
        validate_address(found, address, f"spec.externalIPs[{index}]")
        if len(found.causes) == before:
            validate_reachable(found, address, f"spec.externalIPs[{index}]")
    choice(found, spec, "type", "spec", TYPES)
    _validate_balancer(found, spec, annotations)
    _validate_traffic(found, spec)
    return found.causes


def _validate_external_name(found: Found, spec: Mapping[str, Any]) -> None:
    for key in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(key):
            found.forbidden(f"spec.{key}", "may not be set for ExternalName services")
    name = (spec.get("externalName") or "").removesuffix(".")
    if name:
        found.because("spec.externalName", name, names.subdomain(name))
    else:
        found.required("spec.externalName")


def _validate_ports(found: Found, spec: Mapping[str, Any], ports: Sequence[Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    node_ports: set[tuple[str, int]] = set()
    numbers: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        at = f"spec.ports[{index}]"
        name, number = port.get("name") or "", port.get("port") or 0
        if name:
            found.because(f"{at}.name", name, names.label(name))
            if name in seen:
                found.duplicate(f"{at}.name", name)
            seen.add(name)
        elif len(ports) > 1:
            found.required(f"{at}.name")
        validate_port_number(found, number, f"{at}.port")
        choice(found, port, "protocol", at, PROTOCOLS)
        validate_port(found, port.get("targetPort"), f"{at}.targetPort")
        if port.get("appProtocol") is not None:
            found.because(f"{at}.appProtocol", port["appProtocol"], names.qualified(port["appProtocol"]))
    for index, port in enumerate(ports):
        if spec.get("type") == "ClusterIP" and port.get("nodePort"):
            found.forbidden(f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'")
    for index, port in enumerate(ports):
        key = (port.get("protocol") or "", port.get("nodePort") or 0)
        if key[1] and key in node_ports:
            found.duplicate(f"spec.ports[{index}].nodePort", key[1])
        node_ports.add(key)
    for index, port in enumerate(ports):
        key = (port.get("protocol") or "", port.get("port") or 0)
        if key in numbers:
            found.duplicate(f"spec.ports[{index}]", {"protocol": key[0], "port": key[1]})
        numbers.add(key)


def _validate_affinity(found: Found, spec: Mapping[str, Any]) -> None:
    choice(found, spec, "sessionAffinity", "spec", ("ClientIP", "None"))
    config = spec.get("sessionAffinityConfig")
    path = "spec.sessionAffinityConfig"
    if spec.get("sessionAffinity") == "ClientIP":
        seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
        why = "when session affinity type is ClientIP"
        if config is None:
            found.required(path, why)
        elif config.get("clientIP") is None:
            found.required(f"{path}.clientIP", why)
        elif seconds is None:
            found.required(f"{path}.clientIP.timeoutSeconds", why)
        elif not 0 < seconds <= LONGEST_AFFINITY:
            why = f"must be greater than 0 and less than {LONGEST_AFFINITY}"
            found.invalid(f"{path}.clientIP.timeoutSeconds", seconds, why)
    elif spec.get("sessionAffinity") == "None" and config is not None:
        found.forbidden(path, "must not be set when session affinity is None")


def validate_cluster_addresses(found: Found, spec: Mapping[str, Any]) -> None:
    """Addresses, families and their policy fit each other; allocation asks this too."""
    address, listed = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    families = spec.get("ipFamilies") or []
    path = "spec.clusterIPs"
    if address and not listed:
        found.required(path)
    elif address and listed[0] != address:
        found.invalid(path, listed, "first value must match `clusterIP`")
    elif listed and not address:
        found.invalid(path, listed, "must be empty when `clusterIP` is not specified")
    for index, family in enumerate(families):
        if family not in FAMILIES:
            found.unsupported(f"spec.ipFamilies[{index}]", family, FAMILIES)
        if family in families[:index]:
            found.duplicate(f"spec.ipFamilies[{index}]", family)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in FAMILY_POLICIES:
        found.unsupported("spec.ipFamilyPolicy", policy, FAMILY_POLICIES)
    before = len(found.causes)
    for index, text in enumerate(listed):
        if index == 0 and text == "None":
            if len(listed) > 1:
                found.invalid(path, listed, "'None' must be the first and only value")
            continue
        validate_address(found, text, f"{path}[{index}]")
    wrong = len(found.causes) > before
    if len(listed) > 2:
        found.invalid(path, listed, "may only hold up to 2 values")
    if wrong:
        return
    if len(listed) > 1 and not is_dual_stack(listed):
        found.invalid(path, listed, "may specify no more than one IP for each IP family")
    if not is_headless(spec):
        for index, (text, family) in enumerate(zip(listed, families, strict=False)):
            parsed = parse_address(text)
            if parsed is not None and family in FAMILIES and family != f"IPv{parsed.version}":
                found.invalid(
                    f"{path}[{index}]", text, f"expected an {family} value as indicated by `ipFamilies[{index}]`"
                )


def _validate_balancer(found: Found, spec: Mapping[str, Any], annotations: Mapping[str, str]) -> None:
    balancer = spec.get("type") == "LoadBalancer"
    only = "may only be used when `type` is 'LoadBalancer'"
    ranges = spec.get("loadBalancerSourceRanges")
    if ranges:
        if not balancer:
            found.forbidden("spec.LoadBalancerSourceRanges", only)
        for index, text in enumerate(ranges):
            validate_range(found, text.strip(), f"spec.LoadBalancerSourceRanges[{index}]")
    elif RANGES_ANNOTATION in annotations:
        path = f"metadata.annotations[{RANGES_ANNOTATION}]"
        if not balancer:
            found.forbidden(path, only)
        for text in annotations[RANGES_ANNOTATION].strip().split(","):
            if annotations[RANGES_ANNOTATION].strip():
                validate_range(found, text.strip(), path)
    if spec.get("allocateLoadBalancerNodePorts") is not None and not balancer:
        found.forbidden("spec.allocateLoadBalancerNodePorts", only)
    if spec.get("allocateLoadBalancerNodePorts") is None and balancer:
        found.required("allocateLoadBalancerNodePorts")
    name = spec.get("loadBalancerClass")
    if name is not None:
        if balancer:
            found.because("spec.loadBalancerClass", name, names.qualified(name))
        else:
            found.forbidden("spec.loadBalancerClass", only)


def _validate_traffic(found: Found, spec: Mapping[str, Any]) -> None:
    outside = spec.get("externalTrafficPolicy")
    if is_outside(spec):
        choice(found, spec, "externalTrafficPolicy", "spec", TRAFFIC_POLICIES)
    elif outside:
        why = "may only be set for externally-accessible services"
        found.invalid("spec.externalTrafficPolicy", outside, why)
    port = spec.get("healthCheckNodePort") or 0
    if port and not needs_health_check(spec):
        why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        found.invalid("spec.healthCheckNodePort", port, why)
    elif port:
        validate_port_number(found, port, "spec.healthCheckNodePort")
    inside = spec.get("internalTrafficPolicy")
    if inside is None and spec.get("type") in WITH_ADDRESS:
        found.required("spec.internalTrafficPolicy")
    elif inside is not None and inside not in TRAFFIC_POLICIES:
        found.unsupported("spec.internalTrafficPolicy", inside, TRAFFIC_POLICIES)
    spread = spec.get("trafficDistribution")
    if spread is not None and spread not in DISTRIBUTIONS:
        found.unsupported("spec.trafficDistribution", spread, DISTRIBUTIONS)


def _validate_status(new: Object, _: Object) -> Sequence[Cause]:
    found = Found()
    path = "status.loadBalancer.ingress"
    listed = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    if listed and (new.get("spec") or {}).get("type") != "LoadBalancer":
        found.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")
        return found.causes
    for index, ingress in enumerate(listed):
        at = f"{path}[{index}]"
        address, mode, host = ingress.get("ip") or "", ingress.get("ipMode"), ingress.get("hostname") or ""
        if address:
            validate_address(found, address, f"{at}.ip")
        if mode is None and address:
            found.required(f"{at}.ipMode", "must be specified when `ip` is set")
        elif mode is not None and not address:
            found.forbidden(f"{at}.ipMode", "may not be specified when `ip` is not set")
        elif mode is not None and mode not in ("Proxy", "VIP"):
            found.unsupported(f"{at}.ipMode", mode, ("Proxy", "VIP"))
        if host:
            found.because(f"{at}.hostname", host, names.subdomain(host))
            if parse_address(host) is not None:
                found.invalid(f"{at}.hostname", host, "must be a DNS name, not an IP address")
    return found.causes


def _warnings(service: Object) -> Sequence[str]:
    spec = service.get("spec") or {}
    annotations = (service.get("metadata") or {}).get("annotations") or {}
    found = []
    if HINTS in annotations:
        found.append(f"metadata.annotations[{HINTS}]: annotation is deprecated, please use {MODE} instead")
    if spec.get("externalIPs"):
        found.append("spec.externalIPs is deprecated")
    if spec.get("externalIPs") and spec.get("type") == "ExternalName":
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if spec.get("type") != "ExternalName" and spec.get("externalName"):
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        found.append('spec.trafficDistribution: "PreferClose" is deprecated, please use "PreferSameZone" instead')
    if is_headless(spec) and spec.get("sessionAffinity") == "ClientIP":
        found.append("spec.SessionAffinity is ignored for headless services")
    return found


RULES = {
    "Service": Rules(
        default=_default,
        prepare_create=prepare_create,
        prepare_update=prepare_update,
        prepare_status=take_spec_back,
        validate=_validate,
        validate_update=validate_update,
        validate_status=_validate_status,
        validate_name=names.label_1035,
        fields=field_table()("spec.clusterIP", "spec.type"),
        warnings=_warnings,
        create_on_update=True,
    ),
}
