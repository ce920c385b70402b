"""Variables in values: every form, nested, escaped and wrong; what is missing is collected, keys are left alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from boxship.compose.document import FileError
from boxship.compose.interpolation import Interpolator, TemplateError, Use, parse, substitute, uses
from boxship.compose.reading import parse as read
from boxship.compose.trees import plain

ENVIRONMENT = {"A": "a", "E": "", "MORE": "a-b", "_x9": "under"}

TEMPLATES = {
    "plain": "plain",
    "$A": "a",
    "${A}b": "ab",
    "$A-b": "a-b",
    "$_x9.": "under.",
    "$$A": "$A",
    "$$$A": "$a",
    "$${A}": "${A}",
    "$": "$",
    "a$ b": "a$ b",
    "$1": "$1",
    "$É": "$É",
    "${N}": "",
    "${N:-d}": "d",
    "${E:-d}": "d",
    "${E-d}": "",
    "${N-d}": "d",
    "${N:-}": "",
    "${A:-d}": "a",
    "${A:?no}": "a",
    "${E?no}": "",
    "${A:+r}": "r",
    "${E:+r}": "",
    "${E+r}": "r",
    "${N+r}": "",
    "${N:-${M:-${A}}}": "a",
    "${N:-$A$A}": "aa",
    "${N:-$$x}": "$x",
    "${N:-{a}}": "{a}",
    "${N:-a}}": "a}",
    "${N:-$${B}}": "${B}",
    "${N:-a}-${A}-}": "a-a-}",
    "${N-?x}": "?x",
    "${N:-a:?b}": "a:?b",
    "${N:-x?y}": "x?y",
    "${A:+a-b}": "a-b",
    "${N:-a\nb}": "a\nb",
    "${N:-http://x:1/?a=${A}}": "http://x:1/?a=a",
}


@pytest.mark.parametrize(("template", "text"), TEMPLATES.items())
def test_a_template(template: str, text: str) -> None:
    assert substitute(template, ENVIRONMENT.get) == text


WRONG = {
    "${": "'${' is no variable",
    "${}": "'${}' is no variable",
    "${1a}": "'${1a}' is no variable",
    "x${A:b}y": "'${A:b}' is no variable",
    "${A/b/c}": "no variable; you may need to escape any $ with another $",
    "${ N}": "no variable",
    "${A:-${}}": "'${}' is no variable",
    "${A:-${B}": "no variable",
    "${N:?no way}": "required variable N is missing a value: no way",
    "${E:?no way}": "required variable E is missing a value: no way",
    "${N?}": "required variable N is missing a value",
    "${N:?${A} is gone}": "required variable N is missing a value: a is gone",
    "${N:-" * 40 + "}" * 40: "nested deeper than 32 levels",
}


@pytest.mark.parametrize(("template", "message"), WRONG.items(), ids=range(len(WRONG)))
def test_a_wrong_template(template: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        substitute(template, ENVIRONMENT.get)
    assert message in str(caught.value)


def interpolated(text: str) -> tuple[Any, list[str]]:
    interpolator = Interpolator(ENVIRONMENT)
    node = interpolator.apply(read(text.encode(), "f.yml")[0])
    return plain(node), list(interpolator.warnings)


def test_values_change_and_keys_do_not() -> None:
    found, warnings = interpolated("$A: [$A, 5, {x: '${N}'}]\nb: $N$N ${M}\nc: 5\n")
    assert found == {"$A": ["a", 5, {"x": ""}], "b": " ", "c": 5}
    assert warnings == [
        'The "N" variable is not set. Defaulting to a blank string.',
        'The "M" variable is not set. Defaulting to a blank string.',
    ]


def test_a_default_that_is_not_used_misses_nothing() -> None:
    assert interpolated("a: ${A:-$N}")[1] == []


def test_what_has_no_variable_stays_the_same_object() -> None:
    (document,) = read(b"a: {b: [1, x]}\nc: $A\n", "f")
    applied = Interpolator(ENVIRONMENT).apply(document)
    assert applied.entries[0] is document.entries[0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("services:\n  w: {ports: ['80', '${']}", "f.yml:2:21: invalid interpolation format for services.w.ports[1]: "),
        ("services:\n  w:\n    image: ${N?gone}", "f.yml:3:12: error while interpolating services.w.image: required "),
    ],
)
def test_errors_name_the_place_and_the_field(text: str, message: str) -> None:
    with pytest.raises(FileError) as caught:
        interpolated(text)
    assert str(caught.value).startswith(message)


def test_variables_can_be_listed() -> None:
    (document,) = read(b"a: [$A, '${B:-x$C}', '${D:?e}', '${F+g}', '${']\n", "f")
    assert list(uses(document)) == [
        Use("A"),
        Use("B", default="x$C"),
        Use("C"),
        Use("D", required=True),
        Use("F", replacement="g"),
    ]


PIECES = some.sampled_from(["$", "{", "}", "A", "N", ":", "-", "?", "+", "$$", "${", "x", " ", "é", "\n", "${N:-", "E"])


@settings(max_examples=150, deadline=None)
@given(some.one_of(some.text(max_size=30), some.lists(PIECES, max_size=30).map("".join)))
def test_any_text_gives_a_text_or_a_template_error(text: str) -> None:
    try:
        found = substitute(text, ENVIRONMENT.get)
    except TemplateError:
        return
    if "$" not in text:
        assert found == text
    parse(text)


@given(some.text(max_size=40))
def test_a_doubled_dollar_always_escapes(text: str) -> None:
    assert substitute(text.replace("$", "$$"), ENVIRONMENT.get) == text
