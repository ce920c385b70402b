"""Times as objects have them: RFC 3339 in UTC, as metav1.Time and metav1.MicroTime write it."""

from datetime import UTC, datetime


def stamp(now: datetime) -> str:
    """As metav1.Time is written: whole seconds."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp_micro(now: datetime) -> str:
    """As metav1.MicroTime is written."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(text: str) -> datetime:
    """The time that a stamp names. Raises ValueError."""
    return datetime.fromisoformat(text).astimezone(UTC)
