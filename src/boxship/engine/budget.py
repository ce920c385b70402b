"""Keeps unused images within their budget of bytes, where there is one.

Only images go that no container uses, that can be had again (see `images.budget`) and that nobody used lately; the
least recently used first. What goes is told as events, as if a user had pruned it.
"""

import asyncio
import logging

import msgspec

from boxship.engine.clock import Clock
from boxship.engine.images import EngineImages, uses_of
from boxship.engine.records import Records
from boxship.errors import BoxshipError
from boxship.images.library import Images
from boxship.spec.quantity import format_decimal_bytes

log = logging.getLogger(__name__)

SECOND = 10**9


LOOK_SECONDS = 15.0  # between two looks
FRESH_SECONDS = 600.0  # what was used in that time stays in any case


class BudgetSettings(msgspec.Struct, frozen=True):
    """`limit` in bytes; 0: unused images stay."""

    limit: int = 0


class ImageBudget:
    """Looks from time to time."""

    def __init__(
        self, settings: BudgetSettings, images: Images, engine_images: EngineImages, records: Records, clock: Clock
    ) -> None:
        self._settings = settings
        self._images = images
        self._engine_images = engine_images
        self._records = records
        self._clock = clock

    async def run(self) -> None:
        """One task for as long as the daemon lives, where there is a limit."""
        while self._settings.limit:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.enforce()
            except BoxshipError as error:  # a full disk, say: the next look tries again
                log.warning("cannot keep unused images within their budget: %s", error)

    async def enforce(self) -> None:
        """Remove what is too much now."""
        before = self._clock.now() - int(FRESH_SECONDS * SECOND)
        chosen = await self._images.surplus(self._settings.limit, before, uses_of(self._records))
        if not chosen:
            return
        told, freed = await self._engine_images.prune(
            dangling=False,  # what is used meanwhile stays
            keep=lambda image: image.id not in chosen or chosen[image.id] != self._images.last_use(image.id),
        )
        gone = sum(kind == "Deleted" and what in chosen for kind, what in told)
        log.info("removed %d unused images (%s): unused-image-limit", gone, format_decimal_bytes(freed))
