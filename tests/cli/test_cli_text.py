"""Times, tables, ids, filters and signals of the keyboard: the small pure parts."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.cli.escape import escape, path_of
from boxship.cli.filters import filters_of
from boxship.cli.flags import UsageError
from boxship.cli.table import Column, Listing, align
from boxship.cli.text import ellipsis, labels_text, natural_key, quote, short_id, split_reference, visible
from boxship.cli.times import (
    NEVER,
    ago,
    days_since_epoch,
    go_time_text,
    local_text,
    parse_time,
    rfc3339_nano,
    timestamp,
)
from boxship.cli.verbs.ps import ports_text
from boxship.errors import Invalid

LISTING = Listing(
    (
        Column("ID", "THING ID", lambda item: item["id"]),
        Column("Name", "NAME", lambda item: item["name"]),
    ),
    ("ID", "Name"),
    {"Label": lambda item, key: f"{item['id']}-{key}"},
)
ITEMS = [{"id": "1", "name": "one"}, {"id": "12345678901234", "name": "é"}]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("", "THING ID         NAME\n1                one\n12345678901234   é\n"),
        ("table", "THING ID         NAME\n1                one\n12345678901234   é\n"),
        ("json", '{"ID":"1","Name":"one"}\n{"ID":"12345678901234","Name":"é"}\n'),
        ("{{.Name}}:{{.ID}}", "one:1\né:12345678901234\n"),
        ("{{.Name}}\\t{{.ID}}\\n", "one\t1\n\né\t12345678901234\n\n"),
        ("table{{.Name}}", "NAME\none\né\n"),
        ("table {{.Name}}\\t{{.ID}}", "NAME      THING ID\none       1\né         12345678901234\n"),
        ('table {{upper .Name}} {{.Label "com.x"}}', "NAME x\nONE 1-com.x\nÉ 12345678901234-com.x\n"),
    ],
)
def test_listings(form: str, text: str) -> None:
    assert LISTING.render(ITEMS, form) == text


def test_an_empty_listing_has_its_header() -> None:
    assert LISTING.render([]) == "THING ID   NAME\n"
    assert LISTING.render([], "{{.ID}}") == ""


@given(st.lists(st.lists(st.text(alphabet="ab ", max_size=15), min_size=3, max_size=3), min_size=1, max_size=5))
def test_cells_of_a_column_start_under_each_other(rows: list[list[str]]) -> None:
    lines = align(rows).splitlines()
    widths = [max(10, *(len(row[column]) + 3 for row in rows)) for column in (0, 1)]
    for row, line in zip(rows, lines, strict=True):
        assert line == row[0].ljust(widths[0]) + row[1].ljust(widths[1]) + row[2]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T12:00:00.5+01:00", 951822000.5),
        ("2038-01-19T03:14:08-00:30", 2147485448),
        ("1969-12-31T23:59:59Z", -1),
    ],
)
def test_reads_times(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds * 10**9


@pytest.mark.parametrize(
    "text", ["", "x", "2000-13-01T00:00:00Z", "2000-01-01T0:0:0:0Z", "2000-01-01T00:00:00.xZ", "20"]
)
def test_refuses_times(text: str) -> None:
    with pytest.raises(Invalid):
        parse_time(text)


@given(st.datetimes(timezones=st.timezones()))
def test_reads_any_time_that_python_writes(moment: object) -> None:
    import datetime

    assert isinstance(moment, datetime.datetime)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    offset = moment.utcoffset()
    if offset is None or offset.seconds % 60 or moment.year < 2:
        return  # zones of old times have seconds, which RFC 3339 cannot say
    assert parse_time(moment.isoformat()) == (moment - epoch) // datetime.timedelta(microseconds=1) * 1000


@given(st.dates())
def test_counts_days(day: object) -> None:
    import datetime

    assert isinstance(day, datetime.date)
    assert days_since_epoch(day.year, day.month, day.day) == (day - datetime.date(1970, 1, 1)).days


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1700000000", "1700000000"),
        ("1700000000.5", "1700000000.5"),
        ("10m", "999400.000000000"),
        ("1h30m", "994600.000000000"),
        ("1970-01-02T00:00:00Z", "86400.000000000"),
    ],
)
def test_times_for_the_api(text: str, wanted: str) -> None:
    assert timestamp(text, now=1_000_000.0) == wanted


def test_times_for_the_api_are_refused_by_name() -> None:
    with pytest.raises(Invalid, match="'soon'"):
        timestamp("soon")


def test_times_in_the_local_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert rfc3339_nano(1_500_000_007) == "1970-01-01T05:30:01.500000007+05:30"
        assert parse_time("1970-01-01T05:30:00") == 0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_go_writes_times_so() -> None:
    assert go_time_text("2026-11-22T05:22:40.174000Z") == "2026-11-22 05:22:40.174 +0000 UTC"
    assert go_time_text("2026-11-22T05:22:40+02:00") == "2026-11-22 05:22:40 +0200 +0200"


def test_any_moment_has_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        assert local_text(NEVER) == "0001-01-01 00:00:00 +0000 UTC" and rfc3339_nano(NEVER * 10**9).startswith("0001-")
        assert (ago(0, 60.0), ago(NEVER, 0.0), ago(60, 0.0)) == (
            "About a minute ago",
            "292 years ago",  # as long as Go counts
            "Less than a second ago",
        )
    finally:
        monkeypatch.undo()
        time.tzset()


def test_small_texts() -> None:
    assert short_id("sha256:0123456789abcdef") == "0123456789ab"
    assert ellipsis("abcdef", 5) == "abcd…" and ellipsis("abc", 3) == "abc"
    assert quote('a"b\\\n\x01é\u200b') == '"a\\"b\\\\\\n\\x01é\\u200b"'
    assert labels_text({"b": "2", "a": "1"}) == "a=1,b=2" and labels_text(None) == ""
    assert visible("a\x1b[31mb\n") == "a[31mb\n"
    assert sorted(["a10", "a9", "b", "10"], key=natural_key) == ["10", "a9", "a10", "b"]


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("a", ("a", "")),
        ("a:b", ("a", "b")),
        ("host:5000/a", ("host:5000/a", "")),
        ("host:5000/a:b", ("host:5000/a", "b")),
        ("a@sha256:1", ("a", "sha256:1")),
    ],
)
def test_references(reference: str, parts: tuple[str, str]) -> None:
    assert split_reference(reference) == parts


@given(st.text())
def test_escaping_is_undone_by_the_standard(text: str) -> None:
    from urllib.parse import unquote_plus

    if not any(0xD800 <= ord(letter) < 0xE000 for letter in text):
        assert unquote_plus(escape(text)) == text
        assert unquote_plus(path_of(text)) == text


def test_filters() -> None:
    assert filters_of([]) is None
    assert filters_of(["label=a=b", "label=c", "Status=x"]) == '{"label":{"a=b":true,"c":true},"status":{"x":true}}'
    with pytest.raises(UsageError, match='"nope"'):
        filters_of(["nope"])


def port(private: int, public: int = 0, address: str = "", protocol: str = "tcp") -> dict[str, object]:
    return {"PrivatePort": private, "PublicPort": public, "IP": address, "Type": protocol}


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        ([], ""),
        ([port(80)], "80/tcp"),
        ([port(81), port(80), port(90, protocol="udp")], "80-81/tcp, 90/udp"),
        ([port(80, 8080, "0.0.0.0"), port(80, 8080, "::")], "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"),
        ([port(9000, 9000, "0.0.0.0"), port(9001, 9001, "0.0.0.0")], "0.0.0.0:9000-9001->9000-9001/tcp"),
        ([port(1), port(3), port(4)], "1/tcp, 3-4/tcp"),
    ],
)
def test_ports(ports: list[dict[str, object]], text: str) -> None:
    assert ports_text(ports) == text


def test_images_have_a_row_for_each_name_and_for_repositories_with_digests_alone() -> None:
    from boxship.cli.verbs.images import name_rows

    image = {"RepoTags": ["a:1", "a:2"], "RepoDigests": ["a@sha256:1", "b@sha256:2", "b@sha256:3"]}

    def rows(image: dict[str, list[str]], digests: bool) -> list[tuple[str, str, str]]:
        return [(row["Repository"], row["Tag"], row["Digest"]) for row in name_rows(image, digests)]

    none = "<none>"
    assert rows(image, False) == [("a", "1", none), ("a", "2", none), ("b", none, none)]
    assert rows(image, True) == [
        ("a", "1", "sha256:1"),
        ("a", "2", "sha256:1"),
        ("b", none, "sha256:2"),
        ("b", none, "sha256:3"),
    ]
    assert rows({}, True) == [(none, none, none)]
