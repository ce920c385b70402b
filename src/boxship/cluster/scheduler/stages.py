"""The stages of a decision, as plugins see them: a task (one pod, one snapshot), checks of all nodes at once, ratings
from 0 to 100. A plugin has a file of its own below plugins/ and a line in the list there."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec

from boxship.cluster.scheduler.shapes import Key, Pod, Shape
from boxship.cluster.scheduler.vectors import Kernel, Vector
from boxship.cluster.scheduler.world import World

HIGHEST = 100  # rating
T = TypeVar("T")


class Rejected(Exception):
    """No node can take the pod, for a reason that has nothing to do with nodes."""

    def __init__(self, plugin: str, message: str) -> None:
        super().__init__(message)
        self.plugin = plugin


class Verdict(msgspec.Struct, frozen=True):
    """Why a node does not take the pod. `final`: it would not even if other pods went. `detail`: of this node alone,
    for who asks about it."""

    plugin: str
    reasons: tuple[str, ...]
    final: bool = False
    detail: str = ""


class Task:
    """One pod to be placed. What plugins compute along the way is kept as long as the snapshot stays as it is."""

    def __init__(self, world: World, pod: Pod) -> None:
        self.world = world
        self.pod = pod
        self.shape: Shape = pod.shape
        self._made: dict[str, tuple[int, Any]] = {}

    @property
    def kernel(self) -> Kernel:
        return self.world.kernel

    @property
    def key(self) -> Key:
        return self.pod.key

    def once(self, name: str, make: Callable[[], T]) -> T:
        moment, value = self._made.get(name, (-1, None))
        if moment != self.world.moment:
            value = make()
            self._made[name] = (self.world.moment, value)
        return value  # type: ignore[no-any-return]


class Filter(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def local(self) -> bool:
        """Whether a place's answer hangs on that node and its pods alone."""

    def check(self, task: Task, rows: slice) -> Vector | None:
        """Which of these places pass; None: all. Raises Rejected."""

    def why(self, task: Task, place: int) -> Verdict:
        """Of a place that does not pass."""


@runtime_checkable
class WhyEach(Filter, Protocol):
    """One that tells of many places faster than of one after the other."""

    def why_each(self, task: Task, places: Sequence[int]) -> list[Verdict]:
        """As `why`, for each of these places."""


class Score(Protocol):
    @property
    def name(self) -> str: ...

    def rate(self, task: Task, feasible: Vector) -> Vector | None:
        """0 to 100 for each place that is feasible; None: all the same."""


@runtime_checkable
class LocalScore(Score, Protocol):
    """One whose rating of a place hangs on that node and its pods alone."""

    def rate_rows(self, task: Task, rows: slice) -> Vector | None:
        """Of these places."""


def stretched(kernel: Kernel, values: Vector, feasible: Vector, *, reverse: bool = False) -> Vector | None:
    """Values of 0 and more to the range up to 100, the greatest there; `reverse`: nothing there, and 0 at 100."""
    if not kernel.any(values):
        return None
    highest = kernel.max(values, feasible)
    if highest == 0:
        return None
    shares = values * HIGHEST // highest
    return HIGHEST - shares if reverse else shares
