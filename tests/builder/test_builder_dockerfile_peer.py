"""Our parser beside BuildKit's own (the PyPI package `dockerfile` wraps it): the same instructions, flags, lines.

Known differences, on purpose:
- we refuse at once what BuildKit's parser leaves to its next stage (unknown flags and instructions, wrong numbers of
  arguments, a first instruction that is no FROM or ARG);
- we refuse text that is not UTF-8, and NUL bytes, outside comments;
- we pass over a continuation mark that nothing follows, where the package shows an instruction without a name;
- in JSON strings a lone surrogate is U+FFFD in both, but they count differently;
- the package shows nothing of a here-document behind ONBUILD but its end.
"""

import re

import dockerfile as peer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.builder.dockerfile.flags import command_of, taken
from boxship.builder.dockerfile.heredocs import mark
from boxship.builder.dockerfile.parse import parse
from boxship.builder.dockerfile.problems import DockerfileError
from boxship.builder.dockerfile.syntax import (
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    HealthCheck,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    WorkingDirectory,
)


def words_of(found: Instruction) -> tuple[str, ...]:
    """The arguments as the peer shows them."""
    match found:
        case From():
            return (found.base, found.name) if found.name else (found.base,)
        case Arg():
            return tuple(name if default is None else f"{name}={default}" for name, default in found.pairs)
        case Env() | Label():
            return tuple(word for pair in found.pairs for word in pair)
        case Run() | Cmd() | Entrypoint():
            return found.words if found.words is not None else (found.line,) if found.line else ()
        case HealthCheck():
            return ("NONE",) if found.none else ("CMD", *(found.words if found.words is not None else (found.line,)))
        case Copy():
            return (*found.sources, found.destination)
        case Shell():
            return found.words
        case Expose():
            return found.ports
        case Volume():
            return found.paths
        case User():
            return (found.user,)
        case WorkingDirectory():
            return (found.path,)
        case StopSignal():
            return (found.signal,)
        case Maintainer():
            return (found.name,)
    raise AssertionError(found)


def peer_words(command: peer.Command) -> tuple[str, ...]:
    if command.cmd.upper() == "FROM":
        return (command.value[0], command.value[2].lower()) if len(command.value) == 3 else command.value
    if command.cmd.upper() == "HEALTHCHECK":
        return (command.value[0].upper(), *command.value[1:])
    if command.cmd.upper() in ("COPY", "ADD"):
        return tuple(word for word in command.value if not command.heredocs or mark(word) is None)
    if command.cmd.upper() == "VOLUME":
        return tuple(word.strip() for word in command.value)
    return tuple(command.value)


def compare(text: str) -> None:
    """Both parsers see the same in a text that both accept."""
    ours = parse(text)
    flat: list[Instruction] = list(ours.arguments)
    for stage in ours.stages:
        flat += [stage.origin, *stage.instructions]
    theirs = [command for command in peer.parse_string(text) if command.cmd]
    assert len(flat) == len(theirs)
    for found, command in zip(flat, theirs, strict=True):
        assert (found.location.first, found.location.last) == (command.start_line, command.end_line)
        name, rest = command_of(found.text)
        assert name == command.cmd.upper()
        assert tuple(taken(rest)[0]) == command.flags
        if isinstance(found, OnBuild):
            assert command_of(found.trigger)[0] == command.sub_cmd.upper()
            continue
        assert words_of(found) == peer_words(command)
        if isinstance(found, Run | Copy):
            marks = [(document.name, document.descriptor) for document in found.heredocs]
            assert marks == [(document.name, document.file_descriptor) for document in command.heredocs]
        if isinstance(found, Run):
            assert [each.content for each in found.heredocs] == [each.content for each in command.heredocs]


