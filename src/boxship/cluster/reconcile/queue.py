"""Keys that wait for a controller: each at most once, none given out while it is being worked on, later ones at their
time. Knows nothing of what the keys mean."""

import asyncio
import heapq
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Queue(Generic[K]):
    """For one controller with any number of workers. All in one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[K] = deque()
        self._queued: set[K] = set()
        self._active: set[K] = set()
        self._again: set[K] = set()  # asked for while it was being worked on
        self._later: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._count = 0
        self._takers: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.Handle | None = None
        self._rings_at = 0.0  # uvloop's handles of what is due at once do not know it

    def __len__(self) -> int:
        return len(self._waiting) + len(self._later)

    @property
    def is_idle(self) -> bool:
        """Nothing waits for now and nothing is being worked on."""
        return not self._waiting and not self._active

    def add(self, key: K) -> None:
        if key in self._active:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._waiting.append(key)
            self._wake()

    def add_later(self, key: K, seconds: float) -> None:
        """Not before so many seconds; where it waits for an earlier time already, that counts."""
        if seconds <= 0:
            self.add(key)
            return
        due = asyncio.get_running_loop().time() + seconds
        if self._due.get(key, due + 1) <= due:
            return
        self._due[key] = due
        self._count += 1
        heapq.heappush(self._later, (due, self._count, key))
        self._set_timer()

    async def take(self) -> K:
        """The next key, which is active until `done`."""
        while not self._waiting:
            turn = asyncio.get_running_loop().create_future()
            self._takers.append(turn)
            try:
                await turn
            finally:
                if turn in self._takers:
                    self._takers.remove(turn)
        key = self._waiting.popleft()
        self._queued.discard(key)
        self._active.add(key)
        if self._waiting:
            self._wake()
        return key

    def done(self, key: K) -> None:
        self._active.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _wake(self) -> None:
        while self._takers:
            turn = self._takers.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _set_timer(self) -> None:
        loop = asyncio.get_running_loop()
        due = self._later[0][0]
        if self._timer is not None:
            if self._rings_at <= due and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer, self._rings_at = loop.call_at(due, self._ring), due

    def _ring(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._later and self._later[0][0] <= now:
            due, _, key = heapq.heappop(self._later)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        if self._later:
            self._set_timer()
