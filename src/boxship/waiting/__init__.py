"""Waiting for work that must not be left half-way: its caller may be cancelled, the work is done to its end.

A thread cannot be stopped, and works on files that its caller closes or removes afterwards; a change in two places
leaks where only the first was made. So whoever is cancelled meanwhile, however often, goes on only when the work is
through, and is cancelled then. `together` does several things at once. Nothing here may start work that outlives its
caller, or swallow a cancellation.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


async def settled(running: "asyncio.Future[Any]") -> None:
    """Wait for its end, whatever its outcome."""
    cancelled = False
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            cancelled = True
    if not running.cancelled():
        running.exception()  # looked at, so that asyncio does not complain of it
    if cancelled:
        raise asyncio.CancelledError


async def to_the_end(work: Awaitable[Result]) -> Result:
    """The result of `work`. Where the caller was cancelled meanwhile, the work's own failure is not told."""
    running = asyncio.ensure_future(work)
    await settled(running)
    return running.result()


async def in_thread(work: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
    """As asyncio.to_thread, to its end."""
    return await to_the_end(asyncio.to_thread(work, *arguments, **options))
