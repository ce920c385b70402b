"""Adoption and release: an owner takes orphans that its selector matches and lets go of children that it no longer
matches. Pure decision first, then the patches; a child that changed meanwhile is looked at again later."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.controllers.workloads.family import Child, Family, is_deleted, labels_of, owner_of
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.selectors import LabelSelector

GONE = ("NotFound", "Invalid")


class Claim(msgspec.Struct, frozen=True):
    mine: tuple[Any, ...]
    adopt: tuple[Any, ...] = ()
    release: tuple[Any, ...] = ()


def reference(owner: Object) -> Object:
    """The controller's reference to put into its children."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def decide(owner: Object, selector: LabelSelector, children: Sequence[Child], orphans: Sequence[Child]) -> Claim:
    """`children` have the owner as their controller, `orphans` have none."""
    ends = bool(owner["metadata"].get("deletionTimestamp"))
    uid = owner["metadata"]["uid"]
    mine, release = [], []
    for child in children:
        known = owner_of(child)
        if known is None or known.uid != uid:
            continue
        if selector.matches(labels_of(child)):
            mine.append(child)
        elif not ends:
            release.append(child)
    if ends:
        return Claim(tuple(mine))
    adopt = [child for child in orphans if selector.matches(labels_of(child)) and not is_deleted(child)]
    return Claim(tuple(mine), tuple(adopt), tuple(release))


async def claim(
    client: Client,
    owner_resource: str,
    resource: str,
    owner: Object,
    selector: LabelSelector,
    family: Family,
    *,
    finalizer: str = "",
    adoptable: Callable[[Any], bool] = lambda child: True,
) -> list[Any]:
    """The children of the owner, as they are known; pods that are adopted get the finalizer, too, and those that are
    let go lose it."""
    metadata = owner["metadata"]
    namespace = metadata.get("namespace", "")
    orphans = [child for child in family.orphans(namespace) if adoptable(child)]
    decided = decide(owner, selector, family.children(metadata["uid"]), orphans)
    if decided.adopt:
        current = await client.get(owner_resource, namespace, metadata["name"])
        if current["metadata"]["uid"] != metadata["uid"] or current["metadata"].get("deletionTimestamp"):
            return list(decided.mine)  # our memory of the owner is old: adopt nothing in its name
    for child in decided.adopt:
        await _own(client, resource, child, [*_owners(child), reference(owner)], add=finalizer)
    for child in decided.release:
        kept = [one for one in _owners(child) if one.get("uid") != metadata["uid"]]
        await _own(client, resource, child, kept, drop=finalizer)
    return [*decided.mine, *decided.adopt]


def _owners(child: Child) -> list[Object]:
    owners = child.owners if isinstance(child, Pod) else child["metadata"].get("ownerReferences")
    return list(owners or ())


def finalizers_of(pod: Pod, add: str, drop: str) -> list[str]:
    """Each once; "": nothing to add, or to drop."""
    return [one for one in pod.finalizers if one not in (add, drop)] + ([add] if add else [])


async def _own(
    client: Client, resource: str, child: Child, owners: list[Object], *, add: str = "", drop: str = ""
) -> None:
    more: Object = {}
    if isinstance(child, Pod):
        namespace, name, uid, version = child.namespace, child.name, child.uid, child.version
        finalizers = finalizers_of(child, add, drop)
        more = {"finalizers": finalizers or None} if finalizers != list(child.finalizers) else {}
    else:
        metadata = child["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        uid, version = metadata["uid"], metadata.get("resourceVersion", "")
    patch = {"metadata": {"uid": uid, "resourceVersion": version, "ownerReferences": owners or None, **more}}
    try:
        await client.patch(resource, namespace, name, patch)
    except Failure as failure:
        if failure.reason not in GONE:
            raise
