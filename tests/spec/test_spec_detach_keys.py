"""Detach keys: the sequence is found however the typing is cut, and nothing else is lost."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import Invalid
from boxship.spec.detach_keys import DetachKeys, parse_keys


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", b"\x10\x11"),
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("a,b", b"ab"),
        ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\x00\x1b\x1c\x1d\x1e\x1f"),
        ("ctrl-@,a", b"\x00a"),
        ("ctrl-z,DEL", b"\x1a\x7f"),
    ],
)
def test_keys(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ctrl-P", "ab", "a,,b", "é", ",", "ctrl-ab"])
def test_wrong_keys(text: str) -> None:
    with pytest.raises(Invalid, match="Unknown character"):
        parse_keys(text)


@given(
    st.lists(st.sampled_from("ab\x10\x11"), max_size=30).map("".join) | st.text(max_size=30),
    st.lists(st.integers(0, 30), max_size=5),
    st.sampled_from(["ctrl-p,ctrl-q", "a", "a,a", "a,a,b", "a,b,a,b,b"]),
)
def test_found_however_the_typing_is_cut(text: str, cuts: list[int], keys: str) -> None:
    typed, sought = text.encode(), parse_keys(keys)
    watcher = DetachKeys(keys)
    places = sorted({min(cut, len(typed)) for cut in cuts} | {0, len(typed)})
    passed, left = b"", False
    for start, end in pairwise(places):
        part, left = watcher.feed(typed[start:end])
        passed += part
        if left:
            break
    assert left == (sought in typed)
    if left:
        assert passed == typed[: typed.index(sought)]
    else:  # what is held back is the start of the keys, and the end of what was typed
        assert typed.startswith(passed)
        assert sought.startswith(typed[len(passed) :])
