"""How many pods of a kind are on each node: counted once, then kept up to date by what came and went since."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from boxship.cluster.scheduler.shapes import Shape
from boxship.cluster.scheduler.vectors import Kernel, Vector

Match = Callable[[Shape], int]  # how often a pod of this shape counts
TALLIES = 1024  # that are kept
MOVES = 20_000  # that are remembered; who is further behind counts anew


class Crowd:
    """Which shapes of pods are on which node: the ground that all tallies stand on. Pods that are being deleted are
    counted apart, because some rules overlook them."""

    def __init__(self) -> None:
        self.at: dict[tuple[Shape, bool], dict[int, int]] = {}  # (shape, deleting) → node's place → pods
        self.in_namespace: dict[str, dict[tuple[Shape, bool], None]] = {}
        self.moves: list[tuple[int, Shape, bool, int]] = []
        self.first = 0  # number of the first move in the list

    @property
    def last(self) -> int:
        return self.first + len(self.moves)

    def places_since(self, seen: int) -> set[int]:
        """Where pods came or went since that number of a move."""
        return {move[0] for move in self.moves[seen - self.first :]}

    def move(self, place: int, shape: Shape, deleting: bool, change: int) -> None:
        """One pod comes (1) or goes (-1)."""
        group = (shape, deleting)
        places = self.at.get(group)
        if places is None:
            places = self.at[group] = {}
            self.in_namespace.setdefault(shape.namespace, {})[group] = None
        left = places.get(place, 0) + change
        if left:
            places[place] = left
        else:
            places.pop(place, None)
            if not places:
                del self.at[group]
                del self.in_namespace[shape.namespace][group]
        if len(self.moves) >= MOVES:
            half = MOVES // 2
            del self.moves[:half]
            self.first += half
        self.moves.append((place, shape, deleting, change))


class Tally:
    """The pods that `match`, by node. `overlook`: not those that are being deleted."""

    def __init__(self, match: Match, overlook: bool, namespaces: frozenset[str] | None) -> None:
        self._match = match
        self._overlook = overlook
        self._namespaces = namespaces  # None: all
        self._known: dict[Shape, int] = {}
        self._seen = -1
        self._size = 0
        self._counts: Vector = None

    def counts(self, crowd: Crowd, kernel: Kernel, size: int) -> Vector:
        """Not to be changed."""
        if self._seen < crowd.first:
            self._count(crowd, kernel, size)
        elif size != self._size:
            self._counts = kernel.longer(self._counts, size - self._size, 0)
            self._size = size
        if self._seen < crowd.last:
            for place, shape, deleting, change in crowd.moves[self._seen - crowd.first :]:
                if weight := self._weight(shape, deleting):
                    self._counts[place] += change * weight
            self._seen = crowd.last
        return self._counts

    def _count(self, crowd: Crowd, kernel: Kernel, size: int) -> None:
        self._counts = kernel.full(size, 0)
        self._size, self._seen = size, crowd.last
        for group in self._groups(crowd):
            if weight := self._weight(*group):
                for place, pods in crowd.at[group].items():
                    self._counts[place] += pods * weight

    def _groups(self, crowd: Crowd) -> Iterable[tuple[Shape, bool]]:
        if self._namespaces is None:
            return crowd.at
        return (group for name in self._namespaces for group in crowd.in_namespace.get(name, ()))

    def _weight(self, shape: Shape, deleting: bool) -> int:
        if deleting and self._overlook:
            return 0
        known = self._known.get(shape)
        if known is None:
            if len(self._known) > MOVES:
                self._known.clear()
            known = self._known[shape] = self._match(shape)
        return known


class Kept(OrderedDict[Hashable, Any]):
    """A memory that forgets what was not asked for longest."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def found(self, key: Hashable, make: Callable[[], Any]) -> Any:
        value = self.get(key)
        if value is None:
            value = self[key] = make()
            if len(self) > self._limit:
                self.popitem(last=False)
        else:
            self.move_to_end(key)
        return value
