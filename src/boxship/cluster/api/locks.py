"""One after the other, for who has lost a race for a key once.

Writers try without any lock first; what is true is decided by the store's compare-and-swap alone. A lock only keeps
those that have to try again from losing for ever to each other.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class KeyLocks:
    """A lock for each key that somebody holds or waits for."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        lock, users = self._locks.get(key, (None, 0))
        lock = lock or asyncio.Lock()
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)
