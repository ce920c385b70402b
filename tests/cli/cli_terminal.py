"""A program on a pseudo-terminal of its own, typed to and read from by a test."""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path

DEADLINE = 20.0  # seconds
PROGRAM = str(Path(sys.executable).parent / "boxship")


class Terminal:
    """`boxship WORDS…` on a terminal of `rows` and `columns`."""

    def __init__(self, url: str, *words: str, rows: int = 33, columns: int = 101) -> None:
        parent, child = pty.openpty()
        self.descriptor = parent
        self.output = b""
        self.pid = 0
        self.resize(rows, columns)
        environment = {**os.environ, "BOXSHIP_HOST": url, "TERM": "xterm"}
        actions = [(os.POSIX_SPAWN_DUP2, child, number) for number in (0, 1, 2)]
        self.before = termios.tcgetattr(parent)
        self.pid = os.posix_spawn(PROGRAM, ["boxship", *words], environment, file_actions=actions, setsid=True)
        self._child = child

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if self.pid:
            self.signal(signal.SIGWINCH)  # the kernel tells only those whose controlling terminal it is

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def type(self, keys: bytes) -> None:
        os.write(self.descriptor, keys)

    def until(self, text: bytes) -> bytes:
        """Read until the text comes; returns what came up to it, which is then forgotten."""
        deadline = time.monotonic() + DEADLINE
        while text not in self.output:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self.output!r}"
            if select.select([self.descriptor], [], [], left)[0]:
                self.output += os.read(self.descriptor, 65536)
        before, _, self.output = self.output.partition(text)
        return before

    def end(self) -> int:
        """Wait for the program's end; its exit code. The terminal must be as it was."""
        deadline = time.monotonic() + DEADLINE
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            assert time.monotonic() < deadline, f"still running: {self.output!r}"
            if select.select([self.descriptor], [], [], 0.05)[0]:
                self.output += os.read(self.descriptor, 65536)
        while select.select([self.descriptor], [], [], 0)[0]:
            self.output += os.read(self.descriptor, 65536)
        assert termios.tcgetattr(self.descriptor) == self.before
        os.close(self._child)
        os.close(self.descriptor)
        return os.waitstatus_to_exitcode(status)
