"""An event loop in virtual time: nothing waits, time goes on instead. What runs in it may use no threads and no
sockets, and then does the same each time."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Still(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen again")
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._still = _Still()
        super().__init__(self._still)

    def time(self) -> float:
        return self._still.now

    def sleep(self, seconds: float) -> None:
        """As when the machine sleeps: time goes on, and nobody does anything meanwhile."""
        self._still.now += seconds


def run(scenario: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What the scenario returns; whatever it left running is ended."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(scenario())
    finally:
        left = list(asyncio.all_tasks(loop))
        for task in left:
            task.cancel()
        loop.run_until_complete(_ended(left))
        loop.close()


async def _ended(tasks: "list[asyncio.Task[Any]]") -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
