"""What is wrong in the schemas of a CustomResourceDefinition, all of them together: their structure, their defaults,
their expressions. Called by the rules of the kind, which judge everything around the schemas."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.cel.rules import RuleError, compile_rule
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.custom.reading import prune
from boxship.cluster.objects.custom.structural import RULES, check_schema, is_object_schema
from boxship.cluster.objects.custom.types import ANYTHING, root_type
from boxship.cluster.objects.custom.values import judge
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found
from boxship.cluster.objects.schema.types import Form, Type
from boxship.cluster.objects.validation import Mismatch

METADATA = Type(form=Form.ANY, name="ObjectMeta", keeps_unknown=True)  # judged elsewhere


def check_schemas(definition: Object) -> Sequence[Cause]:
    """Of all versions."""
    causes: list[Cause] = []
    for index, version in enumerate((definition.get("spec") or {}).get("versions") or ()):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if is_object_schema(schema):
            causes += _check(msgspec.json.encode(schema), f"spec.versions[{index}].schema.openAPIV3Schema")
    return causes


@functools.lru_cache(maxsize=32)
def _check(text: bytes, path: str) -> tuple[Cause, ...]:
    """Of one schema. Most updates of a definition do not touch it, and expressions take a while to compile."""
    schema = msgspec.json.decode(text)
    found = Found()
    check_schema(found, schema, path)
    if not found.causes:
        type_ = root_type(schema, METADATA)
        _check_defaults(found, schema, type_, path)
        _check_rules(found, schema, type_, path, root=True, correlated=True)
    return tuple(found.causes)


def _check_rules(
    found: Found, schema: Mapping[str, Any], type_: Type, path: str, *, root: bool = False, correlated: bool
) -> None:
    """The CEL rules; `correlated`: an update's old value can be found at this place."""
    for index, rule in enumerate(schema.get(RULES) or ()):
        at = f"{path}.{RULES}[{index}]"
        try:
            compile_rule(rule, type_, root=root, correlated=correlated)
        except RuleError as error:
            found.invalid(f"{at}.{error.field}", rule.get(error.field, rule), str(error))
        if "\n" in (rule.get("message") or ""):
            found.invalid(f"{at}.message", rule["message"], "message must not contain line breaks")
        elif "\n" in str(rule.get("rule") or "").strip() and not rule.get("message"):
            found.required(f"{at}.message", "message must be specified if rule contains line breaks")
    for name, inner in (schema.get("properties") or {}).items():
        field = type_.fields.get(name)
        if field is not None and not field.name:
            _check_rules(found, inner, field, f"{path}.properties[{name}]", correlated=correlated)
    for word in ("items", "additionalProperties"):
        inner = schema.get(word)
        if is_object_schema(inner) and type_.items is not None and type_.items is not ANYTHING:
            findable = correlated and (word != "items" or type_.list_type == "map")
            _check_rules(found, inner, type_.items, f"{path}.{word}", correlated=findable)


def _check_defaults(found: Found, schema: Mapping[str, Any], type_: Type, path: str) -> None:
    """A default must be right by the schema that it stands in, and have no fields that would be dropped."""
    if type_.default is not msgspec.UNSET:
        _check_default(found, type_, f"{path}.default")
    for name, inner in (schema.get("properties") or {}).items():
        field = type_.fields.get(name)
        if field is not None and not field.name:
            _check_defaults(found, inner, field, f"{path}.properties[{name}]")
    for word in ("items", "additionalProperties"):
        inner = schema.get(word)
        if is_object_schema(inner) and type_.items is not None and type_.items is not ANYTHING:
            _check_defaults(found, inner, type_.items, f"{path}.{word}")


def _check_default(found: Found, type_: Type, path: str) -> None:
    default = type_.default
    pruned = copied(default)
    try:
        prune(pruned, type_)
    except Mismatch as error:
        found.invalid(path, default, str(error))
        return
    if pruned != default:
        found.invalid(path, default, "must not have unknown fields")
        return
    for cause in judge(default, type_).causes:
        at = f"{path}.{cause.field}" if cause.field and cause.field != "<nil>" else path
        found.causes.append(Cause(cause.reason, at, cause.message))
