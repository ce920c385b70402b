"""What a deployment says of itself: counts, and whether it is available, progresses, or has stopped. Pure."""

from collections.abc import Sequence

from boxship.cluster.controllers.workloads.deployments.sets import NO_LIMIT, count, limits, replicas_of
from boxship.cluster.controllers.workloads.times import seconds_of, stamp
from boxship.cluster.objects import Object

PROGRESSING, AVAILABLE, FAILURE = "Progressing", "Available", "ReplicaFailure"
DONE, TIMED_OUT = "NewReplicaSetAvailable", "ProgressDeadlineExceeded"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"


def condition(kind: str, status: str, reason: str, message: str, now: float) -> Object:
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": stamp(now),
        "lastTransitionTime": stamp(now),
        "reason": reason,
        "message": message,
    }


def find(status: Object, kind: str) -> Object | None:
    return next((one for one in status.get("conditions") or () if one.get("type") == kind), None)


def put(conditions: Sequence[Object], new: Object) -> list[Object]:
    """With the new one, which changes nothing where status and reason are as they were."""
    current = next((one for one in conditions if one["type"] == new["type"]), None)
    if current is not None and current["status"] == new["status"] and current.get("reason") == new["reason"]:
        return list(conditions)
    if current is not None and current["status"] == new["status"]:
        new = {**new, "lastTransitionTime": current.get("lastTransitionTime")}
    return [*without(conditions, new["type"]), new]


def without(conditions: Sequence[Object], kind: str) -> list[Object]:
    return [one for one in conditions if one["type"] != kind]


def has_deadline(deployment: Object) -> bool:
    return deployment["spec"].get("progressDeadlineSeconds") not in (None, NO_LIMIT)


def paused_condition(deployment: Object, now: float) -> Object | None:
    """The condition to set when a deployment has just been paused or resumed."""
    if not has_deadline(deployment):
        return None
    known = find(deployment.get("status") or {}, PROGRESSING) or {}
    if known.get("reason") == TIMED_OUT:
        return None
    paused, was = bool(deployment["spec"].get("paused")), known.get("reason") == PAUSED
    if paused and not was:
        return condition(PROGRESSING, "Unknown", PAUSED, "Deployment is paused", now)
    if was and not paused:
        return condition(PROGRESSING, "Unknown", RESUMED, "Deployment is resumed", now)
    return None


def status_of(deployment: Object, sets: Sequence[Object], new: Object | None, now: float) -> Object:
    """The counts, and Available."""
    available, everything = count(sets, "availableReplicas"), count(sets, "replicas")
    known = deployment.get("status") or {}
    if available >= replicas_of(deployment) - limits(deployment)[1]:
        told = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        told = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    status: Object = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": everything,
        "updatedReplicas": count([new], "replicas"),
        "readyReplicas": count(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(total_of(sets) - available, 0),
        "conditions": put(known.get("conditions") or (), condition(AVAILABLE, *told, now)),
    }
    if all((one.get("status") or {}).get("terminatingReplicas") is not None for one in sets):
        status["terminatingReplicas"] = count(sets, "terminatingReplicas")
    if known.get("collisionCount") is not None:
        status["collisionCount"] = known["collisionCount"]
    return {key: value for key, value in status.items() if value or key in ("terminatingReplicas", "collisionCount")}


def total_of(sets: Sequence[Object]) -> int:
    return sum(map(replicas_of, sets))


def is_complete(deployment: Object, status: Object) -> bool:
    desired = replicas_of(deployment)
    counts = ("updatedReplicas", "replicas", "availableReplicas")
    seen = int(status.get("observedGeneration") or 0) >= int(deployment["metadata"].get("generation") or 0)
    return seen and all(int(status.get(key) or 0) == desired for key in counts)


def has_progressed(old: Object, new: Object) -> bool:
    def of(status: Object, key: str) -> int:
        return int(status.get(key) or 0)

    def outdated(status: Object) -> int:
        return of(status, "replicas") - of(status, "updatedReplicas")

    more = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return outdated(new) < outdated(old) or any(of(new, key) > of(old, key) for key in more)


def deadline_left(deployment: Object, status: Object, now: float) -> float | None:
    """Seconds until the deployment counts as stuck; None: it never will."""
    known = find(status, PROGRESSING)
    if not has_deadline(deployment) or known is None or known.get("reason") in (DONE, TIMED_OUT):
        return None
    if known.get("reason") in (PAUSED,) or deployment["spec"].get("paused"):
        return None
    return seconds_of(known.get("lastUpdateTime")) + float(deployment["spec"]["progressDeadlineSeconds"]) - now


def rollout_status(deployment: Object, sets: Sequence[Object], new: Object | None, now: float) -> Object:
    """As `status_of`, with Progressing and ReplicaFailure: where a rollout is under way, or was."""
    status = status_of(deployment, sets, new, now)
    known = deployment.get("status") or {}
    conditions = status["conditions"]
    current = find(known, PROGRESSING)
    if not has_deadline(deployment):
        conditions = without(conditions, PROGRESSING)
    elif not _was_complete(status, current):
        conditions = _progress(deployment, status, new, current, now)
    failures = _failures(sets, new)
    status["conditions"] = put(conditions, failures[0]) if failures else without(conditions, FAILURE)
    return status


def _was_complete(status: Object, current: Object | None) -> bool:
    same = int(status.get("replicas") or 0) == int(status.get("updatedReplicas") or 0)
    return same and current is not None and current.get("reason") == DONE


def _progress(
    deployment: Object, status: Object, new: Object | None, current: Object | None, now: float
) -> list[Object]:
    conditions: list[Object] = status["conditions"]
    what = (
        f'ReplicaSet "{new["metadata"]["name"]}"'
        if new is not None
        else f'Deployment "{deployment["metadata"]["name"]}"'
    )
    if is_complete(deployment, status):
        return put(conditions, condition(PROGRESSING, "True", DONE, f"{what} has successfully progressed.", now))
    if has_progressed(deployment.get("status") or {}, status):
        made = condition(PROGRESSING, "True", "ReplicaSetUpdated", f"{what} is progressing.", now)
        if current is not None and current["status"] == "True":
            made["lastTransitionTime"] = current.get("lastTransitionTime")
        return [*without(conditions, PROGRESSING), made]
    left = deadline_left(deployment, status, now)
    if left is not None and left < 0:
        return put(conditions, condition(PROGRESSING, "False", TIMED_OUT, f"{what} has timed out progressing.", now))
    return conditions


def _failures(sets: Sequence[Object], new: Object | None) -> list[Object]:
    """Why pods cannot be created, from the new set or else the others, as the deployment says it."""
    found = []
    for one in [*([new] if new is not None else ()), *sets]:
        for each in (one.get("status") or {}).get("conditions") or ():
            if each["type"] == FAILURE:
                found.append({**each, "lastUpdateTime": each.get("lastTransitionTime")})
    return found
