"""Reads WWW-Authenticate (RFC 9110, 11.6.1): schemes with parameters, several in one field or in several. Pure."""

import re
from collections.abc import Iterable

import msgspec

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?=\s|,|$)")
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')
_TOKEN68 = re.compile(r"\s+[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))")
CHALLENGES = 16


class Challenge(msgspec.Struct, frozen=True):
    """A scheme in lower case, and its parameters by lower-case name."""

    scheme: str
    parameters: dict[str, str]


def parse(fields: Iterable[str]) -> tuple[Challenge, ...]:
    """All challenges; what cannot be read ends its field."""
    found: list[Challenge] = []
    for field in fields:
        position = 0
        while len(found) < CHALLENGES and (match := _SCHEME.match(field, position)):
            position = match.end()
            parameters: dict[str, str] = {}
            while item := _PARAMETER.match(field, position):
                value = item[3] if item[3] is not None else re.sub(r"\\(.)", r"\1", item[2])
                parameters.setdefault(item[1].lower(), value)
                position = item.end()
            if not parameters and (token := _TOKEN68.match(field, position)):
                position = token.end()
            found.append(Challenge(match[1].lower(), parameters))
    return tuple(found)
