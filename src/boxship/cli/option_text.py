"""Reading the small languages inside options: comma lists, key=value words, files of variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from boxship.errors import Invalid


def split_commas(text: str) -> list[str]:
    """The fields of one line of comma-separated values; a field may stand in double quotes, doubled inside of it."""
    fields: list[str] = []
    position = 0
    while True:
        if text.startswith('"', position):
            field, position = _quoted_field(text, position + 1)
        else:
            end = text.find(",", position)
            field = text[position:] if end < 0 else text[position:end]
            position += len(field)
            if '"' in field:
                raise Invalid(f"cannot read {text!r}: a quote inside of a field")
        fields.append(field)
        if position >= len(text):
            return fields
        if text[position] != ",":
            raise Invalid(f"cannot read {text!r}: no comma after a quote")
        position += 1


def _quoted_field(text: str, position: int) -> tuple[str, int]:
    """The field whose opening quote stands before the position, and where it ends."""
    field = ""
    while True:
        end = text.find('"', position)
        if end < 0:
            raise Invalid(f"cannot read {text!r}: a quote is not closed")
        field += text[position:end]
        if not text.startswith('""', end):
            return field, end + 1
        field += '"'
        position = end + 2


def pairs_of(words: Sequence[str], flag: str = "") -> dict[str, str]:
    """key=value words as a mapping. With `flag`, a word without "=" is an error that names it."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if flag and (not equals or not key):
            raise Invalid(f"invalid argument {word!r} for --{flag}: it must be KEY=VALUE")
        found[key] = value
    return found


def read_lines(path: str, flag: str) -> list[str]:
    """The lines of a file of variables or labels, without comments and empty ones."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except UnicodeDecodeError:
        raise Invalid(f"cannot read --{flag} {path}: it is not UTF-8") from None
    except OSError as error:
        raise Invalid(f"cannot read --{flag} {path}: {(error.strerror or '').lower()}") from None
    found = []
    for number, line in enumerate(lines, 1):
        line = line.lstrip()
        if not line or line.startswith("#"):
            continue
        key = line.partition("=")[0]
        if not key or any(letter.isspace() for letter in key):
            raise Invalid(f"cannot read --{flag} {path}: line {number}: bad name {key!r}")
        found.append(line)
    return found


def variables(words: Sequence[str], files: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """K=V words of --env-file, then of --env. A bare K takes our own variable, and is left out without one."""
    found = []
    for word in [line for path in files for line in read_lines(path, "env-file")] + list(words):
        key, equals, _ = word.partition("=")
        if not key:
            raise Invalid(f"invalid environment variable: {word}")
        if equals:
            found.append(word)
        elif key in environment:
            found.append(f"{key}={environment[key]}")
    return found
