"""Keeps what is being made from being collected as garbage by a removal that runs at the same time.

A load holds each blob and layer before it looks whether it is there; a removal takes one thing away at a time, and only
if nobody holds it. Both go through one lock, so there is no moment between looking and using.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

LAYER_KEY = "layer "


def layer_key(chain_id: str) -> str:
    """The key of an unpacked layer; a blob's is its digest."""
    return LAYER_KEY + chain_id


class Hold:
    """What one operation holds, by key."""

    def __init__(self, holds: "Holds") -> None:
        self._holds = holds
        self.keys: list[str] = []

    async def add(self, key: str) -> None:
        """Hold one more; waits for a removal of it that has begun."""
        async with self._holds.lock:
            self._holds.counts[key] += 1
            self.keys.append(key)


class Holds:
    """Who holds what."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.counts: Counter[str] = Counter()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Hold]:
        """A new hold, released at the end."""
        hold = Hold(self)
        try:
            yield hold
        finally:
            for key in hold.keys:
                self.counts[key] -= 1
                if not self.counts[key]:
                    del self.counts[key]

    async def remove_unless_held(
        self, key: str, wanted: Callable[[], bool], remove: Callable[[], Awaitable[None]]
    ) -> bool:
        """Run `remove` if nobody holds the key and `wanted` says so; whether it did."""
        async with self.lock:
            if self.counts[key] or not wanted():
                return False
            await remove()
            return True
