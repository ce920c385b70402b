"""Keeps the logs of running containers within their size."""

import asyncio
import logging

from boxship.engine.clock import Clock
from boxship.engine.lives import Lives
from boxship.engine.model import ALIVE
from boxship.engine.records import Records
from boxship.errors import BoxshipError
from boxship.logs.options import parse_options
from boxship.logs.rotate import needs_rotation, rotate
from boxship.runtime.driver import Driver
from boxship.spec.container import SECOND

logger = logging.getLogger(__name__)

INTERVAL = SECOND  # between two looks at the sizes


class LogRotation:
    """Looks at the logs once a second; one stat(2) per running container."""

    def __init__(self, records: Records, lives: Lives, driver: Driver, clock: Clock) -> None:
        self._records = records
        self._lives = lives
        self._driver = driver
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(INTERVAL)
            for container in self._records:
                if container.state.phase not in ALIVE or not container.log_path:
                    continue
                settings = parse_options(container.spec.log.driver, container.spec.log.options)
                handle = self._lives.of(container.id).handle
                if handle is None or not needs_rotation(container.log_path, settings):
                    continue
                try:
                    await asyncio.to_thread(rotate, container.log_path, settings)
                    await self._driver.reopen_log(handle)
                except (BoxshipError, OSError) as error:
                    logger.info("cannot rotate the log of container %s: %s", container.id[:12], error)
