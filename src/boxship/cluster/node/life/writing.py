"""What has to be written so that the API has a pod's status as it should be, and how soon. Pure."""

from collections.abc import Mapping
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.copies import copied

LAZY_SECONDS = 0.25  # what tells nobody anything is not written if more follows within this time
LAST_SECONDS = 2.0  # that a pod has to be gone before its end is written all the same
QUIET_REASONS = ("ContainerCreating", "PodInitializing")


def patch_for(pod: Object, status: Object) -> Object | None:
    """A merge patch of the pod's status; None: the API has it so. It holds for the pod as it was read alone."""
    had = pod.get("status") or {}
    changed: dict[str, Any] = {}
    for key, value in status.items():
        before = had.get(key)
        if before != value and _plain(before) != _plain(value):
            changed[key] = copied(value)
    for key in had:
        if key not in status:
            changed[key] = None
    if not changed:
        return None
    metadata = pod["metadata"]
    return {"metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}, "status": changed}


def is_urgent(pod: Object, status: Object, *, addressed: bool = False) -> bool:
    """Whether somebody may wait for it: phase, readiness, what a container waits for or ended with; and where others
    let only those in whose address they know (`addressed`), that too."""
    had = pod.get("status") or {}
    if addressed and status.get("podIP") and had.get("podIP") != status["podIP"]:
        return True
    return bool(_news_of(had) != _news_of(status))


def _news_of(status: Object) -> Any:
    kinds = ("Ready", "ContainersReady", *(("Initialized",) if status.get("initContainerStatuses") else ()))
    conditions = status.get("conditions") or ()
    ready = [one["type"] for one in conditions if one["type"] in kinds and one["status"] == "True"]
    states = []
    for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for one in status.get(key) or ():
            state = one.get("state") or {}
            waiting = (state.get("waiting") or {}).get("reason")
            if not state or waiting in QUIET_REASONS:
                continue
            states.append((one["name"], waiting, *state, one.get("restartCount"), one.get("ready"), one.get("started")))
    return status.get("phase"), status.get("reason"), ready, states


def newer(pod: Object, other: Object) -> Object:
    """The newer reading of the same pod."""
    one, two = (item["metadata"].get("resourceVersion") or "0" for item in (pod, other))
    if one.isdecimal() and two.isdecimal() and int(two) < int(one):
        return pod
    return other


def _plain(value: Any) -> Any:
    """Without what is null: the API keeps some of it, and drops some."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value
