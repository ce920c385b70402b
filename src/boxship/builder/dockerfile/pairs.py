"""Names with values: the arguments of ENV, LABEL and ARG, still with their quotes and variables. Pure."""

import re

from boxship.builder.dockerfile.blanks import BLANKS
from boxship.errors import Invalid

_GAP = re.compile(r"[\t\v\f\r ]+")


def split(text: str, escape: str) -> list[str]:
    """Words between blanks that neither quotes nor the escape token protect; both stay in the words."""
    token = re.escape(escape)
    pattern = re.compile(
        rf"""(?:[^{BLANKS}'"{token}]|{token}.|'[^']*(?:'|\Z)|"(?:[^"{token}]|{token}.)*(?:"|{token}?\Z)|(?P<end>{token}\Z))+""",
        re.DOTALL,
    )
    return [match[0].removesuffix(match["end"] or "") for match in pattern.finditer(text)]


def pairs_of(name: str, text: str, escape: str) -> tuple[tuple[tuple[str, str], ...], bool]:
    """`A=b C=d`, or the old form `A the rest`; and whether it is the old form. Raises Invalid."""
    words = split(text, escape)
    if "=" not in words[0]:
        key, *value = _GAP.split(text, maxsplit=1)
        if not value:
            raise Invalid(f"{name} must have two arguments")
        return ((key, value[0]),), True
    found: list[tuple[str, str]] = []
    for word in words:
        key, equals, value_text = word.partition("=")
        if not equals:
            raise Invalid(f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value')
        if not key:
            raise Invalid(f"{name} names can not be blank")
        found.append((key, value_text))
    return tuple(found), False


def names_and_defaults(text: str, escape: str) -> tuple[tuple[str, str | None], ...]:
    """ARG: `NAME`, `NAME=default`, several of them. Raises Invalid."""
    found: list[tuple[str, str | None]] = []
    for word in split(text, escape):
        key, equals, value = word.partition("=")
        if not key:
            raise Invalid("ARG names can not be blank")
        found.append((key, value if equals else None))
    return tuple(found)
