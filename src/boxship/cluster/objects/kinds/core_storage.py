"""The rules of PersistentVolume and PersistentVolumeClaim.

Source: documentation "Persistent Volumes", "Volume Attributes Classes"; API reference of core/v1; k8s.io/kubernetes,
registry/core/persistentvolume and persistentvolumeclaim.
"""

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import IMMUTABLE, NOT_POSITIVE, Found, child, fill, immutable
from boxship.cluster.objects.kinds.comparing import keep_status, path_of, same, shown_differences, take_spec_back
from boxship.cluster.objects.kinds.core_claims import VOLUME_MODES, validate_access_modes, validate_claim_spec
from boxship.cluster.objects.kinds.core_placement import validate_node_selector
from boxship.cluster.objects.kinds.core_pod_defaults import SOURCES as SOURCE_DEFAULTS
from boxship.cluster.objects.kinds.core_pod_warnings import OLD_VOLUMES, claim_warnings
from boxship.cluster.objects.kinds.core_resources import parsed
from boxship.cluster.objects.kinds.core_volume_sources import PORTAL_TEXT, SOURCES, validate_driver, validate_source
from boxship.cluster.objects.rules import Rules

Item = Mapping[str, Any]
RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
SECRETS = ("controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef")
RESIZE_STATES = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)
RECYCLE_TEXT = (
    "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning."
)
CLAIM_TEXT = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


def _default_volume(volume: Object) -> None:
    spec = child(volume, "spec")
    fill(spec, {"volumeMode": "Filesystem"})
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    for key, value in spec.items():
        if key in SOURCE_DEFAULTS and key in SOURCES and isinstance(value, dict):
            fill(value, SOURCE_DEFAULTS[key])
    claim = spec.get("claimRef")
    if claim:
        fill(claim, {"kind": "PersistentVolumeClaim", "apiVersion": "v1"})
    status = child(volume, "status")
    if not status.get("phase"):
        status["phase"] = "Pending"


def _create_volume(volume: Object) -> None:
    volume["status"] = {"phase": "Pending"}


def _time_volume(new: Object, old: Object | None, now: str) -> None:
    """When its phase became what it is."""
    status: Object = new.get("status") or {}
    before: Object = (old or {}).get("status") or {}
    said, had = status.get("lastPhaseTransitionTime"), before.get("lastPhaseTransitionTime")
    if status.get("phase") != before.get("phase"):
        status["lastPhaseTransitionTime"] = now if said in (None, had) else said
    elif said is None and had is not None:
        status["lastPhaseTransitionTime"] = had


def _validate_volume(volume: Object) -> Sequence[Cause]:
    found = Found()
    name = path_of(volume, "metadata", "name") or ""
    spec = volume.get("spec") or {}
    modes = spec.get("accessModes") or ()
    if not modes:
        found.required("spec.accessModes")
    validate_access_modes(found, modes, "spec.accessModes")
    capacity = spec.get("capacity") or {}
    if not capacity:
        found.required("spec.capacity")
    if list(capacity) != ["storage"]:
        found.unsupported("spec.capacity", capacity, ("storage",))
    for key, text in capacity.items():
        if parsed(text).nanos <= 0:
            found.invalid(f"spec.capacity[{key}]", parsed(text).text, NOT_POSITIVE)
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy and policy not in RECLAIM_POLICIES:
        found.unsupported("spec.persistentVolumeReclaimPolicy", policy, RECLAIM_POLICIES)
    affinity = spec.get("nodeAffinity")
    if affinity is not None:
        if affinity.get("required") is None:
            found.required("spec.nodeAffinity.required", "must specify required node constraints")
        else:
            validate_node_selector(found, affinity["required"], "spec.nodeAffinity.required")
    _validate_volume_source(found, spec, name)
    if spec.get("hostPath") and policy == "Recycle" and posixpath.normpath(spec["hostPath"].get("path") or ".") == "/":
        why = "may not be 'recycle' for a hostPath mount of '/'"
        found.forbidden("spec.persistentVolumeReclaimPolicy", why)
    if spec.get("storageClassName"):
        found.because("spec.storageClassName", spec["storageClassName"], names.subdomain(spec["storageClassName"]))
    if spec.get("volumeMode") is not None and spec["volumeMode"] not in VOLUME_MODES:
        found.unsupported("spec.volumeMode", spec["volumeMode"], VOLUME_MODES)
    attributes = spec.get("volumeAttributesClassName")
    if attributes is not None:
        if not attributes:
            found.required("spec.volumeAttributesClassName", "an empty string is disallowed")
        else:
            found.because("spec.volumeAttributesClassName", attributes, names.subdomain(attributes))
        if spec.get("csi") is None:
            found.required("spec.csi", "has to be specified when using volumeAttributesClassName")
    return found.causes


