"""What a controller wrote and has not seen yet: as long as there is anything, it creates and deletes nothing more, so
that a cache that lags never leads to a pod too many. By uid, so exactly; forgotten after a time, should what was
expected never be seen (created and gone between two listings)."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from boxship.cluster.controllers.workloads.family import Child
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.reconcile.cache import Cache, Key

LONGEST = 300.0  # seconds


class Expectations:
    """Of one controller, on the cache of its children."""

    def __init__(self, children: Cache, now: Now) -> None:
        self._now = now
        self._creates: dict[str, Key] = {}  # uid → owner
        self._deletes: dict[str, Key] = {}
        self._owners: dict[Key, dict[str, float]] = defaultdict(dict)  # owner → uid → since
        self._open = 0
        self._seen: set[str] = set()  # what came and went while creations were under way
        children.subscribe(self._changed)

    def remaining(self, owner: Key) -> float:
        """Seconds until what the owner waits for is forgotten; 0.0: it waits for nothing."""
        waiting = self._owners.get(owner)
        if not waiting:
            return 0.0
        left = max(waiting.values()) + LONGEST - self._now()
        if left > 0:
            return left
        self.forget(owner)
        return 0.0

    def forget(self, owner: Key) -> None:
        for uid in self._owners.pop(owner, {}):
            self._creates.pop(uid, None)
            self._deletes.pop(uid, None)

    @contextlib.contextmanager
    def creating(self) -> Iterator[None]:
        """Creations happen inside; what is seen before its creation was answered counts, too."""
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            if not self._open:
                self._seen.clear()

    def created(self, owner: Key, uid: str) -> None:
        if uid not in self._seen:
            self._creates[uid] = owner
            self._owners[owner][uid] = self._now()

    def deleting(self, owner: Key, uid: str) -> None:
        """Before it is tried."""
        self._deletes[uid] = owner
        self._owners[owner][uid] = self._now()

    def deletes_of(self, owner: Key) -> list[str]:
        return [uid for uid in self._owners.get(owner, ()) if uid in self._deletes]

    def not_deleted(self, uid: str) -> None:
        """It could not be deleted, or was gone."""
        self._settle(self._deletes, uid)

    def _settle(self, table: dict[str, Key], uid: str) -> None:
        owner = table.pop(uid, None)
        if owner is not None:
            self._owners[owner].pop(uid, None)
            if not self._owners[owner]:
                del self._owners[owner]

    def _changed(self, key: Key, old: Child | None, new: Child | None) -> None:
        was, now = _uid(old), _uid(new)
        if was and was != now:
            if self._open:
                self._seen.add(was)
            self._settle(self._creates, was)
            self._settle(self._deletes, was)
        if now:
            if self._open and was != now:
                self._seen.add(now)
            self._settle(self._creates, now)
            if _is_ending(new):
                self._settle(self._deletes, now)


def _uid(child: Any) -> str:
    if child is None:
        return ""
    return str(child.uid if isinstance(child, Pod) else child["metadata"]["uid"])


def _is_ending(child: Any) -> bool:
    return bool(child.deleted if isinstance(child, Pod) else child["metadata"].get("deletionTimestamp"))
