"""The rules of Endpoints, and what is left of core/v1: ReplicationController, ComponentStatus, Event (`events`).

Source: documentation "Service" (Endpoints), "ReplicationController"; API reference of core/v1; k8s.io/kubernetes,
apis/core.
"""

from collections.abc import Sequence

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found, child, choice, fill, non_negative
from boxship.cluster.objects.kinds.comparing import field_table, keep_status, path_of, take_spec_back
from boxship.cluster.objects.kinds.core_addresses import validate_address, validate_port_number, validate_reachable
from boxship.cluster.objects.kinds.core_pod_defaults import default_template
from boxship.cluster.objects.kinds.core_pod_spec import validate_template
from boxship.cluster.objects.kinds.core_pod_warnings import template_warnings
from boxship.cluster.objects.kinds.events import CORE_EVENT
from boxship.cluster.objects.rules import Rules

PROTOCOLS = ("SCTP", "TCP", "UDP")
COUNTS = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")


def _default_endpoints(endpoints: Object) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def _validate_endpoints(endpoints: Object) -> Sequence[Cause]:
    found = Found()
    for index, subset in enumerate(endpoints.get("subsets") or ()):
        at = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            found.required(at, "must specify `addresses` or `notReadyAddresses`")
        for key in ("addresses", "notReadyAddresses"):
            for place, address in enumerate(subset.get(key) or ()):
                _validate_endpoint(found, address, f"{at}.{key}[{place}]")
        ports = subset.get("ports") or ()
        for place, port in enumerate(ports):
            _validate_port(found, port, f"{at}.ports[{place}]", len(ports) > 1)
    return found.causes


def _validate_endpoint(found: Found, address: Object, path: str) -> None:
    text = address.get("ip") or ""
    validate_address(found, text, f"{path}.ip")
    if address.get("hostname"):
        found.because(f"{path}.hostname", address["hostname"], names.label(address["hostname"]))
    if address.get("nodeName") is not None:
        found.because(f"{path}.nodeName", address["nodeName"], names.subdomain(address["nodeName"]))
    validate_reachable(found, text, f"{path}.ip")


def _validate_port(found: Found, port: Object, path: str, named: bool) -> None:
    if port.get("name"):
        found.because(f"{path}.name", port["name"], names.label(port["name"]))
    elif named:
        found.required(f"{path}.name")
    validate_port_number(found, port.get("port") or 0, f"{path}.port")
    choice(found, port, "protocol", path, PROTOCOLS)
    if port.get("appProtocol") is not None:
        found.because(f"{path}.appProtocol", port["appProtocol"], names.qualified(port["appProtocol"]))


def _default_controller(controller: Object) -> None:
    spec = child(controller, "spec")
    default_template(spec)
    labels = path_of(spec, "template", "metadata", "labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = copied(labels)
        metadata = child(controller, "metadata")
        if not metadata.get("labels"):
            metadata["labels"] = copied(labels)
    fill(spec, {"replicas": 1})


def _create_controller(controller: Object) -> None:
    controller["status"] = {"replicas": 0}


def _validate_controller(controller: Object) -> Sequence[Cause]:
    found = Found()
    spec = controller.get("spec") or {}
    selector, template = spec.get("selector") or {}, spec.get("template")
    non_negative(found, spec, "spec", "minReadySeconds")
    if not selector:
        found.required("spec.selector")
    non_negative(found, spec, "spec", "replicas")
    if template is None:
        found.required("spec.template")
        return found.causes
    labels = path_of(template, "metadata", "labels") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        found.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    validate_template(found, template, "spec.template")
    policy = path_of(template, "spec", "restartPolicy")
    if policy != "Always":
        found.unsupported("spec.template.spec.restartPolicy", policy or "", ("Always",))
    if path_of(template, "spec", "activeDeadlineSeconds") is not None:
        why = "activeDeadlineSeconds in ReplicationController is not Supported"
        found.forbidden("spec.template.spec.activeDeadlineSeconds", why)
    return found.causes


def validate_counts(found: Found, status: Object, total: str, *keys: str) -> None:
    """No count of pods is greater than that of all."""
    for key in keys:
        if (status.get(key) or 0) > (status.get(total) or 0):
            found.invalid(f"status.{key}", status.get(key) or 0, f"cannot be greater than status.{total}")


def validate_replica_status(new: Object, _: Object) -> Sequence[Cause]:
    """Of ReplicationController and ReplicaSet."""
    found = Found()
    status = new.get("status") or {}
    non_negative(found, status, "status", *COUNTS)
    validate_counts(found, status, "replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    available = status.get("availableReplicas") or 0
    if available > (status.get("readyReplicas") or 0):
        found.invalid("status.availableReplicas", available, "cannot be greater than readyReplicas")
    return found.causes


RULES = {
    "Endpoints": Rules(
        default=_default_endpoints,
        validate=_validate_endpoints,
        create_on_update=True,
    ),
    "ReplicationController": Rules(
        default=_default_controller,
        prepare_create=_create_controller,
        prepare_update=keep_status,
        prepare_status=take_spec_back,
        validate=_validate_controller,
        validate_status=validate_replica_status,
        fields=field_table(status_replicas="0")("status.replicas"),
        warnings=lambda object: template_warnings((object.get("spec") or {}).get("template"), "spec.template"),
        generation=True,
        orphans=True,
    ),
    "ComponentStatus": Rules(),
    "Event": CORE_EVENT,
}
