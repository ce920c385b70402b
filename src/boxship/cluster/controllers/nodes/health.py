"""What the news of a node, or its silence, mean: conditions that nobody says any more, and taints. Pure.

Source: documentation "Nodes", "Node Labels, Annotations and Taints", "Taints and Tolerations" (taint based evictions,
taint nodes by condition); names and texts of the node lifecycle controller.
"""

from collections.abc import Mapping, Sequence

import msgspec

from boxship.cluster.controllers.nodes.facts import READY, Node
from boxship.cluster.controllers.workloads.times import stamp
from boxship.cluster.objects import Object

GRACE_SECONDS = 40.0  # of silence
FIRST_SECONDS = 60.0  # for a node that never said anything
PREFIX = "node.kubernetes.io/"
NOT_READY, UNREACHABLE = f"{PREFIX}not-ready", f"{PREFIX}unreachable"
UNSCHEDULABLE = f"{PREFIX}unschedulable"
PRESSURES = {
    "MemoryPressure": f"{PREFIX}memory-pressure",
    "DiskPressure": f"{PREFIX}disk-pressure",
    "PIDPressure": f"{PREFIX}pid-pressure",
    "NetworkUnavailable": f"{PREFIX}network-unavailable",
}
KEEPING_OUT = {NOT_READY, UNREACHABLE, UNSCHEDULABLE, *PRESSURES.values()}
SAID_BY_NODES = (READY, "MemoryPressure", "DiskPressure", "PIDPressure")
STOPPED = ("NodeStatusUnknown", "Kubelet stopped posting node status.")
NEVER = ("NodeStatusNeverUpdated", "Kubelet never posted node status.")


class Limits(msgspec.Struct, frozen=True):
    """Seconds of silence after which nothing is known of a node."""

    grace: float = GRACE_SECONDS
    first: float = FIRST_SECONDS


def quiet_for(node: Node, silent: float, limits: Limits) -> float:
    """Seconds until the node counts as silent; 0.0: it does now. `silent`: since we last heard of it."""
    return max((limits.grace if node.ready else limits.first) - silent, 0.0)


def unknown_conditions(conditions: Sequence[Object], created: str, now: float) -> list[Object]:
    """The node's conditions when it is silent: everything that it says itself is unknown."""
    known = {one.get("type"): one for one in conditions}
    made = [dict(one) for one in conditions]
    at = stamp(now)
    for type in SAID_BY_NODES:
        if type not in known:
            new = {"type": type, "status": "Unknown", "reason": NEVER[0], "message": NEVER[1]}
            made.append({**new, "lastHeartbeatTime": created, "lastTransitionTime": at})
    for one in made:
        if one.get("type") in SAID_BY_NODES and one.get("status") != "Unknown":
            one.update(status="Unknown", reason=STOPPED[0], message=STOPPED[1], lastTransitionTime=at)
    return made


def keeping_out(node: Node) -> set[str]:
    """Keys of the taints that keep new pods away."""
    wanted = {key for type, key in PRESSURES.items() if node.conditions.get(type) == "True"}
    if node.ready == "Unknown":
        wanted.add(UNREACHABLE)
    elif node.ready != "True":
        wanted.add(NOT_READY)
    if node.unschedulable:
        wanted.add(UNSCHEDULABLE)
    return wanted


def driving_out(node: Node) -> str:
    """The key of the taint that drives pods out; "": none."""
    return {"False": NOT_READY, "Unknown": UNREACHABLE}.get(node.ready, "")


def drives_out(taint: Mapping[str, str]) -> bool:
    """Whether it is one of ours that drives pods out."""
    return taint.get("effect") == "NoExecute" and taint.get("key") in (NOT_READY, UNREACHABLE)


def is_driven_out(node: Node) -> bool:
    return any(map(drives_out, node.taints))


def taints_of(node: Node, emptied: bool, now: float) -> tuple[Object, ...]:
    """The taints that the node should have; those of others stay as they are. `emptied`: whether pods may be driven
    out, if its state asks for it."""
    wanted = keeping_out(node)
    out = driving_out(node) if emptied else ""
    kept = [taint for taint in node.taints if not _is_ours(taint)]
    found = {(taint.get("key"), taint.get("effect")): taint for taint in node.taints}
    at = stamp(now)
    for key in sorted(wanted):
        kept.append(found.get((key, "NoSchedule")) or {"key": key, "effect": "NoSchedule", "timeAdded": at})
    if out:
        kept.append(found.get((out, "NoExecute")) or {"key": out, "effect": "NoExecute", "timeAdded": at})
    return tuple(kept)


def same_taints(one: Sequence[Object], other: Sequence[Object]) -> bool:
    """Whatever their order."""
    return sorted(map(_text, one)) == sorted(map(_text, other))


def _is_ours(taint: Object) -> bool:
    return drives_out(taint) or (taint.get("effect") == "NoSchedule" and taint.get("key") in KEEPING_OUT)


def _text(taint: Object) -> str:
    return f"{taint.get('key')}={taint.get('value') or ''}:{taint.get('effect')}"
