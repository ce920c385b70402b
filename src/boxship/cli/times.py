"""Times on the command line and in the daemon's answers, without the slow `datetime`."""

from __future__ import annotations

import time

from boxship.errors import Invalid
from boxship.spec.duration import SECOND, parse_duration, rough_duration

MISSING = "0001-01-01T00:00:00Z"  # Go's zero time
NEVER = -62135596800  # the same in seconds since the epoch
LONGEST = 2**63 - 1  # nanoseconds: Go's durations end after 292 years


def days_since_epoch(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 in the Gregorian calendar."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def parse_time(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time; a missing zone is the local one. Raises Invalid."""
    try:
        day, _, clock = text.replace(" ", "T").partition("T")
        year, month, of_month = (int(part) for part in day.split("-"))
        zone, clock = _split_zone(clock)
        whole, _, fraction = clock.partition(".")
        parts = [int(part) for part in whole.split(":")] if whole else []
        if len(parts) > 3 or not (1 <= month <= 12 and 1 <= of_month <= 31) or (fraction and not fraction.isdigit()):
            raise ValueError
        hours, minutes, seconds = (*parts, 0, 0, 0)[:3]
        if zone is None:
            local = (year, month, of_month, hours, minutes, seconds, 0, 0, -1)
            total = int(time.mktime(local))
        else:
            total = days_since_epoch(year, month, of_month) * 86400 + hours * 3600 + minutes * 60 + seconds - zone
        return total * SECOND + int(fraction[:9].ljust(9, "0") or "0")
    except (ValueError, OverflowError):
        raise Invalid(f"invalid time {text!r}: it must be a time such as 2006-01-02T15:04:05Z") from None


def _split_zone(clock: str) -> tuple[int | None, str]:
    """Seconds east of Greenwich (None: not said), and the rest."""
    if clock.endswith(("Z", "z")):
        return 0, clock[:-1]
    for sign in "+-":
        rest, found, offset = clock.rpartition(sign)
        if found:
            hours, _, minutes = offset.partition(":")
            seconds = int(hours) * 3600 + int(minutes or "0") * 60
            return (seconds if sign == "+" else -seconds), rest
    return None, clock


def timestamp(text: str, now: float | None = None) -> str:
    """What the API wants for --since and --until: seconds with a fraction. Takes a Unix time, a duration before now
    ("10m"), or an RFC 3339 time."""
    if text.replace(".", "", 1).isdigit():
        return text
    moment = round((time.time() if now is None else now) * SECOND)
    if text[:1].isdigit() and "-" in text:
        moment = parse_time(text)
    else:
        try:
            moment -= parse_duration(text)
        except Invalid:
            raise Invalid(
                f"invalid value {text!r} for a time: neither like 2006-01-02T15:04:05Z nor a duration like 10m"
            ) from None
    return f"{moment // SECOND}.{moment % SECOND:09d}"


def is_missing(text: str) -> bool:
    """Whether a time of the API means "never"."""
    return not text or text.startswith("0001-")


def ago(seconds: float, now: float | None = None) -> str:
    """ "5 minutes ago" for a Unix time."""
    passed = (time.time() if now is None else now) - seconds
    return f"{rough_duration(min(int(passed * SECOND), LONGEST))} ago"


def local_text(seconds: float) -> str:
    """A Unix time as Go prints it in the local zone: "2006-01-02 15:04:05 +0000 UTC"."""
    local = time.localtime(seconds)
    return f"{local.tm_year:04d}" + time.strftime("-%m-%d %H:%M:%S %z %Z", local)


def rfc3339(seconds: float) -> str:
    """A Unix time in the local zone: "2006-01-02T15:04:05Z"."""
    local = time.localtime(seconds)
    offset = time.strftime("%z", local)
    zone = "Z" if offset in ("+0000", "-0000", "") else f"{offset[:3]}:{offset[3:]}"
    return f"{local.tm_year:04d}" + time.strftime("-%m-%dT%H:%M:%S", local) + zone


def rfc3339_nano(nanoseconds: int) -> str:
    """Nanoseconds since the epoch in the local zone with nine digits after the second, as events and logs show them."""
    text = rfc3339(nanoseconds // SECOND)
    return f"{text[:19]}.{nanoseconds % SECOND:09d}{text[19:]}"


def go_time_text(text: str) -> str:
    """An RFC 3339 time as Go prints it: "2006-01-02 15:04:05.123 +0000 UTC"."""
    day, _, clock = text.partition("T")
    zone, rest = _split_zone(clock)
    whole, dot, fraction = rest.partition(".")
    seconds = zone or 0
    sign, size = ("-", -seconds) if seconds < 0 else ("+", seconds)
    offset = f"{sign}{size // 3600:02d}{size % 3600 // 60:02d}"
    fraction = fraction.rstrip("0")
    return f"{day} {whole}{dot if fraction else ''}{fraction} {offset} {'UTC' if seconds == 0 else offset}"
