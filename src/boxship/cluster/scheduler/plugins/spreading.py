"""Pods that are alike are spread over domains: the values of a label of nodes (zones, the nodes themselves).

Source: kubernetes.io, "Pod Topology Spread Constraints", KEP-895, KEP-3022 (minDomains), KEP-3094 (inclusion policies).
"""

import math
from collections.abc import Sequence
from functools import partial

import msgspec

from boxship.cluster.objects.selectors import LabelSelector, Requirement
from boxship.cluster.scheduler.nodes import HOSTNAME, untolerated
from boxship.cluster.scheduler.plugins.nodes import HARD, matching
from boxship.cluster.scheduler.shapes import PodTerm, Shape, Spread
from boxship.cluster.scheduler.stages import HIGHEST, Task, Verdict
from boxship.cluster.scheduler.vectors import Vector
from boxship.cluster.scheduler.world import World

ZONE = "topology.kubernetes.io/zone"
ANY = LabelSelector()
SYSTEM_DEFAULTS = (Spread(HOSTNAME, 3, False, ANY), Spread(ZONE, 5, False, ANY))
MISMATCH = "node(s) didn't match pod topology spread constraints"


class PodTopologySpread(msgspec.Struct, frozen=True):
    """`defaults` are for pods that have no constraints of their own and belong to something: a service, a set."""

    name = "PodTopologySpread"
    local = False

    defaults: tuple[Spread, ...] = SYSTEM_DEFAULTS
    by_system: bool = True

    def check(self, task: Task, rows: slice) -> Vector | None:
        hard = [each for each in self._constraints(task) if each.hard]
        if not hard:
            return None
        found = None
        for number, spread in enumerate(hard):
            codes, around, least = task.once(f"{self.name} {number}", partial(self._around, task, spread, hard))
            self_match = int(matches(spread, task.shape))
            mask = (codes[rows] > 0) & (around[rows] + (self_match - least) <= spread.max_skew)
            found = mask if found is None else found & mask
        return found

    def why(self, task: Task, place: int) -> Verdict:
        hard = [each for each in self._constraints(task) if each.hard]
        for spread in hard:
            if spread.key not in task.world.node_at(place).labels:
                return Verdict(self.name, (f"{MISMATCH} (missing required label)",), final=True)
            if self.skew(task, spread, hard, place) > spread.max_skew:
                break
        return Verdict(self.name, (MISMATCH,))

    def skew(self, task: Task, spread: Spread, hard: Sequence[Spread], place: int) -> int:
        """How much more there would be in this place's domain than in the one with the fewest."""
        _, around, least = self._around(task, spread, hard)
        return int(around[place]) + int(matches(spread, task.shape)) - least

    def rate(self, task: Task, feasible: Vector) -> Vector | None:
        soft = [each for each in self._constraints(task) if not each.hard]
        if not soft:
            return None
        kernel, world = task.kernel, task.world
        strict = bool(task.shape.spreads) or not self.by_system
        counted = feasible & _labelled(world, soft) if strict else feasible
        if not kernel.any(counted):
            return None
        total = kernel.full(world.size, 0.0)
        for spread in soft:
            total = total + _soft_part(task, spread, counted, soft if strict else ())
        scores = kernel.rounded(total)
        low, high = kernel.min(scores, counted), kernel.max(scores, counted)
        if high == 0:
            return kernel.choose(counted, HIGHEST, 0)
        return kernel.choose(counted, (high + low - scores) * HIGHEST // high, 0)

    def _constraints(self, task: Task) -> Sequence[Spread]:
        if task.shape.spreads:
            return task.shape.spreads
        key = (self.name, self.defaults, task.shape)
        found: Sequence[Spread] = task.world.remembered(key, lambda: self._defaults(task.world, task.shape))
        return found

    def _defaults(self, world: World, shape: Shape) -> tuple[Spread, ...]:
        if not self.defaults:
            return ()
        selector = selector_of_owners(world, shape)
        if selector is None:
            return ()
        return tuple(msgspec.structs.replace(each, selector=selector) for each in self.defaults)

    def _around(self, task: Task, spread: Spread, hard: Sequence[Spread]) -> tuple[Vector, Vector, int]:
        """The nodes' domains, the pods in each node's domain, and those in the domain with the fewest."""
        kernel, world = task.kernel, task.world
        codes, size = world.domains(spread.key)
        eligible = _included(task, spread) & _labelled(world, hard)
        pods = kernel.choose(eligible, alike(task, spread), 0)
        sums = kernel.sums(codes, pods, size)
        domains = kernel.sums(codes, kernel.choose(eligible, 1, 0), size) > 0
        domains[0] = False
        sums[0] = 0
        there = kernel.count(domains)
        least = kernel.min(sums, domains) if there >= max(spread.min_domains, 1) else 0
        return codes, kernel.take(sums, codes), least


def alike(task: Task, spread: Spread) -> Vector:
    """On each node the pods that the constraint counts. Those that are being deleted do not count any more."""
    term = PodTerm("", spread.selector, frozenset([task.shape.namespace]))
    return task.world.tally((term,), overlook=True)


def matches(spread: Spread, shape: Shape) -> bool:
    return spread.selector.matches(shape.labels)


def selector_of_owners(world: World, shape: Shape) -> LabelSelector | None:
    """What the services and the set that a pod belongs to select together; None where it belongs to none."""
    found: list[Requirement] = []
    for (kind, name), selector in world.sets.get(shape.namespace, {}).items():
        if kind == "Service":
            if selector.matches(shape.labels):
                found += selector.requirements
        elif (kind, name) == shape.owner[:2]:
            found += selector.requirements
    return LabelSelector(tuple(dict.fromkeys(found))) if found else None


def _soft_part(task: Task, spread: Spread, counted: Vector, labelled: Sequence[Spread]) -> Vector:
    kernel, world = task.kernel, task.world
    codes, size = world.domains(spread.key)
    pods = alike(task, spread)
    if spread.key == HOSTNAME:
        weight = math.log(kernel.count(counted) + 2)
        around = pods
    else:
        known = kernel.sums(codes, kernel.choose(counted, 1, 0), size) > 0
        known[0] = False
        weight = math.log(kernel.count(known) + 2)
        eligible = _included(task, spread)
        if labelled:
            eligible = eligible & _labelled(world, labelled)
        sums = kernel.sums(codes, kernel.choose(eligible, pods, 0), size)
        around = kernel.take(sums, codes)
    return kernel.choose(codes > 0, around * weight + float(spread.max_skew - 1), 0.0)


def _labelled(world: World, spreads: Sequence[Spread]) -> Vector:
    """The nodes that have all the labels."""
    found = world.domains(spreads[0].key)[0] > 0
    for spread in spreads[1:]:
        found = found & (world.domains(spread.key)[0] > 0)
    return found


def _included(task: Task, spread: Spread) -> Vector:
    """The nodes that count at all, by the constraint's policies."""
    found = task.world.present
    if spread.honor_affinity:
        meant = matching(task, task.shape)
        found = found if meant is None else found & meant
    if spread.honor_taints:
        tolerations = task.shape.tolerations
        key = ("TaintToleration", tolerations)
        found = found & task.world.column(key, lambda node: untolerated(node, tolerations, HARD) is None, False)
    return found
