"""The history of a template: one ControllerRevision for each that there was, with a growing number; the newest number
is what is wanted now. Going back to an old template raises its number. The form of `data` is what `kubectl rollout
history|undo` reads."""

import copy
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.controllers.workloads.claiming import reference
from boxship.cluster.controllers.workloads.family import owner_of
from boxship.cluster.controllers.workloads.hashing import hash_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.kinds.comparing import same

RESOURCE = "apps/v1/controllerrevisions"
HASH = "controller-revision-hash"  # on pods; on revisions of daemon sets, too
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Settled(msgspec.Struct, frozen=True):
    """The revision of what is wanted now (None: its name was another's, `collisions` has grown), and all of them."""

    wanted: Object | None
    all: tuple[Object, ...]
    collisions: int | None


def data_of(owner: Object) -> Object:
    template: Object = copy.deepcopy(owner["spec"]["template"])
    template["$patch"] = "replace"
    return {"spec": {"template": template}}


def template_of(revision: Object) -> Object:
    template: Object = copy.deepcopy(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    return template


def number(revision: Object) -> int:
    return int(revision.get("revision") or 0)


def ordered(revisions: Sequence[Object]) -> list[Object]:
    """The newest last."""
    return sorted(
        revisions,
        key=lambda one: (
            number(one),
            one["metadata"].get("creationTimestamp") or "",
            one["metadata"]["name"],
        ),
    )


def find(revisions: Sequence[Object], owner: Object) -> Object | None:
    """The one with the owner's template; the newest, should there be several."""
    wanted = data_of(owner)
    return next((one for one in reversed(ordered(revisions)) if same(one["data"], wanted)), None)


def make(owner: Object, label: str, value: str, revision: int) -> Object:
    """`label`: which label has the hash."""
    metadata = owner["metadata"]
    template = owner["spec"]["template"].get("metadata") or {}
    annotations = {key: text for key, text in (metadata.get("annotations") or {}).items() if key != LAST_APPLIED}
    made: dict[str, Any] = {
        "name": f"{metadata['name']}-{value}",
        "namespace": metadata.get("namespace", ""),
        "labels": {**(template.get("labels") or {}), label: value},
        "ownerReferences": [reference(owner)],
    }
    if annotations:
        made["annotations"] = annotations
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": made,
        "data": data_of(owner),
        "revision": revision,
    }


def outdated(revisions: Sequence[Object], live: Collection[str], limit: int) -> list[Object]:
    """Beyond the limit, the oldest first; `live` names are in use."""
    spare = [one for one in ordered(revisions) if one["metadata"]["name"] not in live]
    return spare[: max(len(spare) - limit, 0)]


async def settle(client: Client, owner: Object, revisions: Sequence[Object], label: str) -> Settled:
    """Find, renumber or make the revision of the owner's template."""
    collisions = (owner.get("status") or {}).get("collisionCount")
    known = ordered(revisions)
    following = max(map(number, known), default=0) + 1
    found = find(known, owner)
    if found is not None:
        if found is not known[-1]:
            found = await client.update(RESOURCE, {**found, "revision": following})
            known = [found if one["metadata"]["uid"] == found["metadata"]["uid"] else one for one in known]
        return Settled(found, tuple(known), collisions)
    value = hash_of(owner["spec"]["template"], collisions)
    wanted = make(owner, label, value, following)
    namespace, name = wanted["metadata"]["namespace"], wanted["metadata"]["name"]
    try:
        made = await client.create(RESOURCE, namespace, wanted)
    except Failure as failure:
        if failure.reason != "AlreadyExists":
            raise
        made = await client.get(RESOURCE, namespace, name)
        has = owner_of(made)
        if not same(made["data"], wanted["data"]) or (has is not None and has.uid != owner["metadata"]["uid"]):
            return Settled(None, tuple(known), (collisions or 0) + 1)
        if has is None:  # its owner was just deleted without it: it goes on, and so do the pods that name it
            others = made["metadata"].get("ownerReferences") or ()
            metadata = {**made["metadata"], "ownerReferences": [*others, reference(owner)]}
            made = await client.update(RESOURCE, {**made, "metadata": metadata})
    return Settled(made, (*known, made), collisions)


async def clean(client: Client, revisions: Sequence[Object]) -> None:
    for one in revisions:
        metadata = one["metadata"]
        try:
            await client.delete(RESOURCE, metadata["namespace"], metadata["name"], uid=metadata["uid"])
        except Failure as failure:
            if failure.reason not in ("NotFound", "Conflict"):
                raise
