"""What the status of a PodDisruptionBudget is. Pure.

Source: documentation "Specifying a Disruption Budget for your Application", API reference PodDisruptionBudgetStatus;
names and texts of the disruption controller.
"""

from collections.abc import Mapping, Sequence

import msgspec

from boxship.cluster.controllers.workloads.amounts import amount_of
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.controllers.workloads.times import seconds_of, stamp
from boxship.cluster.objects import Object

CHARGE_SECONDS = 120.0  # that an eviction has until its pod must be seen to go
ALLOWED = "DisruptionAllowed"
SUFFICIENT, INSUFFICIENT, FAILED = "SufficientPods", "InsufficientPods", "SyncFailed"


class Charges(msgspec.Struct, frozen=True):
    """Evictions that have not been seen yet; pods that should have gone and did not; seconds until the next of the
    charges ends."""

    open: Mapping[str, str]
    failed: tuple[Pod, ...] = ()
    next: float = 0.0


class Wanted(msgspec.Struct, frozen=True):
    expected: int
    healthy: int


def by_scale(spec: Object) -> bool:
    """Whether one has to know how many pods there should be."""
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def wanted_of(spec: Object, scale: int, pods: int) -> Wanted:
    """`scale`: pods that there should be; `pods`: that there are."""
    if spec.get("maxUnavailable") is not None:
        return Wanted(scale, max(scale - amount_of(spec["maxUnavailable"], scale, up=True), 0))
    least = spec.get("minAvailable")
    if isinstance(least, str):
        return Wanted(scale, amount_of(least, scale, up=True))
    return Wanted(pods, least or 0)


def charges_of(budget: Object, pods: Sequence[Pod], now: float) -> Charges:
    known = {pod.name: pod for pod in pods}
    open, failed, ends = {}, [], []
    for name, text in ((budget.get("status") or {}).get("disruptedPods") or {}).items():
        pod = known.get(name)
        if pod is None or pod.deleted:
            continue  # it went, or goes
        left = seconds_of(text) + CHARGE_SECONDS - now
        if left > 0:
            open[name] = text
            ends.append(left)
        else:
            failed.append(pod)
    return Charges(open, tuple(failed), min(ends, default=0.0))


def healthy_of(pods: Sequence[Pod], charges: Charges) -> int:
    return sum(pod.ready and not pod.deleted and pod.name not in charges.open for pod in pods)


def status_of(budget: Object, pods: Sequence[Pod], charges: Charges, wanted: Wanted, now: float) -> Object:
    healthy = healthy_of(pods, charges)
    allowed = max(healthy - wanted.healthy, 0) if wanted.expected > 0 else 0
    generation = budget["metadata"].get("generation") or 0
    status: Object = {
        "observedGeneration": generation,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": wanted.healthy,
        "expectedPods": wanted.expected,
        "conditions": _conditions(budget, bool(allowed), SUFFICIENT if allowed else INSUFFICIENT, "", generation, now),
    }
    if charges.open:
        status["disruptedPods"] = dict(charges.open)
    return status


def failed_status_of(budget: Object, why: str, now: float) -> Object:
    """Where nobody knows how many pods there should be, none may go."""
    status = budget.get("status") or {}
    generation = status.get("observedGeneration") or 0
    numbers = {key: status.get(key) or 0 for key in ("currentHealthy", "desiredHealthy", "expectedPods")}
    conditions = _conditions(budget, False, FAILED, why, generation, now)
    return {**status, **numbers, "disruptionsAllowed": 0, "conditions": conditions}


def _conditions(
    budget: Object, allowed: bool, reason: str, message: str, generation: int, now: float
) -> list[dict[str, object]]:
    known = (budget.get("status") or {}).get("conditions") or []
    old: Object = next((one for one in known if one.get("type") == ALLOWED), {})
    status = "True" if allowed else "False"
    since = old.get("lastTransitionTime") if old.get("status") == status else None
    made = {
        "type": ALLOWED,
        "status": status,
        "observedGeneration": generation,
        "lastTransitionTime": since or stamp(now),
        "reason": reason,
        "message": message,
    }
    others = [one for one in known if one.get("type") != ALLOWED]
    return [*others, made]
