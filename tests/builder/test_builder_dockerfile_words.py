"""Expansion of words: every documented modifier, quotes, escapes, splitting, and that nothing makes it stand still."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.builder.dockerfile.globs import Glob
from boxship.builder.dockerfile.words import DEPTH_LIMIT, expand, expand_heredoc, expand_word
from boxship.errors import Invalid

VALUES = {
    "x": "foobarfoo",
    "empty": "",
    "many": "a  b",
    "path": "/usr/local/bin/tool.tar.gz",
    "star": "a*b?c",
    "é": "u",
}

ONE_WORD = [
    ("plain", "plain"),
    ("$x", "foobarfoo"),
    ("${x}", "foobarfoo"),
    ("$x-1", "foobarfoo-1"),
    ("$xy", ""),
    ("${x}y", "foobarfooy"),
    ("$unset", ""),
    ("${unset}", ""),
    ("$é", "u"),
    ("a$", "a$"),
    ("$ a", "$ a"),
    ("$/", "$/"),
    ("$$", ""),
    ("$1a", "a"),
    ("$12", ""),
    ("$@$*$#$?$-$!", ""),
    (r"\$x", "$x"),
    (r"\\$x", r"\foobarfoo"),
    ("'$x'", "$x"),
    ("'a\\'", "a\\"),
    ('"$x"', "foobarfoo"),
    (r'"\$x \" \\ \a"', r'$x " \ \a'),
    ('"it\'s"', "it's"),
    ("'say \"hi\"'", 'say "hi"'),
    ("a\\", "a"),
    ("${x:-w}", "foobarfoo"),
    ("${unset:-w}", "w"),
    ("${empty:-w}", "w"),
    ("${empty-w}", ""),
    ("${unset-w}", "w"),
    ("${unset:-$x}", "foobarfoo"),
    ("${unset:-${empty:-${x}}}", "foobarfoo"),
    ("${unset:-'a b'}", "a b"),
    ('${unset:-"$x"}', "foobarfoo"),
    ("${unset:-a\\}b}", "a}b"),
    ("${x:+w}", "w"),
    ("${unset:+w}", ""),
    ("${empty:+w}", ""),
    ("${empty+w}", "w"),
    ("${unset+w}", ""),
    ("${x:?no}", "foobarfoo"),
    ("${empty?no}", ""),
    ("${x#foo}", "barfoo"),
    ("${x#*o}", "obarfoo"),
    ("${x##*o}", ""),
    ("${x#zzz}", "foobarfoo"),
    ("${x%foo}", "foobar"),
    ("${x%o*}", "foobarfo"),
    ("${x%%o*}", "f"),
    ("${x#???}", "barfoo"),
    ("${path##*/}", "tool.tar.gz"),
    ("${path%/*}", "/usr/local/bin"),
    ("${path%.*}", "/usr/local/bin/tool.tar"),
    ("${path%%.*}", "/usr/local/bin/tool"),
    (r"${star#a\*}", "b?c"),
    (r"${star%\?c}", "a*b"),
    ("${unset#a}", ""),
    ("${x/foo/X}", "Xbarfoo"),
    ("${x//foo/X}", "XbarX"),
    ("${x//o/}", "fbarf"),
    ("${x/f*o/Z}", "Z"),
    ("${x//?/z}", "zzzzzzzzz"),
    ("${x/q/Z}", "foobarfoo"),
    (r"${path//\//:}", ":usr:local:bin:tool.tar.gz"),
    ("${x/foo/$many}", "a  bbarfoo"),
    ("${x/$empty/Z}", "Zfoobarfoo"),
    ("${unset/a/b}", ""),
]


@pytest.mark.parametrize(("text", "expected"), ONE_WORD)
def test_one_word(text: str, expected: str) -> None:
    assert expand_word(text, VALUES) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", ("a", "b")),
        ("  a\t b  ", ("a", "b")),
        ("$many", ("a", "b")),
        ('"$many"', ("a  b",)),
        ("'a b' c", ("a b", "c")),
        (r"a\ b c", ("a b", "c")),
        ("x$many", ("xa", "b")),
        ("${many}x", ("a", "bx")),
        ('$empty "" a', ("a",)),
        ("", ()),
        ("a\u00a0b", ("a", "b")),
        ("a\x1cb", ("a\x1cb",)),
    ],
)
def test_many_words(text: str, expected: tuple[str, ...]) -> None:
    assert expand(text, VALUES).words == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${x", "syntax error: missing '}'"),
        ("${", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${{x}}", "syntax error: bad substitution"),
        ("${:-a}", "syntax error: bad substitution"),
        ("${x:-a", "syntax error: missing '}'"),
        ("${x/a}", "syntax error: missing '/' in ${}"),
        ("${x/a/b", "syntax error: missing '}'"),
        ("${x^a}", "unsupported modifier (^) in substitution"),
        ("${x:=a}", "unsupported modifier (:=) in substitution"),
        ("${unset:?}", "unset: is not allowed to be unset"),
        ("${unset?}", "unset: is not allowed to be unset"),
        ("${empty:?}", "empty: is not allowed to be empty"),
        ("${unset:?give $x}", "unset: give foobarfoo"),
        ("'a", "looking for matching single-quote"),
        ('"a', "looking for matching double-quote"),
        ('"a\\', "looking for matching double-quote"),
        (r"${x#\a}", r"invalid pattern (\a) in substitution: invalid escape '\a'"),
    ],
)
def test_errors_name_the_text(text: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        expand(text, VALUES)
    assert message in str(caught.value)
    assert text in str(caught.value)


def test_the_backtick_escapes_and_the_backslash_is_nothing_then() -> None:
    assert expand_word("`$x", VALUES, "`") == "$x"
    assert expand_word("C:\\$x\\", VALUES, "`") == "C:\\foobarfoo\\"
    assert expand_word('"``"', VALUES, "`") == "`"
    assert expand("a` b", VALUES, "`").words == ("a b",)


def test_used_and_undefined_names() -> None:
    found = expand("$x ${a} ${b:-1} ${c#d} \"$e\" '$f'", VALUES)
    assert found.used == {"x"}
    assert found.undefined == {"a", "c", "e"}


def test_here_documents_keep_quotes() -> None:
    assert expand_heredoc("\"$x\" '$x' \\$x a\\b\n", VALUES).text == "\"foobarfoo\" 'foobarfoo' $x ab\n"


def test_depth_and_size_have_limits() -> None:
    with pytest.raises(Invalid, match="in each other"):
        expand("${a:-" * (DEPTH_LIMIT + 1) + "}" * (DEPTH_LIMIT + 1), {})
    with pytest.raises(Invalid, match="longer than"):
        expand("${x//?/" + "y" * 10_000 + "}", {"x": "z" * 100_000})


def test_patterns_take_linear_time() -> None:
    start = time.process_time()
    for text in ("${x##*a*a*a*a*a*a*a*a*a*b}", "${x%%b*a*a*a*a*a*a*a*a*a*}", "${x//*a*a*a*a*a*a*b/c}", "${x//a*b/c}"):
        expand(text, {"x": "a" * 50_000})
    assert time.process_time() - start < 2


texts = st.text(alphabet="ab/", max_size=12)
patterns = st.text(alphabet="ab*?/", max_size=6)


def as_regex(pattern: str, lazy: bool) -> str:
    star = ".*?" if lazy else ".*"
    return "".join(star if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)


@given(texts, patterns)
def test_globs_agree_with_regular_expressions(text: str, pattern: str) -> None:
    glob = Glob(pattern)
    shortest, longest = re.match(as_regex(pattern, True), text), re.match(as_regex(pattern, False), text)
    assert glob.prefix(text, longest=False) == (shortest.end() if shortest else 0)
    assert glob.prefix(text, longest=True) == (longest.end() if longest else 0)
    lengths = [n for n in range(len(text) + 1) if re.fullmatch(as_regex(pattern, False), text[len(text) - n :])]
    assert glob.suffix(text, longest=False) == (min(lengths) if lengths else 0)
    assert glob.suffix(text, longest=True) == (max(lengths) if lengths else 0)
    found = re.search(as_regex(pattern, False), text)
    assert glob.find(text, 0) == (found.span() if found else None)


@given(st.text(alphabet="ab${}:-+?#%/'\"\\ *", max_size=30), st.dictionaries(st.sampled_from("ab"), texts, max_size=2))
def test_any_text_gives_a_value_or_a_clear_error(text: str, values: dict[str, str]) -> None:
    try:
        found = expand(text, values)
    except Invalid as error:
        assert str(error)
    else:
        assert all(found.words)
        assert len(found.undefined & set(values)) == 0
