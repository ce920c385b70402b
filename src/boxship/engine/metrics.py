"""What a container's processes are and use."""

import msgspec

from boxship.engine.lives import Lives
from boxship.engine.model import ALIVE
from boxship.engine.records import Records
from boxship.errors import Conflict
from boxship.network.networks import Networks
from boxship.runtime.driver import Driver
from boxship.spec.stats import StatsSample


class Metrics:
    """top and stats."""

    def __init__(self, records: Records, lives: Lives, driver: Driver, networks: Networks) -> None:
        self._records = records
        self._lives = lives
        self._driver = driver
        self._networks = networks

    async def top(self, ref: str, ps_args: str) -> tuple[list[str], list[list[str]]]:
        """The titles and rows of ps(1), run on the host with these arguments, for the container's processes alone.

        Raises Conflict where it doesn't run, Invalid where the arguments make no column of process ids.
        """
        container = self._records.get(ref)
        handle = self._lives.of(container.id).handle
        if container.state.phase not in ALIVE or handle is None:
            raise Conflict(f"container {container.id} is not running")
        return await self._driver.top(handle, ps_args)

    async def stats(self, ref: str) -> StatsSample:
        """One reading; all zero where the container doesn't run."""
        container = self._records.get(ref)
        handle = self._lives.of(container.id).handle
        if container.state.phase not in ALIVE or handle is None:
            return StatsSample()
        sample = self._driver.stats(handle)
        if not container.endpoints:
            return sample
        return msgspec.structs.replace(sample, networks=await self._networks.statistics(container.id))
