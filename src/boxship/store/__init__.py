"""Ordered keys and values with revisions: what the daemon must not forget.

One Protocol, implemented by `memory` (tests), `sqlite` (one machine) and `etcd` (several); the semantics follow etcd's:
one revision counter for the whole store, raised by one per commit, whatever the number of operations in it.

What has been is kept for a while: a Change says what was there before it, and a list can be asked for as it was at any
revision whose history is still there.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Protocol

import msgspec

from boxship.errors import Unavailable
from boxship.store.status import Status


class Compacted(Unavailable):
    """The history that was asked for is gone. `oldest` is the first revision that can still be asked for."""

    def __init__(self, message: str, oldest: int) -> None:
        super().__init__(message)
        self.oldest = oldest


class Entry(msgspec.Struct, frozen=True, gc=False):  # holds nothing that could refer to it: no work for the collector
    """One key as it is now. `created` and `modified` are the revisions of its first and its last write."""

    key: str
    value: bytes
    created: int
    modified: int


class Snapshot(msgspec.Struct, frozen=True):
    """The entries under a prefix, in key order, all of the same moment: `revision`. `remaining` is the number of
    further ones, behind the limit."""

    revision: int
    entries: tuple[Entry, ...]
    remaining: int = 0


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


class Change(msgspec.Struct, frozen=True, gc=False):
    """One key changed by the commit of that revision; `value` is None where it was deleted. `previous` is what it was
    before: None where it did not exist, or where the commit was written by a version that did not keep it."""

    revision: int
    key: str
    value: bytes | None
    previous: Entry | None = None


class Store(Protocol):
    """Atomic, durable, watchable. Raises Conflict where an `expected` does not hold (then nothing is written), and
    Unavailable where what it stands on does not answer.

    `fresh`: everything that was acknowledged to anybody before the call is seen. Without, the answer may come from a
    copy that is a moment behind, and costs nobody a question.
    """

    async def get(self, key: str, *, fresh: bool = True) -> Entry | None: ...

    async def list(self, prefix: str, *, after: str = "", limit: int = 0, at: int = 0, fresh: bool = True) -> Snapshot:
        """Entries whose keys begin with `prefix` and sort after `after`; at most `limit` (0: all). With `at` as they
        were at that revision: raises Compacted where that is too long ago, Invalid where it has not come yet."""

    async def pick(self, keys: Iterable[str], *, fresh: bool = True) -> Snapshot:
        """The entries of these keys, in their order, all of one moment; without those that are not there."""

    def past(self, prefix: str, *, after: int, until: int) -> AsyncIterator[Change]:
        """Every change under `prefix` with a revision above `after`, up to `until`, in order; raises Compacted."""

    async def revision(self) -> int:
        """The revision of the newest commit of all."""

    async def revision_at(self, time: float) -> int:
        """The newest revision that was made at or before `time` (seconds since 1970, by the clock of who wrote); 0
        where that is before the first. Raises Compacted where it is before the oldest that is kept."""

    async def time_at(self, revision: int) -> float:
        """When that commit was made, as `revision_at` has it; 0 where that was not kept. Raises Compacted."""

    async def commit(self, *operations: Operation) -> int:
        """Make all of the operations or none; the new revision, durable when this returns."""

    def watch(self, prefix: str, *, after: int) -> AsyncIterator[Change]:
        """Every change under `prefix` with a revision above `after`, in order, without end; raises Compacted where
        `after` lies before a compaction."""

    async def compact(self, before: int) -> None:
        """Forget the history of changes below revision `before`; what is stored now stays."""

    async def status(self) -> Status:
        """What it says of itself, for people."""

    async def shrink(self) -> None:
        """Give the space of what was forgotten back to the disk. May hold up commits for a while."""

    async def close(self) -> None: ...
