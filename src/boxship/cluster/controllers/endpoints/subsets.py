"""The subsets of an Endpoints object. Pure.

Source: API reference of core/v1 (Endpoints), documentation "Service" (over-capacity endpoints). Addresses with the same
ports stand in one subset; in the order of their addresses, so that the same endpoints always look the same.
"""

import ipaddress
from collections.abc import Iterable
from typing import Any

from boxship.cluster.controllers.endpoints.backends import Backend
from boxship.cluster.controllers.endpoints.slicing import HEADLESS, Ports, is_headless, ports_of
from boxship.cluster.objects import Object

LARGEST = 1000  # addresses of one object
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
TRUNCATED = "truncated"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
OURS = "endpoint-controller"


def subsets_of(service: Object, pods: Iterable[Backend]) -> tuple[list[Object], bool]:
    """With whether some had to be left out."""
    spec = service.get("spec") or {}
    all_ready = bool(spec.get("publishNotReadyAddresses"))
    ready: dict[tuple[str, Ports], Object] = {}
    waiting: dict[tuple[str, Ports], Object] = {}
    for pod in pods:
        if not pod.counts or (pod.terminating and not all_ready):
            continue
        ports = ports_of(service, pod)
        if not ports and spec.get("ports"):
            continue  # it has none of the ports
        table = ready if all_ready or pod.ready else waiting
        table[(pod.address, ports)] = _address(service, pod)
    over = len(ready) + len(waiting) > LARGEST
    if over:
        ready = dict(list(ready.items())[:LARGEST])
        waiting = dict(list(waiting.items())[: LARGEST - len(ready)])
    groups: dict[Ports, Object] = {}
    for kind, table in (("addresses", ready), ("notReadyAddresses", waiting)):
        for (_, ports), address in sorted(table.items(), key=lambda item: ipaddress.IPv4Address(item[0][0])):
            groups.setdefault(ports, {}).setdefault(kind, []).append(address)
    return [_subset(ports, groups[ports]) for ports in sorted(groups)], over


def _subset(ports: Ports, addresses: Object) -> Object:
    listed = [_port(*port) for port in ports]
    return {**addresses, "ports": listed} if listed else addresses


def _port(name: str, protocol: str, number: int, application: str) -> Object:
    port: dict[str, Any] = {"name": name} if name else {}
    port |= {"port": number, "protocol": protocol}
    return {**port, "appProtocol": application} if application else port


def _address(service: Object, pod: Backend) -> Object:
    address: Object = {
        "ip": pod.address,
        "targetRef": {"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid},
    }
    if pod.node:
        address["nodeName"] = pod.node
    if pod.hostname and pod.subdomain == service["metadata"]["name"]:
        address["hostname"] = pod.hostname
    return address


def endpoints_of(service: Object, pods: Iterable[Backend], current: Object | None) -> Object | None:
    """What has to be written; None: it is so already. Annotations of others stay."""
    subsets, over = subsets_of(service, pods)
    labels = {key: value for key, value in (service["metadata"].get("labels") or {}).items() if key != HEADLESS}
    labels |= {HEADLESS: ""} if is_headless(service) else {}
    labels[MANAGED_BY] = OURS
    known: Object = (current or {}).get("metadata") or {}
    annotations = {key: value for key, value in (known.get("annotations") or {}).items() if key != OVER_CAPACITY}
    annotations |= {OVER_CAPACITY: TRUNCATED} if over else {}
    alike = (
        current is not None
        and list(current.get("subsets") or ()) == subsets
        and (known.get("labels") or {}) == labels
        and (known.get("annotations") or {}) == annotations
    )
    if alike:
        return None
    name, namespace = service["metadata"]["name"], service["metadata"].get("namespace", "")
    metadata: Object = {**known, "name": name, "namespace": namespace, "labels": labels}
    if annotations or known.get("annotations"):
        metadata["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}
