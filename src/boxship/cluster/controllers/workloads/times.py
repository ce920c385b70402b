"""Times as controllers reckon with them (seconds since the epoch, 0.0: never) and as objects have them (RFC 3339)."""

from collections.abc import Callable
from datetime import UTC, datetime

Now = Callable[[], float]


def seconds_of(text: str | None) -> float:
    """0.0: there is none."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
