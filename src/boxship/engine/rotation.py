"""Keeps the logs of running containers within their size."""

import asyncio
import logging
import os

import msgspec

from boxship.engine.clock import Clock
from boxship.engine.lives import Lives
from boxship.engine.model import ALIVE, Container
from boxship.engine.records import Records
from boxship.errors import BoxshipError
from boxship.logs.options import parse_options
from boxship.logs.rotate import needs_rotation, rotate
from boxship.runtime.driver import Driver
from boxship.spec.container import SECOND

logger = logging.getLogger(__name__)

INTERVAL = SECOND  # between two looks at the sizes
SHORTEST = SECOND // 20  # for a log that grows so fast that it would be several times too large in a second


class Growth(msgspec.Struct, frozen=True):
    """A log as it was seen last, and when it is looked at again."""

    size: int
    seen_at: int
    due_at: int


class LogRotation:
    """Looks at the logs once a second, and sooner at those that are flooded; one stat(2) per running container."""

    def __init__(self, records: Records, lives: Lives, driver: Driver, clock: Clock) -> None:
        self._records = records
        self._lives = lives
        self._driver = driver
        self._clock = clock
        self._grown: dict[str, Growth] = {}

    async def run(self) -> None:
        """Until cancelled."""
        pause = INTERVAL
        while True:
            await self._clock.sleep(pause)
            known, self._grown = self._grown, {}
            for container in list(self._records):
                if container.state.phase in ALIVE and container.log_path:
                    self._grown[container.id] = await self._look(container, known.get(container.id))
            now = self._clock.monotonic()
            next_at = min((each.due_at for each in self._grown.values()), default=now + INTERVAL)
            pause = min(max(next_at - now, SHORTEST), INTERVAL)

    async def _look(self, container: Container, before: Growth | None) -> Growth:
        now = self._clock.monotonic()
        if before is not None and now < before.due_at:
            return before
        settings = parse_options(container.spec.log.driver, container.spec.log.options)
        handle, full = self._lives.of(container.id).handle, _size(container.log_path)
        if handle is not None and needs_rotation(container.log_path, settings):
            try:
                await asyncio.to_thread(rotate, container.log_path, settings)
                await self._driver.reopen_log(handle)
            except (BoxshipError, OSError) as error:
                logger.info("cannot rotate the log of container %s: %s", container.id[:12], error)
        return grown(before, full, _size(container.log_path), now, settings.max_size)


def grown(before: Growth | None, full: int, size: int, now: int, most: int) -> Growth:
    """When to look again: after a second, or when half of the room may be gone that the file has, of `most` bytes. It
    was `full` before it was put aside and is `size` now; one that is smaller than it was is a new one. Nobody
    knows yet how a log grows that is seen for the first time."""
    pause = INTERVAL if before is not None else INTERVAL // 10
    if before is not None and now > before.seen_at:
        came = full - before.size if full >= before.size else full
        rate = came / (now - before.seen_at)
        if most > 0 and rate * INTERVAL > most / 2:
            pause = max(int(max(most - size, 0) / rate / 2), SHORTEST)
    return Growth(size, now, now + min(pause, INTERVAL))


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
