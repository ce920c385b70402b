"""Custom resources as table rows, and how tables write durations and selectors."""

from typing import Any

import pytest
from tables_kit import AGE, NOW, START, resource

from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.tables import table_of
from boxship.cluster.objects.tables.text import duration, moment, selector_string

WIDGET = Resource("example.com", "v1", "Widget", "widgets", "widget", True, "example.com/widgets", "v1", custom=True)
OBJECT = {
    "metadata": {"name": "w", "creationTimestamp": START},
    "spec": {"size": 3, "ratio": 1.5, "on": True, "word": "hi", "list": [1, 2], "when": START, "never": "x"},
}


@pytest.mark.parametrize(
    ("kind", "path", "cell"),
    [
        ("integer", ".spec.size", 3),
        ("integer", ".spec.ratio", 1),
        ("integer", ".spec.word", None),
        ("number", ".spec.size", 3.0),
        ("boolean", ".spec.on", True),
        ("boolean", ".spec.size", None),
        ("integer", ".spec.on", None),
        ("string", ".spec.word", "hi"),
        ("string", ".spec.size", "3"),
        ("string", ".spec.list", "[1,2]"),
        ("string", ".spec.list[*]", "1"),
        ("date", ".spec.when", AGE),
        ("date", ".spec.never", "<invalid>"),
        ("string", ".spec.missing", None),
        ("string", ".spec.list[9]", None),
        ("string", ".spec.word[0]", None),
        ("string", "{", None),
    ],
)
def test_columns_of_custom_resources(kind: str, path: str, cell: Any) -> None:
    column = {"name": "C", "type": kind, "jsonPath": path, "priority": 1}
    columns, rows = table_of(WIDGET, [OBJECT], NOW, [column])
    assert rows[0]["cells"] == ["w", cell]
    assert columns[1]["name"] == "C" and columns[1]["priority"] == 1
    assert columns[1]["description"] == f"Custom resource definition column (in JSONPath format): {path}"


def test_custom_resources_without_columns_show_their_age() -> None:
    columns, rows = table_of(WIDGET, [OBJECT], NOW)
    assert [column["name"] for column in columns] == ["Name", "Age"] and columns[1]["type"] == "date"
    assert rows[0]["cells"] == ["w", AGE]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-0.5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (10860, "3h1m"),
        (28799, "7h59m"),
        (28800, "8h"),
        (172799, "47h"),
        (172800, "2d"),
        (176400, "2d1h"),
        (691199, "7d23h"),
        (691200, "8d"),
        (63071999, "729d"),
        (63072000, "2y"),
        (63158400, "2y1d"),
        (252288000, "8y"),
        (300000000, "9y"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("stamp", [None, "", "soon", 7, "0001-01-01T00:00:00Z"])
def test_what_is_no_time(stamp: Any) -> None:
    assert moment(stamp) is None
    assert table_of(resource("", "Secret"), [{"metadata": {"creationTimestamp": stamp}}], NOW)[1][0]["cells"][-1] == (
        "<unknown>"
    )


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({}, ""),
        (None, ""),
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["z", "y"]}]}, "a notin (y,z)"),
        (
            {"matchLabels": {"b": "2"}, "matchExpressions": [{"key": "a", "operator": "Exists"}]},
            "a,b=2",
        ),
    ],
)
def test_selectors(selector: Any, text: str) -> None:
    assert selector_string(selector) == text
