"""Selectors: what matches, and the original's words for what is wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.cluster.objects import selectors
from boxship.cluster.objects.failure import Failure

LABELS = {"app": "web", "tier": "front", "n": "12", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app!=web", False),
        ("missing!=web", True),
        ("app in (web, api)", True),
        ("app notin (web,api)", False),
        ("none notin (a)", True),
        ("app", True),
        ("!app", False),
        ("! none", True),
        ("n>11,n<13", True),
        ("n>12", False),
        ("app>1", False),
        ("empty=", True),
        ("empty", True),
        ("empty in ()", True),
        ("empty in (,a)", True),
        ("app in (web),!in", True),
        ("in in (in)", False),
    ],
)
def test_labels_match(text: str, matches: bool) -> None:
    assert selectors.parse_labels(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("app=web,", "found '', expected: identifier after ','"),
        ("app in (web", "unable to parse requirement: found '', expected: ',' or ')'"),
        (",app", "found ',', expected: !, identifier, or 'end of string'"),
        ("app in web", "unable to parse requirement: found 'web' expected: '('"),
        ("app web", "unable to parse requirement: found 'web', expected: in, notin, =, ==, !=, gt, lt"),
        ("app=web=api", "found '=', expected: ',' or 'end of string'"),
        ("!app=web", "found '=', expected: ',' or 'end of string'"),
        ("a=(", "unable to parse requirement: found '(', expected: identifier"),
        (
            "n>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be "
            "an integer",
        ),
    ],
)
def test_wrong_label_selectors_are_named_as_in_the_original(text: str, message: str) -> None:
    with pytest.raises(Failure) as refused:
        selectors.parse_labels(text)
    assert (str(refused.value), refused.value.code) == (message, 400)


def test_wrong_keys_and_values_say_why() -> None:
    with pytest.raises(
        Failure, match=r'unable to parse requirement: <nil>: Invalid value: "-a": name part must consist'
    ):
        selectors.parse_labels("-a=b")
    with pytest.raises(Failure, match=r'values\[0\]\[a\]: Invalid value: "b/c": a valid label must be an empty string'):
        selectors.parse_labels("a=b/c")


def test_selectors_of_objects() -> None:
    assert not selectors.of_object(None).matches(LABELS)
    assert selectors.of_object({}).matches(LABELS)
    expressions = [{"key": "tier", "operator": "In", "values": ["front"]}, {"key": "x", "operator": "DoesNotExist"}]
    found = selectors.of_object({"matchLabels": {"app": "web"}, "matchExpressions": expressions})
    assert found.matches(LABELS)
    assert found.text == "app=web,tier in (front),!x"
    assert found.exact("app") == "web"
    with pytest.raises(Failure, match='"Like" is not a valid label selector operator'):
        selectors.of_object({"matchExpressions": [{"key": "a", "operator": "Like"}]})


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["x", "y", ""])),
    st.lists(st.sampled_from(["a=x", "b!=y", "c", "!d", "a in (x,y)", "b notin (x)", "d in ()"]), max_size=4),
)
def test_text_and_parsing_agree(labels: dict[str, str], parts: list[str]) -> None:
    found = selectors.parse_labels(",".join(parts))
    again = selectors.parse_labels(found.text)
    assert found.matches(labels) == again.matches(labels)
    assert found.matches(labels) == all(selectors.parse_labels(part).matches(labels) for part in parts)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_text_parses_or_is_a_bad_request(text: str) -> None:
    for parse in (selectors.parse_labels, selectors.parse_fields):
        try:
            parse(text)
        except Failure as refused:
            assert refused.code == 400


def test_fields() -> None:
    found = selectors.parse_fields("metadata.name=a,spec.nodeName!=b,c==")
    assert found.matches({"metadata.name": "a"})
    assert not found.matches({"metadata.name": "a", "spec.nodeName": "b"})
    assert found.exact("metadata.name") == "a"
    assert [term.field for term in found.terms] == ["c", "metadata.name", "spec.nodeName"]
    assert selectors.parse_fields("a=x\\,y\\=z").exact("a") == "x,y=z"
    assert selectors.parse_fields(selectors.parse_fields("a=x\\,y\\=z").text).exact("a") == "x,y=z"
    for text, message in (("a", "invalid selector: 'a'; can't understand 'a'"), ("a=b\\c", "invalid escape sequence")):
        with pytest.raises(Failure, match=message):
            selectors.parse_fields(text)
