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


def stamp(now: datetime) -> str:
    """As metav1.Time is written: RFC 3339 in UTC, whole seconds."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp_micro(now: datetime) -> str:
    """As metav1.MicroTime is written."""
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(text: str) -> datetime:
    """The time that a stamp names. Raises ValueError."""
    return datetime.fromisoformat(text).astimezone(UTC)
