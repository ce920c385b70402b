"""Cron expressions: when a schedule is due next, in a time zone.

A parser of our own: the libraries for it differ from the original in what the API has accepted already (`?`, names,
steps from a number, `@every`), and the whole of it is a page. Whether a text is well formed was asked when it was
written (objects/kinds/batch_schedules).

An hour that is left out in spring is not run; one that comes twice in autumn is run twice, as the original does.
"""

import functools
import re
import zoneinfo
from datetime import UTC, datetime, timedelta, tzinfo

import msgspec

from boxship.cluster.objects.kinds.batch_schedules import FIELDS, wrong_schedule
from boxship.errors import Invalid

DESCRIBED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
YEARS = 5  # after which a schedule that was never due never is (30 February)


class Schedule(msgspec.Struct, frozen=True):
    """`every` (seconds) or the five fields."""

    zone: tzinfo
    every: float = 0.0
    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = True  # the field begins with *: the other one alone counts
    any_weekday: bool = True

    def next(self, after: float) -> float | None:
        """The first time after this one, whole seconds; None: never."""
        if self.every:
            return float(int(after)) + self.every
        return self._next(after)

    def _next(self, after: float) -> float | None:
        moment = datetime.fromtimestamp(int(after) // 60 * 60 + 60, UTC)
        last_year = moment.year + YEARS
        while moment.year <= last_year:
            local = moment.astimezone(self.zone)
            if local.month not in self.months:
                moment = _midnight(local, moment, month=True)
            elif not self._is_day(local):
                moment = _midnight(local, moment, month=False)
            elif local.hour not in self.hours:
                moment += timedelta(minutes=60 - local.minute)
            elif local.minute not in self.minutes:
                moment += timedelta(minutes=1)
            else:
                return moment.timestamp()
        return None

    def _is_day(self, local: datetime) -> bool:
        day, weekday = local.day in self.days, (local.weekday() + 1) % 7 in self.weekdays
        return day and weekday if self.any_day or self.any_weekday else day or weekday


def _midnight(local: datetime, moment: datetime, *, month: bool) -> datetime:
    """The beginning of the next day or month there; always later than `moment`."""
    day = local.replace(hour=0, minute=0, second=0, fold=0)
    day = (day.replace(day=1) + timedelta(days=32)).replace(day=1) if month else day + timedelta(days=1)
    found = day.astimezone(UTC)
    return found if found > moment else moment + timedelta(hours=1)


@functools.lru_cache(maxsize=1024)
def parse(text: str, zone: str = "") -> Schedule:
    """Raises Invalid. Without a zone, that of the machine."""
    if why := wrong_schedule(text):
        raise Invalid(why)
    if text.startswith(("TZ=", "CRON_TZ=")):
        named, _, text = text.partition(" ")
        zone, text = named.partition("=")[2], text.strip()
    try:
        where: tzinfo = zoneinfo.ZoneInfo(zone) if zone else _local()
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid(f"unknown time zone {zone}") from None
    if text.startswith("@every "):
        seconds = sum(float(number) * UNITS[unit] for number, unit in _PART.findall(text))
        return Schedule(where, every=max(float(int(seconds)), 1.0))
    fields = DESCRIBED.get(text, text).split()
    minutes, hours, days, months, weekdays = (_values(field, *kind) for field, kind in zip(fields, FIELDS, strict=True))
    any_day, any_weekday = _is_any(fields[2]), _is_any(fields[4])
    return Schedule(where, 0.0, minutes, hours, days, months, weekdays, any_day, any_weekday)


def _local() -> tzinfo:
    try:
        return zoneinfo.ZoneInfo("localtime")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return datetime.now().astimezone().tzinfo or UTC


def _is_any(field: str) -> bool:
    """Does any part of the field stand for all, without a step?"""
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span.split("-")[0] in ("*", "?") and step in ("", "1"):
            return True
    return False


def _values(field: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    def number(text: str) -> int:
        return names.get(text.lower(), -1) if text.lower() in names else int(text)

    found: set[int] = set()
    for part in filter(None, field.split(",")):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if first in ("*", "?"):
            start, end = low, high
        else:
            start = number(first)
            end = number(last) if last else (high if step else start)
        found.update(range(start, end + 1, int(step or 1)))
    return frozenset(found)
