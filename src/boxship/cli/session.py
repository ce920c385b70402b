"""A live connection to a process in a container: output, input, signals, terminal size.

One loop over poll(2), no threads. Input is sent only as far as the other side takes it, so that a container that fills
its output while we feed its input cannot stop both.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from types import FrameType, TracebackType

from boxship.cli.call import Call, Failure
from boxship.cli.terminal import RawTerminal, is_terminal, terminal_size
from boxship.spec.detach_keys import DetachKeys
from boxship.transport.blocking import Channel, Response
from boxship.wire.stream import STDERR, FrameReader

PIECE = 1 << 16  # bytes read from stdin at once
PROXIED = ("HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "ALRM", "TSTP", "CONT")


class Signals:
    """While it is entered, the named signals are noted and wake the loop in place of their usual effect."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._numbers = [getattr(signal, f"SIG{name}") for name in names]
        self._before: list[tuple[int, object]] = []
        self.read_end, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> Signals:
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for number in self._numbers:
            self._before.append((number, signal.signal(number, _note)))
        return self

    def taken(self) -> list[int]:
        """The signals that came since the last call."""
        try:
            return list(os.read(self.read_end, 256))
        except BlockingIOError:
            return []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before:
            signal.signal(number, handler if callable(handler) or isinstance(handler, int) else signal.SIG_DFL)
        os.close(self.read_end)
        os.close(self._write_end)


def _note(number: int, frame: FrameType | None) -> None:
    """The wake-up descriptor carries the number; nothing else is to be done."""


def check_terminal(stdin_attached: bool, tty: bool) -> None:
    """A terminal in the container needs one here to type on."""
    if stdin_attached and tty and not is_terminal(0):
        raise Failure("the input device is not a TTY")


class Session:
    """The loop. `tty` says that the container has a terminal, `stdin` that our input goes to it, `resize` tells the
    daemon a new size, `proxy` hands it a signal's name."""

    def __init__(
        self,
        response: Response,
        *,
        tty: bool,
        stdin: bool,
        detach_keys: str = "",
        resize: Callable[[int, int], object] | None = None,
        proxy: Callable[[str], object] | None = None,
    ) -> None:
        self._channel, self._first = response.take_over()
        self._frames = None if tty else FrameReader()
        self._tty = tty
        self._stdin = stdin
        self._keys = DetachKeys(detach_keys) if tty else None
        self._resize = resize
        self._proxy = proxy
        self._unsent = memoryview(b"")
        self._open = True
        self._detached = False

    def run(
        self, before: Callable[[], object] | None = None, waiting: Callable[[], Channel | None] | None = None
    ) -> bool:
        """Carry bytes until the output ends, and until the channel of `waiting` (asked for once, after `before`) has
        news. `before` is called when everything stands ready, such as to start the container. False if detached."""
        sys.stdout.flush()  # from here on the descriptors are written to directly
        names = (*(PROXIED if self._proxy else ()), *(("WINCH",) if self._tty else ()))
        with Signals(names) as signals:
            if before:
                before()
            waited = waiting() if waiting else None
            if self._tty and self._resize:
                self._tell_size()
            with RawTerminal(0 if self._tty and self._stdin else -1):
                self._show(self._first)
                while self._open or waited is not None:
                    waited = self._turn(signals, waited)
                    if self._detached:
                        self._channel.close()
                        return False
        self._channel.close()
        return True

    def _turn(self, signals: Signals, waited: Channel | None) -> Channel | None:
        poll = select.poll()
        poll.register(signals.read_end, select.POLLIN)
        if self._open:
            wanted = select.POLLIN | (select.POLLOUT if self._unsent else 0)
            poll.register(self._channel.fileno(), wanted)
        if self._open and self._stdin and not self._unsent:
            poll.register(0, select.POLLIN)
        if waited is not None:
            poll.register(waited.fileno(), select.POLLIN)
        ready = dict(poll.poll(0 if self._open and self._channel.pending() else None))
        if signals.read_end in ready:
            self._take_signals(signals.taken())
        if self._open and 0 in ready:
            self._read_input()
        if self._open and self._unsent:
            self._send_input()
        if self._open and (ready.get(self._channel.fileno(), 0) & ~select.POLLOUT or self._channel.pending()):
            data = self._channel.receive_now()
            if data is not None:
                self._open = bool(data)
                self._show(data)
        if waited is not None and (waited.fileno() in ready or waited.pending()):
            return None
        return waited

    def _show(self, data: bytes) -> None:
        if self._frames is None:
            _write_all(1, data)
            return
        try:
            for stream, payload in self._frames.feed(data):
                _write_all(2 if stream == STDERR else 1, payload)
        except ValueError as error:
            raise Failure(f"cannot read the container's output: {error}") from None

    def _read_input(self) -> None:
        try:
            typed = os.read(0, PIECE)
        except OSError:
            typed = b""  # the terminal hung up
        if not typed:
            self._stdin = False
            self._channel.close_write()
            return
        passed, self._detached = self._keys.feed(typed) if self._keys else (typed, False)
        self._unsent = memoryview(passed)

    def _send_input(self) -> None:
        try:
            self._unsent = self._unsent[self._channel.send_some(self._unsent) :]
        except (BrokenPipeError, ConnectionResetError):
            self._stdin = False  # the process closed its input; its output goes on
            self._unsent = memoryview(b"")

    def _take_signals(self, numbers: list[int]) -> None:
        for number in numbers:
            if number == signal.SIGWINCH:
                self._tell_size()
            elif self._proxy:
                self._proxy(signal.Signals(number).name.removeprefix("SIG"))

    def _tell_size(self) -> None:
        rows, columns = terminal_size(0 if is_terminal(0) else 1)
        if self._resize and rows and columns:
            self._resize(rows, columns)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            # A terminal shared with another program may be set non-blocking.
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()


def resizer(call: Call, path: str) -> Callable[[int, int], object]:
    """Tells the daemon a terminal's size; it may refuse while the process is not there yet or any more."""
    from boxship.cli.daemon import DaemonError

    def resize(rows: int, columns: int) -> None:
        try:
            call.daemon.post(f"{path}/resize", {"h": rows, "w": columns})
        except DaemonError:
            return

    return resize


def signaller(call: Call, container: str) -> Callable[[str], object]:
    """Hands a signal to the container's first process, which may just have ended."""
    from boxship.cli.daemon import DaemonError

    def proxy(name: str) -> None:
        try:
            call.daemon.post(f"/containers/{container}/kill", {"signal": name})
        except DaemonError:
            return

    return proxy
