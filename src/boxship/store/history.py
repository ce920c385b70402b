"""How the SQLite file keeps one commit: what it changed, and what was there before.

Most updates change a small part of a value, so of the previous value only that is written which differs from the new
one between their common beginning and end. Rows of version 1 of the file have no previous values. Pure: no I/O.
"""

from collections.abc import Mapping, Sequence

import msgspec

from boxship.store import Change, Entry
from boxship.store.feed import Commit

Pairs = Sequence[tuple[str, bytes | None]]
Known = tuple[bytes, int, int]  # value, created, modified


class Before(msgspec.Struct, frozen=True, array_like=True):
    """The previous entry: `head` bytes as in the new value, then `middle`, then `tail` bytes as in the new value."""

    created: int
    modified: int
    head: int
    tail: int
    middle: bytes


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One key of a commit. Version 1 wrote only the first two."""

    key: str
    value: bytes | None
    before: Before | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Row]).decode


def pack(changes: Pairs, known: Mapping[str, Known]) -> bytes:
    """The row of a commit; `known` has what was there of its keys."""
    return _encode([Row(key, value, _before(value or b"", known.get(key))) for key, value in changes])


def unpack(revision: int, data: bytes, whole: bool) -> Commit:
    """A commit again. `whole` is false for what version 1 wrote."""
    changes = tuple(Change(revision, row.key, row.value, _entry(row)) for row in _decode(data))
    return Commit(revision, changes, whole)


def _before(new: bytes, known: Known | None) -> Before | None:
    if known is None:
        return None
    old, created, modified = known
    head = _alike(old, new)
    tail = _alike(old[: head - 1 if head else None : -1], new[: head - 1 if head else None : -1])
    return Before(created, modified, head, tail, old[head : len(old) - tail])


def _entry(row: Row) -> Entry | None:
    if row.before is None:
        return None
    before, new = row.before, row.value or b""
    value = new[: before.head] + before.middle + new[len(new) - before.tail :]
    return Entry(row.key, value, before.created, before.modified)


def _alike(one: bytes, other: bytes) -> int:
    """How many bytes at the beginning are the same; by halves, because a comparison of bytes costs next to nothing."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
