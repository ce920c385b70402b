"""The rest of a very long answer, which is made as its reader takes it: seconds of work, and old values that are kept
for it, after its request has been answered.

Who asked for it still has the seat that fairness gave him, until it is through, but not for long: a slow reader must
not keep it from others. His pieces are made in the turns that his flow and his priority level have, so many long lists
of one client stand before each other and before nobody else's. And a reader who keeps us waiting for too long in all
is cut off: nothing is held for him any more. The time that others, or we, keep him waiting does not count.
"""

import asyncio
import weakref
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from boxship.errors import Timeout
from boxship.transport.exchange import close_stream

SEAT_SECONDS = 5.0  # that the seat is kept at most
READER_SECONDS = 60.0  # that a reader may keep us waiting, in all


class Seat(Protocol):
    """What fairness gave the request."""

    def keep(self, seconds: float) -> None:
        """It outlasts the block that took it, but not for longer."""

    def leave(self) -> None:
        """It is given back, if it was not yet."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Waits for the turn of its flow and its level."""


class Seated:
    """The pieces of the rest. Closed at its end, by its reader, or after too long."""

    def __init__(self, pieces: AsyncIterator[bytes], seat: Seat) -> None:
        seat.keep(SEAT_SECONDS)
        self._pieces: AsyncIterator[bytes] | None = pieces
        self._seat = seat
        self._left = READER_SECONDS
        self._is_cut = False
        self._wait()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._timer.cancel()
        self._left -= asyncio.get_running_loop().time() - self._given
        if self._left <= 0:
            self.cut()
        if self._is_cut:
            raise Timeout(f"cannot go on with a list: its reader took more than {READER_SECONDS:g} s")
        if self._pieces is None:
            raise StopAsyncIteration
        try:
            async with self._seat.turn():
                piece = await anext(self._pieces, None)
        except BaseException:
            self._end()
            raise
        if piece is None:
            self._end()
            raise StopAsyncIteration
        self._wait()
        return piece

    async def aclose(self) -> None:
        pieces = self._pieces
        self._end()
        if pieces is not None:
            await close_stream(pieces)

    def cut(self) -> None:
        """It has no end any more."""
        self._is_cut = True
        self._end()

    def _wait(self) -> None:
        """It is the reader's turn. Who has dropped the answer without a word is waited for by nobody."""
        loop = asyncio.get_running_loop()
        self._given = loop.time()
        self._timer = loop.call_later(self._left, _cut, weakref.ref(self))

    def _end(self) -> None:
        self._timer.cancel()
        self._pieces = None  # and with it all that is kept for it
        self._seat.leave()


def _cut(answer: "weakref.ref[Seated]") -> None:
    found = answer()
    if found is not None:
        found.cut()
