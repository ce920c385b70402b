"""Rules of .dockerignore and wildcards of paths, beside a slow reference that follows the documentation."""

import fnmatch
import re
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.spec.ignore import BadPattern, Ignore, cleaned, compiled, lines_of


def slow_regex(pattern: str) -> str:
    """A pattern of *, ?, **, [ab] and plain characters as one naive regular expression."""
    if re.fullmatch(r"\*\*[^/*?\[\\][^*?\[\\]*", pattern):
        return ".*" + re.escape(pattern[2:])
    result, position = "", 0
    while position < len(pattern):
        rest = pattern[position:]
        if rest in ("**", "**/"):
            result, position = result + ".*", len(pattern)
        elif rest.startswith("**/"):
            result, position = result + "(?:.*/)?", position + 3
        elif rest.startswith("**"):
            result, position = result + "(?:.*/)?", position + 2
        elif rest.startswith("*"):
            result, position = result + "[^/]*", position + 1
        elif rest.startswith("?"):
            result, position = result + "[^/]", position + 1
        elif match := re.match(r"\[(\^?)([ab]+)\]", rest):
            result += f"[^/{match[2]}]" if match[1] else f"[{match[2]}]"
            position += match.end()
        else:
            result, position = result + re.escape(rest[0]), position + 1
    return result


def slow_excludes(lines: list[str], path: str) -> bool:
    """The last line that fits the path or a folder above it decides."""
    parts = path.split("/")
    candidates = ["/".join(parts[: number + 1]) for number in range(len(parts))]
    excluded = False
    for line in lines:
        if line.startswith("#") or not line.strip():
            continue
        pattern = line.strip()
        kept = pattern.startswith("!")
        pattern = cleaned(pattern.removeprefix("!").strip())
        if any(re.fullmatch(slow_regex(pattern), candidate) for candidate in candidates):
            excluded = not kept
    return excluded


@pytest.mark.parametrize(
    ("lines", "excluded", "kept"),
    [
        (["# comment", "", "  ", "a"], ["a", "a/b"], ["# comment", "b"]),
        (["*/temp*"], ["x/temp", "x/temporary.txt", "x/temp/y"], ["temp", "x/y/temp"]),
        (["*/*/temp*"], ["a/b/temp1"], ["a/temp1"]),
        (["temp?"], ["tempa", "tempb"], ["temp", "x/tempa"]),
        (["**/*.go"], ["a.go", "x/a.go", "x/y/a.go"], ["a.gox"]),
        (["*.md", "!README.md"], ["a.md"], ["README.md", "x/a.md"]),
        (["*.md", "!README*.md", "README-secret.md"], ["README-secret.md", "x.md"], ["README.md"]),
        (["*.md", "README-secret.md", "!README*.md"], ["x.md"], ["README-secret.md"]),
        (["*", "!a/b"], ["a", "x", "a/c"], ["a/b", "a/b/c"]),
        (["/a/", "./b", "c//d", "e/../f"], ["a", "a/x", "b", "c/d", "f"], ["e", "x/a"]),
        ([".", "/", "..", "../x"], [], ["a", "x"]),
        (["a/**"], ["a/b", "a/b/c"], ["a", "ab"]),
        (["**"], ["a", "a/b"], []),
        (["**/a/**/b"], ["a/b", "x/a/b", "a/x/y/b"], ["b", "a", "ab"]),
        (["a/**/b"], ["a/b", "a/x/b"], ["x/a/b"]),
        (["a**b"], ["ab", "ax/b", "a/x/b"], ["axb"]),
        (["**/**/**/a", "c/**/**/**"], ["a", "x/y/a", "c/x"], ["b", "c"]),
        (["**b"], ["b", "ab", "x/ab"], ["bx"]),
        (["[a-c]x", "[^a-c]y", "[!z]q"], ["ax", "cx", "dy", "zq", "!q"], ["dx", "ay", "aq"]),
        ([r"\*x", r"a\b"], ["*x", "ab"], ["ax", "a\\b"]),
        (["! a", "b", " !b "], [], ["b"]),
        (["a b", "é"], ["a b", "é/x"], ["a"]),
    ],
)
def test_documented_rules(lines: list[str], excluded: list[str], kept: list[str]) -> None:
    ignore = Ignore(lines)
    assert [path for path in [*excluded, *kept] if ignore.excludes(path)] == excluded
    assert [path for path in [*excluded, *kept] if ignore.excludes(path, is_dir=True)] == excluded


