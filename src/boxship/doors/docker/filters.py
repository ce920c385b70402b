"""The `filters` parameter: parsing both JSON forms, refusing unknown names, and how values match. Pure."""

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from boxship.doors.docker.call import parse_moment
from boxship.engine.clock import Clock
from boxship.errors import Invalid

TRUE = ("1", "true")
FALSE = ("0", "false")
SECOND = 1_000_000_000  # nanoseconds
PATTERN_LIMIT = 512  # characters of a regular expression
REPETITION_LIMIT = 2  # of * + { in one
PATTERNS = ("id", "name")  # filters whose values are regular expressions
SIGNS = ".^$*+?{}[]\\|()"
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 1000, "µs": 1000, "ms": 10**6, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}


class Filters:
    """Values by filter name. Values of one name are alternatives, names must all match, unless said otherwise."""

    def __init__(self, values: Mapping[str, list[str]]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return bool(self._values.get(name))

    def get(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def one_of(self, name: str, allowed: Collection[str]) -> list[str]:
        """The values of a filter that takes certain words alone. Raises Invalid for another."""
        for value in self.get(name):
            if value not in allowed:
                raise Invalid(f"invalid filter '{name}={value}'")
        return self.get(name)

    def flag(self, name: str) -> bool | None:
        """A filter that is true or false; None where it is not given."""
        values = [value.lower() for value in self.one_of_any_case(name, (*TRUE, *FALSE))]
        if not values:
            return None
        wanted = {value in TRUE for value in values}
        if len(wanted) > 1:
            raise Invalid(f"invalid filter '{name}={','.join(self.get(name))}'")
        return wanted.pop()

    def one_of_any_case(self, name: str, allowed: Collection[str]) -> list[str]:
        for value in self.get(name):
            if value.lower() not in allowed:
                raise Invalid(f"invalid filter '{name}={value}'")
        return self.get(name)

    def exactly(self, name: str, *candidates: str) -> bool:
        """Whether a value equals a candidate, or none is given."""
        values = self.get(name)
        return not values or any(candidate in values for candidate in candidates)

    def like(self, name: str, *candidates: str) -> bool:
        """Whether a value, as a regular expression, is found in a candidate, or none is given."""
        values = self.get(name)
        return not values or any(matches(value, candidate) for value in values for candidate in candidates)

    def labels(self, labels: Mapping[str, str]) -> bool:
        """Whether all `label` values (k or k=v) hold, and no `label!` value does."""
        return all(has_label(value, labels) for value in self.get("label")) and not any(
            has_label(value, labels) for value in self.get("label!")
        )

    def until(self, clock: Clock) -> int:
        """The `until` filter of prunes as nanoseconds since the epoch, 0 for none. Raises Invalid."""
        values = self.get("until")
        if len(values) > 1:
            raise Invalid("more than one until filter specified")
        return moment_or_age(values[0], clock) if values else 0


def parse_filters(text: str, allowed: Collection[str]) -> Filters:
    """`{"k":["a"]}` or the older `{"k":{"a":true}}`. Raises Invalid for other shapes and unknown names."""
    if not text:
        return Filters({})
    try:
        value = msgspec.json.decode(text.encode("utf-8", "surrogatepass"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"invalid filter: {error}") from None
    if value is None:
        return Filters({})
    if not isinstance(value, dict):
        raise Invalid("invalid filter: an object is expected")
    for name in value:
        if name not in allowed:
            raise Invalid(f"invalid filter '{name}'")
    filters = Filters({name: _strings(name, given) for name, given in value.items()})
    for name in PATTERNS:
        for pattern in filters.get(name):
            matches(pattern, "")
    return filters


def _strings(name: str, given: Any) -> list[str]:
    if given is None:
        return []
    if isinstance(given, dict) and all(isinstance(on, bool) for on in given.values()):
        return [key for key, on in given.items() if on]
    if isinstance(given, list) and all(isinstance(item, str) for item in given):
        return given
    raise Invalid(f"invalid filter '{name}': a list of strings is expected")


def matches(pattern: str, text: str) -> bool:
    """Equal, found as a regular expression, or (where it is none) found as it is."""
    if pattern == text:
        return True
    if len(pattern) > PATTERN_LIMIT:
        raise Invalid(f"invalid filter: a pattern may have at most {PATTERN_LIMIT} characters")
    if not any(sign in pattern for sign in SIGNS):
        return pattern in text
    compiled = safe_pattern(pattern)
    return bool(compiled.search(text[:PATTERN_LIMIT])) if compiled else pattern in text


@lru_cache(maxsize=64)
def safe_pattern(pattern: str) -> re.Pattern[str] | None:
    """A compiled pattern, or None where it is no regular expression. Raises Invalid for one that could hold the daemon
    up: the matcher takes exponential time for repeated groups, and time to the power of the repetitions."""
    if re.search(r"\)[*+{]", pattern):
        raise Invalid(f"invalid filter: a pattern with repeated groups is not supported: {pattern}")
    if len(re.findall(r"[*+{]", pattern.removeprefix(".*").removesuffix(".*"))) > REPETITION_LIMIT:
        raise Invalid(f"invalid filter: a pattern with more than {REPETITION_LIMIT} repetitions is not supported")
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return None


def has_label(wanted: str, labels: Mapping[str, str]) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def moment_or_age(text: str, clock: Clock) -> int:
    """Nanoseconds since the epoch, from a time or from how long ago ("24h", "1h30m"). Raises Invalid."""
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return clock.now() - sum(int(float(number) * _UNITS[unit]) for number, unit in parts)
    return parse_moment(text, "until")
