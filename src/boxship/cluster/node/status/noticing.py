"""What people are told when a node's state has changed: the events that follow from two readings of it. Pure.

Source: documentation "Node Status" and the reasons that kubelets give.
"""

from collections.abc import Mapping

from boxship.cluster.objects import Object

Told = tuple[str, str, str]  # type, reason, message
REASONS = {  # of a condition that holds, and of one that does not
    "MemoryPressure": ("NodeHasInsufficientMemory", "NodeHasSufficientMemory"),
    "DiskPressure": ("NodeHasDiskPressure", "NodeHasNoDiskPressure"),
    "PIDPressure": ("NodeHasInsufficientPID", "NodeHasSufficientPID"),
    "Ready": ("NodeReady", "NodeNotReady"),
}


def node_events(before: Object, after: Object) -> list[Told]:
    """`before` and `after`: as it was read, and as it was written then. Of a new node its readiness alone is told:
    thousands that join at once shall not have to tell that they lack nothing."""
    name = after["metadata"]["name"]
    found = [_now(name, reason) for reason in _conditions(before, after)]
    old, new = _boot(before), _boot(after)
    if old and new and old != new:
        found.append(("Warning", "Rebooted", f"Node {name} has been rebooted, boot id: {new}"))
    return found


def _conditions(before: Object, after: Object) -> list[str]:
    had, has = _statuses(before), _statuses(after)
    found = []
    for kind, (holding, other) in REASONS.items():
        if had.get(kind) != has.get(kind) and (kind in had or kind == "Ready"):
            found.append(holding if has.get(kind) == "True" else other)
    return found


def schedulable_events(before: Object, after: Object) -> list[Told]:
    """Of two versions of a node, one after the other."""
    was, is_now = (bool((node.get("spec") or {}).get("unschedulable")) for node in (before, after))
    reason = "NodeNotSchedulable" if is_now else "NodeSchedulable"
    return [_now(after["metadata"]["name"], reason)] if was != is_now else []


def _now(name: str, reason: str) -> Told:
    return "Normal", reason, f"Node {name} status is now: {reason}"


def _statuses(node: Object) -> Mapping[str, str]:
    return {one["type"]: one["status"] for one in (node.get("status") or {}).get("conditions") or ()}


def _boot(node: Object) -> str:
    return str(((node.get("status") or {}).get("nodeInfo") or {}).get("bootID") or "")
