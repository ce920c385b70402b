"""The affinity terms of pods that are on nodes: which there are, and which of them are about a pod that comes. Part of
the snapshot."""

from collections.abc import Callable

from boxship.cluster.scheduler.shapes import PodTerm, Shape

Holding = tuple[str, PodTerm]  # "near", "apart" or "wishes", and the term
PARTS = ("near", "apart", "wishes")
SHAPES = 1024  # whose terms are remembered


class Holdings:
    def __init__(self) -> None:
        self._counts: dict[Holding, int] = {}
        self._version = 0
        self._meant: dict[Shape, tuple[int, tuple[Holding, ...]]] = {}

    def add(self, shape: Shape, change: int) -> None:
        """A pod of this shape comes (1) or goes (-1)."""
        for part in PARTS:
            for term in getattr(shape, part):
                holding = (part, term)
                left = self._counts.get(holding, 0) + change
                if left == change == 1 or not left:
                    self._version += 1
                if left:
                    self._counts[holding] = left
                else:
                    del self._counts[holding]

    def about(self, shape: Shape, means: Callable[[PodTerm, Shape], bool]) -> tuple[Holding, ...]:
        """The terms that mean pods of this shape."""
        version, found = self._meant.get(shape, (-1, ()))
        if version != self._version:
            if len(self._meant) >= SHAPES:
                self._meant.clear()
            found = tuple(holding for holding in self._counts if means(holding[1], shape))
            self._meant[shape] = (self._version, found)
        return found

    def forget(self) -> None:
        """What terms mean has changed."""
        self._version += 1
