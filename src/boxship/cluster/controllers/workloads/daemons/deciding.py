"""Which pods of a daemon set to create and to delete now, and what its status is. Pure.

Never two pods on a node, unless it surges: then the old one stays until the new one is available.
"""

from collections.abc import Mapping, Sequence

import msgspec

from boxship.cluster.controllers.workloads.amounts import amount_of
from boxship.cluster.controllers.workloads.daemons.places import Place
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.controllers.workloads.revisions import HASH
from boxship.cluster.objects import Object

BURST = 250  # pods at a time


class Plan(msgspec.Struct, frozen=True):
    """`create`: names of nodes. `events`: type, reason, message. `again`: seconds, 0.0: when something changes."""

    create: tuple[str, ...] = ()
    delete: tuple[Pod, ...] = ()
    events: tuple[tuple[str, str, str], ...] = ()
    again: float = 0.0


Pods = Mapping[str, Sequence[Pod]]  # by node


def _rolling(daemons: Object) -> Object | None:
    strategy = daemons["spec"].get("updateStrategy") or {}
    return (strategy.get("rollingUpdate") or {}) if strategy.get("type") != "OnDelete" else None


def surges(daemons: Object) -> bool:
    return amount_of((_rolling(daemons) or {}).get("maxSurge"), 100, up=True) > 0


def _order(pod: Pod) -> tuple[bool, float, str]:
    return not pod.node, pod.created, pod.name


def _least(daemons: Object) -> float:
    return float(daemons["spec"].get("minReadySeconds") or 0)


def place_pods(
    daemons: Object,
    places: Mapping[str, Place],
    pods: Pods,
    revision: str,
    now: float,
    pause: Mapping[str, float],
) -> Plan:
    """One pod on each node, whatever its revision. `pause`: until when a node's failed pod is kept."""
    create: list[str] = []
    delete: list[Pod] = []
    events: list[tuple[str, str, str]] = []
    waits: list[float] = []
    for node, at in places.items():
        there = pods.get(node, ())
        if at.wanted and not there:
            create.append(node)
        elif at.stays:
            running: list[Pod] = []
            for pod in there:
                if pod.deleted:
                    continue
                where = f"daemon pod {pod.namespace}/{pod.name} on node {node}, will try to"
                if pod.phase == "Failed" and pause.get(node, 0.0) > now:
                    waits.append(pause[node] - now)
                elif pod.phase == "Failed":
                    events.append(("Warning", "FailedDaemonPod", f"Found failed {where} kill it"))
                    delete.append(pod)
                elif pod.phase == "Succeeded":
                    events.append(("Normal", "SucceededDaemonPod", f"Found succeeded {where} delete it"))
                    delete.append(pod)
                else:
                    running.append(pod)
            goes, missing = _crowd(daemons, running, revision, now)
            delete += goes
            if missing and at.wanted and not [pod for pod in there if pod.is_done]:
                create.append(node)
        else:
            delete += [pod for pod in there if not pod.deleted]
    for node, there in pods.items():
        if node not in places:  # the node is gone; what was never on it would wait for ever
            delete += [pod for pod in there if not pod.node and not pod.deleted]
    return Plan(tuple(create[:BURST]), tuple(delete[:BURST]), tuple(events), min(waits, default=0.0))


def _crowd(daemons: Object, running: list[Pod], revision: str, now: float) -> tuple[list[Pod], bool]:
    """Which of several pods on one node go, and whether one is missing."""
    if not surges(daemons):
        return sorted(running, key=_order)[1:], False
    if not running:
        return [], True
    new = [pod for pod in sorted(running, key=_order) if pod.labels.get(HASH) == revision]
    old = [pod for pod in sorted(running, key=_order) if pod.labels.get(HASH) != revision]
    goes = [*new[1:], *old[1:]]
    if new and old and (not old[0].ready or new[0].is_available(_least(daemons), now)):
        goes.append(old[0])
    return goes, False


