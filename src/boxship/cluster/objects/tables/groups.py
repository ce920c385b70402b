"""The kinds of the smaller groups as table rows: networking, storage, discovery, devices and others."""

from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.tables.columns import AGE, NAME, Column, View, plain
from boxship.cluster.objects.tables.core import entry_points
from boxship.cluster.objects.tables.text import (
    NONE,
    UNSET,
    age,
    items,
    name_of,
    number,
    part,
    selector_text,
    some_of,
    text,
    yes,
)

DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
DEFAULT_ATTRIBUTES = ("volumeattributesclass.alpha.kubernetes.io/is-default-class",)


def _hosts(ingress: Object) -> str:
    rules = items(ingress, "spec", "rules")
    hosts = [host for rule in rules if (host := text(rule, "host"))]
    shown = ",".join(hosts[:3]) or "*"
    # As the original counts: rules without a host are among those that are more.
    full = [i for i, rule in enumerate(rules) if text(rule, "host")][:3]
    more = len(full) == 3 and len(rules) > full[2] + 1
    return f"{shown} + {len(rules) - 3} more..." if more else shown


def ingress_cells(ingress: Object) -> list[Any]:
    spec = part(ingress, "spec")
    chosen = spec.get("ingressClassName")
    ports = "80, 443" if items(spec, "tls") else "80"
    return [NONE if chosen is None else chosen, _hosts(ingress), entry_points(ingress), ports]


def ingress_class_cells(object: Object) -> list[Any]:
    spec = part(object, "spec")
    parameters = part(spec, "parameters")
    group = f".{text(parameters, 'apiGroup')}" if parameters.get("apiGroup") is not None else ""
    shown = f"{text(parameters, 'kind')}{group}/{text(parameters, 'name')}" if parameters else NONE
    return [text(spec, "controller"), shown]


def address_cells(object: Object) -> list[Any]:
    parent = part(object, "spec", "parentRef")
    if not parent:
        return [NONE]
    group, namespace = text(parent, "group"), text(parent, "namespace")
    resource = text(parent, "resource").lower() + (f".{group.lower()}" if group else "")
    return ["/".join(filter(None, [resource, namespace, text(parent, "name")]))]


def slice_cells(object: Object) -> list[Any]:
    def port(found: Any) -> str:
        value = part(found).get("port")
        return str(value) if value is not None else text(found, "name") if part(found).get("name") is not None else "*"

    addresses = (str(address) for found in items(object, "endpoints") for address in items(found, "addresses"))
    return [text(object, "addressType"), some_of(map(port, items(object, "ports"))), some_of(addresses)]


def _named(object: Object, annotations: tuple[str, ...]) -> str:
    marks = part(object, "metadata", "annotations")
    return f"{name_of(object)} (default)" if any(marks.get(key) == "true" for key in annotations) else name_of(object)


def storage_class_cells(object: Object, now: float) -> list[Any]:
    return [
        _named(object, DEFAULT_CLASS),
        text(object, "provisioner"),
        text(object, "reclaimPolicy") or "Delete",
        text(object, "volumeBindingMode") or "Immediate",
        yes(object.get("allowVolumeExpansion")),
        age(object, now),
    ]


def attributes_class_cells(object: Object, now: float) -> list[Any]:
    return [_named(object, DEFAULT_ATTRIBUTES), text(object, "driverName"), age(object, now)]


def driver_cells(object: Object) -> list[Any]:
    spec = part(object, "spec")
    requests = spec.get("tokenRequests")
    audiences = ",".join(text(request, "audience") for request in items(requests))
    return [
        yes(spec.get("attachRequired"), True),
        yes(spec.get("podInfoOnMount")),
        yes(spec.get("storageCapacity")),
        UNSET if requests is None else audiences,
        yes(spec.get("requiresRepublish")),
        ",".join(map(str, items(spec, "volumeLifecycleModes"))) or NONE,
    ]


def capacity_cells(object: Object, now: float) -> list[Any]:
    return [name_of(object), text(object, "storageClassName"), text(object, "capacity") or UNSET]


def attachment_cells(object: Object) -> list[Any]:
    spec = part(object, "spec")
    attached = yes(part(object, "status").get("attached"))
    return [text(spec, "attacher"), text(spec, "source", "persistentVolumeName"), text(spec, "nodeName"), attached]


def priority_cells(object: Object, now: float) -> list[Any]:
    told = [number(object, "value"), yes(object.get("globalDefault")), age(object, now)]
    return [name_of(object), *told, text(object, "preemptionPolicy")]


def device_claim_cells(object: Object) -> list[Any]:
    leaving = bool(part(object, "metadata").get("deletionTimestamp"))
    states = ["deleted"] if leaving else []
    if part(object, "status").get("allocation") is not None:
        states.append("allocated")
        states += ["reserved"] if items(object, "status", "reservedFor") else []
    elif not leaving:
        states.append("pending")
    return [",".join(states)]


