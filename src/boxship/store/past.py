"""Lists as they were: what has changed since a revision, undone from the history.

A page of a list at an older revision is followed by the next page at the same, so what was undone is kept for a few
revisions and only carried on. Nothing in this file does I/O of its own: the history comes from the Feed.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator

from boxship.errors import Invalid
from boxship.store import Change, Compacted, Entry, Snapshot
from boxship.store.feed import Feed
from boxship.store.tree import Tree

KEPT_LIMIT = 8  # revisions whose undone keys are kept
PREFIXES_LIMIT = 8  # of lists at one revision
KEYS_LIMIT = 20_000  # undone keys that are kept over all of them, but for the newest's


class _Undone:
    """What was there at `revision` of every key that changed after it, up to the commit `until`."""

    def __init__(self, revision: int) -> None:
        self.until = revision
        self.entries: dict[str, Entry | None] = {}
        self._below: dict[str, dict[str, Entry | None]] = {}  # those below prefixes that were asked for

    def add(self, key: str, entry: Entry | None) -> None:
        """What was there before the next change of this key; the first one counts."""
        if key in self.entries:
            return
        self.entries[key] = entry
        for prefix, entries in self._below.items():
            if key.startswith(prefix):
                entries[key] = entry

    def below(self, prefix: str) -> dict[str, Entry | None]:
        """The next page asks the same, and most of what changes is none of its business."""
        found = self._below.get(prefix)
        if found is None:
            if len(self._below) >= PREFIXES_LIMIT:
                self._below.clear()
            found = {key: entry for key, entry in self.entries.items() if key.startswith(prefix)}
            self._below[prefix] = found
        return found


class Past:
    """Looks back from a Tree that always has what the Feed was last told of."""

    def __init__(self, tree: Tree, feed: Feed) -> None:
        self._tree = tree
        self._feed = feed
        self._kept: OrderedDict[int, _Undone] = OrderedDict()

    async def list(self, prefix: str, after: str, limit: int, at: int) -> Snapshot:
        """Entries as they were at the revision `at`. Raises Compacted, Invalid."""
        tree, feed = self._tree, self._feed
        if at > tree.revision:
            raise Invalid(f"cannot list {prefix!r} at revision {at}: the newest is {tree.revision}")
        if at < feed.oldest:
            self._kept.pop(at, None)
        undone = self._kept.get(at) or _Undone(at)
        while undone.until < tree.revision:
            await self._undo(undone)
        self._keep(at, undone)
        return tree.list_before(at, undone.below(prefix), prefix, after, limit)

    async def changes(self, prefix: str, after: int, until: int) -> AsyncIterator[Change]:
        """Every change under `prefix` above `after`, up to `until`. Raises Compacted, Invalid."""
        async for commit in self._feed.between(after, until):
            for change in commit.changes:
                if change.key.startswith(prefix):
                    yield change

    async def _undo(self, undone: _Undone) -> None:
        """Carry on with the commits until now."""
        async for commit in self._feed.between(undone.until, self._tree.revision):
            if not commit.whole:
                why = f"what was there before revision {commit.revision} was not kept"
                raise Compacted(f"cannot list what was at a revision below {commit.revision}: {why}", commit.revision)
            if commit.revision == undone.until + 1:  # two who list at the same revision carry on the same
                for change in commit.changes:
                    undone.add(change.key, change.previous)
                undone.until = commit.revision

    def _keep(self, at: int, undone: _Undone) -> None:
        """Remember it for the next page, and forget the longest unused where there are too many."""
        self._kept[at] = undone
        self._kept.move_to_end(at)
        while len(self._kept) > KEPT_LIMIT or (
            len(self._kept) > 1 and sum(len(one.entries) for one in self._kept.values()) > KEYS_LIMIT
        ):
            self._kept.popitem(last=False)
