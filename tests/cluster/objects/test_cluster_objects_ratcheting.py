"""What an update of a built-in kind need not mend: what was wrong in the same way and place before."""

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds import rules_of
from boxship.cluster.objects.kinds.checking import Enough
from boxship.cluster.objects.ratcheting import touched, value_at


def small(object: Object) -> Sequence[Cause]:
    """Every number has to be below 10; the message does not say which one it is."""
    return [
        Cause("FieldValueInvalid", f"spec.numbers[{place}]", "too large")
        for place, number in enumerate(object["spec"]["numbers"])
        if number >= 10
    ]


def numbers(*found: int) -> Object:
    return {"spec": {"numbers": list(found)}}


def test_only_what_is_as_it_was_is_let_pass() -> None:
    assert not touched(small, numbers(11, 2), numbers(11, 1))
    assert [each.field for each in touched(small, numbers(12, 2), numbers(11, 2))] == ["spec.numbers[0]"]
    assert [each.field for each in touched(small, numbers(11, 12), numbers(11, 2))] == ["spec.numbers[1]"]
    assert [each.field for each in touched(small, numbers(1, 11), numbers(11, 1))] == ["spec.numbers[1]"]


def test_too_many_errors_before_excuse_none() -> None:
    def wrong(object: Object) -> Sequence[Cause]:
        if len(object["spec"]["numbers"]) > 1:
            raise Enough(list(small(object)))
        return small(object)

    assert touched(wrong, numbers(11), numbers(11, 12))


@given(st.lists(st.integers(0, 20), max_size=5), st.lists(st.integers(0, 20), max_size=5))
def test_what_is_new_is_judged_and_what_stays_is_not(after: list[int], before: list[int]) -> None:
    found = {each.field for each in touched(small, numbers(*after), numbers(*before))}
    new = {
        f"spec.numbers[{place}]"
        for place, number in enumerate(after)
        if number >= 10 and before[place : place + 1] != [number]
    }
    assert found == new


def test_paths_that_lead_nowhere() -> None:
    assert value_at({"a": [{"b": 1}]}, "a[0].b") == 1
    assert value_at({"data": {"tls.crt": "x", "1": "y"}}, "data[tls.crt]") == "x"
    assert value_at({"data": {"tls.crt": "x", "1": "y"}}, "data[1]") == "y"
    for path in ("", "<nil>", "a[1].b", "a.b", "a[0][0]", "metadata.annotations[x.y/z]"):
        value_at({"a": [{"b": 1}]}, path)


def test_what_cannot_be_found_is_not_known_to_be_the_same() -> None:
    """A message may say nothing of the value, and a path may be none."""

    def at(path: str) -> Sequence[str]:
        old, new = {"data": {"a.b": "wrong", "c": 1}, "l": [1]}, {"data": {"a.b": "worse", "c": 1}, "l": [1]}
        return [each.field for each in touched(lambda object: [Cause("FieldValueInvalid", path, "wrong")], new, old)]

    assert at("data[a.b]") and at("data.a.b") and at("l.b[c]") and at("none.at.all") and at("data")
    assert not at("data.c") and not at("data[c]") and not at("data[missing]") and not at("missing") and not at("l[0]")


def test_a_service_that_was_stored_with_an_old_fault_can_be_labelled() -> None:
    rules = rules_of("", "Service")
    old: Any = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s", "namespace": "n"},
        "spec": {
            "type": "ClusterIP", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "sessionAffinity": "None",
            "externalIPs": ["127.0.0.1"], "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        },
    }  # fmt: skip
    rules.default(old)
    assert rules.validate(old)
    new = json.loads(json.dumps(old))
    new["metadata"]["labels"] = {"a": "b"}
    assert not touched(rules.validate, new, old)
    worse = copy.deepcopy(new)
    worse["spec"]["externalIPs"] = ["127.0.0.2"]
    assert touched(rules.validate, worse, old)
