"""Ordered keys and values with revisions: what the daemon must not forget.

One Protocol, implemented by `memory` (tests) and `sqlite` (one machine); the semantics follow etcd's: one revision
counter for the whole store, raised by one per commit, whatever the number of operations in it.
"""

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec


class Entry(msgspec.Struct, frozen=True):
    """One key as it is now. `created` and `modified` are the revisions of its first and its last write."""

    key: str
    value: bytes
    created: int
    modified: int


class Snapshot(msgspec.Struct, frozen=True):
    """The entries under a prefix, in key order, all of the same moment: `revision`."""

    revision: int
    entries: tuple[Entry, ...]


class Put(msgspec.Struct, frozen=True):
    """Write a value. `expected` is the `modified` revision that the key must have now; 0: it must not exist."""

    key: str
    value: bytes
    expected: int | None = None


class Delete(msgspec.Struct, frozen=True):
    """Take a key away. With `expected`, only if its `modified` is that; without, a missing key is fine."""

    key: str
    expected: int | None = None


Operation = Put | Delete


class Change(msgspec.Struct, frozen=True):
    """One key changed by the commit of that revision; `value` is None where it was deleted. `previous` is what it was
    before: None where it did not exist, or where the commit was written by a version that did not keep it."""

    revision: int
    key: str
    value: bytes | None
    previous: Entry | None = None


class Store(Protocol):
    """Atomic, durable, watchable. Raises Conflict where an `expected` does not hold (then nothing is written)."""

    async def get(self, key: str) -> Entry | None: ...

    async def list(self, prefix: str, *, after: str = "", limit: int = 0) -> Snapshot:
        """Entries whose keys begin with `prefix` and sort after `after`; at most `limit` (0: all)."""

    async def commit(self, *operations: Operation) -> int:
        """Make all of the operations or none; the new revision, durable when this returns."""

    def watch(self, prefix: str, *, after: int) -> AsyncIterator[Change]:
        """Every change under `prefix` with a revision above `after`, in order, without end; raises Unavailable with
        the oldest revision that can be asked for, where `after` lies before a compaction."""

    async def compact(self, before: int) -> None:
        """Forget the history of changes below revision `before`; what is stored now stays."""

    async def close(self) -> None: ...
