"""From a piece of work to one stream of its news, which ends the work when nobody listens any more."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
WAITING = 1024  # pieces of news that a slow listener may be behind before numbers are left out
PAUSE_SECONDS = 0.1  # between two numbers of one thing


def start(work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """A task whose error is not complained of where its owner has no use for it any more."""
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


async def stream(work: Callable[[Callable[[T], None]], Awaitable[None]]) -> AsyncGenerator[T, None]:
    """What `work` tells, while it goes on; its error at the end. It is cancelled when nobody listens any more."""
    news: asyncio.Queue[T | None] = asyncio.Queue()

    def tell(piece: T) -> None:
        if news.qsize() < WAITING or not getattr(piece, "total", 0):
            news.put_nowait(piece)

    async def run() -> None:
        try:
            await work(tell)
        finally:
            news.put_nowait(None)

    running = start(run())  # owned by this generator
    try:
        while (piece := await news.get()) is not None:
            yield piece
        await running
    finally:
        if not running.done():
            running.cancel()
            await asyncio.wait([running])


class Pace:
    """Lets a number through if the last one is a while ago."""

    def __init__(self) -> None:
        self._last = -PAUSE_SECONDS
        self._loop = asyncio.get_running_loop()

    def due(self) -> bool:
        now = self._loop.time()
        if now - self._last < PAUSE_SECONDS:
            return False
        self._last = now
        return True
