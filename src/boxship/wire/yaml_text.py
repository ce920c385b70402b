"""YAML of manifests to plain JSON values and back, as Kubernetes' own tools read it (sigs.k8s.io/yaml over yaml.v2).

That is YAML 1.1 with its booleans (`yes`, `on`, `y`), octal numbers (`010` is 8) and merge keys; timestamps stay texts,
keys become texts. Text from strangers: depth, aliases and the number of values have limits. It must never make an
object of a class, whatever a tag says, nor hand out one value in two places.
"""

import base64
import binascii
import math
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import msgspec
import yaml
from yaml import events

from boxship.errors import Invalid

DEPTH_LIMIT = 200  # levels of lists and mappings
VALUES_LIMIT = 1_000_000  # in one text
ALIASED_LIMIT = 50_000  # values that aliases stand for, in one text

MERGE = object()  # the key `<<`
_STRING = "tag:yaml.org,2002:str"
_BINARY = "tag:yaml.org,2002:binary"
_KNOWN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "binary")}
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    "<<": MERGE,
}
_INTEGER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_BIGGEST = 2**64


class _Frame:
    """A list or mapping that is being read. Of a mapping, `key` waits for its value."""

    __slots__ = ("anchor", "explicit", "has_key", "key", "merged", "value", "values_before")

    def __init__(self, value: Any, anchor: str | None, values_before: int) -> None:
        self.value = value
        self.anchor = anchor
        self.values_before = values_before
        self.has_key = False
        self.key: Any = None
        self.merged: list[dict[str, Any]] = []
        self.explicit: set[str] = set()


class _Reader:
    """Builds the values of one text's documents from the parser's events."""

    def __init__(self, data: bytes) -> None:
        self._events: Iterator[Any] = yaml.parse(data, Loader=yaml.CSafeLoader)
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._values = 0
        self._aliased = 0
        self.repeated: list[str] = []  # 'line 3: key "a" already set in map'

    def documents(self) -> Iterator[Any]:
        try:
            for event in self._events:
                if isinstance(event, events.DocumentStartEvent):
                    self._anchors.clear()
                    yield self._document()
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark is not None else 0
            raise Invalid(f"yaml: line {line}: {error.problem or error.context}") from None
        except yaml.YAMLError as error:
            raise Invalid(f"yaml: {str(error).splitlines()[0] if str(error) else 'cannot be read'}") from None

    def _document(self) -> Any:
        stack: list[_Frame] = []
        root: Any = None
        for event in self._events:
            if isinstance(event, events.DocumentEndEvent):
                return root
            self._count(1)
            if isinstance(event, events.MappingStartEvent | events.SequenceStartEvent):
                _check_tag(event)
                if len(stack) >= DEPTH_LIMIT:
                    raise Invalid(f"yaml: line {_line(event)}: exceeded max depth of {DEPTH_LIMIT}")
                value: Any = {} if isinstance(event, events.MappingStartEvent) else []
                stack.append(_Frame(value, event.anchor, self._values))
                continue
            if isinstance(event, events.MappingEndEvent | events.SequenceEndEvent):
                frame = stack.pop()
                _merge(frame)
                value = frame.value
                if frame.anchor is not None:
                    self._anchors[frame.anchor] = value, self._values - frame.values_before + 1
            elif isinstance(event, events.AliasEvent):
                value = self._alias(event)
            else:
                value = _scalar(event)
                if event.anchor is not None:
                    self._anchors[event.anchor] = value, 1
            if not stack:
                root = None if value is MERGE else value
            else:
                self._put(stack[-1], value, event)
        return root

    def _count(self, values: int) -> None:
        self._values += values
        if self._values > VALUES_LIMIT:
            raise Invalid(f"yaml: more than {VALUES_LIMIT} values")

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise Invalid(f"yaml: line {_line(event)}: unknown anchor '{event.anchor}' referenced")
        value, size = self._anchors[event.anchor]
        self._aliased += size
        if self._aliased > ALIASED_LIMIT:
            raise Invalid("yaml: document contains excessive aliasing")
        self._count(size)
        return deepcopy(value)

    def _put(self, frame: _Frame, value: Any, event: Any) -> None:
        if isinstance(frame.value, list):
            frame.value.append("<<" if value is MERGE else _finite(value, event))
        elif not frame.has_key:
            frame.key, frame.has_key = value if value is MERGE else _key(value, event), True
        else:
            frame.has_key = False
            if frame.key is MERGE:
                parts = value if isinstance(value, list) else [value]
                if not all(isinstance(part, dict) for part in parts):
                    raise Invalid(f"yaml: line {_line(event)}: map merge requires map or sequence of maps as the value")
                frame.merged += parts
                return
            if frame.key in frame.explicit:
                self.repeated.append(f'line {_line(event)}: key "{frame.key}" already set in map')
            frame.explicit.add(frame.key)
            frame.value[frame.key] = "<<" if value is MERGE else _finite(value, event)


