"""What a replica set does about its pods, and what it says of them. Pure."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from boxship.cluster.controllers.workloads.pods import Pod, first_to_go
from boxship.cluster.controllers.workloads.times import stamp
from boxship.cluster.controllers.workloads.writing import BURST
from boxship.cluster.objects import Object
from boxship.cluster.objects.selectors import LabelSelector, of_object, of_set

FAILURE = "ReplicaFailure"


class Plan(msgspec.Struct, frozen=True):
    create: int = 0
    delete: tuple[Pod, ...] = ()


def wanted(owner: Object) -> int:
    return int((owner.get("spec") or {}).get("replicas") or 0)


def plan(owner: Object, active: Sequence[Pod], siblings: Sequence[Pod], now: float) -> Plan:
    """`siblings`: the active pods of all replica sets of the same deployment, this one's too."""
    missing = wanted(owner) - len(active)
    if missing >= 0:
        return Plan(create=min(missing, BURST))
    surplus = min(-missing, BURST)
    if surplus == len(active):
        return Plan(delete=tuple(active))
    beside = Counter(pod.node for pod in siblings)
    return Plan(delete=tuple(first_to_go(active, beside, now)[:surplus]))


def selector_of(owner: Object) -> LabelSelector:
    selector = (owner.get("spec") or {}).get("selector")
    if owner["kind"] == "ReplicationController":
        return of_set(selector)
    return of_object(selector)


def status_of(owner: Object, pods: Sequence[Pod], failure: str, surplus: bool, now: float) -> Object:
    """`failure`: why pods could not be created, or deleted (`surplus`); ""."""
    spec, known = owner.get("spec") or {}, owner.get("status") or {}
    active = [pod for pod in pods if pod.is_active]
    least = spec.get("minReadySeconds") or 0
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    alike = of_set(labels)
    status: Object = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(alike.matches(pod.labels) for pod in active),
        "readyReplicas": sum(pod.ready for pod in active),
        "availableReplicas": sum(pod.is_available(least, now) for pod in active),
        "observedGeneration": owner["metadata"].get("generation", 0),
        "conditions": _conditions(known.get("conditions") or (), failure, surplus, now),
    }
    if owner["kind"] == "ReplicaSet":
        status["terminatingReplicas"] = sum(pod.is_ending for pod in pods)
    return {key: value for key, value in status.items() if value or key in ("replicas", "terminatingReplicas")}


def _conditions(known: Sequence[Object], failure: str, surplus: bool, now: float) -> list[Object]:
    others = [one for one in known if one.get("type") != FAILURE]
    if not failure:
        return others
    has = next((one for one in known if one.get("type") == FAILURE), None)
    condition = {
        "type": FAILURE,
        "status": "True",
        "reason": "FailedDelete" if surplus else "FailedCreate",
        "message": failure,
        "lastTransitionTime": stamp(now),
    }
    return [*others, has or condition]


def next_look(owner: Object, active: Sequence[Pod], now: float) -> float:
    """Seconds until the next ready pod counts as available; 0.0: none will."""
    least = (owner.get("spec") or {}).get("minReadySeconds") or 0
    if not least:
        return 0.0
    waits = [pod.ready_since + least - now for pod in active if pod.ready and not pod.is_available(least, now)]
    return max(min(waits), 0.0) + 0.05 if waits else 0.0
