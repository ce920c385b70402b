"""A deployment's replica sets: which is the new one, what they are called, the numbers in their annotations. Pure."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.controllers.workloads.amounts import fences
from boxship.cluster.controllers.workloads.claiming import reference
from boxship.cluster.controllers.workloads.hashing import hash_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.kinds.comparing import same

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"
NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MOST,
    "deprecated.deployment.rollback.to",
}
HISTORY_LIMIT = 2000  # characters
NO_LIMIT = 2**31 - 1


def replicas_of(object: Object | None) -> int:
    return int(((object or {}).get("spec") or {}).get("replicas") or 0)


def total(sets: Sequence[Object | None]) -> int:
    return sum(map(replicas_of, sets))


def count(sets: Sequence[Object | None], key: str) -> int:
    """The sum of one number of their statuses."""
    return sum(int((one.get("status") or {}).get(key) or 0) for one in sets if one is not None)


def is_rolling(deployment: Object) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type") != "Recreate")


def limits(deployment: Object) -> tuple[int, int]:
    """maxSurge and maxUnavailable as numbers."""
    desired = replicas_of(deployment)
    if not is_rolling(deployment):
        return 0, 0
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    surge, unavailable = fences(rolling.get("maxSurge"), rolling.get("maxUnavailable"), desired)
    return surge, min(unavailable, desired)


def most(deployment: Object) -> int:
    return replicas_of(deployment) + limits(deployment)[0]


def annotation(object: Object, key: str) -> str:
    return str((object["metadata"].get("annotations") or {}).get(key) or "")


def number(object: Object, key: str) -> int | None:
    """An annotation that is a number; None: it is not there, or no number."""
    text = annotation(object, key)
    return int(text) if text.isascii() and text.isdigit() else None


def revision_of(object: Object) -> int:
    return number(object, REVISION) or 0


def age(one: Object) -> tuple[str, str]:
    """A key to sort by: older first."""
    return one["metadata"].get("creationTimestamp") or "", one["metadata"]["name"]


def bare(template: Object) -> Object:
    """Without the hash."""
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH}
    return {**template, "metadata": {**metadata, "labels": labels}}


def find_new(deployment: Object, sets: Sequence[Object]) -> Object | None:
    """The replica set with the deployment's template; the oldest, should there be several."""
    template = bare(deployment["spec"]["template"])
    for one in sorted(sets, key=age):
        if same(bare(one["spec"]["template"]), template):
            return one
    return None


def old_sets(new: Object | None, sets: Sequence[Object]) -> list[Object]:
    uid = new["metadata"]["uid"] if new is not None else None
    return sorted((one for one in sets if one["metadata"]["uid"] != uid), key=age)


def active(sets: Sequence[Object]) -> list[Object]:
    return [one for one in sets if replicas_of(one) > 0]


def size_annotations(deployment: Object) -> dict[str, str]:
    return {DESIRED: str(replicas_of(deployment)), MOST: str(most(deployment))}


def new_annotations(deployment: Object, known: Mapping[str, str], revision: int) -> dict[str, str]:
    """Those of the new replica set: the deployment's own, its revision, and which ones it had before."""
    made = dict(known)
    for key, value in (deployment["metadata"].get("annotations") or {}).items():
        if key not in NOT_COPIED:
            made[key] = value
    had = known.get(REVISION, "")
    before = int(had) if had.isdigit() else 0
    if before < revision:
        made[REVISION] = str(revision)
        if REVISION in known:
            made[HISTORY] = _longer(known.get(HISTORY, ""), had)
    return made


def _longer(history: str, revision: str) -> str:
    each = [one for one in history.split(",") if one] + [revision]
    while len(",".join(each)) > HISTORY_LIMIT:
        each.pop(0)
    return ",".join(each)


def make_new(deployment: Object, sets: Sequence[Object], revision: int) -> Object:
    """The replica set for the deployment's template, as it is to be created."""
    spec, metadata = deployment["spec"], deployment["metadata"]
    template = copy.deepcopy(spec["template"])
    code = hash_of(bare(template), (deployment.get("status") or {}).get("collisionCount"))
    labels = {**((template.get("metadata") or {}).get("labels") or {}), HASH: code}
    template["metadata"] = {**(template.get("metadata") or {}), "labels": labels}
    selector: Object = copy.deepcopy(spec.get("selector") or {})
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH: code}
    made: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{code}",
            "namespace": metadata.get("namespace", ""),
            "ownerReferences": [reference(deployment)],
            "labels": dict(labels),
            "annotations": {**new_annotations(deployment, {}, revision), **size_annotations(deployment)},
        },
        "spec": {
            "replicas": new_size(deployment, sets, None),
            "minReadySeconds": spec.get("minReadySeconds") or 0,
            "selector": selector,
            "template": template,
        },
    }
    return made


def new_size(deployment: Object, sets: Sequence[Object], new: Object | None) -> int:
    """How many replicas the new set may have now. `sets`: all, the new one too."""
    desired, has = replicas_of(deployment), replicas_of(new)
    if not is_rolling(deployment):
        return desired
    # A set that was made smaller may still have pods: they count until it says that they are gone.
    room = most(deployment) - sum(max(replicas_of(one), count([one], "replicas")) for one in sets)
    if room <= 0:
        return has
    return has + max(min(room, desired - has), 0)


def cleanable(deployment: Object, old: Sequence[Object]) -> list[Object]:
    """Old sets beyond the limit of the history, that nothing runs of."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == NO_LIMIT:
        return []
    alive = [one for one in old if not one["metadata"].get("deletionTimestamp")]
    alive.sort(key=lambda one: (revision_of(one), age(one)))
    surplus = alive[: max(len(alive) - limit, 0)]
    return [one for one in surplus if not replicas_of(one) and not count([one], "replicas") and _is_seen(one)]


def _is_seen(one: Object) -> bool:
    observed = int((one.get("status") or {}).get("observedGeneration") or 0)
    return int(one["metadata"].get("generation") or 0) <= observed
