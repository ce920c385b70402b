"""Judges values by their type and its Checks. Paths, kinds of causes and texts are those of the original
(kube-openapi's validation, as apiextensions-apiserver turns it into field errors)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects.custom.formats import FORMATS
from boxship.cluster.objects.custom.patterns import UnknownPattern, compiled
from boxship.cluster.objects.custom.types import Checks
from boxship.cluster.objects.kinds.checking import Found, quote, show
from boxship.cluster.objects.schema.types import Form, Type

CAUSES_LIMIT = 100  # wrong values that are told of
NOWHERE = "<nil>"  # what the original calls the place of a wrong alternative
NAMES = {
    Form.OBJECT: "object",
    Form.MAP: "object",
    Form.LIST: "array",
    Form.STRING: "string",
    Form.INTEGER: "integer",
    Form.NUMBER: "number",
    Form.BOOLEAN: "boolean",
}


def judge(value: Any, type_: Type, path: str = "") -> Found:
    """What is wrong with a value and everything in it. The metadata of whole objects is judged elsewhere."""
    found = Found()
    _value(found, value, type_, path)
    del found.causes[CAUSES_LIMIT:]
    return found


def name_of(value: Any) -> str:
    """The JSON type of a value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object" if isinstance(value, dict) else "null"


def _value(found: Found, value: Any, type_: Type, path: str) -> None:
    if len(found.causes) > CAUSES_LIMIT:
        return
    if value is None and type_.nullable:
        return
    if not _has_type(found, value, type_, path):
        return
    checks: Checks | None = type_.rules
    if checks is not None:
        _checked(found, value, checks, path)
    if type_.format and isinstance(value, str):
        test = FORMATS.get(type_.format)
        if test is not None and not test(value):
            found.wrong_type(path, value, f"{path} in body must be of type {type_.format}: {quote(value)}")
    if isinstance(value, dict):
        _object(found, value, type_, path)
    elif isinstance(value, list):
        _list(found, value, type_, path)


def _has_type(found: Found, value: Any, type_: Type, path: str) -> bool:
    form = type_.form
    if form is Form.ANY:
        return True
    name = name_of(value)
    if form is Form.INT_OR_STRING:
        fits, wanted = name in ("integer", "string"), "integer,string"
    else:
        wanted = NAMES.get(form, "object")
        fits = name == wanted or (wanted == "number" and name == "integer")
    if not fits:
        found.wrong_type(path, name, f'{path} in body must be of type {wanted}: "{name}"')
    return fits


def _object(found: Found, value: dict[str, Any], type_: Type, path: str) -> None:
    for name in type_.required:
        if name not in value:
            found.required(_join(path, name))
    if type_.embedded:
        for name in ("apiVersion", "kind"):
            if not value.get(name):
                found.required(_join(path, name), "must not be empty")
    inner = type_.items if type_.form is Form.MAP else None
    for name, item in value.items():
        field = type_.fields.get(name, inner)
        if field is None:
            continue
        if field.name:  # ObjectMeta: its own rules are the API's
            if field.rules is not None:
                _checked(found, item, field.rules, _join(path, name))
            continue
        _value(found, item, field, _join(path, name))


def _list(found: Found, value: list[Any], type_: Type, path: str) -> None:
    if type_.items is not None:
        for index, item in enumerate(value):
            _value(found, item, type_.items, f"{path}[{index}]")
    if type_.list_type == "set":
        _unique(found, value, path)
    elif type_.list_type == "map":
        defaults = type_.items.fields if type_.items is not None else {}
        keys = []
        for item in value:
            if not isinstance(item, dict):
                return
            keys.append({key: item.get(key, _default(defaults.get(key))) for key in type_.list_keys})
        _unique(found, keys, path)


def _default(type_: Type | None) -> Any:
    return type_.default if type_ is not None and isinstance(type_.default, str | int | float | bool) else None


def _unique(found: Found, items: Sequence[Any], path: str) -> None:
    seen: set[str] = set()
    for index, item in enumerate(items):
        shown = show(item)
        if shown in seen:
            found.duplicate(f"{path}[{index}]", item)
        seen.add(shown)


