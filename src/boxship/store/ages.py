"""How old the history is: marks that tie a revision to two clocks, one every few seconds in which something is written.

`wall` is the clock that people read; it may jump, forwards and back. What is forgotten by age goes by `ran` alone: the
seconds that the store has been open since it was made, so no jump of a clock takes history away, nor does the time in
which the machine was off. Pure: both clocks are given.
"""

from bisect import bisect_right
from collections.abc import Iterable

import msgspec

MARK_SECONDS = 10.0


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """The commit `revision` was made at `wall` (seconds since 1970), when the store had been open for `ran` seconds."""

    revision: int
    wall: float
    ran: float


class Ages:
    """The marks, oldest first. `started` is the monotonic clock of now."""

    def __init__(self, marks: Iterable[Mark], started: float) -> None:
        self._marks = list(marks)
        self._base = (self._marks[-1].ran if self._marks else 0.0) - started
        self._wall = self._marks[-1].wall if self._marks else 0.0
        self._due = True  # the first commit after opening has one

    def mark(self, revision: int, wall: float, monotonic: float) -> Mark | None:
        """The mark that the commit `revision` must leave, if any: none was left for a while, or the clock went back."""
        ran = self._base + monotonic
        if not self._due and wall >= self._wall and ran < self._marks[-1].ran + MARK_SECONDS:
            self._wall = wall
            return None
        return Mark(revision, wall, ran)

    def left(self, mark: Mark) -> None:
        """The mark is on the disk."""
        self._marks.append(mark)
        self._wall = mark.wall
        self._due = False

    def first_within(self, seconds: float, monotonic: float) -> int:
        """The revision from which on all is younger than `seconds`; a little older for lack of a mark. 0: all is."""
        index = bisect_right(self._marks, self._base + monotonic - seconds, key=lambda mark: mark.ran) - 1
        return self._marks[index].revision if index >= 0 else 0

    def forget(self, before: int) -> None:
        """The history below `before` is gone; the last mark there still says how old the rest is."""
        index = bisect_right(self._marks, before, key=lambda mark: mark.revision) - 1
        if index > 0:
            del self._marks[:index]
