"""Nodes, namespaces, services, volumes and the rest of the core group, and events, as table rows."""

from collections.abc import Iterable, Mapping
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.tables.columns import AGE, NAME, Column, View, plain
from boxship.cluster.objects.tables.text import (
    NONE,
    UNKNOWN,
    UNSET,
    age,
    condition,
    items,
    labels_text,
    moment,
    name_of,
    number,
    part,
    since,
    some_of,
    text,
)

ROLE_PREFIX = "node-role.kubernetes.io/"
MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def entry_points(object: Object) -> str:
    """The addresses of a load balancer, of a Service or an Ingress."""
    points = items(object, "status", "loadBalancer", "ingress")
    return ",".join(sorted({shown for point in points if (shown := text(point, "ip") or text(point, "hostname"))}))


def _external(service: Object) -> str:
    spec = part(service, "spec")
    kind, addresses = text(spec, "type"), [str(address) for address in items(spec, "externalIPs")]
    if kind in ("ClusterIP", "NodePort"):
        return ",".join(addresses) or NONE
    if kind == "LoadBalancer":
        return ",".join(filter(None, [entry_points(service), *addresses])) or "<pending>"
    return text(spec, "externalName") if kind == "ExternalName" else UNKNOWN


def _port(port: Any) -> str:
    outside = f":{number(port, 'nodePort')}" if number(port, "nodePort") > 0 else ""
    return f"{number(port, 'port')}{outside}/{text(port, 'protocol')}"


def service_cells(service: Object, now: float) -> list[Any]:
    spec = part(service, "spec")
    addresses = items(spec, "clusterIPs")
    return [
        name_of(service),
        text(spec, "type"),
        str(addresses[0]) if addresses else NONE,
        _external(service),
        ",".join(_port(port) for port in items(spec, "ports")) or NONE,
        age(service, now),
        labels_text(spec.get("selector")),
    ]


def _endpoints(object: Object) -> Iterable[str]:
    for subset in items(object, "subsets"):
        ports, addresses = items(subset, "ports"), [text(found, "ip") for found in items(subset, "addresses")]
        if not ports:
            yield from addresses
        for port in ports:
            for address in addresses:
                yield f"[{address}]:{number(port, 'port')}" if ":" in address else f"{address}:{number(port, 'port')}"


def endpoints_cells(object: Object) -> list[Any]:
    return [some_of(_endpoints(object), empty="" if items(object, "subsets") else NONE)]


def _node_status(node: Object) -> str:
    ready = condition(node, "Ready").get("status")
    shown = "Unknown" if ready is None else "Ready" if ready == "True" else "NotReady"
    return f"{shown},SchedulingDisabled" if part(node, "spec").get("unschedulable") is True else shown


def node_roles(node: Object) -> str:
    roles = set()
    for key, value in part(node, "metadata", "labels").items():
        if key.startswith(ROLE_PREFIX):
            roles.add(key.removeprefix(ROLE_PREFIX))
        elif key == "kubernetes.io/role":
            roles.add(str(value))
    return ",".join(sorted(roles - {""})) or NONE


def _address(node: Object, kind: str) -> str:
    addresses = items(node, "status", "addresses")
    return next((text(found, "address") for found in addresses if text(found, "type") == kind), NONE)


def node_cells(node: Object, now: float) -> list[Any]:
    system = part(node, "status", "nodeInfo")
    return [
        name_of(node),
        _node_status(node),
        node_roles(node),
        age(node, now),
        text(system, "kubeletVersion"),
        _address(node, "InternalIP"),
        _address(node, "ExternalIP"),
        *(text(system, key) or UNKNOWN for key in ("osImage", "kernelVersion", "containerRuntimeVersion")),
    ]


def _modes(modes: Iterable[Any]) -> str:
    given = set(map(str, modes))
    return ",".join(short for mode, short in MODES.items() if mode in given)


def _class(object: Object) -> str:
    return text(object, "metadata", "annotations", CLASS_ANNOTATION) or text(object, "spec", "storageClassName")


