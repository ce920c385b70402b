"""What is right in the metadata of every kind, and which of its fields never change; labels and label selectors.

Source: k8s.io/apimachinery, api/validation (object metadata) and apis/meta/v1/validation; documentation: "Object Names
and IDs", "Labels and Selectors", "Annotations", "Owners and Dependents", "Finalizers". Called by the API for each
object, built in or custom; never by the rules of a single kind.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import NOT_NEGATIVE, Found, immutable

ANNOTATIONS_LIMIT_BYTES = 256 * 1024
MANAGER_LIMIT_BYTES = 128
SUBRESOURCE_LIMIT_BYTES = 256
ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
STANDARD_FINALIZERS = ("kubernetes", ORPHAN, FOREGROUND)
FIXED = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def validate_metadata(
    object: Object, *, namespaced: bool, validate_name: Callable[[str], str] | None = None, custom: bool = False
) -> Sequence[Cause]:
    """What is wrong in a new object's metadata. `validate_name` says why a name is wrong (none: a DNS subdomain);
    `custom`: a finalizer's name needs no domain."""
    found = Found()
    metadata: Object = object.get("metadata") or {}
    check_name = validate_name or names.subdomain
    prefix = metadata.get("generateName")
    if prefix:
        found.because("metadata.generateName", prefix, check_name(_without_dash(prefix)))
    name = metadata.get("name")
    if name:
        found.because("metadata.name", name, check_name(name))
    else:
        found.required("metadata.name", "name or generateName is required")
    namespace: str = metadata.get("namespace") or ""
    if namespaced and not namespace:
        found.required("metadata.namespace")
    elif namespaced:
        found.because("metadata.namespace", namespace, names.label(namespace))
    elif namespace:
        found.forbidden("metadata.namespace", "not allowed on this type")
    generation = metadata.get("generation") or 0
    if generation < 0:
        found.invalid("metadata.generation", generation, NOT_NEGATIVE)
    _validate_parts(found, metadata, custom)
    return found.causes


def validate_metadata_update(new: Object, old: Object, *, custom: bool = False) -> Sequence[Cause]:
    """What may not be changed, and what is wrong in what may."""
    found = Found()
    after: Object = new.get("metadata") or {}
    before: Object = old.get("metadata") or {}
    if before.get("deletionTimestamp"):
        extra = sorted(set(after.get("finalizers") or ()) - set(before.get("finalizers") or ()))
        if extra:
            listed = ", ".join(f'"{finalizer}"' for finalizer in extra)
            found.forbidden(
                "metadata.finalizers",
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{listed}}}",
            )
    generation = after.get("generation") or 0
    if generation < (before.get("generation") or 0):
        found.invalid("metadata.generation", generation, "must not be decremented")
    for key in FIXED:
        immutable(found, after.get(key), before.get(key), f"metadata.{key}")
    _validate_parts(found, after, custom)
    return found.causes


def _without_dash(prefix: str) -> str:
    """A prefix may end in a dash, for the generated part follows."""
    return prefix[:-1] + "a" if prefix.endswith("-") and len(prefix) > 1 else prefix


def _validate_parts(found: Found, metadata: Mapping[str, Any], custom: bool) -> None:
    labels = metadata.get("labels")
    if labels:
        validate_labels(found, labels, "metadata.labels")
    annotations = metadata.get("annotations")
    if annotations:
        validate_annotations(found, annotations, "metadata.annotations")
    owners = metadata.get("ownerReferences")
    if owners:
        _validate_owners(found, owners)
    finalizers = metadata.get("finalizers")
    if finalizers:
        _validate_finalizers(found, finalizers, custom)
    managed = metadata.get("managedFields")
    if managed:
        _validate_managed(found, managed)


def validate_labels(found: Found, labels: Mapping[str, str], path: str) -> None:
    for key, value in labels.items():
        found.because(path, key, names.qualified(key))
        if value:
            found.because(path, value, names.label_value(value))


def validate_annotations(found: Found, annotations: Mapping[str, str], path: str) -> None:
    size = 0
    for key, value in annotations.items():
        found.because(path, key, names.qualified(key.lower()))
        size += len(key.encode()) + (len(value) if value.isascii() else len(value.encode()))
    if size > ANNOTATIONS_LIMIT_BYTES:
        found.too_long(path, ANNOTATIONS_LIMIT_BYTES)


