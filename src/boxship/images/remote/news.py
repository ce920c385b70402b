"""From tasks that work side by side to one stream of news, and the end of all of them when one fails."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
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


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all, in order. The first error ends the others, and is raised as it is."""
    running = [start(work) for work in works]  # owned by this call
    if not running:
        return []
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
        for task in running:  # in the order of the works, and cancelled ones last
            if task in done and not task.cancelled() and task.exception() is not None:
                raise task.exception()  # type: ignore[misc]  # it is not None
        return [task.result() for task in running]
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


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
