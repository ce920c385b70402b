"""The rules of storage.k8s.io: classes of storage, drivers, and what is attached where.

Source: pkg/apis/storage (defaults, validation), documentation "Storage Classes", "CSI". Which class a claim gets that
names none is admission's to say.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import IMMUTABLE, Found, fill, immutable, kept, needed, non_negative, unique
from boxship.cluster.objects.kinds.core_claims import validate_access_modes
from boxship.cluster.objects.kinds.core_resources import parsed
from boxship.cluster.objects.kinds.core_volume_sources import validate_driver
from boxship.cluster.objects.kinds.metadata import validate_label_selector
from boxship.cluster.objects.rules import Rules

PARAMETERS_LIMIT = 512
PARAMETERS_LIMIT_BYTES = METADATA_LIMIT_BYTES = 256 * 1024
MESSAGE_LIMIT_BYTES = 1024
NODE_ID_LIMIT = 256
RECLAIM = ("Delete", "Retain")
BINDING = ("Immediate", "WaitForFirstConsumer")
GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
SECRETS = (
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodePublishSecretRef",
    "nodeExpandSecretRef",
    "nodeStageSecretRef",
)
LIFECYCLES = ("Persistent", "Ephemeral")
TOKEN_LEAST_SECONDS, TOKEN_MOST_SECONDS = 600, 1 << 32
Item = Mapping[str, Any]


def _validate_provisioner(found: Found, name: str, path: str) -> None:
    if name:
        found.because(path, name, names.qualified(name.lower()))
    else:
        found.required(path)


def _validate_parameters(found: Found, parameters: Mapping[str, str] | None, *, needed: bool = False) -> None:
    parameters = parameters or {}
    if len(parameters) > PARAMETERS_LIMIT:
        found.too_long("parameters", PARAMETERS_LIMIT)
        return
    if "" in parameters:
        found.invalid("parameters", "", "field can not be empty.")
    if names.annotations_size(dict(parameters)) > PARAMETERS_LIMIT_BYTES:
        found.too_long("parameters", PARAMETERS_LIMIT_BYTES)
    if needed and not parameters:
        found.required("parameters", "must contain at least one key/value pair")


def _validate_topologies(found: Found, terms: Sequence[Item]) -> None:
    seen: list[dict[str, set[str]]] = []
    for index, term in enumerate(terms):
        path = f"allowedTopologies[{index}]"
        expressions: dict[str, set[str]] = {}
        for number, expression in enumerate(term.get("matchLabelExpressions") or ()):
            at = f"{path}.matchLabelExpressions[{number}]"
            key, values = expression.get("key") or "", expression.get("values") or []
            found.because(f"{at}.key", key, names.qualified(key))
            if not values:
                found.required(f"{at}.values")
            for place, value in enumerate(values):
                if value in values[:place]:
                    found.duplicate(f"{at}.values[{place}]", value)
            if key in expressions:
                found.duplicate(f"{at}.key", key)
            expressions[key] = set(values)
        if expressions in seen:
            found.duplicate(f"{path}.matchLabelExpressions", "")
        seen.append(expressions)


def _default_class(object: Object) -> None:
    fill(object, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"})


def _validate_class(object: Object) -> Sequence[Cause]:
    found = Found()
    _validate_provisioner(found, object.get("provisioner") or "", "provisioner")
    _validate_parameters(found, object.get("parameters"))
    reclaim, mode = object.get("reclaimPolicy"), object.get("volumeBindingMode")
    if reclaim and reclaim not in RECLAIM:
        found.unsupported("reclaimPolicy", reclaim, RECLAIM)
    if mode is None:
        found.required("volumeBindingMode")
    elif mode not in BINDING:
        found.unsupported("volumeBindingMode", mode, BINDING)
    _validate_topologies(found, object.get("allowedTopologies") or ())
    return found.causes


def _fixed(*keys: str) -> Callable[[Object, Object], Sequence[Cause]]:
    """Updates of these fields are forbidden."""

    def validate(new: Object, old: Object) -> Sequence[Cause]:
        found = Found()
        for key in keys:
            if (new.get(key) or None) != (old.get(key) or None):
                found.forbidden(key, f"updates to {key} are forbidden.")
        return found.causes

    return validate


def _validate_class_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    found.causes += _fixed("parameters", "provisioner", "reclaimPolicy")(new, old)
    immutable(found, new.get("volumeBindingMode"), old.get("volumeBindingMode"), "volumeBindingMode")
    return found.causes


def _validate_attributes(object: Object) -> Sequence[Cause]:
    found = Found()
    _validate_provisioner(found, object.get("driverName") or "", "driverName")
    _validate_parameters(found, object.get("parameters"), needed=True)
    return found.causes


def _default_driver(object: Object) -> None:
    spec = object.setdefault("spec", {})
    fill(
        spec,
        {
            "attachRequired": True,
            "podInfoOnMount": False,
            "storageCapacity": False,
            "fsGroupPolicy": "ReadWriteOnceWithFSType",
            "requiresRepublish": False,
            "seLinuxMount": False,
        },
    )
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def _validate_driver(object: Object) -> Sequence[Cause]:
    found = Found()
    spec = object.get("spec") or {}
    switches = (
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
    )
    for key, shown in switches:
        if spec.get(key) is None:
            found.required(f"spec.{shown}")
    policy = spec.get("fsGroupPolicy")
    if policy is not None and policy not in GROUP_POLICIES:
        found.unsupported("spec.fsGroupPolicy", policy, GROUP_POLICIES)
    audiences: set[str] = set()
    for index, request in enumerate(spec.get("tokenRequests") or ()):
        audience, seconds = request.get("audience") or "", request.get("expirationSeconds")
        path = f"spec.tokenRequests[{index}]"
        if audience in audiences:
            found.duplicate(f"{path}.audience", audience)
            continue
        audiences.add(audience)
        if seconds is not None and seconds < TOKEN_LEAST_SECONDS:
            found.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
        if seconds is not None and seconds > TOKEN_MOST_SECONDS:
            why = "may not specify a duration larger than 2^32 seconds"
            found.invalid(f"{path}.expirationSeconds", seconds, why)
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in LIFECYCLES:
            found.unsupported("spec.volumeLifecycleModes", mode, LIFECYCLES)
    if spec.get("seLinuxMount") is None:
        found.required("spec.seLinuxMount")
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < 10:
        why = "must be greater than or equal to 10 seconds"
        found.invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, why)
    return found.causes


def _validate_driver_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    after, before = new.get("spec") or {}, old.get("spec") or {}
    immutable(found, after.get("attachRequired"), before.get("attachRequired"), "spec.attachedRequired")
    modes = "volumeLifecycleModes"
    immutable(found, after.get(modes), before.get(modes), f"spec.{modes}")
    return found.causes


def _validate_node(object: Object) -> Sequence[Cause]:
    found = Found()
    drivers = (object.get("spec") or {}).get("drivers") or ()
    for index, driver in enumerate(drivers):
        path = f"spec.drivers[{index}]"
        validate_driver(found, driver.get("name") or "", f"{path}.name")
        node = driver.get("nodeID") or ""
        if not node:
            found.required(f"{path}.nodeID")
        if len(node) > NODE_ID_LIMIT:
            found.invalid(f"{path}.nodeID", node, f"must be {NODE_ID_LIMIT} characters or less")
        non_negative(found, driver.get("allocatable") or {}, f"{path}.allocatable", "count")
        keys = driver.get("topologyKeys") or []
        for number, key in enumerate(keys):
            if not key:
                found.required(path)
            if key in keys[:number]:
                found.duplicate(path, key)
            found.because(path, key, names.qualified(key))
    unique(found, drivers, "spec.drivers", "name")
    return found.causes


def _validate_node_update(new: Object, old: Object) -> Sequence[Cause]:
    """A driver that stays is the same, but for the number of volumes that it can take."""
    found = Found()
    drivers = [
        {
            driver.get("name"): {**driver, "allocatable": None}
            for driver in (object.get("spec") or {}).get("drivers") or ()
        }
        for object in (new, old)
    ]
    for name, driver in drivers[0].items():
        if name in drivers[1] and driver != drivers[1][name]:
            found.invalid("spec.drivers", driver, IMMUTABLE)
    return found.causes


def _validate_inline(found: Found, volume: Item, path: str) -> None:
    """A volume without an object of its own: a driver's, and nothing that only claims need."""
    inline = "in the context of inline volumes"
    modes = volume.get("accessModes") or ()
    if not modes:
        found.required(f"{path}.accessModes")
    validate_access_modes(found, modes, f"{path}.accessModes")
    for key in ("claimRef", "capacity", "storageClassName", "nodeAffinity"):
        if volume.get(key):
            found.forbidden(f"{path}.{key}", f"may not be specified {inline}")
    if volume.get("persistentVolumeReclaimPolicy") not in (None, "", "Retain"):
        found.forbidden(f"{path}.persistentVolumeReclaimPolicy", f"may only be Retain {inline}")
    if volume.get("volumeMode") not in (None, "Filesystem"):
        found.forbidden(f"{path}.volumeMode", f"may not specify volumeMode other than Filesystem {inline}")
    if volume.get("csi") is None:
        found.required(f"{path}.csi", f"has to be specified {inline}")
    else:
        _validate_handle(found, volume["csi"], f"{path}.csi")


