"""What is kept of objects, pure: a node may follow tens of thousands of them, so each becomes a small value here. What
is not understood is left out, never guessed."""

import contextlib
import ipaddress
from collections.abc import Iterable
from typing import Any

import msgspec

from boxship.cluster.objects import Object

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY, OURS = "endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io"
ON_EVERY_NODE = "boxship.io/served-on-node"  # annotation: each node answers at the service's address itself
OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
HEADLESS = "service.kubernetes.io/headless"
AFFINITY_SECONDS = 10800

Key = tuple[str, str]  # namespace, name


class ServicePort(msgspec.Struct, frozen=True, gc=False):
    name: str
    protocol: str  # tcp, udp or sctp
    port: int
    node_port: int = 0


class ServiceFacts(msgspec.Struct, frozen=True, gc=False):
    """A Service that has addresses. `affinity_seconds` 0: none; `sources` None: everybody may ask."""

    addresses: tuple[str, ...]
    ports: tuple[ServicePort, ...]
    external: tuple[str, ...] = ()
    balanced: tuple[str, ...] = ()  # the load balancer's addresses
    sources: tuple[str, ...] | None = None
    affinity_seconds: int = 0
    external_local: bool = False
    internal_local: bool = False
    health_port: int = 0


class EndpointFacts(msgspec.Struct, frozen=True, gc=False):
    address: str
    node: str = ""
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    zones: tuple[str, ...] = ()  # hints: for whom it is meant
    nodes: tuple[str, ...] = ()
    pod: str = ""  # the uid of one on this node, where a controller follows it


class SliceFacts(msgspec.Struct, frozen=True, gc=False):
    """An EndpointSlice: ports by name and protocol."""

    service: Key
    ports: dict[tuple[str, str], int]
    endpoints: tuple[EndpointFacts, ...]


def is_ipv4(text: Any) -> bool:
    """What goes into rules must be an address and nothing else."""
    try:
        ipaddress.IPv4Address(text if isinstance(text, str) else "")
    except ValueError:
        return False
    return True


def subnets(texts: Iterable[str]) -> tuple[str, ...]:
    """The IPv4 subnets among them, without overlaps."""
    found = []
    for text in texts:
        with contextlib.suppress(ValueError):  # IPv6, or nothing at all
            found.append(ipaddress.IPv4Network(text.strip(), strict=False))
    return tuple(map(str, ipaddress.collapse_addresses(found)))


def service_facts(service: Object) -> ServiceFacts | None:
    """None: no proxy leads to it (headless, external names, another proxy's, served on every node)."""
    spec, metadata = service.get("spec", {}), service["metadata"]
    kind = spec.get("type", "ClusterIP")
    if kind == "ExternalName" or not {OTHER_PROXY, HEADLESS}.isdisjoint(metadata.get("labels", {})):
        return None
    if metadata.get("annotations", {}).get(ON_EVERY_NODE) == "true":
        return None
    found = spec.get("clusterIPs") or [spec.get("clusterIP", "")]
    addresses = tuple(address for address in found if is_ipv4(address))
    if not addresses:
        return None
    outside = kind in ("NodePort", "LoadBalancer")
    balanced = service.get("status", {}).get("loadBalancer", {}).get("ingress", ()) if kind == "LoadBalancer" else ()
    ranges = spec.get("loadBalancerSourceRanges")
    affinity = spec.get("sessionAffinity") == "ClientIP"
    timeout = spec.get("sessionAffinityConfig", {}).get("clientIP", {}).get("timeoutSeconds", AFFINITY_SECONDS)
    local = spec.get("externalTrafficPolicy") == "Local"
    return ServiceFacts(
        addresses=addresses,
        ports=tuple(
            ServicePort(
                port.get("name", ""),
                port.get("protocol", "TCP").lower(),
                port["port"],
                port.get("nodePort", 0) if outside else 0,
            )
            for port in spec.get("ports", ())
        ),
        external=tuple(address for address in spec.get("externalIPs") or () if is_ipv4(address)),
        balanced=tuple(
            item["ip"] for item in balanced or () if is_ipv4(item.get("ip")) and item.get("ipMode", "VIP") == "VIP"
        ),
        sources=subnets(ranges) if ranges else None,
        affinity_seconds=timeout if affinity else 0,
        external_local=local,
        internal_local=spec.get("internalTrafficPolicy") == "Local",
        health_port=spec.get("healthCheckNodePort", 0) if local and kind == "LoadBalancer" else 0,
    )


def slice_facts(item: Object, node: str = "") -> SliceFacts | None:
    """As `node` keeps it."""
    labels = item["metadata"].get("labels") or {}
    name = labels.get(SERVICE_NAME)
    if not name or HEADLESS in labels or OTHER_PROXY in labels or item.get("addressType") != "IPv4":
        return None
    follows = node if labels.get(MANAGED_BY) == OURS else ""
    return SliceFacts(
        service=(item["metadata"].get("namespace", ""), name),
        ports={
            (port.get("name") or "", (port.get("protocol") or "TCP").lower()): port["port"]
            for port in item.get("ports") or ()
            if port.get("port")
        },
        endpoints=tuple(
            _endpoint(found, follows)
            for found in item.get("endpoints") or ()
            if is_ipv4(next(iter(found["addresses"]), None))
        ),
    )


def _endpoint(found: Object, node: str) -> EndpointFacts:
    conditions, hints = found.get("conditions") or {}, found.get("hints") or {}
    target = (found.get("targetRef") or {}) if node and found.get("nodeName") == node else {}
    ready = conditions.get("ready")
    ready = True if ready is None else ready
    serving = conditions.get("serving")
    return EndpointFacts(
        address=found["addresses"][0],
        node=found.get("nodeName") or "",
        ready=ready,
        serving=ready if serving is None else serving,
        terminating=bool(conditions.get("terminating")),
        zones=tuple(item["name"] for item in hints.get("forZones") or ()),
        nodes=tuple(item["name"] for item in hints.get("forNodes") or ()),
        pod=target.get("uid") or "",
    )
