"""JSON bodies into structs, as strict as Go's decoder where it is strict and as lenient where it is lenient.

Keys match without case, null is absence. A field that the struct does not have is refused by name when it holds
anything but emptiness: nothing is accepted and ignored. Wrong types are Invalid with the field's name.
"""

import re
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from boxship.errors import Invalid, Unsupported

Body = TypeVar("Body")
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_parse = msgspec.json.Decoder().decode


class Ignored(msgspec.Struct):
    """Marks a field that clients send back from inspect and that has no meaning in a request."""


def decode(data: bytes, kind: type[Body], content_type: str, *, needed: bool) -> Body:
    """The body as `kind`. Raises Invalid or Unsupported."""
    if not data:
        if needed:
            raise Invalid("invalid JSON: got EOF while reading request body")
        return kind()
    check_content_type(content_type)
    if not data.strip():
        raise Invalid("invalid JSON: got EOF while reading request body")
    try:
        value = _parse(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"invalid JSON: {error}") from None
    except RecursionError:
        raise Invalid("invalid JSON: nested too deeply") from None
    if value is None:
        return kind()
    return shape(value, kind)


def check_content_type(content_type: str) -> None:
    """Docker takes `application/json` alone, with any parameters."""
    media = content_type.partition(";")[0].strip().lower()
    if not media:
        raise Invalid(f"malformed Content-Type header ({content_type}): mime: no media type")
    if media != "application/json":
        raise Invalid(f"unsupported Content-Type header ({content_type}): must be 'application/json'")


def shape(value: Any, kind: type[Body], path: str = "") -> Body:
    """A decoded JSON value as `kind`."""
    fitted = _fit(value, kind, path)
    try:
        return msgspec.convert(fitted, kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"invalid JSON: {_explain(str(error), path)}") from None


def is_empty(value: Any) -> bool:
    """Whether a value is Go's zero value, or is made of nothing else."""
    if isinstance(value, dict):
        return all(is_empty(item) for item in value.values())
    if isinstance(value, list):
        return all(is_empty(item) for item in value)
    return not value


def _fit(value: Any, kind: Any, path: str) -> Any:
    """`value` with the field names of `kind`, without nulls and without empty fields that `kind` does not have."""
    if isinstance(value, str):
        if "\0" in value:
            raise Invalid(f"invalid JSON: field {path or 'value'} holds a NUL character")
        return value
    if isinstance(value, dict):
        struct = _struct_of(kind)
        if struct is not None:
            return _fit_struct(value, struct, path)
        inner = _argument_of(kind, dict)
        fitted = {}
        for key, item in value.items():
            if "\0" in key:
                raise Invalid(f"invalid JSON: field {path or 'value'} holds a NUL character")
            fitted[key] = _zero(inner) if item is None else _fit(item, inner, f"{path}.{key}" if path else key)
        return fitted
    if isinstance(value, list):
        inner = _argument_of(kind, list)
        return [
            _zero(inner) if item is None else _fit(item, inner, f"{path}[{index}]") for index, item in enumerate(value)
        ]
    return value


def _fit_struct(value: dict[str, Any], struct: type[msgspec.Struct], path: str) -> dict[str, Any]:
    fields = fields_of(struct)
    fitted: dict[str, Any] = {}
    for key, item in value.items():
        field = fields.get(key.lower())
        place = f"{path}.{key}" if path else key
        if field is None:
            if not is_empty(item):
                raise Unsupported(f"unsupported: {place}")
        elif item is not None and field[1] is not Ignored:
            fitted[field[0]] = _fit(item, field[1], f"{path}.{field[0]}" if path else field[0])
    return fitted


def _zero(kind: Any) -> Any:
    """What null among strings or numbers stands for: Go's zero value."""
    return kind() if kind in (str, int, float, bool) else None


@cache
def fields_of(struct: type[msgspec.Struct]) -> dict[str, tuple[str, Any]]:
    """Lower-case name → (name in JSON, type) of every field."""
    hints = get_type_hints(struct, include_extras=True)
    return {
        encoded.lower(): (encoded, Ignored if Ignored in get_args(hints[name]) else hints[name])
        for name, encoded in zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True)
    }


@cache
def _struct_of(kind: Any) -> type[msgspec.Struct] | None:
    for option in (kind, *get_args(kind)) if get_origin(kind) not in (dict, list) else ():
        if isinstance(option, type) and issubclass(option, msgspec.Struct):
            return option
    return None


@cache
def _argument_of(kind: Any, container: type) -> Any:
    """The type of a list's items or a dict's values, also inside a union; Any where there is none."""
    for option in (kind, *get_args(kind)):
        if get_origin(option) is container:
            return get_args(option)[-1]
    return Any


_PLACE = re.compile(r" - at `(?:key in )?\$(.*?)`$", re.DOTALL)
_KINDS = re.compile(r"Expected `(.*?)`, got `(.*?)`")
_GO_NAMES = {"str": "string", "int": "number", "float": "number", "array": "array", "object": "object", "bool": "bool"}


def _explain(text: str, path: str) -> str:
    """msgspec's text in the words that Docker's clients know, with the field's name."""
    place = _PLACE.search(text)
    field = ((path + (place[1] if place else "")) or "value").lstrip(".")
    kinds = _KINDS.search(text)
    if kinds:
        got = _GO_NAMES.get(kinds[2], kinds[2])
        wanted = " or ".join(_GO_NAMES.get(option, option) for option in kinds[1].split(" | ") if option != "null")
        return f"json: cannot unmarshal {got} into field {field} of type {wanted}"
    return f"json: cannot read field {field}: {_PLACE.sub('', text)}"
