"""The columns that a CustomResourceDefinition names (additionalPrinterColumns), as a View."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.tables.columns import NAME, Column, View
from boxship.cluster.objects.tables.text import duration, moment, name_of
from boxship.errors import Invalid
from boxship.spec.jsonpath import Template, shown

AGE = {
    "name": "Age",
    "type": "date",
    "description": "The time since the object was created.",
    "jsonPath": ".metadata.creationTimestamp",
}


def cell_of(kind: str, value: Any, now: float) -> Any:
    """A found value in its column: nothing where its type is not the column's."""
    if isinstance(value, bool):
        return value if kind == "boolean" else None
    if isinstance(value, int | float) and math.isfinite(value):
        return int(value) if kind == "integer" else float(value) if kind == "number" else None
    if kind == "date" and isinstance(value, str):
        then = moment(value)
        return "<invalid>" if then is None else duration(now - then)
    return None


def _finder(kind: str, path: str) -> Callable[[Object, float], Any]:
    try:
        template = Template(f"{{{path}}}")
    except Invalid:  # stored before it was checked: an empty column
        return lambda object, now: None

    def found(object: Object, now: float) -> Any:
        try:
            parts = template.find(object)
        except Invalid:
            return None
        if not parts or not parts[0]:
            return None
        first = parts[0][0]
        return shown(first) if kind == "string" else cell_of(kind, first, now)

    return found


def _column(column: Mapping[str, Any]) -> Column:
    path = str(column.get("jsonPath", ""))
    told = f"Custom resource definition column (in JSONPath format): {path}"
    return Column(
        str(column.get("name", "")),
        str(column.get("type", "")),
        str(column.get("description") or told),
        str(column.get("format", "")),
        int(column.get("priority") or 0),
    )


def printed_view(columns: Sequence[Mapping[str, Any]]) -> View:
    """The View of a custom resource's columns; without any, name and age."""
    chosen = columns or (AGE,)
    paths = tuple((str(column.get("type", "")), str(column.get("jsonPath", ""))) for column in chosen)
    return _view(tuple(map(_column, chosen)), paths)


@functools.lru_cache(maxsize=512)
def _view(columns: tuple[Column, ...], paths: tuple[tuple[str, str], ...]) -> View:
    finders = [_finder(kind, path) for kind, path in paths]

    def cells(object: Object, now: float) -> list[Any]:
        return [name_of(object), *(find(object, now) for find in finders)]

    return View((NAME, *columns), cells)
