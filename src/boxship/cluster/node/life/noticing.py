"""What people are told when a pod's status has changed: the events that follow from two statuses. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from boxship.cluster.node.life.parts import label_of
from boxship.cluster.node.life.resizing import ERROR, IN_PROGRESS, PENDING, shown
from boxship.cluster.node.life.statuses import CRASHING
from boxship.cluster.node.life.values import Memory
from boxship.cluster.objects import Object

Told = tuple[str, str, str, str]  # the container's name or "", type, reason, message
DEADLINE = "DeadlineExceeded"
STATUSES = ("initContainerStatuses", "containerStatuses")


def events_between(pod: Object, before: Object, after: Object, memory: Memory) -> list[Told]:
    return [*_back_offs(pod, before, after, memory), *_resizes(pod, before, after), *_deadlines(before, after)]


def _deadlines(before: Object, after: Object) -> list[Told]:
    """An eviction is told of where it is decided."""
    if after.get("reason") != DEADLINE or before.get("reason") == DEADLINE:
        return []
    return [("", "Normal", DEADLINE, str(after.get("message") or ""))]


def _back_offs(pod: Object, before: Object, after: Object, memory: Memory) -> list[Told]:
    found: list[Told] = []
    for key in STATUSES:
        had = {one["name"]: _waits_for(one) for one in before.get(key) or ()}
        for one in after.get(key) or ():
            reason, name = _waits_for(one), one["name"]
            if reason == had.get(name):
                continue
            if reason == CRASHING:
                message = f"Back-off restarting failed container {name} in pod {label_of(pod)}"
                found.append((name, "Warning", "BackOff", message))
            elif reason == "ImagePullBackOff":
                problem = memory.problems.get(name) or memory.problems.get("")
                image = problem.image if problem is not None else ""
                found.append((name, "Normal", "BackOff", f'Back-off pulling image "{image}"'))
                found.append((name, "Warning", "Failed", "Error: ImagePullBackOff"))
    return found


def _waits_for(one: Object) -> str | None:
    reason: str | None = ((one.get("state") or {}).get("waiting") or {}).get("reason")
    return reason


def _resizes(pod: Object, before: Object, after: Object) -> list[Told]:
    had, has = (_conditions(status) for status in (before, after))
    old, new = had.get(PENDING), has.get(PENDING)
    if new is not None and (old is None or old.get("reason") != new.get("reason")):
        reason = str(new.get("reason"))
        return [("", "Warning", f"Resize{reason}", _resize_message(pod, reason, str(new.get("message") or "")))]
    if (has.get(IN_PROGRESS) or {}).get("reason") == ERROR:
        message = str(has[IN_PROGRESS].get("message") or "")
        if message == (had.get(IN_PROGRESS) or {}).get("message"):
            return []
        return [("", "Warning", "ResizeError", _resize_message(pod, "error", message))]
    if IN_PROGRESS in has and IN_PROGRESS not in had:
        return [("", "Normal", "ResizeStarted", _resize_message(pod, "started", ""))]
    if IN_PROGRESS in had and IN_PROGRESS not in has and new is None:
        return [("", "Normal", "ResizeCompleted", _resize_message(pod, "completed", ""))]
    return []


def _conditions(status: Object) -> Mapping[str, Object]:
    return {one["type"]: one for one in status.get("conditions") or ()}


def _resize_message(pod: Object, what: str, error: str) -> str:
    summary: dict[str, Any] = {}
    for field in ("initContainers", "containers"):
        if pod["spec"].get(field):
            summary[field] = [{"name": one["name"], "resources": shown(one)} for one in pod["spec"][field]]
    summary["generation"] = pod["metadata"].get("generation") or 0
    if error:
        summary["error"] = error
    return f"Pod resize {what}: {msgspec.json.encode(summary).decode()}"
