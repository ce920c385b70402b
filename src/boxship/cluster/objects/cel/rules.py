"""Rules of structural schemas (x-kubernetes-validations): compiled once for a version, run on every write.

A rule stands at a place in the schema and sees what is there as `self`, and what was there before as `oldSelf`, where
the old value can be found: by key in maps and in lists that are maps, not in other lists. Source: kubernetes.io,
"CustomResourceDefinitions", validation rules.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.cel import environment, kinds, values
from boxship.cluster.objects.cel.environment import Frame, Program
from boxship.cluster.objects.cel.values import Exhausted, Failed, Optional
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.schema.types import Form, Type
from boxship.errors import Invalid

OBJECT_BUDGET = 600_000  # steps of all rules on one object
MESSAGE_LIMIT = 5120  # characters
DEPTH_LIMIT = 64
EXHAUSTED = "validation failed due to running out of cost budget, no further validation rules will be run"
UNCORRELATED = "oldSelf cannot be used on the uncorrelatable portion of the schema"

_NAMES = {
    Form.OBJECT: "object",
    Form.MAP: "object",
    Form.LIST: "array",
    Form.INTEGER: "integer",
    Form.NUMBER: "number",
    Form.BOOLEAN: "boolean",
    Form.ANY: "object",
}
_REASONS = {
    "": "Invalid value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
}

RulesAt = Callable[[Type], Sequence[Mapping[str, Any]]]


class Rule(msgspec.Struct, frozen=True):
    """One compiled rule."""

    program: Program
    text: str
    message: str = ""
    message_program: Program | None = None
    reason: str = ""
    field_path: str = ""
    optional_old: bool = False

    @property
    def transition(self) -> bool:
        """Whether it compares with the old value, and so only judges updates."""
        return "oldSelf" in self.program.used


class Place(msgspec.Struct):
    """What is to be judged at a place of the schema, and below it. Only places on the way to rules are kept."""

    type: Type
    rules: tuple[Rule, ...] = ()
    fields: dict[str, "Place"] = {}
    items: "Place | None" = None

    @property
    def empty(self) -> bool:
        return not self.rules and not self.fields and self.items is None


class RuleError(Invalid):
    """A rule that cannot be compiled. `field` is what of it is wrong: rule, messageExpression, reason, fieldPath."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def compile_rule(rule: Mapping[str, Any], type_: Type, *, root: bool = False, correlated: bool = True) -> Rule:
    """The rule at a place of that type; `root`: of the whole object. Raises RuleError with the original's text.
    `correlated`: the old value can be found here."""
    text = str(rule.get("rule") or "")
    if not text.strip():
        raise RuleError("rule", "rule is not specified")
    seen = msgspec.structs.replace(type_, embedded=True) if root else type_
    self_kind = kinds.of_schema(seen)
    optional_old = bool(rule.get("optionalOldSelf"))
    variables = {"self": self_kind, "oldSelf": kinds.optional_of(self_kind) if optional_old else self_kind}
    try:
        program = environment.compile(text, variables, gives=(kinds.BOOL,))
    except Invalid as wrong:
        raise RuleError("rule", str(wrong)) from None
    if "oldSelf" in program.used and not correlated:
        raise RuleError("rule", UNCORRELATED)
    if optional_old and "oldSelf" not in program.used:
        raise RuleError("optionalOldSelf", "may not be set if oldSelf is not used in rule")
    said = None
    if rule.get("messageExpression"):
        try:
            said = environment.compile(str(rule["messageExpression"]), variables, gives=(kinds.STRING,))
        except Invalid as wrong:
            raise RuleError("messageExpression", str(wrong)) from None
    reason = str(rule.get("reason") or "")
    if reason not in _REASONS:
        listed = ", ".join(f'"{name}"' for name in _REASONS if name)
        raise RuleError("reason", f'Unsupported value: "{reason}": supported values: {listed}')
    path = str(rule.get("fieldPath") or "")
    return Rule(program, text, str(rule.get("message") or ""), said, reason, path, optional_old)


def plan(type_: Type, rules_at: RulesAt) -> Place | None:
    """All rules of a schema; None where it has none. Raises RuleError at the first wrong one."""
    found = _place(type_, rules_at, correlated=True, depth=0)
    return None if found.empty else found


