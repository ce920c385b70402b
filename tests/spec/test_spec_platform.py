"""Platforms in words, and which image runs where."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from boxship.errors import Invalid
from boxship.spec import platform as platforms
from boxship.spec.image import Platform


@pytest.mark.parametrize(
    ("text", "described"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/AARCH64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("arm64", "linux/arm64"),
        ("windows/amd64", "windows/amd64"),
        ("macos/arm64", "darwin/arm64"),
    ],
)
def test_parse(text: str, described: str) -> None:
    assert platforms.describe(platforms.parse(text)) == described


def test_a_system_alone_means_this_processor() -> None:
    assert platforms.parse("linux") == platforms.host()


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "lin ux/amd64", "nonsense", "linux/a b"])
def test_wrong_platforms_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        platforms.parse(text)


@pytest.mark.parametrize(
    ("wanted", "offered", "rank"),
    [
        ("linux/amd64", "linux/amd64", 0),
        ("linux/amd64/v3", "linux/amd64", 2),
        ("linux/amd64", "linux/amd64/v3", None),
        ("linux/arm/v7", "linux/arm/v6", 1),
        ("linux/arm/v6", "linux/arm/v7", None),
        ("linux/arm64/v8", "linux/arm64", 0),
        ("linux/arm64", "linux/amd64", None),
        ("linux/amd64", "windows/amd64", None),
    ],
)
def test_rank(wanted: str, offered: str, rank: int | None) -> None:
    assert platforms.rank(platforms.parse(wanted), platforms.parse(offered)) == rank


def test_choose_takes_the_best_and_the_first_of_equals() -> None:
    offers = [platforms.parse(text) for text in ("linux/arm/v5", "linux/arm/v6", "linux/arm/v6", "linux/amd64")]
    assert platforms.choose(platforms.parse("linux/arm/v7"), offers) == 1
    assert platforms.choose(platforms.parse("linux/s390x"), offers) is None


WORDS = some.text("abcdefgAMRv0168_.-/ ", max_size=12)


@given(WORDS | some.text(max_size=20))
def test_any_text_is_read_or_refused_and_described_back(text: str) -> None:
    try:
        found = platforms.parse(text)
    except Invalid:
        return
    assert platforms.parse(platforms.describe(found)) == found
    assert platforms.matches(found, found)


@given(some.builds(Platform, some.text(max_size=5), some.text(max_size=5), some.text(max_size=5)))
def test_normalising_twice_changes_nothing(platform: Platform) -> None:
    once = platforms.normalise(platform)
    assert platforms.normalise(once) == once


def test_a_variant_without_end_is_a_high_one() -> None:
    assert not platforms.matches(Platform("arm", "linux", "v7"), Platform("arm", "linux", "v" + "9" * 10_000))
