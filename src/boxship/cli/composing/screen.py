"""Where progress is drawn: on a terminal a block of lines at the bottom that is drawn over itself, while the output of
containers passes above it; anywhere else plain text. All writing of a verb goes through one Screen, so that nothing
breaks into anything else.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Sequence

from boxship.cli.building.tree import fitted, width
from boxship.cli.terminal import is_terminal, terminal_size

Line = tuple[str, str, str]  # color, text, what stands at the right
MARGIN_ROWS = 1
# Nobody reads the progress any more: what is done is not given up half-way for that.
UNREAD = (BrokenPipeError,)


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            poll = select.poll()  # a terminal shared with another program may be set non-blocking
            poll.register(descriptor, select.POLLOUT)
            poll.poll()


class Screen:
    """`descriptor` is where progress goes. The block stands below everything else until it is settled or wiped."""

    def __init__(self, descriptor: int = 2, *, live: bool | None = None, color: bool = True) -> None:
        self.descriptor = descriptor
        self.live = is_terminal(descriptor) if live is None else live
        self.color = color
        self._lock = threading.RLock()
        self._lines: Sequence[Line] = ()
        self._widths: list[int] = []

    def size(self) -> tuple[int, int]:
        """(rows, columns) of this moment."""
        rows, columns = terminal_size(self.descriptor)
        return rows or 24, columns or 80

    def draw(self, lines: Sequence[Line]) -> None:
        """Show these lines in place of the block."""
        with self._lock:
            self._lines = lines
            self._show(self._wiped() + self._block())

    def write(self, text: str, descriptor: int | None = None) -> None:
        """Whole lines, above the block. Without a descriptor they are progress, and may go unread."""
        data = text.encode("utf-8", "surrogateescape")
        with contextlib.suppress(*(UNREAD if descriptor is None else ())):
            self.write_bytes(data, self.descriptor if descriptor is None else descriptor)

    def write_bytes(self, data: bytes, descriptor: int) -> None:
        with self._lock, contextlib.suppress(*(UNREAD if descriptor == 2 else ())):
            if not self._widths or not is_terminal(descriptor):
                write_all(descriptor, data)
                return
            self._show(self._wiped())
            write_all(descriptor, data)
            self._show(self._block())

    def settle(self) -> None:
        """Let the block stand for good."""
        with self._lock:
            self._lines, self._widths = (), []

    def wipe(self) -> None:
        """Take the block away."""
        with self._lock:
            if self._widths:
                self._show(self._wiped())
            self._lines = ()

    def _show(self, text: str) -> None:
        with contextlib.suppress(*UNREAD):
            write_all(self.descriptor, text.encode("utf-8", "replace"))

    def _wiped(self) -> str:
        """What takes the cursor to the first row of the block and clears from there. A terminal that became narrower
        has broken the lines that stand on it."""
        columns = self.size()[1]
        rows = sum(max(1, -(-drawn // columns)) for drawn in self._widths)
        self._widths = []
        return f"\x1b[{rows}A\r\x1b[J" if rows else ""

    def _block(self) -> str:
        rows, columns = self.size()
        shown = [(color, laid_out(text, right, columns)) for color, text, right in self._fitting(rows)]
        self._widths = [width(text) for _, text in shown]
        return "".join(f"{self._colored(color, text)}\n" for color, text in shown)

    def _fitting(self, rows: int) -> Sequence[Line]:
        room = max(rows - MARGIN_ROWS, 1)
        return self._lines[:room]

    def _colored(self, color: str, text: str) -> str:
        return f"\x1b[{color}m{text}\x1b[0m" if color and self.color else text


def laid_out(text: str, right: str, columns: int) -> str:
    """One line of the width, with `right` at its end."""
    room = max(columns - 1 - (len(right) + 1 if right else 0), 1)
    shown = fitted(text, room)
    return shown + " " * (room - width(shown)) + " " + right if right and columns > len(right) + 8 else shown
