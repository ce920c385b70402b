"""Rotation and log options."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import Invalid, Unsupported
from boxship.logs.options import LogSettings, TagFacts, parse_options, parse_size
from boxship.logs.rotate import needs_rotation, rotate


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_size_decides(tmp_path: Path) -> None:
    log = tmp_path / "c.log"
    settings = LogSettings(max_size=10)
    assert needs_rotation(log, settings), "a crash came between the rename and conmon's new file"
    log.write_bytes(b"x" * 9)
    assert not needs_rotation(log, settings)
    log.write_bytes(b"x" * 10)
    assert needs_rotation(log, settings)
    assert not needs_rotation(log, LogSettings(max_size=0))


@pytest.mark.parametrize("compress", [False, True])
def test_the_oldest_goes(tmp_path: Path, compress: bool) -> None:
    log = tmp_path / "c.log"
    settings = LogSettings(max_size=1, max_file=4, compress=compress)
    for turn in range(7):
        log.write_text(f"{turn}")
        rotate(log, settings)
    end = ".gz" if compress else ""
    assert names(tmp_path) == ["c.log.1", f"c.log.2{end}", f"c.log.3{end}"]
    assert (tmp_path / "c.log.1").read_text() == "6"
    third = tmp_path / f"c.log.3{end}"
    assert (gzip.decompress(third.read_bytes()).decode() if compress else third.read_text()) == "4"


def test_one_file_is_thrown_away(tmp_path: Path) -> None:
    log = tmp_path / "c.log"
    log.write_text("x")
    rotate(log, LogSettings(max_size=1, max_file=1))
    assert names(tmp_path) == []


def test_rotation_after_a_crash_in_the_middle(tmp_path: Path) -> None:
    log = tmp_path / "c.log"
    settings = LogSettings(max_size=1, max_file=5, compress=True)
    (tmp_path / "c.log.1").write_text("one")
    (tmp_path / "c.log.3").write_text("three")
    (tmp_path / "c.log.3.gz").write_bytes(b"half")
    rotate(log, settings)
    assert names(tmp_path) == ["c.log.1", "c.log.3"], "no log file: nothing to put aside"
    log.write_text("zero")
    rotate(log, settings)
    assert names(tmp_path) == ["c.log.1", "c.log.2.gz", "c.log.3.gz"], "what lies behind the gap stays there"
    assert gzip.decompress((tmp_path / "c.log.3.gz").read_bytes()) == b"three"


def test_fewer_files_than_before(tmp_path: Path) -> None:
    log = tmp_path / "c.log"
    for number in range(1, 6):
        (tmp_path / f"c.log.{number}").write_text("old")
    log.write_text("new")
    rotate(log, LogSettings(max_size=1, max_file=2))
    assert names(tmp_path) == ["c.log.1"]


def test_defaults() -> None:
    settings = parse_options("json-file", {})
    assert (settings.max_size, settings.max_file, settings.compress) == (10_000_000, 3, False)
    local = parse_options("local", {})
    assert (local.max_size, local.max_file, local.compress) == (20_000_000, 5, True)
    assert parse_options("none", {}).max_size == 0


def test_options_are_read() -> None:
    settings = parse_options(
        "json-file",
        {"max-size": "2k", "max-file": "7", "compress": "true", "labels": "a, b", "env-regex": "^X", "tag": "t"},
    )
    assert (settings.max_size, settings.max_file, settings.compress) == (2000, 7, True)
    assert settings.attributes({"a": "1", "c": "2"}, ["XA=5", "B=6"]) == {"a": "1", "XA": "5", "tag": "t"}


@pytest.mark.parametrize(
    ("driver", "options", "message"),
    [
        ("json-file", {"x": "1"}, "unknown log opt 'x' for json-file log driver"),
        ("local", {"labels": "1"}, "unknown log opt 'labels' for local log driver"),
        ("syslog", {}, "no log driver named 'syslog' is registered"),
        ("json-file", {"max-file": "0"}, "max-file cannot be less than 1"),
        ("json-file", {"max-file": "x"}, "'x' is no number of files"),
        ("json-file", {"max-size": "x"}, "invalid size: 'x'"),
        ("json-file", {"max-size": "0"}, "max-size must be a positive number"),
        ("json-file", {"compress": "maybe"}, "'maybe' is neither true nor false"),
        ("json-file", {"compress": "true", "max-file": "1"}, "compress cannot be true when"),
        ("json-file", {"labels-regex": "("}, "invalid value for log opt 'labels-regex'"),
        ("json-file", {"mode": "quick"}, "logging mode not supported: quick"),
        ("json-file", {"max-buffer-size": "1m"}, "max-buffer-size option is only supported with"),
    ],
)
def test_wrong_options(driver: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(Invalid, match=message.replace("(", r"\(")):
        parse_options(driver, options)


def test_what_we_do_not_have_is_named() -> None:
    with pytest.raises(Unsupported, match="'mode' non-blocking"):
        parse_options("json-file", {"mode": "non-blocking"})
    with pytest.raises(Unsupported, match="anything but fields"):
        parse_options("json-file", {"tag": "{{range .Labels}}{{end}}"})
    with pytest.raises(Invalid, match="there is no field Colour"):
        parse_options("json-file", {"tag": "{{.Colour}}"})


def test_a_tag_names_the_container() -> None:
    settings = parse_options("json-file", {"tag": "{{.ImageName}}/{{ .Name }}/{{.ID}}"})
    facts = TagFacts(container_id="ab" * 32, container_name="web", image_name="nginx:1")
    assert settings.attributes({}, [], facts) == {"tag": "nginx:1/web/abababababab"}


def test_sizes() -> None:
    assert parse_size("10m") == 10_000_000
    assert parse_size("1.5GB") == 1_500_000_000
    assert parse_size("-1") == 0
    assert parse_size("512") == 512


@given(st.text(max_size=20))
def test_any_size_text_is_a_number_or_refused(text: str) -> None:
    try:
        assert parse_size(text) >= 0
    except Invalid:
        return