def _phase(object: Object) -> str:
    leaving = part(object, "metadata").get("deletionTimestamp")
    return "Terminating" if leaving else text(object, "status", "phase")


def _optional(value: Mapping[str, Any], key: str) -> str:
    return UNSET if value.get(key) is None else text(value, key)


def volume_cells(volume: Object, now: float) -> list[Any]:
    spec = part(volume, "spec")
    claim = part(spec, "claimRef")
    return [
        name_of(volume),
        text(spec, "capacity", "storage") or "0",
        _modes(items(spec, "accessModes")),
        text(spec, "persistentVolumeReclaimPolicy"),
        _phase(volume),
        f"{text(claim, 'namespace')}/{text(claim, 'name')}" if claim else "",
        _class(volume),
        _optional(spec, "volumeAttributesClassName"),
        text(volume, "status", "reason"),
        age(volume, now),
        _optional(spec, "volumeMode"),
    ]


def claim_cells(claim: Object, now: float) -> list[Any]:
    spec, status = part(claim, "spec"), part(claim, "status")
    bound = text(spec, "volumeName")
    return [
        name_of(claim),
        _phase(claim),
        bound,
        (text(status, "capacity", "storage") or "0") if bound else "",
        _modes(items(status, "accessModes")) if bound else "",
        _class(claim),
        _optional(spec, "volumeAttributesClassName"),
        age(claim, now),
        _optional(spec, "volumeMode"),
    ]


def quota_cells(quota: Object) -> list[Any]:
    hard, used = part(quota, "status", "hard"), part(quota, "status", "used")
    requests: list[str] = []
    limits: list[str] = []
    for resource in sorted(hard):
        column = limits if resource.startswith("limits.") else requests
        column.append(f"{resource}: {used.get(resource, '0')}/{hard[resource]}")
    return [", ".join(requests), ", ".join(limits)]


def component_cells(component: Object, now: float) -> list[Any]:
    found = next((part(c) for c in items(component, "conditions") if text(c, "type") == "Healthy"), None)
    if found is None:
        return [name_of(component), "Unknown", "", ""]
    health = "Healthy" if found.get("status") == "True" else "Unhealthy"
    return [name_of(component), health, text(found, "message"), text(found, "error")]


def event_cells(event: Object, now: float) -> list[Any]:
    """Of an Event in the core group's form, or that of events.k8s.io, whose fields are named otherwise."""

    def either(old: str, new: str) -> Any:
        return event.get(old) if event.get(old) is not None else event.get(new)

    about = part(either("involvedObject", "regarding"))
    source = part(either("source", "deprecatedSource"))
    first_time, last_time = either("firstTimestamp", "deprecatedFirstTimestamp"), event.get("lastTimestamp")
    last_time = last_time or event.get("deprecatedLastTimestamp")
    first = since(first_time if moment(first_time) is not None else event.get("eventTime"), now)
    last = since(last_time, now) if moment(last_time) is not None else first
    count = number({"count": either("count", "deprecatedCount")}, "count") or 1
    if isinstance(event.get("series"), dict):
        last = since(event["series"].get("lastObservedTime"), now)
        count = number(event, "series", "count")
    kind, name = text(about, "kind").lower(), text(about, "name")
    component = text(source, "component") or text(event, "reportingComponent") or text(event, "reportingController")
    host = text(source, "host") or text(event, "reportingInstance")
    return [
        last,
        text(event, "type"),
        text(event, "reason"),
        f"{kind}/{name}" if name else kind,
        text(about, "fieldPath"),
        f"{component}, {host}" if host else component,
        (text(event, "message") or text(event, "note")).strip(),
        first,
        count,
        name_of(event),
    ]


