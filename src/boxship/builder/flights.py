"""Work that several builds want at the same time is done once; whoever comes later hears what it has said so far.

The work belongs to nobody who waits for it: it ends when it is done, or when the last of them has gone away; then it is
cancelled, and the last one leaves only after it has ended.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from boxship.builder.operations import Said

LOG_LIMIT = 2 << 20  # bytes of output that are kept for those who join later

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[Said, Callable[[T], Awaitable[None]]], Awaitable[None]]


class _Flight(Generic[T]):
    def __init__(self) -> None:
        self.done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.left = asyncio.Event()
        self.waiting = 0
        self.listeners: list[Said] = []
        self.log: list[tuple[int, bytes]] = []
        self.logged = 0
        self.task: asyncio.Task[None] | None = None

    def said(self, stream: int, data: bytes) -> None:
        if self.logged < LOG_LIMIT:
            self.log.append((stream, data))
            self.logged += len(data)
        for listener in tuple(self.listeners):
            listener(stream, data)

    async def land(self, value: T) -> None:
        """The result is there; returns when everybody has taken it."""
        if not self.done.done():
            self.done.set_result(value)
        await self.left.wait()


class Flights(Generic[T]):
    """Work under way, by key."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._flights: dict[str, _Flight[T]] = {}

    @property
    def waiting(self) -> int:
        """How many wait for work under way."""
        return sum(flight.waiting for flight in self._flights.values())

    async def share(self, key: str, work: Work[T], said: Said, taken: Callable[[T], Awaitable[None]]) -> tuple[T, bool]:
        """Do `work`, or wait for it where it is being done; its result, and whether we began it. The work hands its
        result to `land`, which returns only when everybody's `taken` has ended."""
        flight = self._flights.get(key)
        ours = flight is None
        if flight is None:
            flight = self._flights[key] = _Flight()
            flight.task = self._tasks.create_task(self._run(key, flight, work))
        flight.waiting += 1
        for stream, data in flight.log:
            said(stream, data)
        flight.listeners.append(said)
        try:
            value = await asyncio.shield(flight.done)
            await taken(value)
            return value, ours
        finally:
            flight.listeners.remove(said)
            flight.waiting -= 1
            if not flight.waiting:
                await self._leave(key, flight)

    async def _leave(self, key: str, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        flight.left.set()
        assert flight.task is not None
        if not flight.done.done():
            flight.task.cancel()
            await asyncio.wait([flight.task])

    async def _run(self, key: str, flight: _Flight[T], work: Work[T]) -> None:
        try:
            await work(flight.said, flight.land)
        except asyncio.CancelledError:
            if not flight.done.done():
                flight.done.cancel()
            raise
        except Exception as error:
            if flight.done.done():
                log.error("cannot finish a step that has its result: %s", error)
                return
            flight.done.set_exception(error)
            flight.done.exception()  # whoever waits gets it; nobody waiting is no mistake
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
