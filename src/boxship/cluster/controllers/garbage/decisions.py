"""What is to be done with an object that names owners, once it is known what its owners are. Pure."""

import enum
from collections.abc import Mapping, Sequence

import msgspec

from boxship.cluster.controllers.garbage.graph import Owner
from boxship.cluster.objects import Object

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"


class State(enum.Enum):
    """What an owner is."""

    SOLID = "solid"  # it exists
    WAITING = "waiting"  # it is deleted, and waits for those that it owns
    ABSENT = "absent"  # it does not exist, or it is another of the name


class Keep(msgspec.Struct, frozen=True):
    """Leave it as it is."""


class Release(msgspec.Struct, frozen=True):
    """It keeps at least one owner: take these away."""

    uids: tuple[str, ...]


class Delete(msgspec.Struct, frozen=True):
    """`unblock`: first let its own dependents not block it, so that two that own each other can both go."""

    propagation: str
    unblock: bool = False


Step = Keep | Release | Delete


def decide(object: Object, owners: Sequence[Owner], states: Mapping[str, State], dependents: Sequence[bool]) -> Step:
    """`states` is by uid; `dependents` says of each object that this one owns whether it waits for its own."""
    found = {state: [owner.uid for owner in owners if states[owner.uid] is state] for state in State}
    if found[State.SOLID]:
        lost = [*found[State.ABSENT], *found[State.WAITING]]
        return Release(tuple(lost)) if lost else Keep()
    if not owners:
        return Keep()
    if found[State.WAITING] and dependents:
        return Delete("Foreground", unblock=any(dependents))
    finalizers = object["metadata"].get("finalizers") or ()
    if ORPHAN in finalizers:
        return Delete("Orphan")
    return Delete("Foreground" if FOREGROUND in finalizers else "Background")


def state_of(owner: Object | None, uid: str) -> State:
    """Of the object that has an owner's name, if there is one."""
    if owner is None or owner["metadata"].get("uid") != uid:
        return State.ABSENT
    return State.WAITING if waits(owner) else State.SOLID


def waits(object: Object) -> bool:
    """Whether it is deleted, and wants its dependents gone first."""
    metadata = object["metadata"]
    return bool(metadata.get("deletionTimestamp")) and FOREGROUND in (metadata.get("finalizers") or ())


def orphans(object: Object) -> bool:
    """Whether it is deleted, and wants its dependents to stay."""
    metadata = object["metadata"]
    return bool(metadata.get("deletionTimestamp")) and ORPHAN in (metadata.get("finalizers") or ())


def without_owners(object: Object, uids: Sequence[str]) -> Object:
    """A merge patch that takes owners away from this very object."""
    metadata = object["metadata"]
    kept = [one for one in metadata.get("ownerReferences") or () if one.get("uid") not in uids]
    return _patch(metadata, {"ownerReferences": kept or None})


def without_finalizer(object: Object, finalizer: str) -> Object:
    """A merge patch that takes a finalizer from this very object."""
    metadata = object["metadata"]
    kept = [one for one in metadata.get("finalizers") or () if one != finalizer]
    return _patch(metadata, {"finalizers": kept or None})


def without_blocking(object: Object) -> Object:
    """A merge patch after which the object blocks none of its owners."""
    metadata = object["metadata"]
    references = [
        {key: value for key, value in one.items() if key != "blockOwnerDeletion"}
        for one in metadata.get("ownerReferences") or ()
    ]
    return _patch(metadata, {"ownerReferences": references})


def _patch(metadata: Object, change: Object) -> Object:
    return {"metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"], **change}}
