"""JSON merge patch (RFC 7386)."""

from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.patch.refusals import DEEPEST, go_kind, malformed


def merge(object: Object, patch: Any) -> Object:
    """The object with the patch merged in: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        kind = go_kind(patch)
        raise malformed(
            f"error decoding patch: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        )
    try:
        result: Object = copied(object)
        _merge(result, patch)
    except RecursionError:
        raise malformed(DEEPEST) from None
    return result


def _merge(target: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif type(value) is dict:
            part = target.get(key)
            if type(part) is not dict:
                part = target[key] = {}
            _merge(part, value)
        else:
            target[key] = _listed(value)


def _listed(value: Any) -> Any:
    """A copy of what replaces something; objects in lists lose their nulls too, as in the original."""
    if type(value) is list:
        return [_listed(item) for item in value]
    if type(value) is dict:
        return {key: _listed(part) for key, part in value.items() if part is not None}
    return value
