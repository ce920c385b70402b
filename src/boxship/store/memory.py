"""A store in memory, for tests: the same promises as the SQLite store, except that nothing outlives the process."""

import time
from collections.abc import AsyncIterator, Callable, Iterable

from boxship.errors import Unavailable
from boxship.store import Change, Compacted, Entry, Operation, Snapshot
from boxship.store.feed import Commit, Feed
from boxship.store.past import Past
from boxship.store.status import Status
from boxship.store.tree import Tree, decide, validate


class MemoryStore:
    """Implements Store. `history_limit` is the number of commits that can be looked back on; None: all. `clock` gives
    seconds since 1970."""

    def __init__(self, history_limit: int | None = None, clock: Callable[[], float] = time.time) -> None:
        self._tree = Tree()
        self._feed = Feed(revision=0, oldest=0, recent_limit=None, older=_nothing_older)
        self._past = Past(self._tree, self._feed)
        self._history_limit = history_limit
        self._clock = clock
        self._times: list[float] = []  # of revision 1, 2, …
        self._closed = False

    async def get(self, key: str, *, fresh: bool = True) -> Entry | None:
        return self._tree.get(key)

    async def list(self, prefix: str, *, after: str = "", limit: int = 0, at: int = 0, fresh: bool = True) -> Snapshot:
        if at:
            return await self._past.list(prefix, after, limit, at)
        return self._tree.list(prefix, after, limit)

    async def pick(self, keys: Iterable[str], *, fresh: bool = True) -> Snapshot:
        return self._tree.pick(keys)

    def past(self, prefix: str, *, after: int, until: int) -> AsyncIterator[Change]:
        return self._past.changes(prefix, after, until)

    async def revision(self) -> int:
        return self._tree.revision

    async def revision_at(self, time: float) -> int:
        for revision in range(self._tree.revision, self._feed.oldest, -1):
            if self._times[revision - 1] <= time:
                return revision
        if self._feed.oldest:
            raise Compacted(f"cannot look back to {time}: that history is gone", self._feed.oldest)
        return 0

    async def time_at(self, revision: int) -> float:
        self._feed.demand(revision)
        return self._times[revision - 1]

    async def commit(self, *operations: Operation) -> int:
        validate(operations)
        if self._closed:
            raise Unavailable("cannot commit: the store is closed")
        changes = decide(operations, self._tree.modified)
        revision = self._tree.revision + 1
        self._times.append(self._clock())
        self._feed.publish(Commit(revision, self._tree.apply(revision, changes)))
        if self._history_limit is not None:
            self._feed.forget(revision - self._history_limit + 1)
        return revision

    def watch(self, prefix: str, *, after: int) -> AsyncIterator[Change]:
        return self._feed.follow(prefix, after)

    async def compact(self, before: int) -> None:
        self._feed.forget(min(before, self._tree.revision))

    async def status(self) -> Status:
        entries, content = self._tree.size()
        return Status("memory", "", self._tree.revision, self._feed.oldest, entries, content)

    async def shrink(self) -> None:
        return

    async def close(self) -> None:
        self._closed = True
        self._feed.close()


async def _nothing_older(after: int, limit: int) -> list[Commit]:
    return []
