"""Reading Dockerfiles: what each instruction becomes, what errors say, limits, and that no bytes do any harm."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.builder.dockerfile import heredocs, mounts
from boxship.builder.dockerfile.arguments import platform_values, unconsumed
from boxship.builder.dockerfile.instructions import FLAGS, KEYWORDS
from boxship.builder.dockerfile.lines import (
    FILE_LIMIT_BYTES,
    INSTRUCTIONS_LIMIT,
    LINE_LIMIT_CHARACTERS,
    TEXT_LIMIT_CHARACTERS,
)
from boxship.builder.dockerfile.parse import PAIRS_LIMIT, STAGES_LIMIT, parse, parse_trigger
from boxship.builder.dockerfile.problems import DockerfileError
from boxship.builder.dockerfile.syntax import Add, Copy, HealthCheck, Heredoc, Instruction, Location, OnBuild, Run
from boxship.errors import Invalid
from boxship.spec.image import Platform


def one(text: str) -> Instruction:
    return parse("FROM a\n" + text).stages[0].instructions[0]


def error_of(text: str | bytes) -> DockerfileError:
    with pytest.raises(DockerfileError) as caught:
        parse(text, "some/Dockerfile")
    return caught.value


def test_stages_arguments_directives_and_comments() -> None:
    found = parse(
        "# syntax=x\n# Escape=`\nARG A=1 B\n# on a\nFROM --platform=$P a AS One\nRUN x `\n\n y\nFROM one\nCMD z"
    )
    assert found.directives == {"syntax": "x", "escape": "`"}
    assert found.escape == "`"
    assert found.arguments[0].pairs == (("A", "1"), ("B", None))
    assert [(stage.index, stage.name, stage.origin.base) for stage in found.stages] == [(0, "one", "a"), (1, "", "one")]
    assert found.stages[0].origin.platform == "$P"
    assert found.comments[4] == "on a"
    assert found.empty == {7: Location("Dockerfile", 6, 8)}
    assert found.lines[4] == "FROM --platform=$P a AS One"


def test_a_run_with_everything() -> None:
    found = one(
        "RUN --mount=type=cache,target=/c,id=x,sharing=locked,uid=1,gid=2,mode=0700,ro "
        "--mount=type=secret,id=s,required,env=S --mount=target=/b,src=y,from=z,rw --mount=type=tmpfs,dst=/t,size=1m "
        "--mount=type=ssh,required=true --network=none --security=insecure --device=a=b --device=c make all"
    )
    assert isinstance(found, Run)
    cache, secret, bind, tmpfs, ssh = found.mounts
    assert (cache.kind, cache.target, cache.identifier, cache.sharing) == ("cache", "/c", "x", "locked")
    assert (cache.uid, cache.gid, cache.mode, cache.read_only) == ("1", "2", "0700", True)
    assert (secret.kind, secret.identifier, secret.required, secret.environment) == ("secret", "s", True, "S")
    assert (bind.kind, bind.source, bind.origin, bind.read_only) == ("bind", "y", "z", False)
    assert (tmpfs.kind, tmpfs.target, tmpfs.size, tmpfs.read_only) == ("tmpfs", "/t", "1m", None)
    assert (ssh.kind, ssh.required) == ("ssh", True)
    assert (found.network, found.security, found.devices) == ("none", "insecure", ("a=b", "c"))
    assert (found.words, found.line) == (None, "make all")


def test_mounts_are_looked_at_again_with_their_variables() -> None:
    found = one("RUN --mount=type=$kind,target=$at,uid=$who,from=a,rw=$w x")
    assert isinstance(found, Run)
    values = {"$kind": "bind", "$at": "/b", "$who": "1", "$w": "false"}
    with pytest.raises(Invalid, match="unexpected key 'uid' for mount type 'bind'"):
        mounts.expanded(found.mounts[0], lambda text: values.get(text, text))
    values["$kind"] = "cache"
    mount = mounts.expanded(found.mounts[0], lambda text: values.get(text, text))
    assert (mount.kind, mount.target, mount.uid, mount.read_only) == ("cache", "/b", "1", True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=none", 'unsupported mount type "none"'),
        ("target", "invalid field 'target' must be a key=value pair"),
        ("type=bind,foo=1", "unexpected key 'foo' in 'foo=1'"),
        ("type=bind,required", "unexpected key 'required' for mount type 'bind'"),
        ("type=bind,mode=0700", "unexpected key 'mode' for mount type 'bind'"),
        ("type=cache,target=/x,sharing=all", 'unsupported sharing value "all"'),
        ("type=cache,target=/x,mode=9", "invalid value 9 for mode"),
        ("type=cache,target=/x,uid=-1", "invalid value -1 for uid"),
        ("type=cache,target=/x,gid=4294967295", "invalid value 4294967295 for gid"),
        ("type=cache,target=/x,ro=maybe", "invalid value for readonly: maybe"),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=secret,id=a,from=b", "secret mount should not have a from"),
        ("type=secret,id=a,src=b", "both source and id can't be set"),
        ("type=secret,id=a,rw", "a secret mount cannot be written"),
        ("type=tmpfs,target=/x,size=big", "invalid value for size: big"),
        ("type=tmpfs,target=/x,id=a", "unexpected key 'id' for mount type 'tmpfs'"),
        ("type=tmpfs,target=/x,from=a", "unexpected key 'from' for mount type 'tmpfs'"),
        ("type=ssh,source=a", "unexpected key 'source' for mount type 'ssh'"),
        ("type=ssh,from=a", "unexpected key 'from' for mount type 'ssh'"),
        ("type=ssh,sharing=locked", "unexpected key 'sharing' for mount type 'ssh'"),
        ("type=tmpfs,target=/x,env=A", "unexpected key 'env' for mount type 'tmpfs'"),
        ("type=cache,target=/x,size=1m", "unexpected key 'size' for mount type 'cache'"),
        ("from=$x,target=/y", "'from' doesn't support variable expansion"),
        ('type=bind,"target=/x', "invalid --mount"),
    ],
)
def test_wrong_mounts(text: str, message: str) -> None:
    assert message in error_of(f"FROM a\nRUN --mount={text.replace(chr(34), chr(92) + chr(34))} x").reason


def test_copy_and_add() -> None:
    found = one("COPY --from=b --chown=1:2 --chmod=u=rwX --link --parents=false --exclude=*.o --exclude=x c d /e/")
    assert isinstance(found, Copy)
    assert (found.origin, found.owner, found.mode, found.link, found.parents) == ("b", "1:2", "u=rwX", True, False)
    assert (found.exclude, found.sources, found.destination) == (("*.o", "x"), ("c", "d"), "/e/")
    added = one('ADD --checksum=sha256:1 --keep-git-dir --unpack=false ["a b", "c"]')
    assert isinstance(added, Add)
    assert (added.checksum, added.keep_git_dir, added.unpack) == ("sha256:1", True, False)
    assert (added.sources, added.destination) == (("a b",), "c")
    plain = one("ADD a b")
    assert isinstance(plain, Add)
    assert plain.unpack is None


def test_heredocs_of_copy_are_files() -> None:
    found = one("COPY <<A x <<-'B' 4<<C /d/\n1\n\tA\nA\n\t\t2\n \t$x\n\tB\nC")
    assert isinstance(found, Copy)
    assert found.sources == ("x",)
    assert found.heredocs == (
        Heredoc("A", "1\n\tA\n"),
        Heredoc("B", "2\n \t$x\n", expand=False, chomp=True),
        Heredoc("C", "", descriptor=4),
    )


@pytest.mark.parametrize(
    ("text", "shell", "script"),
    [
        ("RUN make", "make", None),
        ("RUN <<A\nx\ny\nA", "x\ny\n", None),
        ("RUN <<-A\n\tx\n\t\ty\n\tA", "x\ny\n", None),
        ("RUN cat <<A <<-B\nx\nA\n\ty\n\tB", "cat <<A <<-B\nx\nA\n\ty\nB", None),
        ("RUN <<A sh\nx\nA", "<<A sh\nx\nA", None),
        ("RUN <<A\n#!/bin/sh\nx\nA", "#!/bin/sh\nx\n", "#!/bin/sh\nx\n"),
        ("RUN <<'A'\n$x\nA", "$x\n", None),
    ],
)
def test_what_the_shell_reads(text: str, shell: str, script: str | None) -> None:
    found = one(text)
    assert isinstance(found, Run)
    assert heredocs.shell_text(found) == shell
    document = heredocs.script_file(found)
    assert (document.content if document else None) == script


def test_health_checks() -> None:
    found = one("HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=0 --start-interval=2s --retries=4 CMD x y")
    assert isinstance(found, HealthCheck)
    assert (found.interval, found.timeout, found.start_period) == (90 * 10**9, 5 * 10**8, 0)
    assert (found.start_interval, found.retries, found.line) == (2 * 10**9, 4, "x y")
    none = one("HEALTHCHECK NONE")
    assert isinstance(none, HealthCheck)
    assert none.none


def test_triggers_are_read_again() -> None:
    found = one("ONBUILD RUN <<A\nx\nA")
    assert isinstance(found, OnBuild)
    assert found.trigger == "RUN <<A\nx\nA"
    again = parse_trigger(found.trigger, Location("Dockerfile", 7, 7))
    assert isinstance(again, Run)
    assert (heredocs.shell_text(again), again.location.first) == ("x\n", 7)
    for text in ("FROM a", "ONBUILD RUN x", "MAINTAINER x", "", "RUN a\nRUN b", "NO"):
        with pytest.raises(DockerfileError):
            parse_trigger(text, Location("Dockerfile", 7, 7))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("FROM a\nRUNN x", 2, "unknown instruction: RUNN (did you mean RUN?)"),
        ("FROM a\n\n\nXYZZY", 4, "unknown instruction: XYZZY"),
        ("RUN x\nFROM a", 1, "no build stage in current context"),
        ("ARG x", 1, "dockerfile contains no stages to build"),
        ("", 1, "file with no instructions"),
        ("FROM", 1, "FROM requires either one or three arguments"),
        ("FROM a b", 1, "FROM requires either one or three arguments"),
        ("FROM a AS 1b", 1, 'invalid name for build stage: "1b", name can\'t start with a number or contain symbols'),
        ("FROM --platfrom=x a", 1, "FROM: unknown flag: --platfrom (did you mean --platform?)"),
        ("FROM a\nCOPY --link --link a b", 2, "COPY: duplicate flag specified: --link"),
        ("FROM a\nCOPY --from a b", 2, "COPY: missing a value on flag: --from"),
        ("FROM a\nCOPY --link=2 a b", 2, "COPY: expecting boolean value for flag --link, not: 2"),
        ("FROM a\nCOPY --from=$x a b", 2, "variable expansion is not supported for --from"),
        ("FROM a\nADD --parents a b", 2, "ADD: unknown flag: --parents"),
        ("FROM a\nCOPY x", 2, "COPY requires at least two arguments, but only one was provided"),
        ("FROM a\nCOPY x <<A\nb\nA", 2, "COPY cannot use a heredoc as a destination"),
        ("FROM a\nCOPY <<A <<A /x/\nb\nA\nc\nA", 2, "COPY has two heredocs named A"),
        ("FROM a\nRUN", 2, "RUN requires at least one argument"),
        ("FROM a\nRUN []", 2, "RUN requires at least one argument"),
        ("FROM a\nRUN --network=foo x", 2, 'unsupported network mode "foo"'),
        ("FROM a\nRUN --security=foo x", 2, 'security "foo" is not valid'),
        ("FROM a\nRUN <<A\nb\n", 2, "RUN: unterminated heredoc: no line is A"),
        ("FROM a\nENV b", 2, "ENV must have two arguments"),
        ("FROM a\nENV =b", 2, "ENV names can not be blank"),
        ("FROM a\nENV b=c d", 2, 'can\'t find = in "d"'),
        ("FROM a\nARG", 2, "ARG requires at least one argument"),
        ("FROM a\nARG =x", 2, "ARG names can not be blank"),
        ("FROM a\nEXPOSE", 2, "EXPOSE requires at least one argument"),
        ("FROM a\nUSER", 2, "USER requires exactly one argument"),
        ('FROM a\nVOLUME ["a", " "]', 2, "VOLUME specified can not be an empty string"),
        ("FROM a\nSHELL sh -c", 2, "SHELL requires the arguments to be in JSON form"),
        ("FROM a\nSHELL []", 2, "SHELL requires at least one argument"),
        ('FROM a\nCMD ["a", 1]', 2, "arrays must be comprised of strings only"),
        ("FROM a\nHEALTHCHECK X y", 2, 'Unknown type "X" in HEALTHCHECK (try CMD)'),
        ("FROM a\nHEALTHCHECK CMD", 2, "Missing command after HEALTHCHECK CMD"),
        ("FROM a\nHEALTHCHECK NONE x", 2, "HEALTHCHECK NONE takes no arguments"),
        ("FROM a\nHEALTHCHECK --interval=x CMD y", 2, "invalid duration for interval"),
        ("FROM a\nHEALTHCHECK --interval=1us CMD y", 2, "cannot be less than 1ms"),
        ("FROM a\nHEALTHCHECK --retries=-1 CMD y", 2, "--retries must be at least 0 (not -1)"),
        ("FROM a\nONBUILD", 2, "ONBUILD requires at least one argument"),
        ("FROM a\nONBUILD ONBUILD RUN x", 2, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("FROM a\nONBUILD FROM x", 2, "FROM isn't allowed as an ONBUILD trigger"),
        ("FROM a\nONBUILD COPY x", 2, "COPY requires at least two arguments"),
        ("FROM a\nCMD --help", 2, "CMD: unknown flag: --help"),
        ("# escape=x\nFROM a", 1, "invalid escape token 'x'"),
        ("# syntax=x\n# syntax=x\nFROM a", 2, "only one syntax parser directive can be used"),
        (b"FROM a\nRUN \xff", 2, "RUN: the text is not UTF-8"),
        (b"FROM a\nRUN \0", 2, "the text has a NUL byte"),
        (b"\xff\xfeF\0R\0O\0M\0", 1, "the file is UTF-16, not UTF-8"),
    ],
)
def test_errors_say_where_and_what(text: str | bytes, line: int, message: str) -> None:
    error = error_of(text)
    assert error.location.first == line
    assert message in error.reason
    assert str(error).startswith(f"dockerfile parse error on line {line}: ")
    assert f"some/Dockerfile:{line}" in str(error)
    if text and not isinstance(text, bytes):
        assert f"{line:4} | >>> {text.splitlines()[line - 1]}".rstrip() in str(error)


def test_an_excerpt_shows_the_whole_instruction_and_its_neighbours() -> None:
    text = "FROM a\nRUN b\nRUN c\nRUN --no \\\n  d \\\n  e\nRUN f\nRUN g\nRUN h\n"
    assert str(error_of(text)).split("\n", 1)[1] == (
        "some/Dockerfile:4\n--------------------\n   2 |     RUN b\n   3 |     RUN c\n   4 | >>> RUN --no \\\n"
        "   5 | >>>   d \\\n   6 | >>>   e\n   7 |     RUN f\n   8 |     RUN g\n--------------------"
    )


def test_an_excerpt_harms_no_terminal_and_stays_short() -> None:
    shown = str(error_of("FROM a\nNO \x1b[31m" + "x" * 1000))
    assert "\x1b" not in shown
    assert len(shown) < 1000


def test_bytes_that_are_not_text_are_allowed_in_comments() -> None:
    found = parse(b"# caf\xe9\nFROM a\n")
    assert found.lines[0] == found.comments[1].join(["# ", ""]) == "# caf\ufffd"


def test_limits_are_named() -> None:
    assert f"larger than {FILE_LIMIT_BYTES} bytes" in error_of(b"#" * (FILE_LIMIT_BYTES + 1)).reason
    assert f"longer than {LINE_LIMIT_CHARACTERS}" in error_of("FROM a\nRUN " + "x" * LINE_LIMIT_CHARACTERS).reason
    assert f"more than {INSTRUCTIONS_LIMIT} instr" in error_of("FROM a\n" + "RUN x\n" * INSTRUCTIONS_LIMIT).reason
    long = "FROM a\nRUN x" + ("\\\n" + "x" * 1000) * (TEXT_LIMIT_CHARACTERS // 1000 + 1)
    assert f"longer than {TEXT_LIMIT_CHARACTERS} characters" in error_of(long).reason
    pairs = "FROM a\n" + ("ENV" + " a=b" * 101 + "\n") * (PAIRS_LIMIT // 100)
    assert f"more than {PAIRS_LIMIT} variables" in error_of(pairs).reason
    assert f"more than {STAGES_LIMIT} stages" in error_of("FROM a\n" * (STAGES_LIMIT + 1)).reason


def test_long_files_are_read_quickly() -> None:
    start = time.process_time()
    parse("FROM a\n" + "RUN --mount=type=cache,target=/x make a b c && \\\n  make d\nCOPY --link a b\n" * 900)
    parse("FROM a\nRUN x" + " \\\n y z='a' \"b\"" * 50_000)
    parse("FROM a\nENV" + " \\\n A=b" * 9_000)
    parse("# a=b" + " " * 60_000 + "c\nFROM a\n")
    assert parse("# check = a" + " " * 60_000 + "b  \nFROM a\n").directives["check"].endswith(" b")
    with pytest.raises(DockerfileError):
        parse("FROM a\nCOPY" + " \\\n --x=y" * 50_000)
    assert time.process_time() - start < 3


@given(st.binary(max_size=200))
def test_random_bytes_give_a_clear_error(content: bytes) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(content + b"\n\x01")
    assert caught.value.location.first >= 1
    assert str(caught.value).isascii() or str(caught.value)


keywords = st.sampled_from([*KEYWORDS, "from", "NO"])
flag = st.sampled_from([f"--{name}" for known in FLAGS.values() for name in known])
noise = st.text(alphabet="ab \t\\\n\r#<>-=,:$\"'[]{}`0\x00\x1c\u2003\ufeffé", max_size=12)
noisy = st.builds("{} {}{} {}".format, keywords, flag, st.one_of(st.just(""), noise.map("={}".format)), noise)


@given(st.lists(st.one_of(noisy, st.builds("{} {}".format, keywords, noise), noise), max_size=6).map("\n".join))
def test_noise_between_keywords_gives_values_or_a_clear_error(text: str) -> None:
    try:
        found = parse("FROM a\n" + text)
    except DockerfileError as error:
        assert error.reason
        assert 1 <= error.location.first <= len(text.split("\n")) + 1
    else:
        assert found.stages


def test_arguments_that_nobody_declares() -> None:
    given = {"A": "1", "HTTP_PROXY": "x", "BUILDKIT_INLINE_CACHE": "1", "TARGETARCH": "arm64", "B": None}
    assert unconsumed(given, frozenset({"A"})) == ("B",)


def test_platform_values() -> None:
    values = platform_values(Platform("amd64", "linux"), Platform("arm64", "linux", "v8"), "web")
    assert values["BUILDPLATFORM"] == "linux/amd64"
    assert (values["TARGETPLATFORM"], values["TARGETVARIANT"]) == ("linux/arm64/v8", "v8")
    assert values["TARGETSTAGE"] == "web"
