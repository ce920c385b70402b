"""Reads a container's log: from the beginning or the last lines, to the end or for as long as lines come.

Lines are found in every generation of the log, oldest first. While a reader follows, files may be renamed, compressed
and dropped beneath it: it keeps its file open, reads it to its end, finds its place among the others by the file's
identity and goes on with the next one, so nothing is lost and nothing comes twice. What may wait for a disk is done in
threads; the loop decodes small blocks, one at a time. A log is never written here.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing

from boxship.logs.chain import Chain
from boxship.logs.lines import Decoder
from boxship.spec.log import LogRecord
from boxship.waiting import in_thread

BOTH = (1, 2)
SHORTEST_POLL, LONGEST_POLL = 0.005, 0.05  # seconds between two looks at a log whose end is reached
DECODE_BYTES = 1 << 16  # before others get the loop


async def read(
    path: str | os.PathLike[str],
    *,
    since: int = 0,
    until: int = 0,
    tail: int | None = None,
    follow: bool = False,
    ended: Callable[[], bool] = lambda: True,
    streams: Collection[int] = BOTH,
    merge: bool = False,
) -> AsyncGenerator[LogRecord, None]:
    """The records of the log at `path`, in order.

    `since` and `until` are nanoseconds since the epoch, 0 for none; both ends count. `tail` is a number of lines of
    output, counted before anything is filtered, as Docker does; None for all. With `follow`, goes on until `ended()`
    says that nobody writes any more and all is read, or until `until` has passed. With `merge`, neighbouring lines of
    one stream come as one record: for readers who need no times. Raises Internal where the files can't be opened.
    """
    batches = read_batches(
        path, since=since, until=until, tail=tail, follow=follow, ended=ended, streams=streams, merge=merge
    )
    async with aclosing(batches):
        async for batch in batches:
            for record in batch:
                yield record


async def read_batches(
    path: str | os.PathLike[str],
    *,
    since: int = 0,
    until: int = 0,
    tail: int | None = None,
    follow: bool = False,
    ended: Callable[[], bool] = lambda: True,
    streams: Collection[int] = BOTH,
    merge: bool = False,
) -> AsyncGenerator[list[LogRecord], None]:
    """As `read`, in lists of records that came together; no list is empty."""
    if tail == 0 and not follow:
        return
    decoder = Decoder(since=since, until=until, streams=streams, merge=merge)
    chain = Chain(os.fspath(path), follow=follow)
    delay = SHORTEST_POLL
    try:
        await in_thread(chain.open, tail, since)
        while True:
            finished = not follow or ended() or 0 < until < time.time_ns()  # asked before the last look, not after it
            block = await chain.read()
            for start in range(0, len(block), DECODE_BYTES):
                batch = decoder.feed(block[start : start + DECODE_BYTES])
                if batch:
                    yield batch
                if decoder.done:
                    return
                await asyncio.sleep(0)
            if block:
                delay = SHORTEST_POLL
            elif chain.was_cut():
                decoder.forget()
            elif chain.is_last() and not await chain.look_for_newer():
                if finished:
                    break
                await asyncio.sleep(delay)
                delay = min(delay * 1.5, LONGEST_POLL)
            elif chain.step():
                batch = decoder.end_file()
                if batch:
                    yield batch
        batch = decoder.end_file()
        if batch:
            yield batch
    finally:
        chain.close()
