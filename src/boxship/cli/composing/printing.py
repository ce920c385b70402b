"""What containers say, line by line: with the container's name before it in its color, columns under each other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from boxship.cli.composing.screen import Screen
from boxship.cli.daemon import Object
from boxship.compose.planning.observed import LABEL_NUMBER, LABEL_PROJECT, LABEL_SERVICE
from boxship.wire.stream import STDERR, STDOUT, FrameReader

COLORS = ("36", "33", "32", "35", "34", "36;1", "33;1", "32;1", "35;1", "34;1")
LONGEST_LINE = 1 << 20  # bytes that are held for a line's end
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ?")


def short_name(name: str, labels: Object) -> str:
    """ "web-1" for the container demo-web-1, as `docker compose` shows it; names of their own stay."""
    service, number = labels.get(LABEL_SERVICE, ""), labels.get(LABEL_NUMBER, "")
    return f"{service}-{number}" if name == f"{labels.get(LABEL_PROJECT, '')}-{service}-{number}" else name


class LogPrinter:
    """Writes lines. `prefix` and `timestamps` say what stands before them; `errors` is where those of standard error
    go."""

    def __init__(
        self, screen: Screen, *, prefix: bool = True, timestamps: bool = False, color: bool = True, errors: int = 1
    ) -> None:
        self._screen = screen
        self._prefix = prefix
        self._timestamps = timestamps
        self._color = color
        self._errors = errors
        self._colors: dict[str, str] = {}
        self._width = 0

    def know(self, name: str) -> None:
        """A container whose lines may come: the columns of all lines follow the longest name."""
        if name not in self._colors:
            self._colors[name] = COLORS[len(self._colors) % len(COLORS)]
            self._width = max(self._width, len(name))

    def line(self, name: str, stamp: bytes, text: bytes, stream: int = STDOUT) -> None:
        self.know(name)
        head = b""
        if self._prefix:
            words = f"{name:<{self._width}}  | "
            head = (f"\x1b[{self._colors[name]}m{words}\x1b[0m" if self._color else words).encode()
        if self._timestamps and stamp:
            head += stamp + b" "
        self._screen.write_bytes(head + text + b"\n", self._errors if stream == STDERR else 1)

    def notice(self, text: str) -> None:
        """A line of ours among those of containers."""
        self._screen.write(f"{text}\n", 1)


class LineCutter:
    """Cuts the daemon's answer to `logs` with timestamps into (stamp, text, stream). An entry without a line's end is
    the first part of a long line: the rest, which has a stamp of its own, belongs to it."""

    def __init__(self, tty: bool) -> None:
        self._frames = None if tty else FrameReader()
        self._rest = b""  # of a terminal's bytes: a line that has not ended
        self._open: dict[int, tuple[bytes, bytes]] = {}

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
        """Raises ValueError for bytes that are no frames."""
        if self._frames is None:
            *whole, self._rest = (self._rest + data).split(b"\n")
            for line in whole:
                yield from self._entry(line.removesuffix(b"\r") + b"\n", STDOUT)
            if len(self._rest) > LONGEST_LINE:  # a terminal's line is drawn over itself, and may never end
                rest, self._rest = self._rest, b""
                yield from self._entry(rest + b"\n", STDOUT)
            return
        for stream, payload in self._frames.feed(data):
            for line in _lines(payload):
                yield from self._entry(line, stream)

    def end(self) -> Iterator[tuple[bytes, bytes, int]]:
        """Lines that never ended."""
        if self._rest:
            yield from self._entry(self._rest + b"\n", STDOUT)
            self._rest = b""
        for stream, (stamp, text) in self._open.items():
            yield stamp, text, stream
        self._open.clear()

    def _entry(self, line: bytes, stream: int) -> Iterator[tuple[bytes, bytes, int]]:
        match = _STAMP.match(line)
        stamp, text = (match[1], line[match.end() :]) if match else (b"", line)
        first, before = self._open.pop(stream, (stamp, b""))
        text = before + text
        if text.endswith(b"\n") or len(text) > LONGEST_LINE:
            yield first, text.removesuffix(b"\n").removesuffix(b"\r"), stream
        else:
            self._open[stream] = (first, text)


def _lines(payload: bytes) -> list[bytes]:
    """Lines by their line feeds alone."""
    parts = payload.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
