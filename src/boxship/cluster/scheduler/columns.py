"""Vectors that follow from nodes alone, and sums of what pods take: computed when they are first asked for, afterwards
only where something changed. Part of the snapshot."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from boxship.cluster.scheduler.nodes import Node
from boxship.cluster.scheduler.tallies import Kept
from boxship.cluster.scheduler.vectors import Kernel, Vector

COLUMNS = 1024  # that are kept


class Column:
    """One number for each node, of the node alone."""

    def __init__(self, compute: Callable[[Node], Any], empty: Any) -> None:
        self.compute = compute
        self.empty = empty
        self.seen = -1
        self.vector: Vector = None


class Domains:
    """The values of one label as small numbers; 0: the node has no such label."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.codes: dict[str, int] = {}

    def code(self, node: Node) -> int:
        value = node.labels.get(self.key)
        return 0 if value is None else self.codes.setdefault(value, len(self.codes) + 1)


class Columns:
    """Over `nodes`, a list that others change; they say where."""

    def __init__(self, nodes: Sequence[Node | None]) -> None:
        self._nodes = nodes
        self._changed: list[int] = []  # places, in order
        self.first = 0  # number of the first change in the list
        self._columns = Kept(COLUMNS)
        self._domains: dict[str, Domains] = {}

    def get(self, kernel: Kernel, key: Hashable, compute: Callable[[Node], Any], empty: Any) -> Vector:
        column = self._columns.found(key, lambda: Column(compute, empty))
        if column.seen != self.changes:
            self._refresh(kernel, column)
        return column.vector

    def domains(self, kernel: Kernel, key: str) -> tuple[Vector, int]:
        """Each node's value of the label as a number, and one more than the greatest."""
        domains = self._domains.setdefault(key, Domains(key))
        codes = self.get(kernel, ("label", key), domains.code, 0)
        return codes, len(domains.codes) + 1

    @property
    def changes(self) -> int:
        return self.first + len(self._changed)

    def places_since(self, seen: int) -> set[int]:
        """Whose node has changed since that number of a change."""
        return set(self._changed[seen - self.first :])

    def changed(self, place: int) -> None:
        self._changed.append(place)
        if len(self._changed) > 2 * len(self._nodes) + 1000:
            self.clear()

    def clear(self) -> None:
        """Compute all of them anew."""
        self.first = self.changes + 1  # whoever is behind has missed something
        self._changed.clear()
        self._columns.clear()

    def _refresh(self, kernel: Kernel, column: Column) -> None:
        nodes = self._nodes
        size = len(nodes)
        if column.seen < self.first or self.changes - column.seen > size:
            column.vector = kernel.of(column.empty if node is None else column.compute(node) for node in nodes)
        else:
            if len(column.vector) < size:
                column.vector = kernel.longer(column.vector, size - len(column.vector), column.empty)
            for place in self.places_since(column.seen):
                node = nodes[place]
                column.vector[place] = column.empty if node is None else column.compute(node)
        column.seen = self.changes


class Sums:
    """Of each resource, what is taken at each place."""

    def __init__(self) -> None:
        self._vectors: dict[str, Vector] = {}

    def get(self, kernel: Kernel, resource: str, size: int) -> Vector:
        """Not to be changed."""
        vector = self._vectors.get(resource)
        if vector is None:
            vector = self._vectors[resource] = kernel.full(size, 0)
        elif len(vector) < size:
            vector = self._vectors[resource] = kernel.longer(vector, size - len(vector), 0)
        return vector

    def add(self, kernel: Kernel, place: int, size: int, amounts: Mapping[str, int], change: int) -> None:
        """At one place, amounts that come (1) or go (-1)."""
        for resource, amount in amounts.items():
            self.get(kernel, resource, size)[place] += change * amount

    def convert(self, kernel: Kernel) -> None:
        for resource, vector in self._vectors.items():
            self._vectors[resource] = kernel.of(vector)
