"""What pods take from nodes: fit, and which of the nodes that fit is best: the emptiest, the fullest, by a curve, or
the most even.

Source: kubernetes.io, "Resource Bin Packing", "Scheduler Configuration" (NodeResourcesFitArgs); the arithmetic in whole
numbers is the original's.
"""

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from boxship.cluster.scheduler.stages import HIGHEST, Task, Verdict
from boxship.cluster.scheduler.vectors import ALL, Vector
from boxship.cluster.scheduler.world import PODS

LEAST, MOST, RATIO = "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"
BOTH = (("cpu", 1), ("memory", 1))
MARKED = 30  # resources: their marks fit into 64 bits


class NodeResourcesFit(msgspec.Struct, frozen=True):
    """`ignored`: resources that somebody else looks after, by name or, with groups, by the part before "/". `curve`:
    utilisation in percent and the score there (0 to 10), for RequestedToCapacityRatio."""

    name = "NodeResourcesFit"
    local = True

    ignored: tuple[str, ...] = ()
    ignored_groups: tuple[str, ...] = ()
    strategy: str = LEAST
    resources: tuple[tuple[str, int], ...] = BOTH
    curve: tuple[tuple[int, int], ...] = ()

    def check(self, task: Task, rows: slice) -> Vector | None:
        world = task.world
        found = world.used(PODS)[rows] < world.allocatable(PODS)[rows]
        for resource, amount in task.shape.requests.items():
            if not self._is_ignored(resource):
                found = found & (world.used(resource)[rows] + amount <= world.allocatable(resource)[rows])
        return found

    def why(self, task: Task, place: int) -> Verdict:
        world = task.world
        reasons, final = [], False
        if world.used(PODS)[place] >= world.allocatable(PODS)[place]:
            reasons.append("Too many pods")
        for resource, amount in task.shape.requests.items():
            there = world.allocatable(resource)[place]
            if not self._is_ignored(resource) and world.used(resource)[place] + amount > there:
                reasons.append(f"Insufficient {resource}")
                final = final or amount > there
        return Verdict(self.name, tuple(reasons), final)

    def why_each(self, task: Task, places: Sequence[int]) -> list[Verdict]:
        """Places with the same shortages share a verdict: `marks` has two bits for each resource."""
        world, kernel = task.world, task.kernel
        resources = [name for name in task.shape.requests if not self._is_ignored(name)]
        if len(resources) > MARKED:
            return [self.why(task, place) for place in places]
        marks = kernel.choose(world.used(PODS) >= world.allocatable(PODS), 1, 0)
        for number, resource in enumerate(resources, 1):
            amount, there = task.shape.requests[resource], world.allocatable(resource)
            marks = marks + kernel.choose(world.used(resource) + amount > there, 1 << 2 * number, 0)
            marks = marks + kernel.choose(there < amount, 2 << 2 * number, 0)
        shared: dict[int, Verdict] = {}
        found = []
        for place, mark in zip(places, kernel.take(marks, kernel.of(places)), strict=True):
            verdict = shared.get(mark)
            if verdict is None:
                verdict = shared[mark] = self.why(task, place)
            found.append(verdict)
        return found

    def rate(self, task: Task, feasible: Vector) -> Vector | None:
        return self.rate_rows(task, ALL)

    def rate_rows(self, task: Task, rows: slice) -> Vector | None:
        kernel = task.kernel
        size = len(task.world.present[rows])
        total, weights = kernel.full(size, 0), kernel.full(size, 0)
        for resource, weight in self.resources:
            found = fill(task, resource, rows)
            if found is None:
                continue
            asked, there = found
            part = self._part(task, kernel.least(asked, there), there)
            part = kernel.choose(asked <= there, part, self.curve[-1][1] * 10 if self.strategy == RATIO else 0)
            counts = (there > 0) & (part > 0) if self.strategy == RATIO else there > 0
            total = total + kernel.choose(counts, part, 0) * weight
            weights = weights + kernel.choose(counts, weight, 0)
        if self.strategy == RATIO:
            return kernel.rounded(total / kernel.greatest(weights, 1))
        return total // kernel.greatest(weights, 1)

    def _part(self, task: Task, asked: Vector, there: Vector) -> Vector:
        divisor = task.kernel.greatest(there, 1)
        if self.strategy == MOST:
            return asked * HIGHEST // divisor
        if self.strategy == RATIO:
            return self._on_curve(task, asked * HIGHEST // divisor)
        return (there - asked) * HIGHEST // divisor

    def _on_curve(self, task: Task, percent: Vector) -> Vector:
        curve = [(at, score * HIGHEST // 10) for at, score in self.curve]
        result = percent * 0 + curve[-1][1]
        for (low, first), (high, last) in reversed(list(pairwise(curve))):
            line = first + _towards_zero(task, (percent - low) * (last - first), high - low)
            result = task.kernel.choose(percent <= high, line, result)
        return task.kernel.choose(percent <= curve[0][0], percent * 0 + curve[0][1], result)

    def _is_ignored(self, resource: str) -> bool:
        return resource in self.ignored or ("/" in resource and resource.partition("/")[0] in self.ignored_groups)


class BalancedAllocation(msgspec.Struct, frozen=True):
    """Rather nodes whose resources would be used to even parts."""

    name = "NodeResourcesBalancedAllocation"

    resources: tuple[tuple[str, int], ...] = BOTH

    def rate(self, task: Task, feasible: Vector) -> Vector | None:
        return self.rate_rows(task, ALL)

    def rate_rows(self, task: Task, rows: slice) -> Vector | None:
        kernel = task.kernel
        parts = []
        for resource, _ in self.resources:
            found = fill(task, resource, rows, plain=True)
            if found is not None:
                asked, there = found
                parts.append((kernel.least(asked / kernel.greatest(there, 1), 1.0), there > 0))
        if len(parts) < 2 or not any(task.shape.requests.get(resource) for resource, _ in self.resources):
            return None
        if len(parts) == 2:
            (one, has), (other, has_too) = parts
            deviation = kernel.choose(has & has_too, abs(one - other) * 0.5, 0.0)
            return kernel.truncated((1 - deviation) * HIGHEST)
        counted = [kernel.choose(has, 1, 0) for _, has in parts]
        count = kernel.greatest(sum(counted[1:], counted[0]), 1)
        shares = [kernel.choose(has, share, 0.0) for share, has in parts]
        mean = sum(shares[1:], shares[0]) / count
        apart = [kernel.choose(has, (share - mean) * (share - mean), 0.0) for share, has in parts]
        deviation = kernel.roots(sum(apart[1:], apart[0]) / count)
        return kernel.truncated((1 - deviation) * HIGHEST)


def fill(task: Task, resource: str, rows: slice, *, plain: bool = False) -> tuple[Vector, Vector] | None:
    """How much would be taken with this pod on each node, and how much is there; None where that does not count: of a
    resource besides cpu and memory only for who asks for it. `plain`: only what was really asked for."""
    world, shape = task.world, task.shape
    there = world.allocatable(resource)[rows]
    if not plain and resource in shape.scoring:
        return world.scoring(resource)[rows] + shape.scoring[resource], there
    amount = shape.requests.get(resource, 0)
    if not amount and ("/" in resource or resource.startswith("hugepages-")):
        return None
    return world.used(resource)[rows] + amount, there


def _towards_zero(task: Task, values: Vector, divisor: int) -> Vector:
    """Whole division as the original's language has it."""
    return task.kernel.choose(values < 0, 0 - ((0 - values) // divisor), values // divisor)
