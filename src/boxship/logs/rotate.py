"""Keeps a log within its size: puts the file aside under the next number and drops what is too old.

conmon goes on writing to the file that was put aside until it is told to open its log again, so that one is never
compressed or dropped before the rotation after it, and nothing is lost if nobody tells conmon: the missing name asks
for that at the next look. Every step leaves the files readable in order, whenever the machine stops.
"""

import os

from boxship.logs.generations import compress, generations, remove
from boxship.logs.options import UNLIMITED, LogSettings


def needs_rotation(path: str | os.PathLike[str], settings: LogSettings) -> bool:
    """Whether the log is full, or was put aside without its writer being told. One stat(2)."""
    if not settings.keeps or settings.max_size == UNLIMITED:
        return False
    try:
        return os.stat(path).st_size >= settings.max_size
    except FileNotFoundError:
        return True


def rotate(path: str | os.PathLike[str], settings: LogSettings) -> None:
    """Put the log aside; its writer has to be told afterwards to open it again. Blocking.

    Where the name is missing already, nothing is done: the writer still has to be told. Raises OSError.
    """
    name = os.fspath(path)
    _clear_leftovers(name)
    found = {generation.number: generation for generation in generations(name)}
    if 0 not in found:
        return
    free = next(number for number in range(len(found) + 1) if number not in found)
    for number in sorted(found, reverse=True):
        generation = found[number]
        if number + (number < free) >= settings.max_file:
            # with one file alone the writer's own goes too: what it held is dropped, as with Docker
            remove(generation.path)
        elif number < free:  # what lies behind a gap needs no other number
            os.rename(generation.path, f"{name}.{number + 1}{'.gz' if generation.compressed else ''}")
    if settings.compress:
        for generation in generations(name):
            if generation.number >= 2 and not generation.compressed:
                compress(generation, f"{name}.{generation.number}.gz")


def _clear_leftovers(name: str) -> None:
    """Take away what a compression left that was stopped: the half file, or the whole one beside its origin."""
    folder, base = os.path.split(name)
    for entry in os.listdir(folder or "."):
        if entry.startswith(f"{base}.") and entry.endswith(".gz.tmp"):
            remove(os.path.join(folder, entry))
    for generation in generations(name):
        if generation.number and not generation.compressed:
            remove(f"{name}.{generation.number}.gz")
