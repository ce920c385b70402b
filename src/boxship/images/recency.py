"""When images were used, and which of those that nobody uses have to go to keep a budget (the choice is `budget`'s).

A use is noted durably, though not each one: what matters is which image was left alone for the longest time.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection

import msgspec

from boxship.content import Garbage
from boxship.images import budget
from boxship.images.catalog import Catalog
from boxship.images.model import Use
from boxship.images.occupancy import Occupancy

LOOKS_AT_ONCE = 50  # images looked at in one step of the loop
USE_STEP = 600 * 10**9  # nanoseconds: uses are not noted more often


class Recency:
    """Uses of the images of one catalogue; `changing` is the lock under which it changes."""

    def __init__(self, catalog: Catalog, garbage: Garbage, occupancy: Occupancy, changing: asyncio.Lock) -> None:
        self._catalog = catalog
        self._garbage = garbage
        self._occupancy = occupancy
        self._changing = changing

    @contextlib.asynccontextmanager
    async def using(self, identifier: str) -> AsyncIterator[None]:
        """Nobody can remove the image before the end, where a container's record says that it is in use. Raises
        NotFound where it is going."""
        with self._occupancy.using(identifier):
            yield
        if self._catalog.has(identifier) and self._catalog.record(identifier).used_at < time.time_ns() - USE_STEP:
            async with self._changing:
                if self._catalog.has(identifier):
                    record = msgspec.structs.replace(self._catalog.record(identifier), used_at=time.time_ns())
                    await self._catalog.change({identifier: (record, self._catalog.config(identifier))}, {})

    async def surplus(self, limit: int, before: int, uses: Collection[Use]) -> dict[str, int]:
        """The unused images that have to go so that the rest takes at most `limit` bytes (see `budget`), none that was
        used since `before` (nanoseconds): when each was last used, by id."""
        in_use = {use.image_id for use in self._occupancy.all_uses(uses)}
        found = []
        for count, identifier in enumerate(self._catalog.identifiers()):
            if count % LOOKS_AT_ONCE == 0:
                await asyncio.sleep(0)
            candidate = budget.candidate(self._catalog, identifier, self._occupancy.used)
            if candidate is not None and identifier not in in_use:
                found.append(candidate)
        chosen = await asyncio.to_thread(budget.surplus, found, dict(self._garbage.claims), limit, before)
        used = {candidate.id: candidate.used for candidate in found}
        return {identifier: used[identifier] for identifier in chosen}

    def last_use(self, identifier: str) -> int:
        """When an image was last used, in nanoseconds."""
        return budget.last_use(self._catalog, identifier, self._occupancy.used)
