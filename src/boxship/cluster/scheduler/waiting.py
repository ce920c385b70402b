"""Pods that wait for a node: those that are next, those that pause after a failure, those that wait for something to
change. Knows no clock: who asks says what time it is (seconds).

Source: kubernetes.io, "Scheduling Framework" (queue sort, queueing hints), "Pod Priority and Preemption".
"""

import heapq
import itertools
from collections import deque
from collections.abc import Collection

import msgspec

from boxship.cluster.scheduler.shapes import Pod

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0  # seconds
ROUSED_AT_ONCE = 1000  # pods
FORGOTTEN = 300.0  # seconds after which a pod is looked at again, whatever happened


class Seat(msgspec.Struct):
    """One pod that waits."""

    pod: Pod
    since: float  # when it came; who came first goes first
    tries: int = 0
    failed: float = 0.0
    plugins: frozenset[str] = frozenset()
    state: str = "ready"  # or "pausing", "stuck", "taken"
    due: float = 0.0  # when its pause ends


class Waiting:
    def __init__(self, first_pause: float = FIRST_PAUSE, longest_pause: float = LONGEST_PAUSE) -> None:
        self._first_pause, self._longest_pause = first_pause, longest_pause
        self._seats: dict[str, Seat] = {}
        self._ready: list[tuple[int, float, int, str]] = []
        self._pausing: list[tuple[float, int, str]] = []
        self._early: deque[str] = deque()  # whose pause may be cut short when nothing else is to be done
        self._stuck: dict[frozenset[str], dict[str, None]] = {}  # by the plugins that stand in the way
        self._woken: deque[str] = deque()  # were stuck, and may not be any more: looked at bit by bit
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._seats)

    def knows(self, uid: str) -> bool:
        return uid in self._seats

    def counts(self) -> dict[str, int]:
        """How many are in each state."""
        found = dict.fromkeys(("ready", "pausing", "stuck", "taken"), 0)
        for seat in self._seats.values():
            found[seat.state] += 1
        return found

    def put(self, pod: Pod, now: float) -> None:
        """A pod that is new, or has changed. Only what decides where it may go brings it forward."""
        seat = self._seats.get(pod.uid)
        if seat is None:
            seat = self._seats[pod.uid] = Seat(pod, now)
            self._make_ready(seat)
            return
        changed = seat.pod.shape is not pod.shape or seat.pod.gates != pod.gates
        seat.pod = pod
        if changed and seat.state == "stuck":
            self._unstick(seat)
            self._pause_out(seat, now)

    def remove(self, uid: str) -> None:
        seat = self._seats.pop(uid, None)
        if seat is not None and seat.state == "stuck":
            self._unstick(seat)

    def take(self, now: float) -> Pod | None:
        """The next pod, by priority, then by how long it has waited. It stays known until it is removed. Where
        very many were woken at once, the order holds among those that were looked at."""
        while self._woken:
            self._rouse(now)
            if self._ready or self._early:
                break
        while self._pausing and self._pausing[0][0] <= now:
            due, _, uid = heapq.heappop(self._pausing)
            seat = self._seats.get(uid)
            if seat is not None and seat.state == "pausing" and seat.due == due:
                self._make_ready(seat)
        while self._ready:
            uid = heapq.heappop(self._ready)[3]
            seat = self._seats.get(uid)
            if seat is not None and seat.state == "ready":
                seat.state = "taken"
                return seat.pod
        return self._take_early()

    def stick(self, uid: str, plugins: Collection[str], now: float) -> None:
        """No node for it, because of these plugins: until something changes that they look at."""
        seat = self._seats.get(uid)
        if seat is not None:
            self._failed(seat, now)
            seat.plugins = frozenset(plugins)
            seat.state = "stuck"
            self._stuck.setdefault(seat.plugins, {})[uid] = None

    def pause(self, uid: str, now: float) -> None:
        """Something went wrong: after a pause, again."""
        seat = self._seats.get(uid)
        if seat is not None:
            self._failed(seat, now)
            self._push_pausing(seat, now + self._pause_of(seat))

    def hint(self, plugins: Collection[str] | None, now: float) -> None:
        """What these plugins look at has changed (None: all)."""
        for group in list(self._stuck):
            if plugins is None or not group or not group.isdisjoint(plugins):
                self._woken.extend(self._stuck.pop(group))

    def look_again(self, now: float) -> None:
        """At those that have been stuck for long."""
        for seat in list(self._seats.values()):
            if seat.state == "stuck" and seat.failed + FORGOTTEN <= now:
                self._unstick(seat)
                self._pause_out(seat, now)

    def next_due(self) -> float | None:
        """When a pause ends; None: none does."""
        if self._woken:
            return 0.0
        return self._pausing[0][0] if self._pausing else None

    def _rouse(self, now: float) -> None:
        for _ in range(min(len(self._woken), ROUSED_AT_ONCE)):
            seat = self._seats.get(self._woken.popleft())
            if seat is not None and seat.state == "stuck":
                self._unstick(seat)  # it may have failed again meanwhile, as another pod of that name
                self._pause_out(seat, now)

    def _unstick(self, seat: Seat) -> None:
        group = self._stuck.get(seat.plugins)
        if group is not None:
            group.pop(seat.pod.uid, None)
            if not group:
                del self._stuck[seat.plugins]

    def _take_early(self) -> Pod | None:
        while self._early:
            seat = self._seats.get(self._early.popleft())
            if seat is not None and seat.state == "pausing":
                seat.state = "taken"
                return seat.pod
        return None

    def _failed(self, seat: Seat, now: float) -> None:
        seat.tries += 1
        seat.failed = now

    def _pause_out(self, seat: Seat, now: float) -> None:
        due = seat.failed + self._pause_of(seat)
        if due <= now:
            self._make_ready(seat)
        else:
            self._early.append(seat.pod.uid)
            self._push_pausing(seat, due)

    def _make_ready(self, seat: Seat) -> None:
        seat.state = "ready"
        heapq.heappush(self._ready, (-seat.pod.shape.priority, seat.since, next(self._numbers), seat.pod.uid))

    def _push_pausing(self, seat: Seat, due: float) -> None:
        seat.state, seat.due = "pausing", due
        heapq.heappush(self._pausing, (due, next(self._numbers), seat.pod.uid))

    def _pause_of(self, seat: Seat) -> float:
        return min(self._first_pause * 2.0 ** min(max(seat.tries - 1, 0), 10), self._longest_pause)
