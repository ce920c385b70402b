"""A store in memory, for tests: the same promises as the SQLite store, except that nothing outlives the process."""

from collections.abc import AsyncIterator

from boxship.errors import Unavailable
from boxship.store import Change, Entry, Operation, Snapshot
from boxship.store.feed import Commit, Feed
from boxship.store.tree import Tree, decide, validate


class MemoryStore:
    """Implements Store. `history_limit` is the number of commits that watchers can look back on; None: all."""

    def __init__(self, history_limit: int | None = None) -> None:
        self._tree = Tree()
        self._feed = Feed(revision=0, oldest=0, recent_limit=None, older=_nothing_older)
        self._history_limit = history_limit
        self._closed = False

    async def get(self, key: str) -> Entry | None:
        return self._tree.get(key)

    async def list(self, prefix: str, *, after: str = "", limit: int = 0) -> Snapshot:
        return self._tree.list(prefix, after, limit)

    async def commit(self, *operations: Operation) -> int:
        validate(operations)
        if self._closed:
            raise Unavailable("cannot commit: the store is closed")
        changes = decide(operations, self._tree.modified)
        revision = self._tree.revision + 1
        self._feed.publish(Commit(revision, self._tree.apply(revision, changes)))
        if self._history_limit is not None:
            self._feed.forget(revision - self._history_limit + 1)
        return revision

    def watch(self, prefix: str, *, after: int) -> AsyncIterator[Change]:
        return self._feed.follow(prefix, after)

    async def compact(self, before: int) -> None:
        self._feed.forget(min(before, self._tree.revision))

    async def close(self) -> None:
        self._closed = True
        self._feed.close()


async def _nothing_older(after: int, limit: int) -> list[Commit]:
    return []
