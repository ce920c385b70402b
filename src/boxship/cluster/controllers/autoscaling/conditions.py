"""Conditions of a scaler, in the original's words. Pure."""

from collections.abc import Sequence

from boxship.cluster.controllers.workloads.times import stamp
from boxship.cluster.objects import Object

ABLE, ACTIVE, LIMITED = "AbleToScale", "ScalingActive", "ScalingLimited"
GOT_SCALE = "the HPA controller was able to get the target's current scale"
NO_SCALE = "the HPA controller was unable to get the target's current scale: {}"
NOT_COUNTED = "the HPA was unable to compute the replica count: {}"
COUNTED = "the HPA was able to successfully calculate a replica count from {}"
WROTE_SCALE = "the HPA controller was able to update the target scale to {}"
NOT_WRITTEN = "the HPA controller was unable to update the target scale: {}"
DISABLED = "scaling is disabled since the replica count of the target is zero"
NO_SELECTOR = "the HPA target's scale is missing a selector"


def with_condition(
    conditions: Sequence[Object], type: str, status: bool, reason: str, message: str, now: float
) -> list[Object]:
    """The time changes with the status only."""
    made: Object = {"type": type, "status": "True" if status else "False", "reason": reason, "message": message}
    result = []
    for one in conditions:
        if one.get("type") != type:
            result.append(one)
            continue
        same = one.get("status") == made["status"]
        made["lastTransitionTime"] = (one.get("lastTransitionTime") if same else "") or stamp(now)
        result.append(made)
    if "lastTransitionTime" not in made:
        made["lastTransitionTime"] = stamp(now)
        result.append(made)
    return result