def _merge(frame: _Frame) -> None:
    """Put in what `<<` brought: what stands in the mapping itself wins, then what was named first."""
    for part in frame.merged:
        for key, value in part.items():
            frame.value.setdefault(key, value)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _check_tag(event: Any) -> None:
    if event.tag is not None and event.tag != "!" and event.tag not in _KNOWN_TAGS:
        raise Invalid(f"yaml: line {_line(event)}: unsupported: tag {event.tag}")


def _scalar(event: Any) -> Any:
    _check_tag(event)
    if event.tag == _BINARY:
        try:
            return base64.b64decode(event.value, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            raise Invalid(f"yaml: line {_line(event)}: !!binary value contains invalid base64 data") from None
    if event.tag in (_STRING, "!") or (event.tag is None and not event.implicit[0]):
        return event.value
    return resolve(event.value)


def resolve(text: str) -> Any:
    """What a plain scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if not text[0].isdigit() and text[0] not in "+-.":
        return text
    plain = text.replace("_", "")
    match = _INTEGER.fullmatch(plain)
    if match is not None:
        digits = match[2]
        if len(digits) > 1 and digits[0] == "0" and digits[1].isdecimal():
            digits = "0o" + digits[1:]
        value = int(digits, 0) if len(digits) < 80 else _BIGGEST
        if value < _BIGGEST:
            return -value if match[1] == "-" else value
    if _FLOAT.fullmatch(plain):
        number = float(plain)
        if not math.isfinite(number):
            return text
        return int(number) if number.is_integer() and abs(number) < _BIGGEST / 2 else number  # as JSON writes them
    return text


def _finite(value: Any, event: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise Invalid(f"yaml: line {_line(event)}: json: unsupported value: {value}")
    return value


def _key(value: Any, event: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    raise Invalid(f"yaml: line {_line(event)}: a key of a mapping must be a text")


def read(data: bytes) -> tuple[Any, list[str]]:
    """The first document's value (None for an empty text), and what strict readers refuse: keys that were set twice.
    Raises Invalid. Takes some 4 µs a line: give long texts to a thread."""
    reader = _Reader(data)
    return next(reader.documents(), None), reader.repeated


def read_all(data: bytes) -> list[Any]:
    """The values of all documents that say anything. Raises Invalid."""
    return [value for value in _Reader(data).documents() if value is not None]


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, value: str) -> Any:
    style = "|" if "\n" in value else "'" if not isinstance(resolve(value) if value else None, str) else None
    return dumper.represent_scalar(_STRING, value, style=style)


_Dumper.add_representer(str, _text)


def write(value: Any) -> bytes:
    """One document, keys sorted. The value is JSON-like."""
    text: bytes = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, encoding="utf-8", width=1 << 16
    )
    return text


def from_json(data: bytes) -> bytes:
    """A JSON document as YAML."""
    return write(msgspec.json.decode(data))