def _sources(spec: Item) -> list[str]:
    return [key for key, value in spec.items() if (key in SOURCES or key == "csi") and value is not None]


def _validate_volume_source(found: Found, spec: Item, name: str) -> None:
    sources = _sources(spec)
    if not sources:
        found.required("spec", "must specify a volume type")
    for key in sources[1:]:
        found.forbidden(f"spec.{'cephFS' if key == 'cephfs' else key}", "may not specify more than 1 volume type")
    for key in sources[:1]:
        source = spec[key]
        if key == "csi":
            validate_driver(found, source.get("driver") or "", "spec.csi.driver")
            if not source.get("volumeHandle"):
                found.required("spec.csi.volumeHandle")
            for secret in SECRETS:
                if source.get(secret) is not None:
                    _validate_secret(found, source[secret], f"spec.csi.{secret}")
            continue
        validate_source(found, key, source, "spec", persistent=True)
        if key == "iscsi":
            portal = source.get("targetPortal") or ""
            if source.get("initiatorName") is not None and len(f"{name}:{portal}") > 64:
                found.invalid("spec.iscsi.targetportal", portal, PORTAL_TEXT)
            if source.get("secretRef") is not None and not source["secretRef"].get("name"):
                found.required("spec.iscsi.secretRef.name")
        elif key == "local" and spec.get("nodeAffinity") is None:
            found.required("spec.nodeAffinity", "Local volume requires node affinity")


def _validate_secret(found: Found, secret: Item, path: str) -> None:
    for key, check in (("name", names.subdomain), ("namespace", names.label)):
        value = secret.get(key)
        if not value:
            found.required(f"{path}.{key}")
        else:
            found.because(f"{path}.{key}", value, check(value))


