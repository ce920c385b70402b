"""Durations: Go's text form ("1m30s") to nanoseconds and back, and the rough words people read ("5 minutes")."""

from boxship.errors import Invalid

NANOSECOND = 1
MICROSECOND = 1000
MILLISECOND = 1000 * MICROSECOND
SECOND = 1000 * MILLISECOND
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

UNITS = {
    "ns": NANOSECOND,
    "us": MICROSECOND,
    "µs": MICROSECOND,  # U+00B5, the micro sign
    "μs": MICROSECOND,  # U+03BC, the Greek letter
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
LONGEST = (1 << 63) - 1  # nanoseconds in Go's Duration
ROUGH_UNITS = (
    # from this many hours: (hours a unit has, its name)
    (24 * 365 * 2, 24 * 365, "years"),
    (24 * 30 * 2, 24 * 30, "months"),
    (24 * 7 * 2, 24 * 7, "weeks"),
    (48, 24, "days"),
)


def parse_duration(text: str) -> int:
    """Nanoseconds of a duration such as "300ms", "-1.5h" or "2h45m" (Go's time.ParseDuration). Raises Invalid."""
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return 0
    total, position = 0, 0
    while position < len(body):
        end = position
        while end < len(body) and (body[end] == "." or (body[end].isascii() and body[end].isdigit())):
            end += 1
        number, start = body[position:end], end
        while end < len(body) and body[end] != "." and not (body[end].isascii() and body[end].isdigit()):
            end += 1
        unit = UNITS.get(body[start:end])
        whole, _, fraction = number.partition(".")
        if not (whole or fraction) or "." in fraction:
            raise Invalid(f"invalid duration {text!r}")
        if unit is None:
            problem = f"unknown unit {body[start:end]!r}" if start < end else "missing unit"
            raise Invalid(f"{problem} in duration {text!r}")
        if len(number) > 40:
            raise Invalid(f"invalid duration {text!r}: too long")
        total += int(whole or "0") * unit + (int(fraction or "0") * unit // 10 ** len(fraction) if fraction else 0)
        position = end
    if not body or total > LONGEST:
        raise Invalid(f"invalid duration {text!r}")
    return -total if text[0] == "-" else total


def format_duration(nanoseconds: int) -> str:
    """Go's text of a duration: "1h2m3.5s", "1.5ms", "0s"."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest < SECOND:
        small = (("ms", MILLISECOND), ("µs", MICROSECOND), ("ns", NANOSECOND))
        unit, size = next((name, size) for name, size in small if rest >= size)
        return f"{sign}{_decimal(rest, size)}{unit}"
    minutes, rest = divmod(rest, MINUTE)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, SECOND)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _decimal(value: int, size: int) -> str:
    whole, rest = divmod(value, size)
    digits = len(str(size)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0") if rest else str(whole)


def rough_duration(nanoseconds: int) -> str:
    """A duration in the words of Docker's tables: "Less than a second", "5 minutes", "About an hour", "2 weeks"."""
    seconds = nanoseconds // SECOND
    if seconds < 1:
        return "Less than a second"
    if seconds == 1:
        return "1 second"
    if seconds < 60:
        return f"{seconds} seconds"
    minutes = seconds // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = (nanoseconds + HOUR // 2) // HOUR
    if hours == 1:
        return "About an hour"
    for least, size, name in ROUGH_UNITS:
        if hours >= least:
            return f"{nanoseconds // HOUR // size if name == 'years' else hours // size} {name}"
    return f"{hours} hours"
