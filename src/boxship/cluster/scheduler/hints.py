"""Which rules may say something else after a change: pods that only other rules stand in the way of need no look."""

from boxship.cluster.scheduler.nodes import Node
from boxship.cluster.scheduler.shapes import Pod

FIT, PORTS, SPREAD, NEIGHBOURS = "NodeResourcesFit", "NodePorts", "PodTopologySpread", "InterPodAffinity"
TAINTS, CORDON, AFFINITY, NAME = "TaintToleration", "NodeUnschedulable", "NodeAffinity", "NodeName"
BINDING, ZONE, RESTRICTIONS = "VolumeBinding", "VolumeZone", "VolumeRestrictions"
LIMITS = "NodeVolumeLimits"

BY_LABELS = frozenset([AFFINITY, SPREAD, NEIGHBOURS, BINDING, ZONE])
BY_STORAGE = frozenset([BINDING, ZONE, RESTRICTIONS, LIMITS])
BY_NAMESPACE = frozenset([NEIGHBOURS])
BY_LEAVING = frozenset([FIT, PORTS, SPREAD, NEIGHBOURS, RESTRICTIONS, LIMITS])


def of_node(old: Node | None, new: Node | None) -> frozenset[str] | None:
    """None: everything may be different."""
    if old is None:
        return None
    if new is None:
        return frozenset([SPREAD, NEIGHBOURS])
    found: set[str] = set()
    if any(amount > old.allocatable.get(name, 0) for name, amount in new.allocatable.items()):
        found.add(FIT)
    if old.labels != new.labels:
        found |= BY_LABELS
    if old.taints != new.taints:
        found |= {TAINTS, SPREAD}
    if old.unschedulable and not new.unschedulable:
        found.add(CORDON)
    return frozenset(found)


def of_pod(old: Pod | None, new: Pod | None) -> frozenset[str]:
    """Of a pod that has a node, or had one; or that one was kept free for."""
    before = old is not None and bool(old.node) and not old.ended
    after = new is not None and bool(new.node) and not new.ended
    if before and not after:
        return BY_LEAVING
    if old is not None and old.is_waiting and old.nominated and _kept(new) != old.nominated:
        return BY_LEAVING
    if after and not before:
        return frozenset([SPREAD, NEIGHBOURS])
    if before and after:
        assert old is not None and new is not None
        if old.shape is not new.shape:
            return frozenset([FIT, SPREAD, NEIGHBOURS])
        if old.deleting != new.deleting:
            return frozenset([SPREAD])
    return frozenset()


def _kept(pod: Pod | None) -> str:
    """The node that a pod is on, or that is kept free for it."""
    if pod is None or pod.ended:
        return ""
    return pod.node or (pod.nominated if pod.is_waiting else "")
