"""How names, ids and lists are shown in tables."""

from __future__ import annotations

from collections.abc import Mapping

SHORT_ID = 12  # hexadecimal digits


def short_id(identifier: str) -> str:
    """The first digits of an id, without its algorithm."""
    return identifier.rpartition(":")[2][:SHORT_ID]


def ellipsis(text: str, size: int) -> str:
    """The text cut to `size` characters, the last of which then says that it was cut."""
    if len(text) <= size:
        return text
    return text[: size - 1] + "…" if size > 1 else text[:size]


def quote(text: str) -> str:
    """The text in double quotes, with what does not print escaped (Go's strconv.Quote)."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\a": "\\a", "\b": "\\b"}
    escapes |= {"\f": "\\f", "\v": "\\v"}
    letters = []
    for letter in text:
        if letter in escapes:
            letters.append(escapes[letter])
        elif letter == " " or letter.isprintable():
            letters.append(letter)
        elif ord(letter) < 0x80:
            letters.append(f"\\x{ord(letter):02x}")
        else:
            letters.append(f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}")
    return '"' + "".join(letters) + '"'


def labels_text(labels: Mapping[str, str] | None) -> str:
    """Labels as "a=1,b=2", sorted."""
    return ",".join(f"{name}={value}" for name, value in sorted((labels or {}).items()))


def host_port(host: str, port: int | str) -> str:
    """An address with its port; an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def visible(text: str) -> str:
    """The text without control characters, so that a name or log of a container cannot steer the terminal."""
    if text.isprintable():
        return text
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


def split_reference(reference: str) -> tuple[str, str]:
    """(repository, tag or digest) of an image's name; the second is empty when there is none."""
    name, at, digest = reference.partition("@")
    if at:
        return name, digest
    head, slash, last = reference.rpartition("/")
    last, _, tag = last.partition(":")
    return head + slash + last, tag


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Sorts "a10" after "a9": runs of digits by their value."""
    parts: list[tuple[int, int, str]] = []
    digits = letters = ""
    for letter in text:
        if letter.isascii() and letter.isdigit():
            if letters:
                parts.append((1, 0, letters))
                letters = ""
            digits += letter
        else:
            if digits:
                parts.append((0, int(digits), digits))
                digits = ""
            letters += letter
    if digits:
        parts.append((0, int(digits), digits))
    return [*parts, (1, 0, letters)] if letters else parts