def _place(type_: Type, rules_at: RulesAt, *, correlated: bool, depth: int) -> Place:
    place = Place(type_)
    if depth > DEPTH_LIMIT:
        return place
    root = depth == 0
    place.rules = tuple(compile_rule(rule, type_, root=root, correlated=correlated) for rule in rules_at(type_))
    if type_.form is Form.OBJECT:
        below = {key: _place(part, rules_at, correlated=correlated, depth=depth + 1) for key, part in _parts(type_)}
        place.fields = {key: part for key, part in below.items() if not part.empty}
    elif type_.items is not None and type_.form in (Form.MAP, Form.LIST):
        findable = correlated and (type_.form is Form.MAP or type_.list_type == "map")
        items = _place(type_.items, rules_at, correlated=findable, depth=depth + 1)
        place.items = None if items.empty else items
    return place


def _parts(type_: Type) -> Iterator[tuple[str, Type]]:
    for key, part in type_.fields.items():
        if not part.name:  # definitions of the API's own, such as ObjectMeta, have no rules
            yield key, part


def judge(place: Place, new: Object, old: Object | None) -> list[Cause]:
    """What is wrong with the object by its rules. At most one cause tells that the budget ran out."""
    causes: list[Cause] = []
    frame = Frame({}, OBJECT_BUDGET)
    try:
        _judge(place, new, Optional(old is not None, old), "", causes, frame)
    except Exhausted:
        causes.append(Cause("FieldValueInvalid", "", f'Invalid value: "object": {EXHAUSTED}'))
    return causes


def _judge(place: Place, value: Any, old: Optional, path: str, causes: list[Cause], frame: Frame) -> None:
    if value is None:
        return
    for rule in place.rules:
        if rule.transition and not old.present and not rule.optional_old:
            continue
        cause = _broken(rule, place.type, value, old, path, frame)
        if cause is not None:
            causes.append(cause)
    if place.fields and isinstance(value, dict):
        for key, below in place.fields.items():
            if key in value:
                _judge(below, value[key], _old_field(old, key), f"{path}.{key}" if path else key, causes, frame)
    if place.items is None:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            _judge(place.items, item, _old_field(old, key), f"{path}[{key}]", causes, frame)
    elif isinstance(value, list):
        before = _old_items(place.type, old)
        for index, item in enumerate(value):
            _judge(place.items, item, _old_item(place.type, before, item), f"{path}[{index}]", causes, frame)


def _old_field(old: Optional, key: str) -> Optional:
    found = old.value if old.present else None
    return Optional(True, found[key]) if isinstance(found, dict) and found.get(key) is not None else values.ABSENT


def _old_items(type_: Type, old: Optional) -> dict[Any, Any]:
    known = type_.list_type == "map" and old.present and isinstance(old.value, list)
    return values.named(old.value, type_) if known else {}


def _old_item(type_: Type, before: dict[Any, Any], item: Any) -> Optional:
    if not before:
        return values.ABSENT
    (name,) = values.named([item], type_) or (None,)
    return Optional(True, before[name]) if name in before else values.ABSENT


def _broken(rule: Rule, type_: Type, value: Any, old: Optional, path: str, frame: Frame) -> Cause | None:
    """What is to be said where the rule does not hold."""
    frame.variables = {"self": value, "oldSelf": _adapted(type_, old) if rule.optional_old else old.value}
    shown = f'"{_NAMES.get(type_.form, "string")}"'
    try:
        if environment.run(rule.program, frame) is True:
            return None
        message = _message(rule, frame)
    except Exhausted:
        raise
    except Failed as failed:
        told = rule.message.strip() or rule.text.strip()
        message = f"{failed} evaluating rule: {told}"
        return Cause("FieldValueInvalid", path, f"Invalid value: {shown}: {message}")
    reason = rule.reason or "FieldValueInvalid"
    words = _REASONS[reason]
    where = path + _below(rule.field_path, path)
    if reason == "FieldValueDuplicate":
        return Cause(reason, where, f"{words}: {shown}")
    detail = f": {shown}: {message}" if reason == "FieldValueInvalid" else f": {message}"
    return Cause(reason, where, words + detail)


def _adapted(type_: Type, old: Optional) -> Optional:
    adapt = values.adapter(kinds.of_schema(type_))
    return old if adapt is None or not old.present else Optional(True, adapt(old.value))


def _message(rule: Rule, frame: Frame) -> str:
    if rule.message_program is not None:
        try:
            said = environment.run(rule.message_program, frame)
        except Exhausted:
            raise
        except Failed:
            said = ""
        if isinstance(said, str) and said.strip() and "\n" not in said and len(said) <= MESSAGE_LIMIT:
            return said.strip()
    return rule.message.strip() or f"failed rule: {rule.text.strip()}"


def _below(field_path: str, path: str) -> str:
    """A rule's fieldPath (".a.b", ".a['b.c']") as it continues the path of the rule."""
    if not field_path:
        return ""
    text = field_path.replace("['", "[").replace("']", "]")
    return text if path else text.removeprefix(".")
