"""Reads blobs again and compares them with their names, at a bounded rate, beside everything else.

What is damaged can be put into quarantine: out of sight, so that the next pull or push brings it again, but never
deleted unasked. Each blob that somebody claims is leased while it is read, so it cannot go in the middle; one that
nobody claims is not, for the end of a lease would remove it. So what is found about it must hold at the end of the
reading: a blob that has gone or was brought again meanwhile is never blamed, and never moved.
"""

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec

from boxship.content.blobs import Content
from boxship.content.garbage import Garbage

PIECE = 1024 * 1024  # bytes read at once


class Scrubbed(msgspec.Struct, frozen=True):
    """A blob that was read: `problem` is "" where it is what it is called."""

    digest: str
    size: int
    problem: str = ""


async def scrub(
    content: Content, garbage: Garbage, rate: int, *, quarantine: bool = False
) -> AsyncGenerator[Scrubbed, None]:
    """Read every blob, at most `rate` bytes a second (0: as fast as the disk). Those that go meanwhile are left out.
    With `quarantine` what is damaged is moved there."""
    pace = _Pace(rate)
    for digest in await content.list():
        async with garbage.lease() as lease:
            if garbage.claims.get(digest):
                await lease.add(digest)
            found = await _read(content.place(digest), digest, pace)
            if found is not None and found.problem and quarantine:
                if not lease.keys:  # what nobody claims may go afterwards; what is moved must be what was read
                    await lease.add(digest)
                    found = await _read(content.place(digest), digest, pace)
                if found is not None and found.problem:
                    await content.quarantine.put(digest)
        if found is not None:
            yield found


async def _read(path: Path, digest: str, pace: "_Pace") -> Scrubbed | None:
    """A blob as it is now, None where it is not there; the thread ends before this does."""
    stopped = threading.Event()
    reading = asyncio.ensure_future(asyncio.to_thread(_look, path, digest, pace, stopped))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        stopped.set()
        await asyncio.wait([reading])
        raise


class _Pace:
    """Holds a thread back to a number of bytes a second."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._due = time.monotonic()

    def take(self, size: int, stopped: threading.Event) -> None:
        if self._rate:
            self._due = max(self._due, time.monotonic() - 1) + size / self._rate
            stopped.wait(max(0.0, self._due - time.monotonic()))


def _look(path: Path, digest: str, pace: _Pace, stopped: threading.Event) -> Scrubbed | None:
    """Read one blob from the disk, not from memory; what is wrong with it is so when this returns. Blocks."""
    while True:
        hashed = hashlib.new(digest.partition(":")[0], usedforsecurity=False)
        size = 0
        try:
            with path.open("rb", buffering=0) as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                while not stopped.is_set() and (data := file.read(PIECE)):
                    hashed.update(data)
                    size += len(data)
                    pace.take(len(data), stopped)
                found = f"{digest.partition(':')[0]}:{hashed.hexdigest()}"
                if found == digest or stopped.is_set():
                    return Scrubbed(digest, size)
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return Scrubbed(digest, size, f"its content has the digest {found}")
        except FileNotFoundError:  # it went; whether somebody misses it is asked of the claims
            return None
        except OSError as error:
            return Scrubbed(digest, size, f"it cannot be read: {error.strerror}")
