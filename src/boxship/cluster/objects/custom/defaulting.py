"""Puts a schema's defaults where nothing is. A null counts as nothing where the schema does not allow one."""

from typing import Any

import msgspec
from msgspec import UNSET

from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.schema.types import Form, Type

MOST_BYTES = 3 << 20  # of the defaults in one object: as much as a client may send

encode = msgspec.json.Encoder().encode


class _Room:
    """How many bytes of defaults may still be put in."""

    def __init__(self) -> None:
        self.left = MOST_BYTES

    def take(self, default: Any) -> Any:
        """A copy of the default. Raises Failure 413 where there is no room."""
        self.left -= len(encode(default))
        if self.left < 0:
            why = f"Request entity too large: the defaults of its schema have more than {MOST_BYTES} bytes"
            raise Failure(413, "RequestEntityTooLarge", why)
        return copied(default)


def put_defaults(value: Any, type_: Type) -> None:
    """Change a value: fields that are absent get their default, also inside what was a default itself. Raises Failure
    413: a short list of empty objects may ask for gigabytes."""
    _put(value, type_, _Room())


def _put(value: Any, type_: Type, room: _Room) -> None:
    if isinstance(value, dict):
        for name, field in type_.fields.items():
            if field.default is not UNSET and (name not in value or (value[name] is None and not field.nullable)):
                value[name] = room.take(field.default)
            item = value.get(name)
            if isinstance(item, dict | list) and not field.name:
                _put(item, field, room)
        if type_.form is Form.MAP and type_.items is not None:
            for item in value.values():
                _put(item, type_.items, room)
    elif isinstance(value, list) and type_.items is not None:
        for item in value:
            _put(item, type_.items, room)


def has_defaults(type_: Type) -> bool:
    """Whether there is any default in it."""
    if type_.default is not UNSET:
        return True
    inner = [field for field in type_.fields.values() if not field.name]
    return any(map(has_defaults, inner)) or (type_.items is not None and has_defaults(type_.items))
