"""Claims and volumes beside each other: does one fit the other, and which volume is the best. Pure.

Source: kubernetes.io, "Persistent Volumes" (binding, access modes, selector, class, volume mode, reserving a volume).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.quantity import ZERO, Quantity, parse
from boxship.cluster.objects.selectors import of_object

BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
SELECTED_NODE = "volume.kubernetes.io/selected-node"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
Classes = Mapping[str, Object]
Volumes = Mapping[str, Object]


def annotations_of(object: Object) -> Mapping[str, str]:
    return object["metadata"].get("annotations") or {}


def class_of(object: Object) -> str:
    """The name of a claim's or a volume's class, "" for none."""
    annotation = annotations_of(object).get(BETA_CLASS)
    return annotation if annotation is not None else (object.get("spec") or {}).get("storageClassName") or ""


def reference_of(volume: Object) -> Mapping[str, Any]:
    """What a volume says of its claim; {} for none."""
    return (volume.get("spec") or {}).get("claimRef") or {}


def key_of_reference(volume: Object) -> tuple[str, str] | None:
    reference = reference_of(volume)
    return (reference.get("namespace", ""), reference.get("name", "")) if reference else None


def names(volume: Object, claim: Object) -> bool:
    """Whether the volume is for this claim: by its uid, or, before it has one, by its name."""
    reference, metadata = reference_of(volume), claim["metadata"]
    same = (reference.get("namespace"), reference.get("name")) == (metadata["namespace"], metadata["name"])
    return same and reference.get("uid") in (None, "", metadata["uid"])


def is_bound_to(volume: Object, claim: Object) -> bool:
    return reference_of(volume).get("uid") == claim["metadata"]["uid"] and names(volume, claim)


def size_of(volume: Object) -> Quantity:
    text = ((volume.get("spec") or {}).get("capacity") or {}).get("storage")
    return parse(text) if text is not None else ZERO


def wanted_size(claim: Object) -> Quantity:
    text = (((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage")
    return parse(text) if text is not None else ZERO


def waits(claim: Object, classes: Classes) -> bool:
    """Whether the claim's class binds only when a pod uses it."""
    return (classes.get(class_of(claim)) or {}).get("volumeBindingMode") == "WaitForFirstConsumer"


def objection(volume: Object, claim: Object) -> str:
    """Why a volume that was asked for by its name cannot be had, "" where it can: the original's words."""
    if size_of(volume) < wanted_size(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if _attributes(volume) != _attributes(claim):
        return "volumeAttributesClassName does not match"
    if _mode(volume) != _mode(claim):
        return "incompatible volumeMode"
    if not _modes(claim) <= _modes(volume):
        return "incompatible accessMode"
    return ""


def best(claim: Object, volumes: Iterable[Object], *, reserved_only: bool) -> Object | None:
    """The volume that is kept for the claim, else the smallest that fits. `reserved_only`: nothing else counts yet,
    because the claim waits for its first consumer."""
    selector = of_object(claim["spec"]["selector"]) if claim["spec"].get("selector") is not None else None
    found: list[Object] = []
    for volume in volumes:
        if volume["metadata"].get("deletionTimestamp"):
            continue
        if reference_of(volume):
            if names(volume, claim) and not objection(volume, claim):
                return volume
            continue
        if reserved_only or (volume.get("status") or {}).get("phase") != "Available" or objection(volume, claim):
            continue
        if selector is None or selector.matches(volume["metadata"].get("labels") or {}):
            found.append(volume)
    return min(found, key=lambda volume: (size_of(volume).nanos, volume["metadata"]["name"]), default=None)


def default_class(classes: Classes) -> str:
    """The name of the default class: of several the newest, then the first by name."""
    found = [one for one in classes.values() if any(annotations_of(one).get(key) == "true" for key in DEFAULT_CLASS)]
    found.sort(key=lambda one: one["metadata"]["name"])
    newest = max(found, key=lambda one: one["metadata"].get("creationTimestamp", ""), default=None)
    return str(newest["metadata"]["name"]) if newest is not None else ""


def _attributes(object: Object) -> str:
    return (object.get("spec") or {}).get("volumeAttributesClassName") or ""


def _mode(object: Object) -> str:
    return (object.get("spec") or {}).get("volumeMode") or "Filesystem"


def _modes(object: Object) -> set[str]:
    return set((object.get("spec") or {}).get("accessModes") or ())
