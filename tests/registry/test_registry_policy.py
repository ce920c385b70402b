"""The policy file: what is read, which rule counts, what is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from boxship.errors import Invalid
from boxship.registry.names import check_name, check_tag
from boxship.registry.policy import Policy, Rules, matches, read_policy
from boxship.registry.refusals import NameInvalid, TagInvalid


def test_the_first_rule_that_says_something_counts() -> None:
    policy = read_policy(
        """
        [[repository]]
        match = ["team/*", "other"]
        push = ["alice"]
        quota = "1g"
        [[repository]]
        match = ["**"]
        push = []
        quota = "2g"
        keep-tags = 3
        keep-for = "24h"
        keep-lapsed = "0s"
        """,
        "p",
    )
    assert policy.of("team/a") == policy.of("other")
    assert policy.of("team/a").quota == 1 << 30 and policy.of("team/a").keep_tags == 3
    assert policy.of("team/a/b") == Rules(
        push=(), quota=2 << 30, keep_tags=3, keep_for=24 * 3600 * 10**9, keep_lapsed=0
    )
    assert policy.of("team/a").allows("alice", "push") and not policy.of("x").allows("alice", "push")
    assert policy.of("x").allows("alice", "pull") is None
    assert Policy().of("x") == Rules()


def test_what_is_no_name_is_neither_kept_nor_compared() -> None:
    policy = read_policy('[[repository]]\nmatch = ["a/**/b/**/c"]\n', "p")
    for number in range(100):
        rules = policy.of("a/" * 100_000 + str(number))  # comparing would take hours
        assert not any(rules.allows("alice", action) for action in ("pull", "push", "delete"))
    assert policy._known.cache_info().currsize == 0


def test_the_cache_with_the_longest_prefix_counts() -> None:
    policy = read_policy(
        '[[cache]]\nprefix = "a"\nupstream = "one"\n[[cache]]\nprefix = "/a/b/"\nupstream = "two"\nrefresh = "5m"\n',
        "p",
    )
    found = policy.cache_of("a/b/c")
    assert found is not None and found.upstream == "two" and found.refresh == 300 * 10**9
    assert policy.cache_of("a/c") and not policy.cache_of("a") and not policy.cache_of("ab/c")


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        "[[repository]]\n",
        "[[repository]]\nmatch = []\n",
        '[[repository]]\nmatch = ["a"]\nqota = "1g"\n',
        '[[repository]]\nmatch = ["a"]\nquota = "many"\n',
        '[[repository]]\nmatch = ["a"]\nkeep-for = "long"\n',
        '[[repository]]\nmatch = ["a"]\nkeep-tags = 0\n',
        '[[repository]]\nmatch = "a"\n',
        '[[cache]]\nprefix = "/"\nupstream = "x"\n',
        '[[cache]]\nprefix = "a"\n',
        "[[repository",
    ],
)
def test_what_cannot_be_is_refused_with_the_file(text: str) -> None:
    with pytest.raises(Invalid, match="cannot use the-file"):
        read_policy(text, "the-file")


@pytest.mark.parametrize(
    ("pattern", "fitting", "other"),
    [("v*", ["v1", "v"], ["1v", ""]), ("*", ["a", "a.b-c"], []), ("v1.2", ["v1.2"], ["v1x2"]), ("**", ["x"], [])],
)
def test_patterns_of_tags(pattern: str, fitting: list[str], other: list[str]) -> None:
    assert all(matches((pattern,), tag) for tag in fitting)
    assert not any(matches((pattern,), tag) for tag in other)


@given(some.text(max_size=300))
def test_names_and_tags_of_anything(text: str) -> None:
    for check, refusal in ((check_name, NameInvalid), (check_tag, TagInvalid)):
        try:
            assert check(text) == text and text.isascii() and not set(text) & set(" \n:@?#%\\")
        except refusal:
            continue
