"""What is to be done next for a claim, or for a volume: one write at a time, so that a kill between two writes leaves
nothing that the next look does not complete. Pure.

Source: kubernetes.io, "Persistent Volumes" (life cycle, reclaiming, phases); the texts of events are the original's.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from boxship.cluster.controllers.storage import matching
from boxship.cluster.controllers.storage.matching import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    NO_PROVISIONER,
    PROVISIONED_BY,
    SELECTED_NODE,
    Classes,
    Volumes,
)
from boxship.cluster.objects import Object

CLAIM, VOLUME = "v1/persistentvolumeclaims", "v1/persistentvolumes"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
STORAGE_PROVISIONER_BETA = "volume.beta.kubernetes.io/storage-provisioner"
LOST_REFERENCE = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
LOST_VOLUME = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
MISBOUND = "Two claims are bound to the same volume, this one is bound incorrectly"
WAITS = "waiting for first consumer to be created before binding"
NOTHING = "no persistent volumes available for this claim and no storage class is set"


class News(msgspec.Struct, frozen=True):
    type: str
    reason: str
    message: str


class Step(msgspec.Struct, frozen=True):
    """`object` is to be written (with its status alone, where `status`), or deleted; None: nothing is to be done."""

    resource: str = ""
    object: Object | None = None
    status: bool = False
    delete: bool = False
    news: News | None = None


def next_of_claim(claim: Object, volumes: Volumes, classes: Classes) -> Step:
    if BIND_COMPLETED in matching.annotations_of(claim):
        return _of_bound(claim, volumes)
    if claim["metadata"].get("deletionTimestamp"):
        return Step()
    spec = claim["spec"]
    if spec.get("volumeName"):
        return _of_choosy(claim, volumes.get(spec["volumeName"]))
    waiting = matching.waits(claim, classes)
    found = matching.best(claim, volumes.values(), reserved_only=waiting)
    if found is not None:
        return _bind(found, claim)
    if spec.get("storageClassName") is None and matching.BETA_CLASS not in matching.annotations_of(claim):
        default = matching.default_class(classes)
        if default:
            return Step(CLAIM, {**claim, "spec": {**spec, "storageClassName": default}})
    return _of_lonely(claim, classes, waiting=waiting)


def _of_bound(claim: Object, volumes: Volumes) -> Step:
    name = claim["spec"].get("volumeName")
    if not name:
        return _lost(claim, "ClaimLost", LOST_REFERENCE)
    volume = volumes.get(name)
    if volume is None:
        return _lost(claim, "ClaimLost", LOST_VOLUME)
    if not matching.reference_of(volume) or matching.is_bound_to(volume, claim):
        return _bind(volume, claim)
    return _lost(claim, "ClaimMisbound", MISBOUND)


def _of_choosy(claim: Object, volume: Object | None) -> Step:
    """A claim that names its volume."""
    if volume is None:
        return _phase(claim, "Pending")
    if matching.reference_of(volume) and not matching.names(volume, claim):
        return _phase(claim, "Pending")
    why = matching.objection(volume, claim) if not matching.is_bound_to(volume, claim) else ""
    if why:
        message = f'Cannot bind to requested volume "{volume["metadata"]["name"]}": {why}'
        return _phase(claim, "Pending", News("Warning", "VolumeMismatch", message))
    return _bind(volume, claim)


def _of_lonely(claim: Object, classes: Classes, *, waiting: bool) -> Step:
    """No volume fits a claim: somebody has to make one."""
    name, annotations = matching.class_of(claim), matching.annotations_of(claim)
    if waiting and not annotations.get(SELECTED_NODE):
        return _phase(claim, "Pending", News("Normal", "WaitForFirstConsumer", WAITS))
    if not name:
        return _phase(claim, "Pending", News("Normal", "FailedBinding", NOTHING))
    found = classes.get(name)
    if found is None:
        message = f'storageclass.storage.k8s.io "{name}" not found'
        return _phase(claim, "Pending", News("Warning", "ProvisioningFailed", message))
    provisioner = str(found.get("provisioner") or "")
    if provisioner == NO_PROVISIONER:
        return _phase(claim, "Pending", News("Normal", "FailedBinding", NOTHING))
    if annotations.get(STORAGE_PROVISIONER) != provisioner:
        wanted = {STORAGE_PROVISIONER: provisioner, STORAGE_PROVISIONER_BETA: provisioner}
        return Step(CLAIM, _annotated(claim, wanted))
    message = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
        "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
        "correctly registered."
    )
    return _phase(claim, "Pending", News("Normal", "ExternalProvisioning", message))


def _bind(volume: Object, claim: Object) -> Step:
    """The next of four writes: the volume names the claim, says that it is bound, and the same of the claim."""
    if not matching.is_bound_to(volume, claim):
        return Step(VOLUME, _claimed(volume, claim))
    if (volume.get("status") or {}).get("phase") != "Bound":
        return _volume_phase(volume, "Bound")
    name, annotations = volume["metadata"]["name"], matching.annotations_of(claim)
    if claim["spec"].get("volumeName") != name or BIND_COMPLETED not in annotations:
        marks = {BIND_COMPLETED: "yes"}
        if not claim["spec"].get("volumeName"):
            marks[BOUND_BY_CONTROLLER] = "yes"
        return Step(CLAIM, {**_annotated(claim, marks), "spec": {**claim["spec"], "volumeName": name}})
    status = claim.get("status") or {}
    if status.get("phase") == "Bound" and status.get("capacity"):
        return Step()
    bound = {
        **status,
        "phase": "Bound",
        "accessModes": list(volume["spec"].get("accessModes") or ()),
        "capacity": dict(volume["spec"].get("capacity") or {}),
    }
    return Step(CLAIM, {**claim, "status": bound}, status=True)


def _claimed(volume: Object, claim: Object) -> Object:
    metadata = claim["metadata"]
    reference = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "resourceVersion": metadata.get("resourceVersion", ""),
    }
    marked = volume if matching.reference_of(volume) else _annotated(volume, {BOUND_BY_CONTROLLER: "yes"})
    return {**marked, "spec": {**volume["spec"], "claimRef": reference}}


def next_of_volume(volume: Object, claim: Object | None) -> Step:
    """`claim` is what the volume's claimRef names, None where that is gone for certain."""
    reference = matching.reference_of(volume)
    if not reference or not reference.get("uid"):
        return _volume_phase(volume, "Available")
    if claim is None or claim["metadata"]["uid"] != reference["uid"]:
        return _released(volume)
    name = claim["spec"].get("volumeName")
    if not name:
        return Step()  # the claim comes to it
    if name == volume["metadata"]["name"]:
        return _volume_phase(volume, "Bound")
    annotations = matching.annotations_of(volume)
    if PROVISIONED_BY in annotations and _policy(volume) == "Delete":
        return _released(volume)
    spec = {key: value for key, value in volume["spec"].items() if key != "claimRef"}
    if BOUND_BY_CONTROLLER in annotations:
        return Step(VOLUME, {**_annotated(volume, {BOUND_BY_CONTROLLER: None}), "spec": spec})
    kept = {key: value for key, value in reference.items() if key not in ("uid", "resourceVersion")}
    return Step(VOLUME, {**volume, "spec": {**spec, "claimRef": kept}})


