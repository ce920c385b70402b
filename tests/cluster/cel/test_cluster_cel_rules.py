"""Rules of custom kinds: where they stand, what they see, and what is said when they do not hold."""

from typing import Any

import pytest

from boxship.cluster.objects.cel.rules import RuleError, compile_rule, judge, plan
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.schema.types import Form, Type


def text(*rules: dict[str, Any], **more: Any) -> Type:
    return Type(Form.STRING, rules=rules, **more)


def made(*rules: dict[str, Any], **spec: Type) -> Type:
    return Type(Form.OBJECT, fields={"spec": Type(Form.OBJECT, fields=spec, rules=rules)})


def judged(type_: Type, new: Any, old: Any = None) -> list[Cause]:
    place = plan(type_, lambda found: found.rules or ())
    assert place is not None
    return judge(place, {"spec": new}, None if old is None else {"spec": old})


WHOLE = Type(Form.INTEGER)
LIMITED = made({"rule": "self.replicas <= self.most", "message": "too many"}, replicas=WHOLE, most=WHOLE)


def test_a_rule_that_does_not_hold_is_a_cause() -> None:
    assert judged(LIMITED, {"replicas": 1, "most": 2}) == []
    assert judged(LIMITED, {"replicas": 3, "most": 2}) == [
        Cause("FieldValueInvalid", "spec", 'Invalid value: "object": too many')
    ]
    assert judged(LIMITED, {"replicas": 3}) == [
        Cause("FieldValueInvalid", "spec", 'Invalid value: "object": no such key: most evaluating rule: too many')
    ]


@pytest.mark.parametrize(
    ("rule", "cause"),
    [
        ({}, Cause("FieldValueInvalid", "spec.name", "Invalid value: \"string\": failed rule: self != 'a'")),
        (
            {"reason": "FieldValueForbidden"},
            Cause("FieldValueForbidden", "spec.name", "Forbidden: failed rule: self != 'a'"),
        ),
        ({"reason": "FieldValueDuplicate"}, Cause("FieldValueDuplicate", "spec.name", 'Duplicate value: "string"')),
        (
            {"messageExpression": "'not ' + self", "message": "no", "reason": "FieldValueRequired"},
            Cause("FieldValueRequired", "spec.name", "Required value: not a"),
        ),
        (
            {"messageExpression": "'a\\nb'", "message": " no "},
            Cause("FieldValueInvalid", "spec.name", 'Invalid value: "string": no'),
        ),
        (
            {"messageExpression": "string(1 / 0)", "message": "no"},
            Cause("FieldValueInvalid", "spec.name", 'Invalid value: "string": no'),
        ),
    ],
)
def test_what_is_said(rule: dict[str, Any], cause: Cause) -> None:
    assert judged(made(name=text({"rule": "self != 'a'", **rule})), {"name": "a"}) == [cause]


def test_a_field_path_continues_the_place() -> None:
    rule = {"rule": "self.replicas > 0", "fieldPath": ".replicas", "message": "none"}
    assert judged(made(rule, replicas=WHOLE), {"replicas": 0})[0].field == "spec.replicas"


def test_rules_in_lists_and_maps_name_the_item() -> None:
    rule = {"rule": "self.size() < 2", "message": "long"}
    type_ = made(names=Type(Form.LIST, items=text(rule)), labels=Type(Form.MAP, items=text(rule)))
    found = judged(type_, {"names": ["a", "bb"], "labels": {"x": "cc", "y": "c"}})
    assert [cause.field for cause in found] == ["spec.names[1]", "spec.labels[x]"]


def test_transitions_are_judged_where_the_old_value_can_be_found() -> None:
    same = {"rule": "self == oldSelf", "message": "immutable"}
    item = Type(Form.OBJECT, fields={"key": Type(Form.STRING), "value": text(same)})
    keyed = Type(Form.LIST, items=item, list_type="map", list_keys=("key",))
    type_ = made(name=text(same), items=keyed, labels=Type(Form.MAP, items=text(same)))
    old = {"name": "a", "items": [{"key": "x", "value": "1"}, {"key": "y", "value": "2"}], "labels": {"l": "1"}}
    assert judged(type_, old) == judged(type_, old, old) == []
    new = {
        "name": "b",
        "items": [{"key": "y", "value": "3"}, {"key": "z", "value": "1"}],
        "labels": {"l": "2", "m": "1"},
    }
    assert [cause.field for cause in judged(type_, new, old)] == ["spec.name", "spec.items[0].value", "spec.labels[l]"]
    with pytest.raises(RuleError, match="oldSelf cannot be used on the uncorrelatable portion"):
        plan(made(names=Type(Form.LIST, items=text(same))), lambda found: found.rules or ())


def test_an_optional_old_value_is_asked_about_on_create_too() -> None:
    rule = {"rule": "!oldSelf.hasValue() || oldSelf.value() <= self", "optionalOldSelf": True, "message": "shrinks"}
    type_ = made(size=Type(Form.INTEGER, rules=(rule,)))
    assert judged(type_, {"size": 1}) == judged(type_, {"size": 2}, {"size": 1}) == judged(type_, {"size": 2}, {}) == []
    assert [cause.field for cause in judged(type_, {"size": 1}, {"size": 2})] == ["spec.size"]


def test_a_whole_object_shows_its_name_and_nothing_else_of_its_metadata() -> None:
    type_ = Type(
        Form.OBJECT, fields={"metadata": Type(Form.OBJECT, name="io.k8s.ObjectMeta", fields={"labels": Type(Form.MAP)})}
    )
    assert compile_rule({"rule": "self.metadata.name.startsWith('a') && self.kind == 'X'"}, type_, root=True)
    with pytest.raises(RuleError, match="undefined field 'labels'"):
        compile_rule({"rule": "has(self.metadata.labels)"}, type_, root=True)


@pytest.mark.parametrize(
    ("rule", "field", "why"),
    [
        ({"rule": " "}, "rule", "rule is not specified"),
        ({"rule": "self.x"}, "rule", "compilation failed: ERROR: <input>:1:5: undefined field 'x'"),
        ({"rule": "self.name"}, "rule", "cel expression must evaluate to a bool"),
        ({"rule": "true", "messageExpression": "1"}, "messageExpression", "must evaluate to string"),
        ({"rule": "true", "reason": "Because"}, "reason", "Unsupported value"),
        ({"rule": "true", "optionalOldSelf": True}, "optionalOldSelf", "may not be set if oldSelf is not used"),
    ],
)
def test_wrong_rules(rule: dict[str, Any], field: str, why: str) -> None:
    with pytest.raises(RuleError) as refused:
        compile_rule(rule, Type(Form.OBJECT, fields={"name": Type(Form.STRING)}))
    assert refused.value.field == field
    assert why in str(refused.value)


def test_the_budget_of_an_object_is_limited() -> None:
    rule = {"rule": "self.all(a, self.all(b, self.all(c, a + b + c >= 0)))"}
    type_ = made(many=Type(Form.LIST, items=WHOLE, rules=(rule,)))
    assert judged(type_, {"many": list(range(10))}) == []
    (cause,) = judged(type_, {"many": list(range(500))})
    assert "running out of cost budget" in cause.message


def test_nothing_is_planned_where_no_rules_are() -> None:
    assert plan(made(name=text()), lambda found: found.rules or ()) is None
