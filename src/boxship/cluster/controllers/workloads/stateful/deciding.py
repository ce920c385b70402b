"""Which pods of a stateful set to create and to delete now, and what its status is. Pure.

Ordered: one at a time, upwards, each when all before it are ready; downwards, each when the one above is gone.
Parallel: all at once, but updates go on one at a time. No pod is created while one of its ordinal is there, in
whatever state.
"""

from collections.abc import Mapping, Sequence

import msgspec

from boxship.cluster.controllers.workloads.amounts import amount_of
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.controllers.workloads.revisions import HASH
from boxship.cluster.controllers.workloads.stateful.identity import ordinals
from boxship.cluster.objects import Object


class New(msgspec.Struct, frozen=True):
    ordinal: int
    revision: str


class Plan(msgspec.Struct, frozen=True):
    create: tuple[New, ...] = ()
    delete: tuple[Pod, ...] = ()


def least_ready(stateful: Object) -> float:
    return float(stateful["spec"].get("minReadySeconds") or 0)


def is_ready(pod: Pod) -> bool:
    return pod.phase == "Running" and pod.ready


def is_available(stateful: Object, pod: Pod, now: float) -> bool:
    return is_ready(pod) and pod.is_available(least_ready(stateful), now)


def _is_healthy(stateful: Object, pod: Pod | None, now: float) -> bool:
    return pod is not None and not pod.deleted and is_available(stateful, pod, now)


def is_ordered(stateful: Object) -> bool:
    return bool(stateful["spec"].get("podManagementPolicy") != "Parallel")


def revision_for(stateful: Object, current: str, update: str, ordinal: int) -> str:
    """The revision that a new pod of this ordinal has."""
    strategy = stateful["spec"].get("updateStrategy") or {}
    if strategy.get("type") != "RollingUpdate":
        return update
    rolling, start = strategy.get("rollingUpdate"), ordinals(stateful).start
    if rolling is None:
        kept = int((stateful.get("status") or {}).get("currentReplicas") or 0)
    else:
        kept = int(rolling.get("partition") or 0)
    return current if ordinal < start + kept else update


def plan(stateful: Object, current: str, update: str, pods: Mapping[int, Pod], now: float) -> Plan:
    """`pods` by ordinal; `current` and `update` are names of revisions."""
    if stateful["metadata"].get("deletionTimestamp"):
        return Plan()
    wanted, ordered = ordinals(stateful), is_ordered(stateful)
    create: list[New] = []
    delete: list[Pod] = []
    for ordinal in wanted:
        pod = pods.get(ordinal)
        if pod is None:
            create.append(New(ordinal, revision_for(stateful, current, update, ordinal)))
        elif pod.is_done:
            if not pod.deleted:
                delete.append(pod)
        elif _is_healthy(stateful, pod, now):
            continue
        if ordered:
            return Plan(tuple(create), tuple(delete))
    waits = _condemn(stateful, pods, wanted, delete, now)
    if waits or (stateful["spec"].get("updateStrategy") or {}).get("type") == "OnDelete":
        return Plan(tuple(create), tuple(delete))
    delete += [pod for pod in _update(stateful, update, pods, now) if pod not in delete]
    return Plan(tuple(create), tuple(delete))


def _condemn(stateful: Object, pods: Mapping[int, Pod], wanted: range, delete: list[Pod], now: float) -> bool:
    """Delete what is beyond the wanted ordinals, from above. True: nothing else happens before that is done."""
    ordered = is_ordered(stateful)
    condemned = sorted((ordinal for ordinal in pods if ordinal not in wanted), reverse=True)
    sick = [one for one in (*wanted, *reversed(condemned)) if not _is_healthy(stateful, pods.get(one), now)]
    for ordinal in condemned:
        pod = pods[ordinal]
        if pod.deleted:
            if ordered:
                return True
            continue
        if ordered and not is_available(stateful, pod, now) and ordinal != sick[0]:
            return True
        delete.append(pod)
        if ordered:
            return True
    return False


def _update(stateful: Object, update: str, pods: Mapping[int, Pod], now: float) -> list[Pod]:
    """The next pods to be replaced by ones of the new revision."""
    wanted = ordinals(stateful)
    rolling = (stateful["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    targets = list(reversed(wanted[int(rolling.get("partition") or 0) :]))
    most = rolling.get("maxUnavailable")
    if most is not None:
        return _update_several(stateful, update, pods, targets, most, now)
    for ordinal in targets:
        pod = pods.get(ordinal)
        if pod is not None and pod.labels.get(HASH) != update and not pod.deleted:
            return [pod]
        if not _is_healthy(stateful, pod, now):
            return []
    return []


def _update_several(
    stateful: Object, update: str, pods: Mapping[int, Pod], targets: Sequence[int], most: int | str, now: float
) -> list[Pod]:
    wanted = ordinals(stateful)
    allowed = max(amount_of(most, len(wanted), up=True), 1)
    away = sum(not _is_healthy(stateful, pods.get(ordinal), now) for ordinal in wanted)
    found: list[Pod] = []
    for ordinal in targets:
        pod = pods.get(ordinal)
        if pod is None or pod.deleted or pod.labels.get(HASH) == update:
            continue
        if not _is_healthy(stateful, pod, now):
            found.append(pod)  # replacing it costs nothing
        elif away < allowed:
            away += 1
            found.append(pod)
    return found


def status_of(
    stateful: Object, current: str, update: str, collisions: int | None, pods: Sequence[Pod], now: float
) -> Object:
    living = [pod for pod in pods if not pod.deleted]
    spec = stateful["spec"]
    status: Object = {
        "observedGeneration": stateful["metadata"].get("generation", 0),
        "replicas": len(pods),
        "readyReplicas": sum(is_ready(pod) for pod in pods),
        "availableReplicas": sum(is_available(stateful, pod, now) for pod in pods),
        "currentReplicas": sum(pod.labels.get(HASH) == current for pod in living),
        "updatedReplicas": sum(pod.labels.get(HASH) == update for pod in living),
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": collisions if collisions is not None else 0,
    }
    desired = len(ordinals(stateful))
    done = all(status[key] == desired for key in ("updatedReplicas", "readyReplicas", "replicas"))
    if done and (spec.get("updateStrategy") or {}).get("type") == "RollingUpdate":
        status["currentReplicas"], status["currentRevision"] = status["updatedReplicas"], update
    always = ("replicas", "availableReplicas", "collisionCount")
    return {key: value for key, value in status.items() if value or key in always}


def next_look(stateful: Object, pods: Sequence[Pod], now: float) -> float:
    """Seconds until the next ready pod counts as available; 0.0: none will."""
    least = least_ready(stateful)
    waits = [pod.ready_since + least - now for pod in pods if pod.ready and not pod.is_available(least, now)]
    return max(min(waits), 0.0) + 0.05 if waits else 0.0
