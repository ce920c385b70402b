"""Bytes between the daemon and files, standard input and output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator

from boxship.cli.call import Failure
from boxship.cli.terminal import is_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

PIECE = 1 << 18  # bytes


def read_pieces(descriptor: int) -> Iterator[bytes]:
    """What the descriptor gives, to its end."""
    while piece := os.read(descriptor, PIECE):
        yield piece


def open_input(path: str) -> int:
    """A file to read; "-" and "" are standard input."""
    return 0 if path in ("", "-") else os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def write_output(pieces: Iterable[bytes], path: str, what: str) -> None:
    """Write to a file, which appears under its name only when it is whole; or to standard output, unless that is a
    terminal."""
    if not path or path == "-":
        if is_terminal(1):
            raise Failure(f"cowardly refusing to {what} to a terminal. Use the -o flag or redirect")
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    if os.path.isdir(path):
        raise Failure(f"cannot write {path}: is a directory")
    if os.path.exists(path) and not os.path.isfile(path):
        _write_file(path, pieces, "wb")  # a device or a pipe is written as it is
        return
    made = unfinished(path)
    try:
        _write_file(made, pieces, "xb")
        os.rename(made, path)
    except BaseException:
        if os.path.exists(made):
            os.unlink(made)
        raise


def unfinished(path: str) -> str:
    """A name beside a file that nobody can foresee: others may make files in the same folder, and links."""
    return f"{path}.unfinished-{os.urandom(8).hex()}"


def _write_file(path: str, pieces: Iterable[bytes], mode: Literal["wb", "xb"]) -> None:
    with open(path, mode) as file:
        for piece in pieces:
            file.write(piece)
