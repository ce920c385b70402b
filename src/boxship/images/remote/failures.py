"""What a registry's refusal means, as one of our kinds of error. Pure."""

from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from boxship.errors import BoxshipError, Denied, Invalid, NotFound, Unauthenticated, Unavailable
from boxship.images.remote.challenge import Challenge

TEXT_LIMIT = 500  # characters of a registry's own words that are shown
ERROR_BYTES = 64 * 1024


class Busy(Unavailable):
    """The registry asks to come again later; `seconds` where it said when."""

    def __init__(self, message: str, seconds: float | None) -> None:
        super().__init__(message)
        self.seconds = seconds


class RepositoryMissing(NotFound):
    """The registry has no such repository, or does not say so to us."""


class ManifestMissing(NotFound):
    """The repository has no such tag or digest."""


def failure(
    status: int,
    reason: str,
    body: bytes,
    *,
    challenges: Sequence[Challenge] = (),
    retry_after: str = "",
    now: float = 0.0,
) -> BoxshipError:
    """The error that an answer with such a status stands for. `now` is the time since the epoch in seconds."""
    code, message = _said(body)
    text = f"{code.lower().replace('_', ' ')}: {message}" if code else message
    if status == 401:
        refused = {challenge.parameters.get("error") for challenge in challenges if challenge.scheme == "bearer"}
        if "insufficient_scope" in refused:
            return Denied("denied: requested access to the resource is denied")
        return Unauthenticated(text or "unauthorized: authentication required")
    if status == 429 or status == 503:
        words = text or f"received unexpected HTTP status: {status} {reason}"
        return Busy(words, parse_retry_after(retry_after, now))
    if status >= 500 or status in (408, 425):
        return Unavailable(f"received unexpected HTTP status: {status} {reason}{': ' + text if text else ''}")
    if status == 403 or code == "DENIED":
        return Denied(text or "denied: requested access to the resource is denied")
    if code == "NAME_UNKNOWN":
        return RepositoryMissing(text)
    if status == 404:
        return ManifestMissing(text or "not found")
    return Invalid(text or f"received unexpected HTTP status: {status} {reason}")


def parse_retry_after(text: str, now: float) -> float | None:
    """Seconds to wait, from a number or a date; None where nothing sensible was said."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError, IndexError):
        return None


def _said(body: bytes) -> tuple[str, str]:
    """The first error's code and message; of another body its beginning, where it is text."""
    try:
        document: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return "", ""
    if not isinstance(document, dict):
        return "", ""
    listed = document.get("errors")
    first = listed[0] if isinstance(listed, list) and listed else document
    if not isinstance(first, dict):
        return "", ""
    code, message = first.get("code"), first.get("message") or first.get("details") or ""
    return _plain(code), _plain(message)


def _plain(value: object) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(letter for letter in text[:TEXT_LIMIT] if letter.isprintable())
