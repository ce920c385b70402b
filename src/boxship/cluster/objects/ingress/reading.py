"""How the values of annotations are written: each function reads one, or raises ValueError with what is wrong."""

import ipaddress
import re

_SIZE = re.compile(r"(\d+)([kKmMgG]?)")
DIGITS = 9  # of a size, before its unit
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_HEADER = re.compile(r"[A-Za-z0-9!$%&*+.^_`|~-]+")  # without quotes and number signs, which begin something
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9_])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_VISIBLE = re.compile(r"[!-~]+")
_PLAIN = re.compile(r"[ -~]*")


def flag(text: str) -> bool:
    if text.strip().lower() not in ("true", "false"):
        raise ValueError("write true or false")
    return text.strip().lower() == "true"


def number(text: str, least: int = 0, most: int = 2**31) -> int:
    if not text.strip().isdigit() or not least <= int(text) <= most:
        raise ValueError(f"write a number from {least} to {most}")
    return int(text)


def seconds(text: str) -> int:
    return number(text.strip().removesuffix("s"), 1, 2 * 10**6)  # more is none of haproxy's numbers


def size_bytes(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    if found is None or len(found[1]) > DIGITS:
        raise ValueError("write a size as 8m")
    return int(found[1]) * _UNITS[found[2].lower()]


def object_name(text: str) -> str:
    """As objects of the API may be named."""
    if not _NAME.fullmatch(text) or len(text) > 253:
        raise ValueError("it is no object's name")
    return text


def networks(text: str) -> tuple[str, ...]:
    """Addresses and ranges, between commas."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            if "%" in part:  # a zone, in which anything may stand
                raise ValueError
            found.append(str(ipaddress.ip_network(part, strict=False)))
        except ValueError:
            raise ValueError(f"{part} is neither an address nor a range") from None
    return tuple(found)


def names(text: str) -> tuple[str, ...]:
    """Words between commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def header(text: str) -> str:
    if not _HEADER.fullmatch(text.strip()):
        raise ValueError("it is no header's name")
    return text.strip()


def host(text: str) -> str:
    if not _HOST.fullmatch(text.strip()):
        raise ValueError(f"{text.strip()} is no host's name")
    return text.strip().lower()


def visible(text: str) -> str:
    """A word without spaces, quotes or control characters: a URL, a path."""
    found = text.strip()
    if not _VISIBLE.fullmatch(found) or set(found) & set("\"'\\`") or found == "}":  # which would end a condition
        raise ValueError("it has characters that cannot stand there")
    return found


def plain(text: str) -> str:
    """A line of text."""
    if not _PLAIN.fullmatch(text) or set(text) & set('"\\'):
        raise ValueError("it has characters that cannot stand there")
    return text


def pattern(text: str) -> str:
    """A regular expression that ours and theirs understand alike."""
    found = text.strip()
    if found == "}" or re.search(r"\(\?[^:i]|\s|['\"]|\d{4}", found) or any(ord(character) < 32 for character in found):
        raise ValueError("unsupported: this kind of regular expression")
    try:
        re.compile(found)
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error}") from None
    return found