SERVICE = View(
    (
        NAME,
        Column("Type", description="How the service is reached."),
        Column("Cluster-IP", description="The address inside the cluster."),
        Column("External-IP", description="The addresses outside the cluster."),
        Column("Port(s)", description="The ports of the service."),
        AGE,
        Column("Selector", description="The labels of the pods that serve it.", priority=1),
    ),
    service_cells,
)
NODE = View(
    (
        NAME,
        Column("Status", description="The status of the node"),
        Column("Roles", description="The roles of the node"),
        AGE,
        Column("Version", description="The version of the node's agent."),
        Column("Internal-IP", description="The address inside the cluster.", priority=1),
        Column("External-IP", description="The address outside the cluster.", priority=1),
        Column("OS-Image", description="The operating system.", priority=1),
        Column("Kernel-Version", description="The version of the kernel.", priority=1),
        Column("Container-Runtime", description="The container runtime and its version.", priority=1),
    ),
    node_cells,
)
EVENT = View(
    (
        Column("Last Seen", description="The time since the event last happened."),
        Column("Type", description="Normal or Warning."),
        Column("Reason", description="Why the event happened, in one word."),
        Column("Object", description="What the event is about."),
        Column("Subobject", description="The part of the object that it is about.", priority=1),
        Column("Source", description="Who tells of it.", priority=1),
        Column("Message", description="What happened."),
        Column("First Seen", description="The time since the event first happened.", priority=1),
        Column("Count", description="How often it happened.", priority=1),
        Column("Name", format="name", description=NAME.description, priority=1),
    ),
    event_cells,
)
VOLUME = View(
    (
        NAME,
        Column("Capacity", description="The volume's size."),
        Column("Access Modes", description="All ways in which the volume can be mounted."),
        Column("Reclaim Policy", description="What happens to the volume when its claim is released."),
        Column("Status", description="Whether the volume is available, bound or released."),
        Column("Claim", description="The claim that the volume is bound to."),
        Column("StorageClass", description="StorageClass of the pv"),
        Column("VolumeAttributesClass", description="VolumeAttributesClass of the pv"),
        Column("Reason", description="Why the volume failed, in one word."),
        AGE,
        Column("VolumeMode", description="Whether it is a file system or a raw device.", priority=1),
    ),
    volume_cells,
)
CLAIM = View(
    (
        NAME,
        Column("Status", description="Whether the claim is bound."),
        Column("Volume", description="The volume that the claim is bound to."),
        Column("Capacity", description="The size of the bound volume."),
        Column("Access Modes", description="The ways in which the bound volume can be mounted."),
        Column("StorageClass", description="StorageClass of the pvc"),
        Column("VolumeAttributesClass", description="VolumeAttributesClass of the pvc"),
        AGE,
        Column("VolumeMode", description="Whether a file system or a raw device is asked for.", priority=1),
    ),
    claim_cells,
)
COMPONENT = View(
    (
        NAME,
        Column("Status", description="Status of the component conditions"),
        Column("Message", description="Message of the component conditions"),
        Column("Error", description="Error of the component conditions"),
    ),
    component_cells,
)

VIEWS = {
    ("", "Service"): SERVICE,
    ("", "Endpoints"): plain(
        Column("Endpoints", description="The addresses and ports that serve."), between=endpoints_cells
    ),
    ("", "Node"): NODE,
    ("", "Event"): EVENT,
    ("events.k8s.io", "Event"): EVENT,
    ("", "Namespace"): plain(
        Column("Status", description="The status of the namespace"),
        between=lambda object: [text(object, "status", "phase")],
    ),
    ("", "Secret"): plain(
        Column("Type", description="What the secret is for."),
        Column("Data", description="The number of values."),
        between=lambda object: [text(object, "type"), len(part(object, "data"))],
    ),
    ("", "ConfigMap"): plain(
        Column("Data", description="The number of values."),
        between=lambda object: [len(part(object, "data")) + len(part(object, "binaryData"))],
    ),
    ("", "ServiceAccount"): plain(
        Column("Secrets", description="The number of secrets that its pods may mount."),
        between=lambda object: [len(items(object, "secrets"))],
    ),
    ("", "PersistentVolume"): VOLUME,
    ("", "PersistentVolumeClaim"): CLAIM,
    ("", "ResourceQuota"): plain(
        Column("Request", description="What may be asked for, and what is, besides limits."),
        Column("Limit", description="The limits that may be set, and those that are."),
        between=quota_cells,
    ),
    ("", "ComponentStatus"): COMPONENT,
}
