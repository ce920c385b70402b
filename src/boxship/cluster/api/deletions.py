"""What a deletion makes of an object, as a pure decision: gone at once, marked as being deleted, or unchanged.

Source: API concepts, "Finalizers", "Garbage Collection" (propagation policies); API conventions, "metadata" (graceful
deletion). The collector that follows owner references is a controller; here only the finalizers that call it are set.
"""

import enum
from datetime import datetime, timedelta

import msgspec

from boxship.cluster.api.request import Options
from boxship.cluster.objects import Object
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Failure, conflict
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.rules import Rules
from boxship.cluster.objects.times import moment, stamp

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
PROPAGATION = {"Orphan": ORPHAN, "Foreground": FOREGROUND, "Background": ""}
# Resources of which a deletion answers the object and not a Status.
ANSWERED = {
    "pods",
    "podtemplates",
    "services",
    "serviceaccounts",
    "persistentvolumes",
    "persistentvolumeclaims",
    "resourcequotas",
    "storageclasses.storage.k8s.io",
    "csinodes.storage.k8s.io",
    "csidrivers.storage.k8s.io",
    "volumeattachments.storage.k8s.io",
}


class Fate(enum.Enum):
    GONE = "gone"
    MARKED = "marked"
    PENDING = "pending"  # it is being deleted already


class Outcome(msgspec.Struct, frozen=True):
    """`object` is what to store (MARKED), or as it is answered."""

    fate: Fate
    object: Object


def check_preconditions(resource: Resource, name: str, options: Options, old: Object) -> None:
    """Raises Failure 409."""
    metadata = old["metadata"]
    uid, version = metadata.get("uid", ""), metadata["resourceVersion"]
    why = ""
    if options.precondition_uid and options.precondition_uid != uid:
        why = (
            f"the UID in the precondition ({options.precondition_uid}) does not match the UID in record ({uid}). "
            "The object might have been deleted and then recreated"
        )
    elif options.precondition_version and options.precondition_version != version:
        why = (
            f"the ResourceVersion in the precondition ({options.precondition_version}) does not match the "
            f"ResourceVersion in record ({version}). The object might have been modified"
        )
    if why:
        raise conflict(resource, name, why)


def decide(resource: Resource, rules: Rules, old: Object, options: Options, now: datetime) -> Outcome:
    """What the deletion of `old` comes to. Does not change `old`."""
    if resource.qualified == "namespaces":
        return _namespace(old, now)
    new = copied(old)
    metadata = new["metadata"]
    graceful, seconds = False, 0
    if rules.grace is not None:
        if metadata.get("deletionTimestamp"):
            left = metadata.get("deletionGracePeriodSeconds")
            if left is not None:
                if options.grace is None or options.grace >= left:
                    return Outcome(Fate.PENDING, new)
                graceful, seconds = True, max(options.grace, 0)
                began = moment(metadata["deletionTimestamp"]) - timedelta(seconds=left)
                metadata["deletionTimestamp"] = stamp(began + timedelta(seconds=seconds))
                metadata["deletionGracePeriodSeconds"] = seconds
        else:
            graceful, seconds = True, rules.grace(old, options.grace)
            _count(metadata)
            metadata["deletionTimestamp"] = stamp(now + timedelta(seconds=seconds))
            metadata["deletionGracePeriodSeconds"] = seconds
    finalizers = _finalizers(metadata.get("finalizers") or [], options.propagation, rules.orphans)
    if not old["metadata"].get("deletionTimestamp"):
        finalizers += [finalizer for finalizer in rules.finalizers if finalizer not in finalizers]
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    if finalizers and not graceful:
        _mark(metadata, now)
    if finalizers or (graceful and seconds > 0):
        return Outcome(Fate.MARKED if new != old else Fate.PENDING, new)
    return Outcome(Fate.GONE, new)


def _namespace(old: Object, now: datetime) -> Outcome:
    """A namespace is emptied by its controller first, which then takes itself out of `spec.finalizers`."""
    new = copied(old)
    metadata = new["metadata"]
    if not metadata.get("deletionTimestamp"):
        metadata["deletionTimestamp"] = stamp(now)
        new.setdefault("status", {})["phase"] = "Terminating"
        return Outcome(Fate.MARKED, new)
    if new.get("spec", {}).get("finalizers") or metadata.get("finalizers"):
        return Outcome(Fate.PENDING, new)
    return Outcome(Fate.GONE, new)


def _finalizers(finalizers: list[str], propagation: str, orphans: bool) -> list[str]:
    """With the one that the propagation policy asks for; where none is given, those that are there decide, and then
    what the kind does."""
    if not propagation and (not orphans or ORPHAN in finalizers or FOREGROUND in finalizers):
        return list(finalizers)
    propagation = propagation or "Orphan"
    kept = [finalizer for finalizer in finalizers if finalizer not in (ORPHAN, FOREGROUND)]
    asked = PROPAGATION.get(propagation)
    if asked is None:
        raise Failure(
            422,
            "Invalid",
            f'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "{propagation}": '
            'supported values: "Foreground", "Background", "Orphan", "nil"',
            group="meta.k8s.io",
            kind="DeleteOptions",
        )
    return [*kept, asked] if asked else kept


def _mark(metadata: Object, now: datetime) -> None:
    if not metadata.get("deletionTimestamp"):
        _count(metadata)
        metadata["deletionTimestamp"] = stamp(now)
    metadata["deletionGracePeriodSeconds"] = 0


def _count(metadata: Object) -> None:
    if metadata.get("generation"):
        metadata["generation"] += 1