TEXTS = [
    "FROM a",
    "FROM --platform=$BUILDPLATFORM a:b@sha256:0 aS Build",
    "from a\nrun b",
    "ARG x\nARG y=1 z\nFROM $x\nARG q='a b'",
    "FROM a\r\nRUN b \\\r\n  c\r\n",
    "\ufeffFROM a",
    "\ufeff# escape=`\nFROM a\nRUN b `\n c",
    "# syntax=docker/dockerfile:1\n#escape=`\n# check=skip=all\nFROM a\nRUN b \\\nRUN c `\n d",
    "#unknown=1\n# escape=`\nFROM a\nRUN b `\nRUN c",
    "\n# escape=`\nFROM a\nRUN b \\\nc",
    "# a comment\n# escape=`\nFROM a\nRUN b \\\nc",
    "FROM a\nRUN b \\\n\n# c\n   # d\n\n e \\\n f\nRUN g",
    "FROM a\nRUN b \\\\\nRUN c\nRUN d\\ \t \ne",
    "FROM a\nRUN b\\",
    "FROM a\nRUN b\\\n",
    "FROM a\n\\\nRUN b",
    "FROM a\n\\",
    "FROM a\n  \tRUN\tb\t \n   CMD c",
    'FROM a\nRUN ["b", "c d"]\nRUN [ \'b\' ]\nRUN [b]\nRUN ["a"] && b\nCMD []\nENTRYPOINT ["\\u00e9\\n"]',
    'FROM a\nRUN --mount=type=cache,target=/x --network=none --security=insecure ["b"]',
    'FROM a\nCOPY --chown=a\\ b --from="x y" --link -- b c\nADD --checksum=\'sha256:1\' "b" c\nCOPY ["b c", "d"]',
    "FROM a\nRUN <<A\nb\nA\nRUN cat <<A <<-\"B\" 3<<'C D'\nb\nA\n\tc\n\tB\n$d\nC D\nRUN c",
    "FROM a\nCOPY <<A <<B c /d/\n1\nA\n2\r\nB\r\nADD --link <<-x /y\n\t1\n\tx",
    "FROM a\nRUN echo \"<<A\"\nRUN echo '<<A'\nRUN echo \\<<A\nRUN cat<<A\nRUN cat <<<A\nRUN cat << A",
    "FROM a\nRUN cat \\\n<<A \\\n b\nx\\\ny\n# no comment\nA\nRUN z",
    'FROM a\nCMD <<A\nENV b=<<A\nRUN ["<<A"]\nCOPY ["<<A", "/b"]',
    'FROM a\nENV b c d\nENV b=c d=e\\ f g="h i" j=\'k l\' m=\nENV n "o p"  \nENV b=$b',
    'FROM a\nLABEL "b c"=d e.f=g\nLABEL h i\nENV a="b \\\n c"',
    'FROM a\nEXPOSE 1 2/udp\t3-4\nVOLUME b c\nVOLUME ["d", " e "]\nUSER b c\nWORKDIR /b c\nSTOPSIGNAL SIGTERM',
    'FROM a\nHEALTHCHECK --interval=1s --retries=3 CMD b c\nHEALTHCHECK none\nHEALTHCHECK cmd ["b"]\nSHELL ["b","-c"]',
    "FROM a\nONBUILD RUN b\nONBUILD COPY --from=b c d\nonbuild run <<A\nb\nA\nRUN c\nMAINTAINER b <c@d>",
    "FROM a\nRUN b # c\nENV d=#e\nRUN f;\\\n# g\n h",
    "FROM a\nRUN b\u00a0c\nCOPY b\u00a0c d\nUSER \u2003b",
    "FROM a\n#\n#x\nRUN b",
]


@pytest.mark.parametrize("text", TEXTS)
def test_both_see_the_same(text: str) -> None:
    compare(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "# only a comment",
        "# escape=x\nFROM a",
        "# escape=`\n# escape=`\nFROM a",
        "FROM a\nRUN <<A\nb",
        "FROM a\nENV b",
        "FROM a\nENV b=c d",
        "FROM a\nLABEL b",
        'FROM a\nRUN ["b", 1]',
        'FROM a\nCOPY [["b"], "c"]',
        "FROM a\nRUN " + "b" * 70_000,
    ],
)
def test_both_refuse(text: str) -> None:
    with pytest.raises(peer.GoParseError):
        peer.parse_string(text)
    with pytest.raises(DockerfileError):
        parse(text)


blank = st.sampled_from([" ", "  ", "\t", " \\\n ", "\\\n ", " \\\n\n", " \\\n# c\n", " \\ \t\n  # c\n\n "])
token = st.text(alphabet="ab$x./:,_-{}", min_size=1, max_size=6).filter(lambda text: not text.startswith("--"))
quoted = st.text(alphabet="ab \\$'x#<", max_size=6).map(lambda text: '"' + text.replace("\\", "\\\\") + '"')
single = st.text(alphabet='ab $"x#<', max_size=6).map(lambda text: f"'{text}'")
word = st.one_of(token, token, quoted, single, st.sampled_from(["a\\ b", "\\#", "a=b", "#", "\\$x", "é", "--x", "<<x"]))
safe = word.filter(lambda text: "<<" not in text and not text.startswith("--"))
several = st.lists(safe, min_size=1, max_size=4)
json_form = st.lists(st.text(max_size=5).filter(lambda text: text.isprintable()), min_size=1, max_size=3)
case = st.sampled_from([str.upper, str.lower, str.title])
key = st.text(alphabet="abK_", min_size=1, max_size=3)
value = st.one_of(token, quoted, single, st.just(""))
pairs = st.lists(st.builds("{}={}".format, key, value), min_size=1, max_size=3)


