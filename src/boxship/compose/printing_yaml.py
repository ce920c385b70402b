"""Writes plain values as YAML with the layout and the quoting of the stock program's encoder.

It must never write a text so that it reads back as anything else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

from boxship.compose.fields import number
from boxship.compose.scalars import resolve

# Words that older readers of YAML take for booleans, numbers or times are quoted too.
OLD_WORDS = re.compile(r"(?i:y|n|yes|no|on|off)")
OLD_NUMBERS = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|[-+]?0[0-9_]+|[-+]?0b[01_]+")
TIMES = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([Tt ]\d{1,2}:\d{2}:\d{2}.*)?")


INFINITE = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}
TAGS = {str: "str", bool: "bool", int: "int", float: "float", type(None): "null"}


class _Dumper(yaml.SafeDumper):
    """Lists are indented below their key, lines are never folded, nothing is written as a reference."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        """What a text is read as without quotes."""
        if kind is not yaml.ScalarNode:
            return f"tag:yaml.org,2002:{'seq' if kind is yaml.SequenceNode else 'map'}"
        return f"tag:yaml.org,2002:{TAGS[type(resolve(value))] if implicit[0] else 'str'}"

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=_style(value))


def _style(value: str) -> str | None:
    if "\n" in value:
        return "|"
    if OLD_WORDS.fullmatch(value) or not isinstance(resolve(value), str):
        return '"'
    if OLD_NUMBERS.fullmatch(value) or TIMES.fullmatch(value) or value in ("=", "<<"):
        return '"'
    return None


def _mapping(dumper: yaml.SafeDumper, value: Mapping[str, Any]) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=not value)


def _sequence(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=not value)


def _float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    text = number(value) if math.isfinite(value) else INFINITE[str(value)]
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Dumper.add_representer(float, _float)
_Dumper.add_representer(str, _text)
_Dumper.add_representer(dict, _mapping)
_Dumper.add_representer(list, _sequence)


def dump(value: Mapping[str, Any]) -> str:
    """The text of one document, keys in the order they have."""
    return yaml.dump(value, Dumper=_Dumper, width=float("inf"), allow_unicode=True, sort_keys=False, indent=2)
