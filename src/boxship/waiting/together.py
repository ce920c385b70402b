"""Several pieces of work at once, where the first failure ends the others and is the failure of all.

When a call returns or raises, nothing of its work goes on. This is no asyncio.TaskGroup, because that loses a
cancellation of its owner where a piece of work fails while it is being ended for it.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from boxship.waiting import settled

T = TypeVar("T")
U = TypeVar("U")


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order. Raises the first failure itself, not a group."""
    running = [asyncio.ensure_future(piece) for piece in list(work)]
    if not running:
        return []
    try:
        await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
        ended = [task for task in running if task.done()]
        for task in ended:
            if not task.cancelled() and (failure := task.exception()) is not None:
                raise failure
        if any(task.cancelled() for task in ended):
            raise asyncio.CancelledError
        return [task.result() for task in running]
    finally:
        for task in running:
            task.cancel()
        await settled(asyncio.gather(*running, return_exceptions=True))


async def both(one: Coroutine[Any, Any, T], other: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """The same for two different things."""
    found: list[Any] = await together((one, other))
    return found[0], found[1]


def first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure of a TaskGroup that came first."""
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