def _released(volume: Object) -> Step:
    phase, policy = (volume.get("status") or {}).get("phase"), _policy(volume)
    if phase not in ("Released", "Failed"):
        return _volume_phase(volume, "Released")
    if volume["metadata"].get("deletionTimestamp") or phase == "Failed":
        return Step()
    if policy == "Delete":
        if PROVISIONED_BY in matching.annotations_of(volume):
            return Step(VOLUME, volume, delete=True)
        why = (
            f'error getting deleter volume plugin for volume "{volume["metadata"]["name"]}": no deletable volume plugin'
        )
        return _volume_phase(volume, "Failed", News("Warning", "VolumeFailedDelete", f"{why} matched"))
    if policy == "Recycle":
        why = "unsupported: persistentVolumeReclaimPolicy Recycle"
        return _volume_phase(volume, "Failed", News("Warning", "VolumeFailedRecycle", why))
    return Step()


def _policy(volume: Object) -> str:
    return str((volume.get("spec") or {}).get("persistentVolumeReclaimPolicy") or "Retain")


def _lost(claim: Object, reason: str, message: str) -> Step:
    if (claim.get("status") or {}).get("phase") == "Lost":
        return Step()
    return _phase(claim, "Lost", News("Warning", reason, message))


def _phase(claim: Object, phase: str, news: News | None = None) -> Step:
    status = claim.get("status") or {}
    if status.get("phase") == phase:
        return Step(news=news)
    kept = {key: value for key, value in status.items() if key not in ("accessModes", "capacity") or phase == "Bound"}
    return Step(CLAIM, {**claim, "status": {**kept, "phase": phase}}, status=True, news=news)


def _volume_phase(volume: Object, phase: str, news: News | None = None) -> Step:
    status: Mapping[str, Any] = volume.get("status") or {}
    message = news.message if news is not None else ""
    if status.get("phase") == phase and (status.get("message") or "") == message:
        return Step()
    changed = {key: value for key, value in status.items() if key not in ("message", "reason")}
    changed |= {"phase": phase, **({"message": message, "reason": news.reason} if news is not None else {})}
    return Step(VOLUME, {**volume, "status": changed}, status=True, news=news)


def _annotated(object: Object, marks: Mapping[str, str | None]) -> Object:
    """With these annotations; None takes one away."""
    table = {**matching.annotations_of(object), **marks}
    kept = {key: text for key, text in table.items() if text is not None}
    return {**object, "metadata": {**object["metadata"], "annotations": kept}}
