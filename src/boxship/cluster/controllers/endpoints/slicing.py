"""The slices that should be there, and the fewest writes that lead to them. Pure.

Source: documentation "EndpointSlices", "Service", "Topology Aware Routing" (traffic distribution); API reference of
discovery.k8s.io/v1. Facts of the original: 100 endpoints a slice; slices that would be deleted take what would be
created; a service without endpoints has one empty slice.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.controllers.endpoints.backends import Backend
from boxship.cluster.objects import Object

LARGEST = 100  # endpoints a slice
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"
OURS = "endpointslice-controller.k8s.io"
RESERVED = (SERVICE_NAME, MANAGED_BY, HEADLESS, "endpointslice.kubernetes.io/skip-mirror")
GENERATED_LENGTH = 247  # characters of a generated name's fixed part

Port = tuple[str, str, int, str]  # name, protocol, number, application's protocol
Ports = tuple[Port, ...]
Groups = Mapping[Ports, Sequence[Object]]  # endpoints by the ports that they have


class Form(msgspec.Struct, frozen=True):
    """What all slices of one service have in common."""

    namespace: str
    service: str
    labels: Mapping[str, str]
    owner: Object  # the reference
    annotations: Mapping[str, str] | None = None  # None: whatever there is
    kind: str = "IPv4"


class Plan(msgspec.Struct, frozen=True):
    create: tuple[Object, ...] = ()
    update: tuple[Object, ...] = ()
    delete: tuple[Object, ...] = ()


class _Slice(msgspec.Struct):
    """One that is there, as it is to become."""

    object: Object
    endpoints: list[Object]
    changed: bool

    @property
    def room(self) -> int:
        return max(LARGEST - len(self.endpoints), 0)


def is_headless(service: Object) -> bool:
    return bool((service.get("spec") or {}).get("clusterIP") == "None")


def form_of(service: Object) -> Form:
    metadata = service["metadata"]
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key not in RESERVED}
    if is_headless(service):
        labels[HEADLESS] = ""
    labels |= {SERVICE_NAME: metadata["name"], MANAGED_BY: OURS}
    return Form(metadata.get("namespace", ""), metadata["name"], labels, owner_reference(service))


def owner_reference(owner: Object) -> Object:
    return {
        "apiVersion": owner.get("apiVersion") or "v1",
        "kind": owner.get("kind") or "Service",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def groups_of(service: Object, pods: Iterable[Backend], zone_of: Callable[[str], str]) -> dict[Ports, list[Object]]:
    """The endpoints of a service by their ports: named ports may mean another number in each pod."""
    groups: dict[Ports, list[Object]] = {}
    for pod in pods:
        if pod.counts:
            groups.setdefault(ports_of(service, pod), []).append(endpoint_of(service, pod, zone_of(pod.node)))
    return groups


def ports_of(service: Object, pod: Backend) -> Ports:
    """A port that the pod has not is left out."""
    found: list[Port] = []
    for port in (service.get("spec") or {}).get("ports") or ():
        protocol = port.get("protocol") or "TCP"
        number = pod.port(port.get("targetPort") or port.get("port"), protocol)
        if number:
            found.append((port.get("name") or "", protocol, number, port.get("appProtocol") or ""))
    return tuple(found)


def endpoint_of(service: Object, pod: Backend, zone: str) -> Object:
    spec = service.get("spec") or {}
    ready = bool(spec.get("publishNotReadyAddresses")) or (pod.ready and not pod.terminating)
    endpoint: Object = {
        "addresses": [pod.address],
        "conditions": {"ready": ready, "serving": pod.ready, "terminating": pod.terminating},
        "targetRef": {"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid},
    }
    if pod.hostname and pod.subdomain == service["metadata"]["name"]:
        endpoint["hostname"] = pod.hostname
    if pod.node:
        endpoint["nodeName"] = pod.node
    if zone:
        endpoint["zone"] = zone
    if ready:
        hints = _hints(spec.get("trafficDistribution") or "", pod.node, zone)
        if hints:
            endpoint["hints"] = hints
    return endpoint


def _hints(distribution: str, node: str, zone: str) -> Object:
    hints: Object = {}
    if distribution in ("PreferClose", "PreferSameZone", "PreferSameNode") and zone:
        hints["forZones"] = [{"name": zone}]
    if distribution == "PreferSameNode" and node:
        hints["forNodes"] = [{"name": node}]
    return hints


def plan(form: Form, groups: Groups, existing: Iterable[Object]) -> Plan:
    """`existing`: the slices of this service that are ours. What is there twice, because an answer was lost, stays
    once."""
    by_ports: dict[Ports, list[Object]] = {}
    spare: list[Object] = []  # slices that nothing is left in
    for slice in sorted(existing, key=lambda one: str(one["metadata"]["name"])):
        ports = _ports_of_slice(slice)
        if slice.get("addressType") == form.kind and groups.get(ports):
            by_ports.setdefault(ports, []).append(slice)
        else:
            spare.append(slice)
    create: list[Object] = []
    update: list[Object] = []
    for ports, endpoints in groups.items():
        if not endpoints:
            continue
        kept, new = _settled(form, by_ports.get(ports, ()), endpoints)
        spare += [one.object for one in kept if not one.endpoints]
        update += [_filled(form, one.object, ports, one.endpoints) for one in kept if one.endpoints and one.changed]
        create += [_filled(form, None, ports, part) for part in new]
    if not any(groups.values()):
        create.append(_filled(form, None, (), []))
    return _with_spare(form, create, update, spare)


def _with_spare(form: Form, create: list[Object], update: list[Object], spare: list[Object]) -> Plan:
    """Slices that are left take what would be created."""
    delete = []
    for slice in spare:
        if create and slice.get("addressType") == form.kind and not slice["metadata"].get("deletionTimestamp"):
            wanted = create.pop(0)
            if _differs(form, slice, wanted):
                update.append({**wanted, "metadata": {**slice["metadata"], **_own_metadata(form)}})
        else:
            delete.append(slice)
    return Plan(tuple(create), tuple(update), tuple(delete))


def _differs(form: Form, slice: Object, wanted: Object) -> bool:
    return (
        _is_foreign(form, slice)
        or list(slice.get("endpoints") or ()) != wanted["endpoints"]
        or _ports_of_slice(slice) != _ports_of_slice(wanted)
    )


def _settled(
    form: Form, existing: Sequence[Object], endpoints: Sequence[Object]
) -> tuple[list[_Slice], list[list[Object]]]:
    """The slices of one group of ports as they are to be, and the endpoints for new ones."""
    missing = {_identity(endpoint): endpoint for endpoint in endpoints}
    slices = []
    for object in existing:
        known = list(object.get("endpoints") or ())
        wanted = [missing.pop(identity) for one in known if (identity := _identity(one)) in missing]
        slices.append(_Slice(object, wanted, known != wanted or _is_foreign(form, object)))
    new = list(missing.values())
    for one in sorted(slices, key=lambda one: one.room):
        if one.changed:  # it is written anyway
            taken, new = new[: one.room], new[one.room :]
            one.endpoints += taken
    if 0 < len(new) < LARGEST:
        fitting = [one for one in slices if one.room >= len(new)]
        if fitting:
            best = min(fitting, key=lambda one: one.room)
            best.endpoints += new
            best.changed = True
            new = []
    return slices, [new[first : first + LARGEST] for first in range(0, len(new), LARGEST)]


def _identity(endpoint: Object) -> tuple[str, ...]:
    target = endpoint.get("targetRef") or {}
    return (str(target.get("uid") or ""), *(endpoint.get("addresses") or ()), str(endpoint.get("hostname") or ""))


def _own_metadata(form: Form) -> Object:
    own: Object = {"labels": dict(form.labels), "ownerReferences": [form.owner]}
    if form.annotations is not None:
        own["annotations"] = dict(form.annotations)
    return own


def _is_foreign(form: Form, object: Object) -> bool:
    """Whether labels, owner or annotations are not as they should be."""
    metadata = object["metadata"]
    return (
        (metadata.get("labels") or {}) != form.labels
        or (metadata.get("ownerReferences") or []) != [form.owner]
        or (form.annotations is not None and (metadata.get("annotations") or {}) != form.annotations)
    )


def _filled(form: Form, known: Object | None, ports: Ports, endpoints: Sequence[Object]) -> Object:
    if known is not None:
        metadata = {**known["metadata"], **_own_metadata(form)}
    else:
        prefix = form.service[:GENERATED_LENGTH]
        metadata = {"generateName": f"{prefix}-", "namespace": form.namespace, **_own_metadata(form)}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": form.kind,
        "endpoints": list(endpoints),
        "ports": [_port_object(port) for port in ports],
    }


def _port_object(port: Port) -> Object:
    name, protocol, number, application = port
    made: dict[str, Any] = {"name": name, "protocol": protocol, "port": number}
    if application:
        made["appProtocol"] = application
    return made


def _ports_of_slice(slice: Object) -> Ports:
    return tuple(
        (one.get("name") or "", one.get("protocol") or "TCP", one.get("port") or 0, one.get("appProtocol") or "")
        for one in slice.get("ports") or ()
    )
