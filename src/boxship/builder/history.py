"""How a step reads in an image's history, as BuildKit writes it. Pure."""

import sys
from collections.abc import Iterable, Mapping, Sequence

from boxship.spec.duration import HOUR, MICROSECOND, MILLISECOND, MINUTE, SECOND
from boxship.spec.image import ImageHealthCheck

COMMENT = "buildkit.dockerfile.v0"
MARK = " # buildkit"


def quoted(text: str) -> str:
    """A string as Go's %q writes it."""
    plain = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\a": "\\a", "\b": "\\b", "\f": "\\f"}
    plain["\v"] = "\\v"
    result = []
    for character in text:
        code = ord(character)
        if character in plain:
            result.append(plain[character])
        elif character == " " or character.isprintable():
            result.append(character)
        elif code < 0x80:
            result.append(f"\\x{code:02x}")
        elif 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
            result.append(f"\\x{code - 0xDC00:02x}")
        else:
            result.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(result) + '"'


def words(items: Iterable[str]) -> str:
    """A list as Go's %q writes it: `["a" "b"]`."""
    return "[" + " ".join(quoted(item) for item in items) + "]"


def duration(nanoseconds: int) -> str:
    """A duration as Go writes it: 1m30s, 1.5s, 0s."""
    if not nanoseconds:
        return "0s"
    if nanoseconds < SECOND:
        for unit, name in ((MILLISECOND, "ms"), (MICROSECOND, "µs"), (1, "ns")):
            if nanoseconds >= unit:
                return _decimal(nanoseconds, unit) + name
    hours, rest = divmod(nanoseconds, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    text = _decimal(rest, SECOND) + "s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


def run(command: Sequence[str], arguments: Mapping[str, str]) -> str:
    """RUN, with the build arguments that were in force."""
    shown = [f"{name}={value}" for name, value in arguments.items()]
    return " ".join(["RUN", *([f"|{len(shown)}", *shown] if shown else []), *command]) + MARK


def copy(keyword: str, flags: Sequence[str], sources: Sequence[str], destination: str) -> str:
    """COPY or ADD."""
    return " ".join([keyword, *flags, *sources, destination]) + MARK


def pairs(keyword: str, items: Iterable[tuple[str, str | None]]) -> str:
    """ENV, LABEL, ARG."""
    return " ".join([keyword, *(name if value is None else f"{name}={value}" for name, value in items)])


def expose(ports: Iterable[str]) -> str:
    """EXPOSE."""
    return "EXPOSE map[" + " ".join(f"{port}:{{}}" for port in sorted(ports)) + "]"


def plain_list(keyword: str, items: Iterable[str]) -> str:
    """VOLUME, SHELL."""
    return f"{keyword} [" + " ".join(items) + "]"


def health_check(check: ImageHealthCheck) -> str:
    """HEALTHCHECK: a Go struct with every value quoted, the number of retries as a character."""
    times = (check.Interval, check.Timeout, check.StartPeriod, check.StartInterval)
    valid = 0 <= check.Retries <= sys.maxunicode and not 0xD800 <= check.Retries <= 0xDFFF
    retries = chr(check.Retries) if valid else "\ufffd"
    character = "'" + quoted(retries)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
    return "HEALTHCHECK &{" + " ".join([words(check.Test), *(f'"{duration(time)}"' for time in times), character]) + "}"