def _validate_handle(found: Found, volume: Item, path: str) -> None:
    validate_driver(found, volume.get("driver") or "", f"{path}.driver")
    if not volume.get("volumeHandle"):
        found.required(f"{path}.volumeHandle")
    for key in SECRETS:
        if volume.get(key) is not None:
            needed(found, volume[key], f"{path}.{key}", "name", "namespace")


def _drop_status(object: Object) -> None:
    object["status"] = {"attached": False}


def _keep_status(new: Object, old: Object) -> None:
    kept(new, old, "status")


def _validate_attachment(object: Object) -> Sequence[Cause]:
    found = Found()
    spec, status = object.get("spec") or {}, object.get("status") or {}
    attacher, node = spec.get("attacher") or "", spec.get("nodeName") or ""
    if attacher:
        validate_driver(found, attacher, "spec.attacher")
    else:
        found.required("spec.attacher")
    source = spec.get("source") or {}
    volume, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if volume is None and inline is None:
        found.required("spec.source", one)
    elif volume is not None and inline is not None:
        found.forbidden("spec.source", one)
    elif volume == "":
        found.required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName")
    elif volume is not None:
        found.because("spec.source.persistentVolumeName", volume, names.subdomain(volume))
    elif inline is not None:
        _validate_inline(found, inline, "spec.source.inlineVolumeSpec")
    found.because("spec.nodeName", node, names.subdomain(node))
    if names.annotations_size(status.get("attachmentMetadata") or {}) > METADATA_LIMIT_BYTES:
        found.too_long("status.attachmentMetadata", METADATA_LIMIT_BYTES)
    for key in ("attachError", "detachError"):
        error = status.get(key) or {}
        if len((error.get("message") or "").encode()) > MESSAGE_LIMIT_BYTES:
            found.too_long(f"status.{key}.message", METADATA_LIMIT_BYTES)
        code = error.get("errorCode")
        if code is not None and code < 0:
            found.invalid(f"status.{key}.errorCode", code, "must be between 0 and 2147483647, inclusive")
    return found.causes


