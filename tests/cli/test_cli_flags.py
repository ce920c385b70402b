"""The flag grammar: Docker's, as its users know it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.cli.flags import Command, Flag, UsageError, check_count, parse

FLAGS = (
    Flag("-i, --interactive", "A switch"),
    Flag("-t, --tty", "Another"),
    Flag("-e, --env list", "Repeated"),
    Flag("-n, --last int", "A number", -1),
    Flag("-m, --memory bytes", "A size"),
    Flag("--name string", "A text"),
    Flag("--wait duration", "A time"),
    Flag("--sig-proxy", "On from the start", True),
)


def test_a_flag_says_what_it_is() -> None:
    flag = FLAGS[2]
    assert (flag.short, flag.name, flag.kind, flag.default) == ("e", "env", "list", "")
    assert (FLAGS[5].short, FLAGS[5].name, FLAGS[5].kind) == ("", "name", "string")


def test_defaults() -> None:
    options, rest = parse(FLAGS, [])
    assert rest == []
    assert not options.on("tty") and options.on("sig-proxy")
    assert options.texts("env") == [] and options.number("last") == -1 and options.text("name") == ""
    assert not options.given("name")


@pytest.mark.parametrize("words", [["-it"], ["-i", "-t"], ["-ti"], ["--interactive", "--tty=true"], ["-i=1", "-t"]])
def test_switches(words: list[str]) -> None:
    options, _ = parse(FLAGS, words)
    assert options.on("interactive") and options.on("tty")


@pytest.mark.parametrize(
    "words", [["-e", "A=1"], ["-eA=1"], ["-e=A=1"], ["--env", "A=1"], ["--env=A=1"], ["-ie", "A=1"], ["-ieA=1"]]
)
def test_values(words: list[str]) -> None:
    options, rest = parse(FLAGS, words)
    assert options.texts("env") == ["A=1"] and rest == []


def test_a_list_flag_collects_and_another_keeps_the_last() -> None:
    options, _ = parse(FLAGS, ["-e", "A", "--name", "x", "-e", "B", "--name=y"])
    assert options.texts("env") == ["A", "B"] and options.text("name") == "y"


def test_a_switch_can_be_put_off() -> None:
    options, _ = parse(FLAGS, ["--sig-proxy=false"])
    assert not options.on("sig-proxy") and options.given("sig-proxy")


def test_typed_values() -> None:
    options, _ = parse(FLAGS, ["-n", "5", "-m", "1k", "--wait=1m"])
    assert options.number("last") == 5 and options.number("memory") == 1024
    assert options.number("wait") == 60_000_000_000


def test_flags_stand_anywhere_unless_they_end_at_the_first_positional() -> None:
    options, rest = parse(FLAGS, ["a", "-i", "b"])
    assert options.on("interactive") and rest == ["a", "b"]
    options, rest = parse(FLAGS, ["-i", "image", "ls", "-t"], interspersed=False)
    assert options.on("interactive") and not options.on("tty") and rest == ["image", "ls", "-t"]


def test_two_dashes_end_the_flags_and_one_is_a_word() -> None:
    options, rest = parse(FLAGS, ["-", "-i", "--", "-t"])
    assert options.on("interactive") and not options.on("tty") and rest == ["-", "-t"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["--nope=1"], "unknown flag: --nope"),
        (["-ix"], "unknown shorthand flag: 'x' in -x"),
        (["--name"], "flag needs an argument: --name"),
        (["-ie"], "flag needs an argument: 'e' in -e"),
        (["--tty=perhaps"], 'invalid argument "perhaps" for "-t, --tty" flag: not true or false'),
        (["-n", "x"], 'invalid argument "x" for "-n, --last" flag: not a whole number'),
        (["-m", "x"], 'invalid argument "x" for "-m, --memory" flag: invalid size: \'x\''),
    ],
)
def test_refusals_name_the_flag(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(FLAGS, words)
    assert str(caught.value) == message and caught.value.exit_code == 125


@pytest.mark.parametrize(
    ("least", "most", "count", "message"),
    [
        (0, 0, 1, "accepts no arguments"),
        (1, 1, 0, "requires 1 argument"),
        (2, 2, 1, "requires 2 arguments"),
        (1, None, 0, "requires at least 1 argument"),
        (1, 2, 3, "requires at most 2 arguments"),
    ],
)
def test_counts_positionals(least: int, most: int | None, count: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_count(Command(least=least, most=most), "verb", ["x"] * count)
    assert str(caught.value) == f"'boxship verb' {message}" and caught.value.exit_code == 1


@given(st.lists(st.text(max_size=12), max_size=8), st.booleans())
def test_any_words_parse_or_are_refused(words: list[str], interspersed: bool) -> None:
    try:
        _, rest = parse(FLAGS, words, interspersed=interspersed)
    except UsageError:
        return
    assert all(word in words for word in rest)


@given(st.lists(st.text(), max_size=5), st.text())
def test_values_come_through_unchanged(variables: list[str], name: str) -> None:
    words = [word for variable in variables for word in ("--env", variable)] + [f"--name={name}"]
    options, rest = parse(FLAGS, words)
    assert options.texts("env") == variables and options.text("name") == name and rest == []
