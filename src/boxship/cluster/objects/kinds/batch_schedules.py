"""The schedule and the time zone of a CronJob: are they well formed?

Source: documentation "CronJob" (schedule syntax, time zones); the texts are those of the robfig/cron library, which the
original parses schedules with; time zones: the IANA database's rules for names.
"""

import functools
import re
import zoneinfo

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Each field: lowest, highest, and the names of values.
FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: index for index, name in enumerate(MONTHS, 1)}),
    (0, 6, {name: index for index, name in enumerate(DAYS)}),
)
DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_DURATION = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*")
_ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}", re.ASCII)


class _Wrong(Exception):
    """Why a schedule is wrong; never leaves this file."""


def wrong_schedule(text: str) -> str:
    """Why the schedule cannot be parsed, or ""."""
    try:
        _parse(text)
    except _Wrong as wrong:
        return str(wrong)
    return ""


def _parse(text: str) -> None:
    if not text:
        raise _Wrong("empty spec string")
    if text.startswith(("TZ=", "CRON_TZ=")):
        zone, _, text = text.partition(" ")
        name = zone.partition("=")[2]
        if why := wrong_zone(name):
            raise _Wrong(f"provided bad location {name}: {why}")
        text = text.strip()
    if text.startswith("@"):
        if text.startswith("@every "):
            duration = text.removeprefix("@every ")
            if duration != "0" and not _DURATION.fullmatch(duration):
                raise _Wrong(f'failed to parse duration {text}: time: invalid duration "{duration}"')
        elif text not in DESCRIPTORS:
            raise _Wrong(f"unrecognized descriptor: {text}")
        return
    fields = text.split()
    if len(fields) != len(FIELDS):
        raise _Wrong(f"expected exactly {len(FIELDS)} fields, found {len(fields)}: [{' '.join(fields)}]")
    for field, (low, high, named) in zip(fields, FIELDS, strict=True):
        for part in field.split(","):
            if part:
                _parse_range(part, low, high, named)


def _parse_range(part: str, low: int, high: int, named: dict[str, int]) -> None:
    """NUMBER | NUMBER-NUMBER | *, each with /STEP."""
    span, *steps = part.split("/")
    ends = span.split("-")
    if ends[0] in ("*", "?"):
        start, end = low, high
    elif len(ends) > 2:
        raise _Wrong(f"too many hyphens: {part}")
    else:
        start = _number(ends[0], named)
        end = _number(ends[1], named) if len(ends) == 2 else start
    if len(steps) > 1:
        raise _Wrong(f"too many slashes: {part}")
    step = 1
    if steps:
        step = _number(steps[0], {})
        if len(ends) == 1 and ends[0] not in ("*", "?"):
            end = high
    if start < low:
        raise _Wrong(f"beginning of range ({start}) below minimum ({low}): {part}")
    if end > high:
        raise _Wrong(f"end of range ({end}) above maximum ({high}): {part}")
    if start > end:
        raise _Wrong(f"beginning of range ({start}) beyond end of range ({end}): {part}")
    if step == 0:
        raise _Wrong(f"step of range should be a positive number: {part}")


def _number(text: str, named: dict[str, int]) -> int:
    value = named.get(text.lower())
    if value is not None:
        return value
    if not re.fullmatch(r"[-+]?\d{1,18}", text, re.ASCII):
        raise _Wrong(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if int(text) < 0:
        raise _Wrong(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)


@functools.lru_cache(maxsize=256)
def wrong_zone(name: str) -> str:
    """Why no time zone has this name, or ""."""
    if name in ("", "UTC"):
        return ""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return f"unknown time zone {name}"
    return ""


def is_zone_name(name: str) -> bool:
    """Is it formed as the names of zones are?"""
    parts = name.split("/")
    return all(part not in (".", "..") and part[:1] != "-" and _ZONE_PART.fullmatch(part) for part in parts)
