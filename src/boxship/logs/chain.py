"""The files of a log that a reader has still to read, and its place in the first of them."""

import os
from collections.abc import Iterator

from boxship.logs.generations import Source, close_all, open_all
from boxship.logs.lines import count_lines, place_behind, since_place, tail_place
from boxship.waiting import in_thread

READ_BYTES = 1 << 20  # in one go, in a thread
NEAR_BYTES = 1 << 16  # what was written just now is in memory: so much of it is read at once, without a thread
_CLOCK_MARGIN = 1_000_000_000  # nanoseconds by which a file's time may lag behind its last line's


class Chain:
    """Open files, oldest first. A chain that follows takes up the files that a rotation makes; another one stops at
    what was there when it was opened."""

    def __init__(self, path: str, *, follow: bool) -> None:
        self._path = path
        self._follow = follow
        self._sources: list[Source] = []
        self._end = 0  # where a chain that doesn't follow stops in the last file
        self._caught_up = False
        self._drained = False  # the current file was looked at once more after a newer one was known

    def open(self, tail: int | None, since: int) -> None:
        """Open the files and go to where the reading begins. Blocking. Raises Internal."""
        self._sources = open_all(self._path)
        if not self._sources:
            return
        self._end = self._sources[-1].size()
        while len(self._sources) > 1 and self._sources[0].generation.changed_at < since - _CLOCK_MARGIN:
            self._sources.pop(0).close()
        if tail is not None:
            self._go_to_tail(tail)
        elif since and not self._sources[0].generation.compressed:
            source = self._sources[0]
            source.seek(since_place(source.read_at, source.size(), since))

    def _go_to_tail(self, count: int) -> None:
        for number in range(len(self._sources) - 1, -1, -1):
            source = self._sources[number]
            last = number == len(self._sources) - 1
            if source.generation.compressed:
                lacking = _go_to_tail_of_stream(source, count)
            else:
                place, lacking = tail_place(source.read_at, source.size(), count, open_end=last)
                source.seek(place)
            if lacking == 0:
                close_all(self._sources[:number])
                del self._sources[:number]
                return
            count = lacking

    async def read(self) -> bytes:
        """The next bytes of the current file; none at its end."""
        if not self._sources:
            return b""
        source = self._sources[0]
        size = READ_BYTES
        if not source.generation.compressed:
            end = source.size()
            if not self._follow and len(self._sources) == 1:
                end = min(end, self._end)
            size = min(size, end - source.offset)
            if size <= 0:
                return b""
        if self._caught_up and size <= NEAR_BYTES:
            return source.read(size)
        return await in_thread(source.read, size)

    def was_cut(self) -> bool:
        """Whether somebody made the file shorter than what was read of it; if so, starts again at its beginning."""
        if not self._sources or self._sources[0].generation.compressed:
            return False
        source = self._sources[0]
        if source.size() >= source.offset:
            return False
        source.seek(0)
        return True

    def is_last(self) -> bool:
        """Whether no file is known that is newer than the current one."""
        return len(self._sources) < 2

    async def look_for_newer(self) -> bool:
        """Whether the log goes on in files that weren't known before."""
        self._caught_up = True
        if not self._follow:
            return False
        try:
            if self._sources and os.stat(self._path).st_ino == self._sources[0].identity:
                return False
        except FileNotFoundError:
            pass  # its writer hasn't opened it again yet
        known = len(self._sources)
        await in_thread(self._extend)
        self._drained = False
        return len(self._sources) > known

    def _extend(self) -> None:
        """Add the files that are newer than the current one. If that is gone, it was the oldest: all are newer."""
        found = open_all(self._path)
        newer = 0
        if self._sources:
            current = self._sources[0].identity
            # the newest of that identity: an older, compressed one may name an inode that was used again
            newer = max((place + 1 for place, source in enumerate(found) if source.identity == current), default=0)
        close_all(found[:newer])
        self._sources += found[newer:]

    def step(self) -> bool:
        """Go on to the next file; False where the current one has to be read to its end once more before."""
        if self._follow and not self._drained:
            self._drained = True
            return False
        self._sources.pop(0).close()
        return True

    def close(self) -> None:
        """Close every file. Safe to call twice."""
        close_all(self._sources)


def _go_to_tail_of_stream(source: Source, count: int) -> int:
    """Go to the last `count` lines of a compressed file; how many of them it lacks."""
    total = count_lines(_blocks(source))
    source.seek(0)
    if total > count:
        place = place_behind(_blocks(source), total - count)
        source.seek(place)
    return max(0, count - total)


def _blocks(source: Source) -> Iterator[bytes]:
    while block := source.read(READ_BYTES):
        yield block