def device_slice_cells(object: Object) -> list[Any]:
    spec = part(object, "spec")
    return [text(spec, "nodeName"), text(spec, "driver"), text(spec, "pool", "name")]


NETWORKING = {
    "Ingress": plain(
        Column("Class", description="The IngressClass that implements it."),
        Column("Hosts", description="Hosts that incoming requests are matched against before the ingress rule"),
        Column("Address", description="Address is a list containing ingress points for the load-balancer"),
        Column("Ports", description="Ports of TLS configurations that open"),
        between=ingress_cells,
    ),
    "IngressClass": plain(
        Column("Controller", description="Controller that is responsible for handling this class"),
        Column("Parameters", description="A reference to a resource with additional parameters"),
        between=ingress_class_cells,
    ),
    "NetworkPolicy": plain(
        Column("Pod-Selector", description="The labels of the pods that it is for."),
        between=lambda object: [selector_text(part(object, "spec", "podSelector"))],
    ),
    "ServiceCIDR": plain(
        Column("CIDRs", description="The ranges of service addresses."),
        between=lambda object: [",".join(map(str, items(object, "spec", "cidrs")))],
    ),
    "IPAddress": plain(Column("ParentRef", description="What has the address."), between=address_cells),
}
STORAGE = {
    "StorageClass": View(
        (
            NAME,
            Column("Provisioner", description="Who makes volumes of the class."),
            Column("ReclaimPolicy", description="What happens to a volume when its claim is released."),
            Column("VolumeBindingMode", description="When volumes are made and bound."),
            Column("AllowVolumeExpansion", description="Whether volumes can grow."),
            AGE,
        ),
        storage_class_cells,
    ),
    "VolumeAttributesClass": View(
        (NAME, Column("DriverName", description="The driver that it is for."), AGE), attributes_class_cells
    ),
    "CSINode": plain(
        Column("Drivers", "integer", "Drivers indicates the number of CSI drivers registered on the node"),
        between=lambda object: [len(items(object, "spec", "drivers"))],
    ),
    "CSIDriver": plain(
        Column("AttachRequired", "boolean", "Whether volumes are attached before they are mounted."),
        Column("PodInfoOnMount", "boolean", "Whether the driver is told about the pod."),
        Column("StorageCapacity", "boolean", "Whether the driver tells how much room there is."),
        Column("TokenRequests", description="The audiences of the tokens that the driver gets."),
        Column("RequiresRepublish", "boolean", "Whether volumes are published again from time to time."),
        Column("Modes", description="The kinds of volumes that the driver has."),
        between=driver_cells,
    ),
    "CSIStorageCapacity": View(
        (
            NAME,
            Column("StorageClassName", description="The class that it is about."),
            Column("Capacity", description="The room that there is."),
        ),
        capacity_cells,
    ),
    "VolumeAttachment": plain(
        Column("Attacher", format="name", description="The driver that attaches."),
        Column("PV", description="The volume."),
        Column("Node", description="The node."),
        Column("Attached", "boolean", "Whether it is attached."),
        between=attachment_cells,
    ),
}
PRIORITY = View(
    (
        NAME,
        Column("Value", "integer", "The priority of pods of this class."),
        Column("Global-Default", "boolean", "Whether pods without a class are of this one."),
        AGE,
        Column("PreemptionPolicy", description="Whether pods of lower priority are put out."),
    ),
    priority_cells,
)
BY_NAME = View((NAME, AGE), lambda object, now: [name_of(object), age(object, now)])
DEVICES = {
    "DeviceClass": BY_NAME,
    "ResourceClaimTemplate": BY_NAME,
    "ResourceClaim": plain(
        Column("State", description="A summary of the current state (allocated, pending, reserved, etc.)."),
        between=device_claim_cells,
    ),
    "ResourceSlice": plain(
        Column("Node", description="The node that has the devices."),
        Column("Driver", description="The driver of the devices."),
        Column("Pool", description="The pool that they belong to."),
        between=device_slice_cells,
    ),
}
SLICE = plain(
    Column("AddressType", description="The kind of the addresses."),
    Column("Ports", description="The ports of every address."),
    Column("Endpoints", description="The addresses."),
    between=slice_cells,
)

VIEWS = {
    **{("networking.k8s.io", kind): view for kind, view in NETWORKING.items()},
    **{("storage.k8s.io", kind): view for kind, view in STORAGE.items()},
    **{("resource.k8s.io", kind): view for kind, view in DEVICES.items()},
    ("discovery.k8s.io", "EndpointSlice"): SLICE,
    ("scheduling.k8s.io", "PriorityClass"): PRIORITY,
    ("coordination.k8s.io", "Lease"): plain(
        Column("Holder", description="Who has the lease."),
        between=lambda object: [text(object, "spec", "holderIdentity")],
    ),
    ("node.k8s.io", "RuntimeClass"): plain(
        Column("Handler", description="The runtime's configuration."),
        between=lambda object: [text(object, "handler")],
    ),
}
