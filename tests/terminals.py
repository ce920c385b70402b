"""A program on a pseudo terminal that controls it: a test types and reads; ^C reaches the program as a user's does."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

SECONDS = 15.0  # the longest that an answer may take


class Terminal:
    """The far side of a pseudo terminal."""

    process: "subprocess.Popen[bytes]"

    def __init__(self, controller: int) -> None:
        self._controller = controller
        self.seen = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._controller, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def tell_resized(self) -> None:
        self.process.send_signal(signal.SIGWINCH)

    def type(self, text: str) -> None:
        os.write(self._controller, text.encode())

    def expect(self, pattern: str, seconds: float = SECONDS) -> "re.Match[str]":
        """Read until the pattern is seen; what is read up to its end is forgotten."""
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.seen)):
            ready, _, _ = select.select([self._controller], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"not seen: {pattern!r} in {self.seen!r}"
            try:
                self.seen += os.read(self._controller, 65536).decode(errors="replace")
            except OSError:
                raise AssertionError(f"ended before {pattern!r}: {self.seen!r}") from None
        self.seen = self.seen[match.end() :]
        return match

    def rest(self, seconds: float = SECONDS) -> str:
        """Everything up to the program's end, which has to come in time."""
        deadline = time.monotonic() + seconds
        while select.select([self._controller], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                self.seen += os.read(self._controller, 65536).decode(errors="replace")
            except OSError:
                return self.seen
        raise AssertionError(f"does not end: {self.seen!r}")

    def code(self, seconds: float = SECONDS) -> int:
        """The exit code of the program."""
        return self.process.wait(seconds)


@contextlib.contextmanager
def on_terminal(
    words: list[str],
    environment: dict[str, str],
    *,
    folder: Path | None = None,
    rows: int = 33,
    columns: int = 111,
) -> Iterator[Terminal]:
    """Start a program in a session of its own, whose terminal it has."""
    controller, side = pty.openpty()
    terminal = Terminal(controller)
    terminal.resize(rows, columns)
    process = subprocess.Popen(
        ["setsid", "--ctty", *words], stdin=side, stdout=side, stderr=side, env=environment, cwd=folder
    )
    os.close(side)
    terminal.process = process
    try:
        yield terminal
    finally:
        process.kill()
        process.wait()
        os.close(controller)