def _checked(found: Found, value: Any, checks: Checks, path: str) -> None:
    if checks.choices is not None and not any(_same(value, choice) for choice in checks.choices):
        found.unsupported(path, value, [each if isinstance(each, str) else show(each) for each in checks.choices])
    bounds = checks.bounds
    if bounds:
        if isinstance(value, str):
            _text(found, value, bounds, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            _number(found, value, bounds, path)
        elif isinstance(value, list):
            _sized(found, value, bounds, path, ("minItems", "maxItems", "items"))
        elif isinstance(value, dict):
            _sized(found, value, bounds, path, ("minProperties", "maxProperties", "properties"))
    if checks.all_of or checks.any_of or checks.one_of or checks.negated is not None:
        _alternatives(found, value, checks, path)


def _same(value: Any, choice: Any) -> bool:
    return bool(value == choice) and isinstance(value, bool) == isinstance(choice, bool)


def _text(found: Found, value: str, bounds: Mapping[str, Any], path: str) -> None:
    if "maxLength" in bounds and len(value) > bounds["maxLength"]:
        found.too_long(path, bounds["maxLength"])
    if "minLength" in bounds and len(value) < bounds["minLength"]:
        found.invalid(path, value, f"{path} in body should be at least {bounds['minLength']} chars long")
    pattern = bounds.get("pattern")
    if pattern:
        try:
            fits = compiled(pattern).search(value) is not None
        except UnknownPattern as error:
            found.invalid(path, value, f"{path} in body should match '{pattern}': {error}")
        else:
            if not fits:
                found.invalid(path, value, f"{path} in body should match '{pattern}'")


def _number(found: Found, value: float, bounds: Mapping[str, Any], path: str) -> None:
    low, high, step = bounds.get("minimum"), bounds.get("maximum"), bounds.get("multipleOf")
    if low is not None:
        if bounds.get("exclusiveMinimum"):
            if value <= low:
                found.invalid(path, value, f"{path} in body should be greater than {plain(low)}")
        elif value < low:
            found.invalid(path, value, f"{path} in body should be greater than or equal to {plain(low)}")
    if high is not None:
        if bounds.get("exclusiveMaximum"):
            if value >= high:
                found.invalid(path, value, f"{path} in body should be less than {plain(high)}")
        elif value > high:
            found.invalid(path, value, f"{path} in body should be less than or equal to {plain(high)}")
    if step and not _is_multiple(value, step):
        found.invalid(path, value, f"{path} in body should be a multiple of {plain(step)}")


def _is_multiple(value: float, step: float) -> bool:
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    rest = math.remainder(value, step)
    return abs(rest) < 1e-9 * max(1.0, abs(value))


def plain(number: float) -> str:
    """A number as Go prints one: without a point where it is whole."""
    if isinstance(number, float):
        return str(int(number)) if number.is_integer() and abs(number) < 1e21 else repr(number)
    return str(number)


def _sized(found: Found, value: Any, bounds: Mapping[str, Any], path: str, words: tuple[str, str, str]) -> None:
    least, most, what = words
    if least in bounds and len(value) < bounds[least]:
        found.invalid(path, value, f"{path} in body should have at least {bounds[least]} {what}")
    if most in bounds and len(value) > bounds[most]:
        found.too_many(path, len(value), bounds[most])


def _alternatives(found: Found, value: Any, checks: Checks, path: str) -> None:
    for each in checks.all_of:
        inner = judge(value, each, path)
        if inner.causes:
            found.causes += inner.causes
    if checks.any_of:
        failures = [judge(value, each, path) for each in checks.any_of]
        if all(inner.causes for inner in failures):
            found.invalid(NOWHERE, "", f'"{path}" must validate at least one schema (anyOf)')
            found.causes += _best(failures).causes
    if checks.one_of:
        failures = [judge(value, each, path) for each in checks.one_of]
        valid = sum(not inner.causes for inner in failures)
        if valid != 1:
            why = f"Found {valid} valid alternatives" if valid else "Found none valid"
            found.invalid(NOWHERE, "", f'"{path}" must validate one and only one schema (oneOf). {why}')
            if not valid:
                found.causes += _best(failures).causes
    if checks.negated is not None and not judge(value, checks.negated, path).causes:
        found.invalid(NOWHERE, "", f'"{path}" must not validate the schema (not)')


def _best(failures: Sequence[Found]) -> Found:
    return min(failures, key=lambda inner: len(inner.causes))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
