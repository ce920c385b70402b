"""Puts a schema's defaults where nothing is. A null counts as nothing where the schema does not allow one."""

import copy
from typing import Any

from msgspec import UNSET

from boxship.cluster.objects.schema.types import Form, Type


def put_defaults(value: Any, type_: Type) -> None:
    """Change a value: fields that are absent get their default, also inside what was a default itself."""
    if isinstance(value, dict):
        for name, field in type_.fields.items():
            if field.default is not UNSET and (name not in value or (value[name] is None and not field.nullable)):
                value[name] = copy.deepcopy(field.default)
            item = value.get(name)
            if isinstance(item, dict | list) and not field.name:
                put_defaults(item, field)
        if type_.form is Form.MAP and type_.items is not None:
            for item in value.values():
                put_defaults(item, type_.items)
    elif isinstance(value, list) and type_.items is not None:
        for item in value:
            put_defaults(item, type_.items)


def has_defaults(type_: Type) -> bool:
    """Whether there is any default in it."""
    if type_.default is not UNSET:
        return True
    inner = [field for field in type_.fields.values() if not field.name]
    return any(map(has_defaults, inner)) or (type_.items is not None and has_defaults(type_.items))