def _validate_owners(found: Found, owners: Sequence[Mapping[str, Any]]) -> None:
    path = "metadata.ownerReferences"
    controller = ""
    for owner in owners:
        api_version = owner.get("apiVersion") or ""
        kind = owner.get("kind") or ""
        if not api_version.rpartition("/")[2]:
            found.invalid(f"{path}.apiVersion", api_version, "version must not be empty")
        if not kind:
            found.invalid(f"{path}.kind", kind, "must not be empty")
        for key in ("name", "uid"):
            if not owner.get(key):
                found.invalid(f"{path}.{key}", "", "must not be empty")
        if api_version == "v1" and kind == "Event":
            found.invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner")
        if owner.get("controller"):
            name = f"{kind}/{owner.get('name') or ''}"
            if controller:
                found.invalid(
                    path,
                    owners,
                    "Only one reference can have Controller set to true. "
                    f'Found "true" in references for {controller} and {name}',
                )
            else:
                controller = name


def _validate_finalizers(found: Found, finalizers: Sequence[str], custom: bool) -> None:
    path = "metadata.finalizers"
    for finalizer in finalizers:
        found.because(path, finalizer, names.qualified(finalizer))
    if ORPHAN in finalizers and FOREGROUND in finalizers:
        found.invalid(path, finalizers, f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set")
    if not custom:
        validate_finalizer_names(found, finalizers, path)


def validate_finalizer_names(found: Found, finalizers: Iterable[str], path: str) -> None:
    """A built-in kind's finalizers have a domain, but for the few that everybody knows."""
    for index, finalizer in enumerate(finalizers):
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            found.invalid(f"{path}[{index}]", finalizer, why)


def _validate_managed(found: Found, managed: Sequence[Mapping[str, Any]]) -> None:
    for index, entry in enumerate(managed):
        path = f"metadata.managedFields[{index}]"
        operation = entry.get("operation") or ""
        if operation not in ("Apply", "Update"):
            found.invalid(f"{path}.operation", operation, "must be `Apply` or `Update`")
        if entry.get("fieldsType") not in (None, "", "FieldsV1"):
            found.invalid(f"{path}.fieldsType", entry["fieldsType"], "must be `FieldsV1`")
        validate_manager(found, entry.get("manager") or "", f"{path}.manager")
        if len(entry.get("subresource") or "") > SUBRESOURCE_LIMIT_BYTES:
            found.too_long(f"{path}.subresource", SUBRESOURCE_LIMIT_BYTES)


def validate_manager(found: Found, manager: str, path: str) -> None:
    """The name of a field manager, as `fieldManager` and managed fields have it."""
    if len(manager.encode()) > MANAGER_LIMIT_BYTES:
        found.too_long(path, MANAGER_LIMIT_BYTES)
    if not manager.isprintable():
        for position, char in enumerate(manager):
            if not char.isprintable():
                found.invalid(path, manager, f"invalid character U+{ord(char):04X} (at position {position})")


def validate_label_selector(found: Found, selector: Mapping[str, Any] | None, path: str) -> None:
    if not selector:
        return
    labels = selector.get("matchLabels")
    if labels:
        validate_labels(found, labels, f"{path}.matchLabels")
    for index, term in enumerate(selector.get("matchExpressions") or ()):
        _validate_requirement(found, term, f"{path}.matchExpressions[{index}]")


def _validate_requirement(found: Found, term: Mapping[str, Any], path: str) -> None:
    operator = term.get("operator") or ""
    values = term.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            found.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            found.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    else:
        found.invalid(f"{path}.operator", operator, "not a valid selector operator")
    key = term.get("key") or ""
    found.because(f"{path}.key", key, names.qualified(key))
    for index, value in enumerate(values):
        found.because(f"{path}.values[{index}]", value, names.label_value(value))


def selects_nothing(selector: Mapping[str, Any] | None) -> bool:
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))


def selector_matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Does a valid label selector select these labels?"""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for term in selector.get("matchExpressions") or ():
        key, operator, values = term.get("key") or "", term.get("operator"), term.get("values") or ()
        if operator == "In" and (key not in labels or labels[key] not in values):
            return False
        if operator == "NotIn" and key in labels and labels[key] in values:
            return False
        if operator == "Exists" and key not in labels:
            return False
        if operator == "DoesNotExist" and key in labels:
            return False
    return True
