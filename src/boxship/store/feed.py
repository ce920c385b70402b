"""Watching a store: who is told of which commit, and in which order.

A watcher holds no queue of its own, only the revision up to which it has been told. It reads what follows from the
recent commits in memory or, when it is slow or begins in the past, from the store's history; so a watcher that does not
read costs nothing, and none can miss a change.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from boxship.errors import Unavailable
from boxship.store import Change

OLDER_LIMIT = 256  # commits read from the history at once


class Commit(msgspec.Struct, frozen=True):
    """What one revision changed."""

    revision: int
    changes: tuple[Change, ...]


class _Watcher:
    """One reader: `position` is the last revision of which it knows all."""

    def __init__(self, prefix: str, position: int) -> None:
        self.prefix = prefix
        self.position = position
        self.waiter: asyncio.Future[None] | None = None

    def tell(self, commit: Commit) -> None:
        """Wake the reader if the commit concerns it; else only move it on, so that compaction cannot overtake it."""
        idle = self.waiter is not None and not self.waiter.done()
        if not idle or self.position >= commit.revision:
            return
        if any(change.key.startswith(self.prefix) for change in commit.changes):
            self.wake()
        else:
            self.position = commit.revision

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Feed:
    """Recent commits and their watchers. `older(after, limit)` reads commits that are no longer in memory, in order."""

    def __init__(
        self,
        revision: int,
        oldest: int,
        recent_limit: int | None,
        older: Callable[[int, int], Awaitable[list[Commit]]],
    ) -> None:
        self.revision = revision
        self.oldest = oldest  # the smallest `after` that can still be asked for
        self._recent: deque[Commit] = deque(maxlen=recent_limit)
        self._older = older
        self._watchers: set[_Watcher] = set()
        self._closed = False

    def publish(self, commit: Commit) -> None:
        """Tell the watchers of the next commit, which is durable."""
        self.revision = commit.revision
        self._recent.append(commit)
        for watcher in self._watchers:
            watcher.tell(commit)

    def forget(self, before: int) -> None:
        """History below revision `before` is gone."""
        self.oldest = max(self.oldest, before - 1)
        while self._recent and self._recent[0].revision < before:
            self._recent.popleft()

    def close(self) -> None:
        self._closed = True
        for watcher in self._watchers:
            watcher.wake()

    async def follow(self, prefix: str, after: int) -> AsyncIterator[Change]:
        watcher = _Watcher(prefix, after)
        self._watchers.add(watcher)
        try:
            while True:
                for commit in await self._next(watcher):
                    for change in commit.changes:
                        if change.key.startswith(prefix):
                            yield change
                    watcher.position = commit.revision
        finally:
            self._watchers.discard(watcher)

    async def _next(self, watcher: _Watcher) -> list[Commit]:
        """The commits that the watcher has not been told of; waits until there is one."""
        while True:
            if self._closed:
                raise Unavailable(f"cannot watch {watcher.prefix!r}: the store is closed")
            if watcher.position < self.oldest:
                raise Unavailable(
                    f"cannot watch {watcher.prefix!r} after revision {watcher.position}: "
                    f"the oldest revision that can be asked for is {self.oldest}"
                )
            if watcher.position < self.revision:
                commits = await self._after(watcher.position)
                if commits:
                    return commits
                continue
            watcher.waiter = asyncio.get_running_loop().create_future()
            await watcher.waiter

    async def _after(self, position: int) -> list[Commit]:
        missing = self.revision - position
        if missing <= len(self._recent):  # revisions have no gaps
            return [self._recent[-index] for index in range(min(missing, len(self._recent)), 0, -1)]
        known = self.revision
        commits = await self._older(position, OLDER_LIMIT)
        return [commit for commit in commits if commit.revision <= known]
