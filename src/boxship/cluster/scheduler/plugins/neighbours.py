"""Pods near other pods and apart from others, required and preferred, as both sides see it.

Source: kubernetes.io, "Assigning Pods to Nodes" (inter-pod affinity and anti-affinity).
"""

import msgspec

from boxship.cluster.scheduler.shapes import PodTerm
from boxship.cluster.scheduler.stages import HIGHEST, Task, Verdict
from boxship.cluster.scheduler.vectors import Vector

FAR = "node(s) didn't match pod affinity rules"
NEAR = "node(s) didn't match pod anti-affinity rules"
UNWANTED = "node(s) didn't satisfy existing pods anti-affinity rules"


class InterPodAffinity(msgspec.Struct, frozen=True):
    """`hard_weight`: what it counts that a pod there requires to be near this one. `ignores_others`: wishes of pods
    that are there do not count where the new pod has none."""

    name = "InterPodAffinity"
    local = False

    hard_weight: int = 1
    ignores_others: bool = False

    def check(self, task: Task, rows: slice) -> Vector | None:
        parts = [self._near(task), self._apart(task), self._unwanted(task)]
        found = None
        for part in parts:
            if part is not None:
                found = part if found is None else found & part
        return None if found is None else found[rows]

    def why(self, task: Task, place: int) -> Verdict:
        near, apart = self._near(task), self._apart(task)
        if near is not None and not near[place]:
            return Verdict(self.name, (FAR,), final=True)
        if apart is not None and not apart[place]:
            return Verdict(self.name, (NEAR,))
        return Verdict(self.name, (UNWANTED,))

    def rate(self, task: Task, feasible: Vector) -> Vector | None:
        kernel = task.kernel
        total = None
        for key, counts in self._wishes(task):
            part = around(task, key, counts)
            total = part if total is None else total + part
        if total is None:
            return None
        low, high = kernel.min(total, feasible), kernel.max(total, feasible)
        if low == high:
            return None
        return kernel.truncated((total - low) * float(HIGHEST) / float(high - low))

    def _near(self, task: Task) -> Vector | None:
        terms = task.shape.near
        return task.once(f"{self.name} near", lambda: _all_near(task, terms)) if terms else None

    def _apart(self, task: Task) -> Vector | None:
        terms = task.shape.apart
        return task.once(f"{self.name} apart", lambda: _all_apart(task, terms)) if terms else None

    def _unwanted(self, task: Task) -> Vector | None:
        """Where no pod is that requires to be apart from this one."""
        if all(part != "apart" for part, _ in task.world.held_against(task.shape)):
            return None
        return task.once(f"{self.name} unwanted", lambda: _none_holds(task))

    def _wishes(self, task: Task) -> list[tuple[str, Vector]]:
        """By label, what counts for and against each node."""
        world, shape = task.world, task.shape
        found = [(wish.key, world.tally((wish,)) * wish.weight) for wish in shape.wishes]
        if not self.ignores_others or shape.wishes:
            for holding in world.held_against(shape):
                part, term = holding
                weight = term.weight if part == "wishes" else self.hard_weight if part == "near" else 0
                if weight:
                    found.append((term.key, world.holders(holding) * weight))
        return found


def around(task: Task, key: str, counts: Vector) -> Vector:
    """For each node the sum over its domain; nothing where it has no such label."""
    codes, size = task.world.domains(key)
    sums = task.kernel.sums(codes, counts, size)
    sums[0] = 0
    return task.kernel.take(sums, codes)


def _all_near(task: Task, terms: tuple[PodTerm, ...]) -> Vector:
    """Where the domain of each term has a pod that all the terms mean; anywhere for the first of pods that mean each
    other."""
    world, kernel = task.world, task.kernel
    counts = world.tally(terms)
    labelled = found = world.present
    some = False
    for term in terms:
        there = around(task, term.key, counts)
        some = some or kernel.any(there > 0)
        found = found & (there > 0)
        labelled = labelled & (world.domains(term.key)[0] > 0)
    if not some and all(world.means(term, task.shape) for term in terms):
        return labelled
    return found


def _all_apart(task: Task, terms: tuple[PodTerm, ...]) -> Vector:
    found = task.world.present
    for term in terms:
        found = found & (around(task, term.key, task.world.tally((term,))) == 0)
    return found


def _none_holds(task: Task) -> Vector:
    world = task.world
    found = world.present
    for holding in world.held_against(task.shape):
        if holding[0] == "apart":
            found = found & (around(task, holding[1].key, world.holders(holding)) == 0)
    return found
