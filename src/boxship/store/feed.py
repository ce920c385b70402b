"""Watching a store: who is told of which commit, and in which order.

A watcher holds no queue of its own, only the revision up to which it has been told. It reads what follows from the
recent commits in memory or, when it is slow or begins in the past, from the store's history; so a watcher that does not
read costs nothing, and none can miss a change.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from boxship.errors import Invalid, Unavailable
from boxship.store import Change, Compacted

OLDER_LIMIT = 256  # commits read from the history at once


class Commit(msgspec.Struct, frozen=True):
    """What one revision changed. Not `whole`: its changes do not know what was before them."""

    revision: int
    changes: tuple[Change, ...]
    whole: bool = True


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
    """Recent commits and their watchers. `older(after, limit)` reads commits that are no longer in memory, in order; it
    may raise Compacted."""

    def __init__(
        self,
        revision: int,
        oldest: int,
        recent_limit: int | None,
        older: Callable[[int, int], Awaitable[list[Commit]]],
        older_limit: int = OLDER_LIMIT,
    ) -> None:
        self.revision = revision
        self.oldest = oldest  # the smallest `after` that can still be asked for
        self._recent: deque[Commit] = deque(maxlen=recent_limit)
        self._older = older
        self._older_limit = older_limit
        self._watchers: dict[_Watcher, None] = {}  # in their order: a simulation repeats itself
        self._closed: Unavailable | None = None

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

    def reset(self, revision: int, oldest: int) -> None:
        """Go on at `revision` though nobody was told of what came before it, which is only known from `oldest` on."""
        self.revision = revision
        self.oldest = max(self.oldest, oldest)
        self._recent.clear()
        for watcher in self._watchers:
            watcher.wake()

    def recalls(self, position: int) -> bool:
        """Whether all that follows `position` is in memory."""
        return self.oldest <= position and self.revision - position <= len(self._recent)

    def close(self, why: Unavailable | None = None) -> None:
        """End all watchers with this error."""
        self._closed = self._closed or why or Unavailable("cannot watch: the store is closed")
        for watcher in self._watchers:
            watcher.wake()

    async def follow(self, prefix: str, after: int) -> AsyncIterator[Change]:
        watcher = _Watcher(prefix, after)
        self._watchers[watcher] = None
        try:
            while True:
                for commit in await self._next(watcher):
                    for change in commit.changes:
                        if change.key.startswith(prefix):
                            yield change
                    watcher.position = commit.revision
        finally:
            self._watchers.pop(watcher, None)

    async def between(self, after: int, until: int) -> AsyncIterator[Commit]:
        """The commits above `after` up to `until`, in order. Raises Compacted, or Invalid for what has not come yet."""
        self._demand_come(until)
        while after < until:
            self._demand(after)
            for commit in await self._after(after):
                if commit.revision > until:
                    return
                after = commit.revision
                yield commit

    def demand(self, revision: int) -> None:
        """Raises Compacted where that commit is forgotten, Invalid where it has not come yet."""
        self._demand_come(revision)
        self._demand(revision - 1)

    def _demand_come(self, revision: int) -> None:
        if revision > self.revision:
            raise Invalid(f"cannot read revision {revision}: the newest is {self.revision}")

    def _demand(self, position: int) -> None:
        """Raises Compacted where what follows `position` is no longer known in full."""
        if position < self.oldest:
            raise self._compacted(position, self.oldest)

    @staticmethod
    def _compacted(position: int, oldest: int) -> Compacted:
        why = f"the oldest revision that can be asked for is {oldest}"
        return Compacted(f"cannot look back to revision {position}: {why}", oldest)

    async def _next(self, watcher: _Watcher) -> list[Commit]:
        """The commits that the watcher has not been told of; waits until there is one."""
        while True:
            if self._closed is not None:
                raise self._closed
            self._demand(watcher.position)
            if watcher.position < self.revision:
                commits = await self._after(watcher.position)
                if commits:
                    return commits
                continue
            watcher.waiter = asyncio.get_running_loop().create_future()
            await watcher.waiter

    async def _after(self, position: int) -> list[Commit]:
        """Some of the commits that follow, without a gap. Raises Compacted where they were forgotten meanwhile."""
        missing = self.revision - position
        if missing <= len(self._recent):  # revisions have no gaps
            return [self._recent[-index] for index in range(missing, 0, -1)]
        known = self.revision
        commits = await self._older(position, self._older_limit)
        if not commits or commits[0].revision != position + 1:
            raise self._compacted(position, commits[0].revision - 1 if commits else known)
        return [commit for commit in commits if commit.revision <= known]
