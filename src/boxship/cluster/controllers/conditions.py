"""Conditions of pods that controllers write: as a patch of the one condition, which holds only for the pod as it was
seen, so that nobody else's condition is written over."""

from collections.abc import Mapping
from typing import Any

from boxship.cluster.access import Client
from boxship.cluster.controllers.workloads.pods import RESOURCE, Pod
from boxship.cluster.controllers.workloads.times import stamp

DISRUPTION = "DisruptionTarget"


def condition(type: str, status: str, now: float, reason: str = "", message: str = "") -> dict[str, Any]:
    made = {"type": type, "status": status, "lastProbeTime": None, "lastTransitionTime": stamp(now)}
    return made | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})


def patch_of(pod: Pod, wanted: Mapping[str, Any] | None, phase: str = "") -> list[dict[str, Any]]:
    """Sets one condition, or the phase, or both. Who applies it gets a Conflict where the pod is not as it was seen."""
    made: list[dict[str, Any]] = [
        {"op": "test", "path": "/metadata/uid", "value": pod.uid},
        {"op": "add", "path": "/metadata/resourceVersion", "value": pod.version},
    ]
    if wanted is not None:
        places = [index for index, one in enumerate(pod.conditions) if one.type == wanted["type"]]
        if places:
            made.append({"op": "replace", "path": f"/status/conditions/{places[0]}", "value": wanted})
        elif pod.conditions:
            made.append({"op": "add", "path": "/status/conditions/-", "value": wanted})
        else:
            made.append({"op": "add", "path": "/status/conditions", "value": [wanted]})
    if phase:
        made.append({"op": "add", "path": "/status/phase", "value": phase})
    return made


async def write_condition(client: Client, pod: Pod, wanted: Mapping[str, Any] | None, phase: str = "") -> None:
    """Raises Failure: NotFound, Conflict."""
    await client.patch(RESOURCE, pod.namespace, pod.name, patch_of(pod, wanted, phase), subresource="status")


def has(pod: Pod, type: str, status: str = "True") -> bool:
    return any(one.type == type and one.status == status for one in pod.conditions)
