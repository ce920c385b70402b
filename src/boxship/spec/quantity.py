"""Amounts of bytes and of processors: the text people write to numbers, and numbers to the text of tables."""

from boxship.errors import Invalid

BINARY_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
DECIMAL_NAMES = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
BINARY_NAMES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
LARGEST = (1 << 63) - 1
NANO = 1_000_000_000


def parse_bytes(text: str) -> int:
    """Bytes of "512m", "1.5GiB", "10 kb" or "4096"; the units are powers of 1024. Raises Invalid."""
    lowered = text.strip().lower()
    end = len(lowered)
    while end and not (lowered[end - 1].isascii() and lowered[end - 1].isdigit()) and lowered[end - 1] != ".":
        end -= 1
    number, unit = lowered[:end], lowered[end:].strip()
    if len(unit) > 1 and unit[0] in BINARY_UNITS:
        unit = unit[0] if unit[1:] in ("b", "ib") and unit[0] != "b" else "?"
    whole, dot, fraction = number.partition(".")
    digits = whole + fraction
    if unit not in BINARY_UNITS or not digits or len(digits) > 30 or not (digits.isascii() and digits.isdigit()):
        raise Invalid(f"invalid size: '{text}'")
    size = BINARY_UNITS[unit]
    total = int(whole or "0") * size + (int(fraction) * size // 10 ** len(fraction) if dot and fraction else 0)
    if total > LARGEST:
        raise Invalid(f"invalid size: '{text}': too large")
    return total


def parse_processors(text: str) -> int:
    """Billionths of a processor of "1.5". Raises Invalid."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not digits or len(digits) > 30 or not (digits.isascii() and digits.isdigit()):
        raise Invalid(f"failed to parse {text!r} as a rational number")
    if len(fraction.rstrip("0")) > 9:
        raise Invalid("value is too precise")
    return int(whole or "0") * NANO + int(fraction[:9].ljust(9, "0") or "0")


def _scale(size: float, base: float, names: tuple[str, ...]) -> tuple[float, str]:
    step = 0
    while size >= base and step < len(names) - 1:
        size /= base
        step += 1
    return size, names[step]


def format_decimal_bytes(size: float, precision: int = 4) -> str:
    """ "1.24MB", "13.3kB": powers of 1000, as Docker's tables have it; `precision` counts significant digits."""
    value, name = _scale(float(size), 1000.0, DECIMAL_NAMES)
    return f"{value:.{precision}g}{name}"


def format_binary_bytes(size: float, precision: int = 4) -> str:
    """ "1.5MiB": powers of 1024, as `stats` has it."""
    value, name = _scale(float(size), 1024.0, BINARY_NAMES)
    return f"{value:.{precision}g}{name}"
