"""The rules of apiregistration.k8s.io: APIService.

Source: kube-aggregator/pkg/apis/apiregistration (defaults, validation), documentation "Kubernetes API Aggregation
Layer". Whether the service answers is the aggregation's to find out.
"""

from collections.abc import Mapping, Sequence

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found, fill, kept
from boxship.cluster.objects.rules import Rules

STATUSES = ("False", "True", "Unknown")
LOCAL = {
    "type": "Available",
    "status": "True",
    "reason": "Local",
    "message": "Local APIServices are always available",
}


def _default(object: Object) -> None:
    service = (object.get("spec") or {}).get("service")
    if service is not None:
        fill(service, {"port": 443})


def _prepare_create(object: Object) -> None:
    local = (object.get("spec") or {}).get("service") is None
    object["status"] = {"conditions": [dict(LOCAL)]} if local else {}


def _prepare_update(new: Object, old: Object) -> None:
    kept(new, old, "status")


def _validate_group(found: Found, object: Object) -> None:
    spec, name = object.get("spec") or {}, object.get("metadata", {}).get("name") or ""
    group, version = spec.get("group") or "", spec.get("version") or ""
    needed = f"{version}.{group}"
    if name != needed:
        found.invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{needed}"')
    if group:
        found.because("spec.group", group, names.subdomain(group))
    elif version != "v1":
        found.required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    found.because("spec.version", version, names.label_1035(version))
    for key, limit in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(key) or 0
        if not 0 < value <= limit:
            found.invalid(f"spec.{key}", value, f"must be positive and less than {limit}")


def _validate(object: Object) -> Sequence[Cause]:
    found = Found()
    _validate_group(found, object)
    spec = object.get("spec") or {}
    service, bundle, insecure = spec.get("service"), spec.get("caBundle") or "", bool(spec.get("insecureSkipTLSVerify"))
    path = "spec.insecureSkipTLSVerify"
    if service is None:
        if bundle:
            found.invalid("spec.caBundle", f"{len(bundle)} bytes", "local APIServices may not have a caBundle")
        if insecure:
            found.invalid(path, insecure, "local APIServices may not have insecureSkipTLSVerify")
        return found.causes
    for key in ("namespace", "name"):
        if not service.get(key):
            found.required(f"spec.service.{key}")
    why = names.port(service.get("port") or 0)
    found.because("spec.service.port", service.get("port") or 0, why and f"port is not valid: {why}")
    if insecure and bundle:
        found.invalid(path, insecure, "may not be true if caBundle is present")
    return found.causes


def _validate_status(new: Object, _: Object) -> Sequence[Cause]:
    found = Found()
    for index, condition in enumerate((new.get("status") or {}).get("conditions") or ()):
        status = condition.get("status") or ""
        if status not in STATUSES:
            found.unsupported(f"status.conditions[{index}].status", status, STATUSES)
    return found.causes


RULES: Mapping[str, Rules] = {
    "APIService": Rules(
        default=_default,
        prepare_create=_prepare_create,
        prepare_update=_prepare_update,
        validate=_validate,
        validate_status=_validate_status,
        validate_name=names.path_segment,
        needs_version=True,
    )
}