def test_lines_of_a_file() -> None:
    assert lines_of(b"\xef\xbb\xbfa\r\n#b\n\xff\n") == ["a", "#b", "\udcff", ""]
    assert not Ignore(["#"]).active
    assert Ignore(["a"]).active


@pytest.mark.parametrize("line", ["!", "! ", "[a", "a\\", "[]a]", "[a-]", "a**b**c**d"])
def test_bad_patterns_are_named(line: str) -> None:
    with pytest.raises(BadPattern):
        Ignore([line])


def test_too_many_patterns() -> None:
    with pytest.raises(BadPattern, match="more than"):
        Ignore(["a"] * 10_001)


def test_where_a_walk_has_to_descend() -> None:
    ignore = Ignore(["*", "!src/*/keep", "!docs", "!lib/**/x", "lib/a"])
    for folder in ("src", "src/a", "docs", "docs/x", "lib", "lib/b/c"):
        assert ignore.may_descend(folder), folder
    for folder in ("x", "src/a/b", "src/a/keeper", "lib/a"):
        assert not ignore.may_descend(folder), folder


names = st.text(alphabet="abc", min_size=1, max_size=2)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
pieces = st.sampled_from(["a", "b", "ab", "*", "?", "a*", "*b", "**", "[ab]", "[^a]", "a*b*", "?b"])
patterns = st.lists(pieces, min_size=1, max_size=4).map("/".join)
rules = st.lists(st.builds("{}{}".format, st.sampled_from(["", "", "!"]), patterns), max_size=5)


@settings(max_examples=500, deadline=None)
@given(rules, st.lists(paths, min_size=1, max_size=12))
def test_rules_agree_with_the_reference(lines: list[str], candidates: list[str]) -> None:
    ignore = Ignore(lines)
    for path in candidates:
        assert ignore.excludes(path) == slow_excludes(lines, path), path
        if not ignore.excludes(path):
            parts = path.split("/")
            for number in range(1, len(parts)):
                assert ignore.may_descend("/".join(parts[:number])), (path, number)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "*", "?", "[ab]", "/"]), max_size=7).map("".join), paths)
def test_wildcards_of_one_path(pattern: str, path: str) -> None:
    """Without `**`, two stars are one; no wildcard fits a slash."""
    names_of_pattern, names_of_path = pattern.split("/"), path.split("/")
    expected = len(names_of_pattern) == len(names_of_path) and all(
        fnmatch.fnmatchcase(name, each) for each, name in zip(names_of_pattern, names_of_path, strict=True)
    )
    assert (compiled(pattern, deep=False).fullmatch(path) is not None) == expected


@given(st.text(alphabet="a*?[]^-!\\/", max_size=10), paths)
def test_any_pattern_compiles_or_is_named(pattern: str, path: str) -> None:
    try:
        compiled(pattern).fullmatch(path)
    except BadPattern as error:
        assert repr(pattern) in str(error)


def test_many_paths_are_quick() -> None:
    many = [f"dir{a}/sub{b}/file{c}.{end}" for a in range(20) for b in range(20) for c in range(25) for end in "co"]
    lines = ["**/*.o", "node_modules", ".git", "*.log", "!important.log", "**/tmp", "docs/**/*.md", "dir1?/sub3"]
    spent = []
    for _ in range(3):
        ignore = Ignore(lines)
        start = time.process_time()
        count = sum(map(ignore.excludes, many))
        spent.append(time.process_time() - start)
    assert count == 10_250
    assert min(spent) < 0.1


def test_no_pattern_stands_still() -> None:
    start = time.process_time()
    for pattern in (
        "**/*a*a*a*a*a*a*a*b/**/c*c*c*d",
        "a**a" + "/**/a" * 8 + "/**/b",
        "x**a" + "/**/a*a" * 20 + "/**/b",
    ):
        for path in ("a/" * 2000, "xa" + "/a" * 1900, "/".join(["a" * 250] * 15)):
            compiled(pattern).fullmatch(path)
    assert time.process_time() - start < 2


def test_the_child_program_can_load_it_quickly() -> None:
    source = "import sys; sys.path.insert(0, sys.argv[1]); import boxship.spec.ignore; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", source, str(__import__("boxship").__path__[0]) + "/.."],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"typing", "dataclasses", "msgspec", "pathlib", "asyncio"} & set(done.stdout.split())
