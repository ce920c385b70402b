"""The time, as everything in the API asks for it, so that tests can hold it still."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The time of the day, aware, in UTC."""


class SystemClock:
    """Implements Clock by the machine's own."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC)
