"""Strategic merge patch: a JSON merge patch that knows from the schema which lists merge by which key.

Directives: `$patch` (delete, replace, merge), `$deleteFromPrimitiveList/FIELD`, `$setElementOrder/FIELD`,
`$retainKeys`. Source: k8s.io/apimachinery, `util/strategicpatch`. Unlike there, directives in parts that the object
does not have yet are carried out as well, and never stored.
"""

from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import unsupported_media_type
from boxship.cluster.objects.media_types import CUSTOM_PATCHES
from boxship.cluster.objects.patch import lists
from boxship.cluster.objects.patch.refusals import DEEPEST, go_kind, malformed, unusable
from boxship.cluster.objects.schema.types import Form, Type

RETAIN = "$retainKeys"
DELETE_PREFIX = "$deleteFromPrimitiveList/"
ORDER_PREFIX = "$setElementOrder/"


def strategic(object: Object, patch: Any, type_: Type | None) -> Object:
    """The object with the patch merged in. Without a type (a custom resource) it is refused with 415."""
    if type_ is None:
        raise unsupported_media_type(CUSTOM_PATCHES)
    if not isinstance(patch, dict):
        kind = go_kind(patch)
        raise malformed(f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
    try:
        return _merged(copied(object), copied(patch), type_)
    except RecursionError:
        raise malformed(DEEPEST) from None


def _merged(original: dict[str, Any], patch: dict[str, Any], type_: Type | None) -> dict[str, Any]:
    """`original` with `patch` in it. Both are used up."""
    directive = patch.pop(lists.DIRECTIVE, None)
    if directive == "delete":
        return {}
    if directive == "replace":
        original = {}
    elif directive not in (None, "merge"):
        raise unusable(f"unknown patch type: {directive} in map: {patch}")
    _retain(original, patch)
    _order(original, patch, type_)
    for key, value in patch.items():
        if key.startswith(DELETE_PREFIX):
            _delete_from(original, key.removeprefix(DELETE_PREFIX), value)
            continue
        if value is None:
            original.pop(key, None)
            continue
        original[key] = _value(original.get(key), value, field_type(type_, key))
    return original


def field_type(type_: Type | None, key: str) -> Type | None:
    """The type of one field; None for what no schema describes."""
    if type_ is None:
        return None
    if type_.form is Form.OBJECT:
        return type_.fields.get(key)
    if type_.form is Form.ANY and type_.items is not None:
        return field_type(type_.items, key)
    return type_.items if type_.form is Form.MAP else None


def _value(before: Any, value: Any, type_: Type | None) -> Any:
    replaces = type_ is not None and "replace" in type_.patch_strategy
    if isinstance(value, dict):
        if isinstance(before, dict) and not replaces:
            return _merged(before, value, type_)
        return _merged({}, value, type_)
    if not isinstance(value, list):
        return value
    if type_ is None or "merge" not in type_.patch_strategy or replaces:
        return [_fresh(item, None if type_ is None else type_.items) for item in value]
    return lists.merged_list(before if isinstance(before, list) else [], value, type_, _merged)


def _fresh(item: Any, type_: Type | None) -> Any:
    """An item of a list that is replaced as a whole, without the nulls and directives that it may hold."""
    if isinstance(item, dict):
        return _merged({}, item, type_)
    if isinstance(item, list):
        return [_fresh(part, None if type_ is None else type_.items) for part in item]
    return item


def _retain(original: dict[str, Any], patch: dict[str, Any]) -> None:
    """`$retainKeys`: fields of the object that it does not name go."""
    if RETAIN not in patch:
        return
    retained = patch.pop(RETAIN)
    if not isinstance(retained, list):
        raise malformed("invalid patch format of retainKeys")
    retained = {key for key in retained if isinstance(key, str)}
    for key, value in patch.items():
        if value is not None and not key.startswith((DELETE_PREFIX, ORDER_PREFIX)) and key not in retained:
            raise malformed("invalid patch format of retainKeys")
    for key in [key for key in original if key not in retained]:
        del original[key]


def _delete_from(original: dict[str, Any], key: str, values: Any) -> None:
    """`$deleteFromPrimitiveList`."""
    if not isinstance(values, list) or any(isinstance(value, dict | list) for value in values):
        raise malformed("invalid patch format of primitive list")
    before, gone = original.get(key), set(values)
    if isinstance(before, list):
        original[key] = [value for value in before if isinstance(value, dict | list) or value not in gone]


def _order(original: dict[str, Any], patch: dict[str, Any], type_: Type | None) -> None:
    """`$setElementOrder`: merges the list that it names, and takes both out of the patch."""
    for directive in [key for key in patch if key.startswith(ORDER_PREFIX)]:
        order = patch.pop(directive)
        key = directive.removeprefix(ORDER_PREFIX)
        if not isinstance(order, list):
            raise malformed("invalid patch format of setElementOrder list")
        if key not in patch and key not in original:
            continue
        before, changes = original.get(key, []), patch.get(key, [])
        if changes is None:
            continue
        found = field_type(type_, key)
        merges = found is not None and "merge" in found.patch_strategy
        if not isinstance(before, list) or not isinstance(changes, list) or found is None or not merges:
            raise malformed("invalid patch format of setElementOrder list")
        lists.check_order(changes, order, found.patch_key)
        patch.pop(key, None)
        deletion = patch.pop(f"{DELETE_PREFIX}{key}", None)
        places = lists.places_after(before, changes, found.patch_key)
        if deletion is not None:
            _delete_from(original, key, deletion)
            before = original.get(key, [])
        after = lists.merged_list(before, changes, found, _merged) if changes else before
        original[key] = lists.in_order(after, order, places, found.patch_key)
