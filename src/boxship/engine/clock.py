"""Time as the engine sees it: one Protocol, so that tests can move it by hand."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for records, monotonic time for durations (wall time may jump), and sleep."""

    def now(self) -> int:
        """Nanoseconds since the epoch."""

    def monotonic(self) -> int:
        """Nanoseconds that only go forward."""

    async def sleep(self, nanoseconds: int) -> None: ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        return time.time_ns()

    def monotonic(self) -> int:
        return time.monotonic_ns()

    async def sleep(self, nanoseconds: int) -> None:
        await asyncio.sleep(nanoseconds / 1e9)