def update(daemons: Object, places: Mapping[str, Place], pods: Pods, revision: str, now: float) -> Plan:
    """The next step of a rolling update."""
    rolling = _rolling(daemons)
    if rolling is None:
        return Plan()
    desired = sum(at.wanted for at in places.values())
    away = amount_of(rolling.get("maxUnavailable"), desired, up=True)
    more = amount_of(rolling.get("maxSurge"), desired, up=True)
    nodes = {node: pods.get(node, ()) for node, at in places.items() if at.wanted}
    if more > 0:
        return _surge(daemons, nodes, revision, more, now)
    return _replace(daemons, nodes, revision, max(away, 1), now)


def _pair(pods: Sequence[Pod], revision: str) -> tuple[Pod | None, Pod | None] | None:
    """The new and the old pod of a node; None: there are too many."""
    living = [pod for pod in pods if not pod.deleted]
    new = [pod for pod in living if pod.labels.get(HASH) == revision]
    old = [pod for pod in living if pod.labels.get(HASH) != revision]
    if len(new) > 1 or len(old) > 1:
        return None
    return (new[0] if new else None), (old[0] if old else None)


def _replace(daemons: Object, nodes: Pods, revision: str, most: int, now: float) -> Plan:
    least, away = _least(daemons), 0
    free: list[Pod] = []
    candidates: list[Pod] = []
    for there in nodes.values():
        pair = _pair(there, revision)
        if pair is None or (pair[0] is None) == (pair[1] is None):
            away += 1
            continue
        new, old = pair
        if new is not None:
            away += not new.is_available(least, now)
        elif old is not None and not old.is_available(least, now):
            free.append(old)  # replacing it makes nothing worse
            away += 1
        elif old is not None:
            candidates.append(old)
    candidates.sort(key=_order)
    return Plan(delete=tuple([*free, *candidates[: max(most - away, 0)]][:BURST]))


def _surge(daemons: Object, nodes: Pods, revision: str, most: int, now: float) -> Plan:
    least, more = _least(daemons), 0
    free: list[str] = []
    candidates: list[str] = []
    delete: list[Pod] = []
    for node, there in nodes.items():
        pair = _pair(there, revision)
        if pair is None:
            more += 1
            continue
        new, old = pair
        if old is None:
            continue
        if new is not None:
            if new.is_available(least, now):
                delete.append(old)
            else:
                more += 1
        elif not old.is_available(least, now):
            free.append(node)
        else:
            candidates.append(node)
    return Plan(tuple([*free, *candidates[: max(most - more, 0)]][:BURST]), tuple(delete[:BURST]))


def status_of(
    daemons: Object, places: Mapping[str, Place], pods: Pods, revision: str, collisions: int | None, now: float
) -> Object:
    counts = dict.fromkeys(("desired", "current", "misscheduled", "ready", "available", "updated"), 0)
    for node, at in places.items():
        there = sorted(pods.get(node, ()), key=_order)
        if not at.wanted:
            counts["misscheduled"] += bool(there)
            continue
        counts["desired"] += 1
        if there:
            counts["current"] += 1
            counts["ready"] += any(pod.ready and not pod.deleted for pod in there)
            counts["available"] += any(pod.is_available(_least(daemons), now) and not pod.deleted for pod in there)
            counts["updated"] += any(pod.labels.get(HASH) == revision and not pod.deleted for pod in there)
    status: Object = {
        "desiredNumberScheduled": counts["desired"],
        "currentNumberScheduled": counts["current"],
        "numberMisscheduled": counts["misscheduled"],
        "numberReady": counts["ready"],
        "updatedNumberScheduled": counts["updated"],
        "numberAvailable": counts["available"],
        "numberUnavailable": counts["desired"] - counts["available"],
        "observedGeneration": daemons["metadata"].get("generation", 0),
    }
    if collisions is not None:
        status["collisionCount"] = collisions
    always = ("desiredNumberScheduled", "currentNumberScheduled", "numberMisscheduled", "numberReady")
    return {key: value for key, value in status.items() if value or key in always}
