"""The file of the audit log. Each line carries the hash of the line before it, so that one that is changed, taken out
or put in breaks the chain; the first line of a file carries the hash of the last one of the file before.

A kill leaves at most an unfinished last line, which is cut off at the next opening.
"""

import hashlib
import os
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from boxship.errors import Internal

FIELD = "previousHash"
BEGINNING = "0" * 64
MOST_BYTES = 100 * 1024 * 1024  # of one file
KEPT = 10  # older files
TAIL = 64 * 1024  # bytes that are read from the end at once

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Journal:
    """One log at `path`; older parts lie beside it, with the time of their end in their names."""

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES, kept: int = KEPT) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._kept = kept
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handle, self._size, self._last = self._open()
        self._lock = threading.Lock()  # a write may still be under way when the server ends

    def write(self, events: Iterable[dict[str, Any]]) -> None:
        """Put events down, in order; on the disk when this returns. Raises Internal where that cannot be."""
        with self._lock:
            self._write(events)

    def close(self) -> None:
        with self._lock:
            os.close(self._handle)

    def _write(self, events: Iterable[dict[str, Any]]) -> None:
        lines = []
        for event in events:
            line = _encode({**event, FIELD: self._last})
            self._last = hash_of(line)
            lines.append(line + b"\n")
        data = b"".join(lines)
        try:
            while data:
                written = os.write(self._handle, data)
                self._size += written
                data = data[written:]
            os.fdatasync(self._handle)
            if self._size >= self._most_bytes:
                self._change()
        except OSError as error:
            os.close(self._handle)  # half a line may be there: begin behind the last whole one
            self._handle, self._size, self._last = self._open()
            raise Internal(f"cannot write the audit log {self._path}: {error.strerror}") from error

    def _open(self) -> tuple[int, int, str]:
        """The file at its end, behind its last whole line."""
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Internal(f"cannot open the audit log {self._path}: {error.strerror}") from error
        size = os.fstat(handle).st_size
        end, last = _last_line(handle, size)
        if end != size:
            os.ftruncate(handle, end)
        os.lseek(handle, end, os.SEEK_SET)
        if last is None:
            older = parts_of(self._path)[:-1]
            last = last_of(older[-1]) if older else None
        return handle, end, BEGINNING if last is None else hash_of(last)

    def _change(self) -> None:
        """Begin a new file; drop the oldest ones."""
        when = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
        os.rename(self._path, self._path.with_name(f"{self._path.stem}-{when}{self._path.suffix}"))
        os.close(self._handle)
        last = self._last
        self._handle, self._size, _ = self._open()
        self._last = last
        for path in parts_of(self._path)[: -1 - self._kept]:
            path.unlink(missing_ok=True)


def hash_of(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def parts_of(path: Path) -> list[Path]:
    """The files of a log, the oldest first; the one that is written to comes last."""
    older = sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"))
    return [*older, path]


def last_of(path: Path) -> bytes | None:
    """The last whole line of a file."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _last_line(handle, os.fstat(handle).st_size)[1]
    finally:
        os.close(handle)


def verify(paths: Sequence[Path]) -> tuple[int, list[str]]:
    """How many lines there are in the files, oldest first, and what is wrong with them. The chain may begin anywhere,
    because the oldest files are dropped; that the newest lines were cut off cannot be seen from the log alone."""
    count, wrong = 0, []
    expected: str | None = None
    for path in paths:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                count += 1
                line = raw.rstrip(b"\n")
                try:
                    previous = _decode(line).get(FIELD)
                except (msgspec.DecodeError, AttributeError):
                    wrong.append(f"{path}:{number}: no line of an audit log")
                    expected = None
                    continue
                if expected is not None and previous != expected:
                    wrong.append(f"{path}:{number}: does not follow the line before it")
                expected = hash_of(line)
    return count, wrong


def _last_line(handle: int, size: int) -> tuple[int, bytes | None]:
    """Where the last whole line ends, and the line without its end; None where there is no whole line."""
    data, begin = b"", size
    while begin > 0:
        step = min(TAIL, begin)
        begin -= step
        data = os.pread(handle, step, begin) + data
        end = data.rfind(b"\n")
        if end < 0:
            continue
        start = data.rfind(b"\n", 0, end)
        if start >= 0 or begin == 0:
            return begin + end + 1, data[start + 1 : end]
    return 0, None
