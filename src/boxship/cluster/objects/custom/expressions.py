"""The CEL rules of a version's schema as one Judge. They are compiled when the first object is judged: most versions
of most definitions never see a write."""

from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.cel.rules import Place, RuleError, judge, plan
from boxship.cluster.objects.failure import Cause, internal
from boxship.cluster.objects.schema.types import Type


def rules_at(type_: Type) -> Sequence[Mapping[str, Any]]:
    """The x-kubernetes-validations of a place."""
    return type_.rules.rules if type_.rules is not None else ()


def has_rules(type_: Type) -> bool:
    """Whether there is any rule in it."""
    if rules_at(type_):
        return True
    inner = [field for field in type_.fields.values() if not field.name]
    return any(map(has_rules, inner)) or (type_.items is not None and has_rules(type_.items))


class Expressions:
    """Implements rules.Judge."""

    def __init__(self, type_: Type) -> None:
        self._type = type_
        self._place: Place | None = None
        self._planned = False

    def __call__(self, new: Object, old: Object | None) -> Sequence[Cause]:
        if not self._planned:
            try:
                self._place = plan(self._type, rules_at)
            except RuleError as error:  # one that an earlier version of ours accepted
                raise internal(f"cannot compile a validation rule: {error}") from None
            self._planned = True
        return judge(self._place, new, old) if self._place is not None else ()
