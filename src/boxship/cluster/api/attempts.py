"""Changes of one key, tried until one holds: first on what a copy of the store shows, without a lock, then with the
key's lock on what is true.

What a first look shows may be a moment behind. Nothing is decided by that but a commit, which compares: a refusal, or
that there is nothing to do, counts only when it is known that the look was at the newest state.
"""

import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from boxship.cluster.api.commits import Lost
from boxship.cluster.api.locks import KeyLocks
from boxship.cluster.api.storage import Storage, key_of
from boxship.cluster.objects.failure import Failure, conflict
from boxship.cluster.objects.resource import Resource
from boxship.store import Entry

ATTEMPTS = 60  # times that a change is tried

Said = TypeVar("Said")
Attempt = Callable[[Entry | None], Awaitable[tuple[Entry, Said]]]  # from what is there to what is there then


class Attempts:
    """Made once for all that write to a storage, so that updates and deletions that lose wait for the same lock."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._locks = KeyLocks()

    async def make(self, resource: Resource, namespace: str, name: str, attempt: Attempt[Said]) -> tuple[Entry, Said]:
        """What the first attempt made that holds; the very entry that it was given where it changed nothing. Raises
        Failure, also Conflict where others are faster for ever."""
        key = key_of(resource, namespace, name)
        for number in range(ATTEMPTS):
            certain = number > 0
            async with self._locks.hold(key) if certain else contextlib.nullcontext():
                entry = await self._storage.get(resource, namespace, name, fresh=certain)
                try:
                    made = await attempt(entry)
                except Lost:
                    continue
                except Failure:
                    if certain or await self._is_newest(key, entry):
                        raise
                    continue
                if certain or made[0] is not entry or await self._is_newest(key, entry):
                    return made
        raise conflict(resource, name)

    async def _is_newest(self, key: str, entry: Entry | None) -> bool:
        """Whether nobody has written since the entry was looked at."""
        now = await self._storage.store.get(key)
        return (now.modified if now else 0) == (entry.modified if entry else 0)