copy_flags = st.lists(
    st.sampled_from(["--chown=a:b", "--link", "--chmod='7 5'", "--exclude=a\\ b", '--exclude="c"']),
    max_size=2,
    unique=True,
)


@st.composite
def instruction(draw: st.DrawFn) -> str:
    """One instruction that both accept, with everything that may stand between its words."""
    gap = draw(blank)
    name = draw(st.sampled_from(["RUN", "CMD", "ENTRYPOINT", "ENV", "LABEL", "ARG", "EXPOSE", "COPY", "ADD", "USER",
                                 "WORKDIR", "VOLUME", "STOPSIGNAL", "HEALTHCHECK", "SHELL", "HEREDOC"]))  # fmt: skip
    written = draw(case)(name)
    if name == "HEREDOC":
        return draw(here_document())
    if name in ("ENV", "LABEL"):
        return written + " " + gap.join(draw(pairs))
    if name == "ARG":
        return written + " " + gap.join(draw(st.lists(st.one_of(key, st.builds("{}={}".format, key, value)), min_size=1,
                                                      max_size=3)))  # fmt: skip
    if name == "SHELL" or (name in ("RUN", "CMD", "ENTRYPOINT", "VOLUME") and draw(st.booleans())):
        import json

        words = draw(json_form.filter(lambda words: all(word.strip() for word in words)))
        return f"{written} {json.dumps(words, ensure_ascii=draw(st.booleans()))}"
    if name == "HEALTHCHECK":
        flags = draw(st.sampled_from(["", "--interval=1s ", "--retries=3  --timeout=1m "]))
        return f"{written} {flags}CMD{gap if gap.strip() == '' else ' '}{gap.join(draw(several))}"
    given_flags = draw(copy_flags) if name in ("COPY", "ADD") else []
    words = [*given_flags, *draw(several)]
    if name in ("COPY", "ADD"):
        words.append(draw(safe))
        if any(word.startswith("#") for word in words):  # at the beginning of a line it would be a comment
            gap = " "
    return written + " " + gap.join(words)


@st.composite
def here_document(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(["EOF", "A", "a_b"]))
    sign = draw(st.sampled_from(["<<", "<<-", "3<<", "<<-"])) + draw(st.sampled_from(["{}", '"{}"', "'{}'"])).format(
        name
    )
    lines = draw(st.lists(st.text(alphabet="ab $'\"\\#\t<", max_size=8), max_size=4))
    before = draw(st.sampled_from(["RUN ", "RUN cat ", "COPY a ", "ADD "]))
    after = " /x" if before[0] != "R" else draw(st.sampled_from(["", " | cat", " > x"]))
    end = ("\t" if "-" in sign and draw(st.booleans()) else "") + name
    body = "".join(line + "\n" for line in lines if line.strip("\t") != name)
    return f"{before}{sign}{after}\n{body}{end}"


def is_whole(text: str) -> bool:
    """A comment after a continued line is no end: the next instruction would go on with this one."""
    return re.search(r"\\[ \t]*\n(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*#[^\n]*$", text) is None


def test_comments_do_not_end_an_instruction() -> None:
    text = "FROM a\nUSER b \\\n #\nc"
    assert not is_whole("USER b \\\n #") and is_whole("USER b \\\n# x\nc")
    compare(text)
    assert words_of(parse(text).stages[0].instructions[0]) == ("b c",)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.one_of(instruction().filter(is_whole), st.sampled_from(["", "# comment", "  ", "\t# x"])), max_size=8),
    st.booleans(),
)
def test_generated_files_are_seen_the_same(instructions: list[str], crlf: bool) -> None:
    text = "\n".join(["FROM a", *instructions])
    try:
        peer.parse_string(text)
    except peer.GoParseError:
        with pytest.raises(DockerfileError):
            parse(text)
        return
    compare(text.replace("\n", "\r\n") if crlf else text)


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet=" \t\n\\#<A\"'[],=-`abFROMENVCPY\r", max_size=80))
def test_random_text_is_never_read_differently(tail: str) -> None:
    """Where both accept, both see the same; where the peer refuses, we do."""
    text = "FROM a\n" + tail
    try:
        peer.parse_string(text)
    except peer.GoParseError:
        with pytest.raises(DockerfileError):
            parse(text)
        return
    try:
        parse(text)
    except DockerfileError:
        return
    compare(text)