def _validate_attachment_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    immutable(found, new.get("spec"), old.get("spec"), "spec")
    return found.causes


def _validate_capacity(object: Object) -> Sequence[Cause]:
    found = Found()
    validate_label_selector(found, object.get("nodeTopology"), "nodeTopology")
    name = object.get("storageClassName") or ""
    found.because("storageClassName", name, names.subdomain(name))
    for key in ("capacity", "maximumVolumeSize"):
        amount = object.get(key)
        if amount is not None and parsed(amount).nanos < 0:
            found.invalid(key, amount, "must be greater than or equal to 0")
    return found.causes


def _validate_capacity_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    for key in ("nodeTopology", "storageClassName"):
        immutable(found, new.get(key), old.get(key), key)
    return found.causes


RULES: Mapping[str, Rules] = {
    "StorageClass": Rules(default=_default_class, validate=_validate_class, validate_update=_validate_class_update),
    "VolumeAttributesClass": Rules(validate=_validate_attributes, validate_update=_fixed("driverName", "parameters")),
    "CSIDriver": Rules(
        default=_default_driver,
        validate=_validate_driver,
        validate_update=_validate_driver_update,
        generation=True,
        needs_version=True,
    ),
    "CSINode": Rules(validate=_validate_node, validate_update=_validate_node_update, needs_version=True),
    "VolumeAttachment": Rules(
        prepare_create=_drop_status,
        prepare_update=_keep_status,
        validate=_validate_attachment,
        validate_update=_validate_attachment_update,
        validate_status=lambda new, _: _validate_attachment(new),
        needs_version=True,
    ),
    "CSIStorageCapacity": Rules(
        validate=_validate_capacity, validate_update=_validate_capacity_update, needs_version=True
    ),
}
