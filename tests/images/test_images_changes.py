"""Dockerfile instructions as changes of a config."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from boxship.errors import Invalid
from boxship.images.changes import apply, duration
from boxship.images.words import expand, split
from boxship.spec.image import ExecutionConfig as Config
from boxship.spec.image import ImageHealthCheck


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        (Config(), ["CMD echo hi"], Config(Cmd=("/bin/sh", "-c", "echo hi"))),
        (Config(), ['cmd ["a", "b c"]'], Config(Cmd=("a", "b c"))),
        (Config(), ["CMD [not json"], Config(Cmd=("/bin/sh", "-c", "[not json"))),
        (Config(Cmd=("x",)), ['ENTRYPOINT ["e"]'], Config(Entrypoint=("e",))),
        (Config(Cmd=("x",)), ["CMD c", 'ENTRYPOINT ["e"]'], Config(Entrypoint=("e",), Cmd=("/bin/sh", "-c", "c"))),
        (Config(), ['SHELL ["bash", "-e"]', "CMD c"], Config(Shell=("bash", "-e"), Cmd=("bash", "-e", "c"))),
        (Config(Env=("A=1", "B=2")), ["ENV A=3 C='4 5'"], Config(Env=("A=3", "B=2", "C=4 5"))),
        (Config(), ["ENV A the rest of it"], Config(Env=("A=the rest of it",))),
        (Config(Env=("A=1",)), ["ENV B=$A/${A}/${X:-y}/\\$A"], Config(Env=("A=1", "B=1/1/y/$A"))),
        (Config(Env=("A=1",)), ["ENV A=2 B=$A"], Config(Env=("A=2", "B=1"))),
        (
            Config(),
            ["EXPOSE 80 53/udp 90-92"],
            Config(ExposedPorts={p: {} for p in ("80/tcp", "53/udp", "90/tcp", "91/tcp", "92/tcp")}),
        ),
        (Config(Labels={"a": "1"}), ['LABEL b=2 "c d"="e f"'], Config(Labels={"a": "1", "b": "2", "c d": "e f"})),
        (Config(), ["USER 1000:1000"], Config(User="1000:1000")),
        (Config(), ["VOLUME /a /b"], Config(Volumes={"/a": {}, "/b": {}})),
        (Config(), ['VOLUME ["/a b"]'], Config(Volumes={"/a b": {}})),
        (Config(), ["WORKDIR /a", "WORKDIR b/../c"], Config(WorkingDir="/a/c")),
        (Config(), ["STOPSIGNAL SIGTERM"], Config(StopSignal="SIGTERM")),
        (Config(), ["HEALTHCHECK NONE"], Config(Healthcheck=ImageHealthCheck(Test=("NONE",)))),
        (
            Config(),
            ["HEALTHCHECK --interval=1m30s --retries=3 CMD curl x"],
            Config(Healthcheck=ImageHealthCheck(Test=("CMD-SHELL", "curl x"), Interval=90 * 10**9, Retries=3)),
        ),
        (Config(), ['HEALTHCHECK CMD ["a"]'], Config(Healthcheck=ImageHealthCheck(Test=("CMD", "a")))),
        (Config(), ["ONBUILD RUN x"], Config(OnBuild=("RUN x",))),
        (Config(), ["ENV A=1 \\\n  B=2\nUSER x"], Config(Env=("A=1", "B=2"), User="x")),
        (Config(), ["# nothing", ""], Config()),
    ],
)
def test_changes(before: Config, changes: list[str], after: Config) -> None:
    assert apply(before, changes) == after


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("FROM x", "FROM is not a valid change command"),
        ("RUN x", "RUN is not a valid change command"),
        ("NONSENSE x", "unknown instruction: NONSENSE"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV A=1 B", "can't find ="),
        ("ENV =1", "names can not be blank"),
        ("EXPOSE 0", "invalid containerPort: 0"),
        ("EXPOSE 70000", "invalid containerPort: 70000"),
        ("EXPOSE a", "invalid containerPort: a"),
        ("USER a b", "USER requires exactly one argument"),
        ("STOPSIGNAL ?", "invalid signal"),
        ("SHELL bash", "JSON form"),
        ("HEALTHCHECK x", "Unknown type"),
        ("HEALTHCHECK CMD", "Missing command"),
        ("HEALTHCHECK --x=1 CMD a", "unknown flag: x"),
        ("HEALTHCHECK --interval=1us CMD a", "less than 1ms"),
        ("HEALTHCHECK --interval=x CMD a", "invalid duration"),
        ("ONBUILD ONBUILD RUN x", "Chaining"),
        ("ONBUILD FROM x", "isn't allowed"),
        ("LABEL a='b", "single-quote"),
        ("ENV A=${B", "missing '}'"),
        ("ENV A=" + "${B:-" * 100_000, "nested too deep"),
    ],
)
def test_wrong_changes(change: str, message: str) -> None:
    with pytest.raises(Invalid, match=message.replace("?", r"\?")):
        apply(Config(), [change])


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("'$A'", "$A"),
        ('"$A"', "1"),
        ('"a\\"b\\\\c\\d"', 'a"b\\c\\d'),
        ("$A$B-${C}", "1-"),
        ("${E:-x}${E-x}${A:+y}${B:+y}", "xy"),
        ("${B:-${A}}", "1"),
        ("a\\ b", "a b"),
        ("$", "$"),
    ],
)
def test_expand(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1", "E": ""}) == expanded


def test_split() -> None:
    assert split("a 'b c' d\\ e \"f 'g\" ") == ["a", "'b c'", "d\\ e", '"f \'g"']


@given(some.text("ab $\\\"'{}:-+=", max_size=30))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    for word in (text, *split(text)):
        try:
            expand(word, {"a": "x"})
        except Invalid:
            continue


NAMES = some.sampled_from(
    "CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD SHELL STOPSIGNAL USER VOLUME WORKDIR X".split()
)


@given(some.lists(some.builds("{} {}".format, NAMES, some.text(max_size=20)), max_size=3))
def test_any_change_is_made_or_refused(changes: list[str]) -> None:
    try:
        config = apply(Config(), changes)
    except Invalid:
        return
    assert isinstance(config, Config)


@given(some.integers(0, 10**6), some.sampled_from(["ms", "s", "m", "h"]))
def test_durations(number: int, unit: str) -> None:
    assert (
        duration(f"{number}{unit}", "x") == number * {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}[unit]
    )
