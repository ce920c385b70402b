"""Reads objects of custom kinds: unknown fields are told of and dropped, nulls that no schema allows are dropped, the
metadata is read as that of any kind. Whether the values are right is `values`'.

The same signature as `validation.read`, which does this for built-in kinds.
"""

from collections.abc import Sequence
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Cause, Failure, Unreadable
from boxship.cluster.objects.json_text import PROBLEMS_LIMIT, join_path
from boxship.cluster.objects.schema.types import Form, Type
from boxship.cluster.objects.validation import (
    IGNORE,
    NEAREST_LIMIT,
    STRICT,
    WARN,
    Mismatch,
    nearest_name,
    strict_error,
    take,
)

DEPTH_LIMIT = 200  # objects and lists inside each other


def read(
    object: Object, type_: Type, mode: str = STRICT, duplicates: Sequence[str] = ()
) -> tuple[Object, list[str], tuple[Cause, ...]]:
    """The object as it is kept (the same dict, changed), the client's warnings, and no causes. Raises Failure 400."""
    try:
        problems = [*duplicates, *prune(object, type_)]
    except Mismatch as error:
        raise _refusal(object, str(error)) from None
    if not problems or mode == IGNORE:
        return object, [], ()
    problems = problems[:PROBLEMS_LIMIT]
    if mode == WARN:
        return object, problems, ()
    raise _refusal(object, strict_error(problems))


def _refusal(object: Object, why: str) -> Failure:
    kind = object.get("kind")
    version = str(object.get("apiVersion", "")).rpartition("/")[2]
    if not isinstance(kind, str) or not kind:
        return Unreadable("the object provided is unrecognized", why)
    return Unreadable(f'{kind} in version "{version}" cannot be handled as a {kind}', why)


def prune(value: Any, type_: Type, path: str = "") -> list[str]:
    """Drop what the schema does not name; the names that were dropped, as texts. Raises Mismatch for metadata that is
    of the wrong type."""
    pruning = _Pruning()
    pruning.value(value, type_, path, DEPTH_LIMIT)
    return pruning.problems


class _Pruning:
    def __init__(self) -> None:
        self.problems: list[str] = []

    def value(self, value: Any, type_: Type, path: str, depth: int) -> None:
        if not depth:
            raise Mismatch("json: exceeded max depth")
        if isinstance(value, dict):
            if type_.form is Form.MAP:
                if type_.items is not None:
                    for key, item in value.items():
                        self.value(item, type_.items, join_path(path, key), depth - 1)
            elif type_.form is Form.OBJECT or type_.fields:
                self._object(value, type_, path, depth)
        elif isinstance(value, list) and type_.items is not None:
            for index, item in enumerate(value):
                self.value(item, type_.items, f"{path}[{index}]", depth - 1)

    def _object(self, value: dict[str, Any], type_: Type, path: str, depth: int) -> None:
        fields = type_.fields
        for key in list(value):
            field = fields.get(key)
            item = value[key]
            if field is None:
                if not type_.keeps_unknown:
                    self._unknown(key, type_, path)
                    del value[key]
            elif item is None and not field.nullable:
                del value[key]
            elif field.name:
                self.problems += take(item, field, join_path(path, key))
            elif isinstance(item, dict | list):
                self.value(item, field, join_path(path, key), depth - 1)

    def _unknown(self, key: str, type_: Type, path: str) -> None:
        if len(self.problems) >= PROBLEMS_LIMIT:
            return
        nearest = nearest_name(key, type_) if len(self.problems) < NEAREST_LIMIT else ""
        told = f'unknown field "{join_path(path, key)}"'
        self.problems.append(f'{told}, did you mean "{join_path(path, nearest)}"?' if nearest else told)
