"""What a node says of itself and a pod of nodes: the name, unschedulable, taints, selectors and node affinity.

Source: kubernetes.io, "Assigning Pods to Nodes", "Taints and Tolerations".
"""

from collections.abc import Hashable

import msgspec

from boxship.cluster.objects.selectors import IN
from boxship.cluster.objects.tolerations import Taint, covers
from boxship.cluster.scheduler.nodes import (
    NO_EXECUTE,
    NO_SCHEDULE,
    PREFER_NO_SCHEDULE,
    UNSCHEDULABLE,
    Node,
    term_matches,
    untolerated,
)
from boxship.cluster.scheduler.shapes import NodeTerm, Shape
from boxship.cluster.scheduler.stages import Task, Verdict, stretched
from boxship.cluster.scheduler.vectors import Vector

HARD = (NO_SCHEDULE, NO_EXECUTE)


class NodeName(msgspec.Struct, frozen=True):
    """Only the node that the pod itself names."""

    name = "NodeName"
    local = True

    def check(self, task: Task, rows: slice) -> Vector | None:
        wanted = task.shape.node_name
        if not wanted:
            return None
        return task.world.column((self.name, wanted), lambda node: node.name == wanted, False)[rows]

    def why(self, task: Task, place: int) -> Verdict:
        return Verdict(self.name, ("node(s) didn't match the requested node name",), final=True)


class NodeUnschedulable(msgspec.Struct, frozen=True):
    """Not on cordoned nodes, unless the pod tolerates that."""

    name = "NodeUnschedulable"
    local = True

    def check(self, task: Task, rows: slice) -> Vector | None:
        cordoned = Taint(UNSCHEDULABLE, "", NO_SCHEDULE)
        if any(covers(each, cordoned) for each in task.shape.tolerations):
            return None
        return task.world.column(self.name, lambda node: not node.unschedulable, False)[rows]

    def why(self, task: Task, place: int) -> Verdict:
        return Verdict(self.name, ("node(s) were unschedulable",), final=True)


class TaintToleration(msgspec.Struct, frozen=True):
    """Only nodes whose taints are tolerated; rather those with few that should be avoided."""

    name = "TaintToleration"
    local = True

    def check(self, task: Task, rows: slice) -> Vector | None:
        tolerations = task.shape.tolerations
        return task.world.column(
            (self.name, tolerations), lambda node: untolerated(node, tolerations, HARD) is None, False
        )[rows]

    def why(self, task: Task, place: int) -> Verdict:
        taint = untolerated(task.world.node_at(place), task.shape.tolerations, HARD)
        assert taint is not None
        detail = f"{taint.key}={taint.value}:{taint.effect}"
        return Verdict(self.name, ("node(s) had untolerated taint(s)",), final=True, detail=detail)

    def rate(self, task: Task, feasible: Vector) -> Vector | None:
        tolerations = tuple(each for each in task.shape.tolerations if each.effect in ("", PREFER_NO_SCHEDULE))

        def disliked(node: Node) -> int:
            return sum(
                taint.effect == PREFER_NO_SCHEDULE and not any(covers(each, taint) for each in tolerations)
                for taint in node.taints
            )

        counts = task.world.column((self.name, "disliked", tolerations), disliked)
        return stretched(task.kernel, counts, feasible, reverse=True)


class NodeAffinity(msgspec.Struct, frozen=True):
    """`added`: what the profile requires of nodes besides."""

    name = "NodeAffinity"
    local = True

    added: tuple[NodeTerm, ...] | None = None
    added_wishes: tuple[NodeTerm, ...] = ()

    def check(self, task: Task, rows: slice) -> Vector | None:
        own = matching(task, task.shape)
        added = self._added(task)
        if added is not None:
            own = added if own is None else own & added
        return None if own is None else own[rows]

    def why(self, task: Task, place: int) -> Verdict:
        added = self._added(task)
        if added is not None and not added[place]:
            return Verdict(self.name, ("node(s) didn't match scheduler-enforced node affinity",), final=True)
        return Verdict(self.name, ("node(s) didn't match Pod's node affinity/selector",), final=True)

    def rate(self, task: Task, feasible: Vector) -> Vector | None:
        wishes = (*task.shape.node_wishes, *self.added_wishes)
        if not wishes:
            return None
        weights = task.world.column((self.name, "wishes", wishes), lambda node: wished(wishes, node))
        return stretched(task.kernel, weights, feasible)

    def _added(self, task: Task) -> Vector | None:
        added = self.added
        if added is None:
            return None
        key = (self.name, "added", added)
        return task.world.column(key, lambda node: any(term_matches(term, node) for term in added), False)


def wished(wishes: tuple[NodeTerm, ...], node: Node) -> int:
    """The weights of the wishes that this node fulfils; one that says nothing is always fulfilled."""
    return sum(wish.weight for wish in wishes if term_matches(wish, node) or not (wish.labels or wish.names))


def is_matching(shape: Shape, node: Node) -> bool:
    """Whether the node is one that the pod's selector and required node affinity mean."""
    if not all(need.matches(node.labels) for need in shape.node_selector):
        return False
    return shape.node_terms is None or any(term_matches(term, node) for term in shape.node_terms)


def matching(task: Task, shape: Shape) -> Vector | None:
    """The places that pass `is_matching`; None: all."""
    if not shape.node_selector and shape.node_terms is None:
        return None
    named = _named(shape.node_terms)
    if named is not None:  # as a DaemonSet's pods: one node each, no column for every pod
        return task.once("named nodes", lambda: _only(task, shape, named))
    key: Hashable = ("NodeAffinity", shape.node_selector, shape.node_terms)
    return task.world.column(key, lambda node: is_matching(shape, node), False)


def _named(terms: tuple[NodeTerm, ...] | None) -> tuple[str, ...] | None:
    """The only nodes that the terms can mean, where each term names some."""
    found: list[str] = []
    for term in terms or ():
        names = [need.values for need in term.names if need.operator == IN]
        if not names:
            return None
        found += names[0]
    return tuple(found) if terms else None


def _only(task: Task, shape: Shape, names: tuple[str, ...]) -> Vector:
    world = task.world
    mask = world.kernel.full(world.size, False)
    for name in names:
        place = world.places.get(name)
        if place is not None:
            mask[place] = is_matching(shape, world.node_at(place))
    return mask
