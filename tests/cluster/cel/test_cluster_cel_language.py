"""CEL: values of expressions, errors at compile time and at run time, and the budget."""

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.cluster.objects.cel import environment, kinds
from boxship.cluster.objects.cel.environment import compile, evaluate
from boxship.cluster.objects.cel.values import Failed
from boxship.cluster.objects.schema.types import Form, Type
from boxship.errors import Invalid

TEXT, WHOLE = Type(Form.STRING), Type(Form.INTEGER)
SELF = Type(
    Form.OBJECT,
    fields={
        "name": TEXT,
        "replicas": WHOLE,
        "ratio": Type(Form.NUMBER),
        "on": Type(Form.BOOLEAN),
        "names": Type(Form.LIST, items=TEXT),
        "set": Type(Form.LIST, items=TEXT, list_type="set"),
        "ports": Type(
            Form.LIST,
            items=Type(Form.OBJECT, fields={"name": TEXT, "port": WHOLE}),
            list_type="map",
            list_keys=("name",),
        ),
        "labels": Type(Form.MAP, items=TEXT),
        "when": Type(Form.STRING, format="date-time"),
        "grace": Type(Form.STRING, format="duration"),
        "data": Type(Form.STRING, format="byte"),
        "either": Type(Form.INT_OR_STRING),
        "free": Type(Form.ANY),
        "namespace": TEXT,
        "a-b": TEXT,
        "a.b": TEXT,
        "x__y": TEXT,
        "nothing": TEXT,
    },
)
VALUE = {
    "name": "abc",
    "replicas": 3,
    "ratio": 2,
    "on": True,
    "names": ["x", "y"],
    "set": ["b", "a"],
    "ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53}],
    "labels": {"app": "web", "a/b": "c"},
    "when": "2026-11-22T12:30:15.5Z",
    "grace": "1h30m",
    "data": "aGVsbG8=",
    "either": "50%",
    "free": {"deep": {"er": [1, 2.5, None, "t"]}},
    "namespace": "ns",
    "a-b": "dash",
    "a.b": "dot",
    "x__y": "under",
}
VARIABLES = {"self": kinds.of_schema(SELF), "any": kinds.DYN}


def value(text: str, **more: Any) -> Any:
    return evaluate(compile(text, VARIABLES), {"self": VALUE, "any": more.get("any")})


EXPRESSIONS = (Path(__file__).parent / "true.txt").read_text().splitlines()


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_what_is_true(text: str) -> None:
    """Each line of the file; "~" stands for the end of a line within an expression."""
    assert value(text.replace("~", "\n")) is True, text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("self.x", "ERROR: <input>:1:5: undefined field 'x'\n | self.x\n | ....^"),
        ("self.name + 1", "ERROR: <input>:1:11: found no matching overload for '_+_' applied to '(string, int)'"),
        ("y == 1", "ERROR: <input>:1:1: undeclared reference to 'y' (in container '')\n | y == 1\n | ^"),
        ("self.name.foo()", "ERROR: <input>:1:14: undeclared reference to 'foo' (in container '')"),
        ("self.replicas.matches('a')", "found no matching overload for 'matches' applied to 'int.(string)'"),
        ("self.replicas.x", "type 'int' does not support field selection"),
        ("self.replicas == 'a'", "found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.name.all(x, true)", "expression of type 'string' cannot be range of a comprehension"),
        ("self.names.all(x, 1)", "expected type 'bool' but found 'int'"),
        ("self.names.all(1, true)", "argument must be a simple name"),
        ("self.name &&", "Syntax error"),
        ("self.name = 1", "Syntax error"),
        ("'abc", "Syntax error"),
        ("99999999999999999999", "invalid int literal"),
        ("has(self)", "invalid argument to has() macro"),
        ("self.namespace == ''", "undefined field 'namespace'"),
        ("true ? 1 : 'a'", "no matching overload for '_?_:_' applied to '(bool, int, string)'"),
        ("self['name']", "found no matching overload for '_[_]' applied to '(object, string)'"),
        ("Foo{a: 1}", "undeclared reference to 'Foo'"),
        (
            "self.x + self.z",
            "\n | ....^\nERROR: <input>:1:14: undefined field 'z'",
        ),
        ("self.names.all(name, name.nope)", "type 'string' does not support field selection"),
        ("package", "reserved identifier: package"),
        ("-" * 3000 + "x", "recursion limit exceeded"),
    ],
)
def test_errors_are_told_before_anything_runs(text: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        compile(text, VARIABLES)
    assert str(refused.value).startswith("compilation failed: ")
    assert why in str(refused.value)


def test_the_result_has_the_type_that_is_asked_for() -> None:
    with pytest.raises(Invalid, match="cel expression must evaluate to a bool"):
        compile("self.name", VARIABLES, gives=(kinds.BOOL,))
    with pytest.raises(Invalid, match="must evaluate to string"):
        compile("1", VARIABLES, gives=(kinds.STRING,))
    assert compile("self.free.x", VARIABLES, gives=(kinds.BOOL,)).kind == kinds.DYN


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("self.nothing == 'a'", "no such key: nothing"),
        ("self.labels['z'] == ''", "no such key: z"),
        ("self.names[5] == ''", "index out of bounds: 5"),
        ("1 / (self.replicas - 3)", "division by zero"),
        ("1 % (self.replicas - 3)", "modulus by zero"),
        ("9223372036854775807 + self.replicas", "integer overflow"),
        ("int('x')", "invalid syntax"),
        ("self.free.deep.er[1].startsWith('a')", "no such overload"),
        ("self.free.deep.er[0].matches('a')", "no such overload"),
        ("dyn('a') + dyn(1)", "no such overload"),
        ("timestamp('x')", "cannot parse"),
        ("duration('x')", "invalid duration"),
        ("quantity('x')", "quantities must match the regular expression"),
        ("self.name.matches('(')", "error parsing regexp"),
        ("optional.none().value()", "optional.none() dereference"),
        ("[].min() == 1", "min called on empty list"),
        ("'a'.substring(2)", "index out of range: 2"),
        ("{'a': 1, 'a': 2}", "Failed with repeated key: a"),
        ("any.x", "no such overload"),
    ],
)
def test_errors_while_running(text: str, why: str) -> None:
    with pytest.raises(Failed) as failed:
        value(text)
    assert why in str(failed.value)