def _update_volume(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    after, before = new.get("spec") or {}, old.get("spec") or {}
    now = {key: after.get(key) for key in _sources(after)}
    was = {key: before.get(key) for key in _sources(before)}
    driver: Object = now.get("csi") or {}
    if driver and was.get("csi") and not path_of(was, "csi", "controllerExpandSecretRef"):
        now["csi"] = {key: value for key, value in driver.items() if key != "controllerExpandSecretRef"}
    if not same(now, was):
        shown = shown_differences(was, now, "spec")
        why = f"spec.persistentvolumesource is immutable after creation\n{shown}"
        found.forbidden("spec.persistentvolumesource", why)
    immutable(found, after.get("volumeMode"), before.get("volumeMode"), "volumeMode")
    if before.get("nodeAffinity") is not None and not same(after.get("nodeAffinity"), before["nodeAffinity"]):
        why = f"{IMMUTABLE}, except for updating from beta label to GA"
        found.invalid("nodeAffinity", after.get("nodeAffinity"), why)
    if before.get("volumeAttributesClassName") is not None and after.get("volumeAttributesClassName") is None:
        found.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden")
    return found.causes


def _volume_warnings(volume: Object) -> Sequence[str]:
    spec = volume.get("spec") or {}
    found = [f"spec.{shown}: {text}" for key, (shown, text) in OLD_VOLUMES.items() if spec.get(key) is not None]
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        found.append(f"spec.persistentVolumeReclaimPolicy: {RECYCLE_TEXT}")
    annotations = path_of(volume, "metadata", "annotations") or {}
    if BETA_CLASS in annotations:
        text = 'deprecated since v1.8; use "storageClassName" attribute instead'
        found.append(f"metadata.annotations[{BETA_CLASS}]: {text}")
    return found


def _default_claim(claim: Object) -> None:
    fill(child(claim, "spec"), {"volumeMode": "Filesystem"})
    _normalise_sources(claim["spec"])
    status = child(claim, "status")
    if not status.get("phase"):
        status["phase"] = "Pending"


def _normalise_sources(spec: Object) -> None:
    """`dataSource` and `dataSourceRef` say the same, unless the latter names another namespace."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source and not reference:
        spec["dataSourceRef"] = copied(source)
    elif reference and not source and not reference.get("namespace"):
        group, kind = reference.get("apiGroup") or "", reference.get("kind")
        if (group, kind) in (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot")):
            spec["dataSource"] = {key: reference[key] for key in ("apiGroup", "kind", "name") if key in reference}


def _create_claim(claim: Object) -> None:
    claim["status"] = {"phase": "Pending"}


def _validate_claim(claim: Object) -> Sequence[Cause]:
    found = Found()
    validate_claim_spec(found, claim.get("spec") or {}, "spec")
    return found.causes


def _update_claim(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    after, before = copied(new.get("spec") or {}), copied(old.get("spec") or {})
    if not before.get("volumeName"):
        before["volumeName"] = after.get("volumeName")
    _compare_classes(found, new, old, after, before)
    bound = path_of(new, "status", "phase") == "Bound"
    size, had = _storage(after), _storage(before)
    if bound and (after.get("resources") or {}).get("requests"):
        after["resources"]["requests"]["storage"] = had
    attributes, had_attributes = after.get("volumeAttributesClassName"), before.get("volumeAttributesClassName")
    if bound and attributes is not None:
        after["volumeAttributesClassName"] = had_attributes
    if not same(after, before):
        found.forbidden("spec", f"{CLAIM_TEXT}\n{shown_differences(before, after, 'spec')}")
    if parsed(size) < parsed(had):
        capacity = path_of(old, "status", "capacity", "storage")
        if parsed(size) <= parsed(capacity):
            found.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
    immutable(found, after.get("volumeMode"), before.get("volumeMode"), "volumeMode")
    if had_attributes is not None and attributes is None:
        found.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden")
    elif had_attributes and attributes == "":
        found.forbidden("spec.volumeAttributesClassName", "update from non-nil value to an empty string is forbidden")
    return found.causes


def _storage(spec: Item) -> str | None:
    amount: str | None = path_of(spec, "resources", "requests", "storage")
    return amount


def _compare_classes(found: Found, new: Object, old: Object, after: Object, before: Object) -> None:
    """A class may come from the annotation that named it once, or be set where there was none."""
    said = (path_of(old, "metadata", "annotations") or {}).get(BETA_CLASS)
    says = (path_of(new, "metadata", "annotations") or {}).get(BETA_CLASS)
    had, name = before.get("storageClassName"), after.get("storageClassName")
    if said is not None and had is None and name == said and says in (None, said):
        after.pop("storageClassName", None)
        return
    if (said or "") != (says or ""):
        found.invalid(f"metadata.annotations.{BETA_CLASS}", says or "", IMMUTABLE)
    if name is not None and had is None and said in (None, name):
        after.pop("storageClassName", None)


def _claim_status(new: Object, _: Object) -> Sequence[Cause]:
    found = Found()
    status = new.get("status") or {}
    for key, text in (status.get("capacity") or {}).items():
        if parsed(text).nanos < 0:
            found.invalid(f"status.capacity[{key}]", parsed(text).value, "must be a valid resource quantity")
    for key, state in (status.get("allocatedResourceStatuses") or {}).items():
        if state not in RESIZE_STATES:
            found.unsupported("status.allocatedResourceStatus", key, RESIZE_STATES)
    return found.causes


def _claim_warnings(claim: Object) -> Sequence[str]:
    found = list(claim_warnings(claim.get("spec") or {}, "spec"))
    if BETA_CLASS in (path_of(claim, "metadata", "annotations") or {}):
        text = 'deprecated since v1.8; use "storageClassName" attribute instead'
        found.append(f"metadata.annotations[{BETA_CLASS}]: {text}")
    return found


RULES = {
    "PersistentVolume": Rules(
        default=_default_volume,
        prepare_create=_create_volume,
        prepare_update=keep_status,
        prepare_status=take_spec_back,
        times=_time_volume,
        validate=_validate_volume,
        validate_update=_update_volume,
        warnings=_volume_warnings,
    ),
    "PersistentVolumeClaim": Rules(
        default=_default_claim,
        prepare_create=_create_claim,
        prepare_update=keep_status,
        prepare_status=take_spec_back,
        validate=_validate_claim,
        validate_update=_update_claim,
        validate_status=_claim_status,
        warnings=_claim_warnings,
    ),
}
