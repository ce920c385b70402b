"""The Rules of a custom kind in one version, made of its schema and of what its definition says of subresources
and selectable fields."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.custom.defaulting import has_defaults, put_defaults
from boxship.cluster.objects.custom.values import judge
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found
from boxship.cluster.objects.ratcheting import value_at
from boxship.cluster.objects.rules import Rules, keep
from boxship.cluster.objects.schema.types import Type

NOT_A_COUNT = "should be a non-negative integer"
COUNT_LIMIT = 2**31 - 1
# Wrong values with which rules could not be evaluated.
BLOCKING = {
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
}
NOT_CHECKED = Cause(
    "FieldValueInvalid",
    "<nil>",
    "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing "
    "errors to complete validation",
)

Judge = Callable[[Object, Object | None], Sequence[Cause]]  # (new, old or None) → what is wrong


def rules_for(
    version: Mapping[str, Any], type_: Type, expressions: Judge | None = None, *, changed: bool = True
) -> Rules:
    """`version` is an entry of the definition's spec.versions; `expressions` judges by its CEL rules. Unless the
    definition has `changed` since it was made, everything that is stored has its defaults already."""
    parts = version.get("subresources") or {}
    status, scale = "status" in parts, parts.get("scale") or {}
    fields = [path["jsonPath"] for path in version.get("selectableFields") or ()]
    defaults = changed and has_defaults(type_)

    def default(object: Object) -> None:
        put_defaults(object, type_)

    def wrong(new: Object, old: Object | None) -> Sequence[Cause]:
        causes = _touched([*judge(new, type_).causes, *_counts(new, scale)], new, old)
        if expressions is None:
            return causes
        if any(cause.reason in BLOCKING for cause in causes):
            return [*causes, NOT_CHECKED]
        return [*causes, *_touched(expressions(new, old), new, old)]

    def wrong_change(new: Object, old: Object) -> Sequence[Cause]:
        return wrong(new, old)

    return Rules(
        default=default,
        prepare_create=_without_status if status else keep,
        prepare_update=_keep_status if status else _count_status,
        validate_create=lambda new: wrong(new, None),
        validate_update=wrong_change,
        validate_status=wrong_change,
        fields=lambda object: {path.lstrip("."): _text(value_at(object, path)) for path in fields},
        generation=True,
        hides=default if defaults else keep,
    )


def deprecation(version: Mapping[str, Any], group: str, kind: str) -> str:
    """What clients of a deprecated version are told, or ""."""
    if not version.get("deprecated"):
        return ""
    said: str = version.get("deprecationWarning") or f"{group}/{version['name']} {kind} is deprecated"
    return said


def _without_status(object: Object) -> None:
    object.pop("status", None)


def _keep_status(new: Object, old: Object) -> None:
    new.pop("status", None)
    if "status" in old:
        new["status"] = old["status"]


def _count_status(new: Object, old: Object) -> None:
    """Without the subresource, a change of `status` is a change like any other."""
    if new.get("status") != old.get("status"):
        new["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1


def _counts(object: Object, scale: Mapping[str, Any]) -> Sequence[Cause]:
    """The replicas that the scale subresource shows."""
    found = Found()
    for word in ("specReplicasPath", "statusReplicasPath"):
        path = scale.get(word) or ""
        value = value_at(object, path) if path else None
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= COUNT_LIMIT:
            found.invalid(path.lstrip("."), value, NOT_A_COUNT)
    return found.causes


def _touched(causes: Sequence[Cause], new: Object, old: Object | None) -> Sequence[Cause]:
    return causes if old is None else [cause for cause in causes if not _as_before(cause, new, old)]


def _as_before(cause: Cause, new: Object, old: Object) -> bool:
    """Whether a wrong value was there before: an update need not mend what it does not touch."""
    path = cause.field
    if cause.reason == "FieldValueRequired":
        path = path.rpartition(".")[0]
    if not path or path == "<nil>":
        return False
    value = value_at(new, path)
    return value is not None and value == value_at(old, path)


def _text(value: Any) -> str:
    """A field's value as selectors compare it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