HUNGRY = [
    "lists.range(300).all(a, lists.range(2000).all(b, b in lists.range(2000)))",
    "cel.bind(l, lists.range(1000).map(x, lists.range(100)), lists.range(1000).all(i, l == l))",
    "cel.bind(l, lists.range(300).map(x, lists.range(100)), l.distinct().size() > 0 && l.indexOf(l[0]) == 0)",
    "lists.range(1000).all(a, lists.range(1000).all(b, lists.range(1000).all(c, a + b + c >= 0)))",
    "lists.range(100000).map(a, lists.range(100000))",
    "lists.range(100000).map(a, string(a)).join('xxxxxxxxxx').replace('x', 'yyyyyyyyyyyyyyyyyyyyyyyyyy').size() > 0",
    "lists.range(1000).all(a, 1 / 0 > 0 || lists.range(1000).all(b, lists.range(1000).exists(c, a + b + c < 0)))",
    "sets.contains(lists.range(100000), lists.range(100000))",
    "('a'.replace('a', 'aaaaaaaaaaaaaaaaaaaa') + 'b').matches('(a+)+$')",
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab'.matches('^(a+)+$')",
]


@pytest.mark.parametrize("text", HUNGRY)
def test_no_expression_takes_for_ever(text: str) -> None:
    started = time.process_time()
    program = compile(text, VARIABLES)
    try:
        evaluate(program, {"self": VALUE, "any": None}, budget=100_000)
    except Failed as failed:
        assert "cost limit exceeded" in str(failed) or "longer than" in str(failed)
    assert time.process_time() - started < 5


WORDS = st.sampled_from(
    "self self.name self.replicas self.names any 1 'a' 1.5 true null [ ] ( ) . , ? : + - * / % == != < > && || ! in { "
    "} x size all exists map has matches 2u b'a' [?0] .?z orValue cel.bind optional.of".split()
)


@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS, max_size=10).map(" ".join))
def test_any_text_compiles_or_is_invalid_and_runs_or_fails(text: str) -> None:
    try:
        program = compile(text, {**VARIABLES, "x": kinds.INT})
    except Invalid as wrong:
        assert str(wrong).startswith("compilation failed: ERROR: <input>:")
        return
    with contextlib.suppress(Failed):
        evaluate(program, {"self": VALUE, "any": {"z": [1]}, "x": 1})


@settings(deadline=None)
@given(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-(1 << 63), (1 << 63) - 1))
def test_arithmetic_is_exact_or_fails(one: int, other: int) -> None:
    variables = {"a": kinds.INT, "b": kinds.INT}
    for sign, exact in (("+", one + other), ("-", one - other), ("*", one * other)):
        program = compile(f"a {sign} b", variables)
        if -(1 << 63) <= exact < 1 << 63:
            assert evaluate(program, {"a": one, "b": other}) == exact
        else:
            with pytest.raises(Failed, match="integer overflow"):
                evaluate(program, {"a": one, "b": other})
    if other and not (one == -(1 << 63) and other == -1):
        quotient = evaluate(compile("a / b", variables), {"a": one, "b": other})
        remainder = evaluate(compile("a % b", variables), {"a": one, "b": other})
        assert quotient * other + remainder == one
        assert abs(remainder) < abs(other)


def test_rules_are_fast_enough() -> None:
    text = "self.replicas <= 5 && self.names.all(x, x.size() < 10) && self.name.matches('^a.*')"
    program = compile(text, VARIABLES)
    started = time.process_time()
    for _ in range(200):
        evaluate(program, {"self": VALUE})
    assert (time.process_time() - started) / 200 < 0.002
    assert environment.BUDGET >= 100_000
