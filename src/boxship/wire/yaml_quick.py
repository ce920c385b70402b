"""Long JSON values as YAML, tens of times faster than the library writes it, and in plain steps that other threads may
interrupt (the library's fast writer keeps all of them waiting until it is done).

What it writes is as plain as it can be: block style, keys sorted, texts quoted unless they are simple words. Every
reader of YAML 1.1 and 1.2 must read the same values from it.
"""

import json
import re
from typing import Any

from boxship.wire.yaml_text import resolve

KEY_CHARACTERS = 1000  # of a key that may stand before its colon (the limit of readers is 1,024)
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.+=@-]*", re.ASCII)
# What may not stand in a text as it is (YAML 1.2, 5.1), and the marks that YAML 1.1 takes for line ends.
_ODD = re.compile("[\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def write_quickly(value: Any) -> bytes:
    """One document. The value is JSON-like."""
    parts: list[str] = []
    if isinstance(value, dict | list) and value:
        _block(value, "", "", parts)
    else:
        parts.append(f"{_scalar(value)}\n")
    return "".join(parts).encode()


def _block(value: Any, indent: str, lead: str, parts: list[str]) -> None:
    """The lines of a mapping or list that has items; `lead` stands before the first of them."""
    deeper = indent + "  "
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict | list) and item:
                _block(item, deeper, lead + "- ", parts)
            else:
                parts.append(f"{lead}- {_scalar(item)}\n")
            lead = indent
        return
    for key in sorted(value):
        item = value[key]
        shown = _text(key)
        is_long = len(shown) > KEY_CHARACTERS
        parts.append(f"{lead}? {shown}\n{indent}:" if is_long else f"{lead}{shown}:")
        lead = indent
        if isinstance(item, dict | list) and item:
            parts.append("\n")
            below = indent if isinstance(item, list) and not is_long else deeper
            _block(item, below, below, parts)
        else:
            parts.append(f" {_scalar(item)}\n")


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        shown = repr(value)
        return shown.replace("e", ".0e") if "e" in shown and "." not in shown else shown
    return json.dumps(value)


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and isinstance(resolve(value), str):
        return value
    return _ODD.sub(_escaped, json.dumps(value, ensure_ascii=False))


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
