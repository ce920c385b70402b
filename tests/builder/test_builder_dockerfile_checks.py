"""Every build check: a file that it objects to, files that it does not, and how checks are chosen."""

import pytest

from boxship.builder.checking import findings_of
from boxship.builder.dockerfile.checks import RULES, address_of, check, refusal, settings_of
from boxship.builder.dockerfile.parse import parse
from boxship.builder.graph import ImageSource
from boxship.builder.model import BuildRequest
from boxship.builder.planner import Base
from boxship.errors import Invalid
from boxship.spec.ignore import Ignore
from boxship.spec.image import ExecutionConfig, Platform

# rule, file, lines with their messages' parts
OBJECTIONS: list[tuple[str, str, list[tuple[int, str]]]] = [
    ("StageNameCasing", "FROM a AS BuilderBase", [(1, "Stage name 'BuilderBase' should be lowercase")]),
    ("FromAsCasing", "FROM a as b\nfrom a AS c\nFrom a As d", [(1, "'as' and 'FROM'"), (2, "'AS' and 'from'")]),
    ("NoEmptyContinuation", "FROM a\nRUN b && \\\n\n  c \\\n\n d", [(3, "Empty continuation"), (5, "Empty")]),
    (
        "ConsistentInstructionCasing",
        "FROM a\nRUN b\nrun c\nCmd d",
        [(3, "Command 'run' should match the case of the command majority (uppercase)"), (4, "Command 'Cmd'")],
    ),
    ("ConsistentInstructionCasing", "from a\nrun b\nCMD c", [(3, "majority (lowercase)")]),
    ("DuplicateStageName", "FROM a AS b\nFROM a AS c\nFROM a AS B", [(3, 'Duplicate stage name "b"')]),
    ("ReservedStageName", "FROM a AS scratch\nFROM a AS context", [(1, "'scratch' is reserved"), (2, "'context'")]),
    ("JSONArgsRecommended", "FROM a\nCMD b\nENTRYPOINT c", [(2, "for CMD to prevent"), (3, "for ENTRYPOINT to")]),
    ("MaintainerDeprecated", "FROM a\nMAINTAINER b", [(2, "Maintainer instruction is deprecated")]),
    ("UndefinedArgInFrom", "ARG VERSION\nFROM a:$VERSIO", [(2, "'VERSIO' is not declared (did you mean VERSION?)")]),
    ("UndefinedArgInFrom", "FROM --platform=$BULDPLATFORM a", [(1, "'BULDPLATFORM'")]),
    ("WorkdirRelativePath", "FROM a\nWORKDIR b", [(2, 'Relative workdir "b"')]),
    ("UndefinedVar", "FROM scratch\nCOPY $foo .", [(2, "Usage of undefined variable '$foo'")]),
    ("UndefinedVar", "FROM known\nENV PATH=$PAHT:/b", [(2, "'$PAHT' (did you mean $PATH?)")]),
    ("UndefinedVar", "FROM scratch AS b\nENV x=1\nFROM b\nLABEL y=$x z=$y", [(4, "'$y'")]),
    (
        "MultipleInstructionsDisallowed",
        'FROM a\nCMD ["b"]\nCMD ["c"]\nENTRYPOINT ["d"]\nENTRYPOINT ["e"]\nHEALTHCHECK NONE\nHEALTHCHECK NONE',
        [(2, "Multiple CMD"), (4, "Multiple ENTRYPOINT"), (6, "Multiple HEALTHCHECK")],
    ),
    ("LegacyKeyValueFormat", "FROM a\nENV b c\nLABEL d e", [(2, '"ENV key=value"'), (3, '"LABEL key=value"')]),
    ("RedundantTargetPlatform", "FROM --platform=$TARGETPLATFORM a", [(1, "platform to predefined $TARGETPLATFORM")]),
    (
        "SecretsUsedInArgOrEnv",
        "ARG TOKEN\nFROM a\nARG aws_secret_key=1\nENV DB_PASSWORD=x",
        [(1, '(ARG "TOKEN")'), (3, '(ARG "aws_secret_key")'), (4, '(ENV "DB_PASSWORD")')],
    ),
    ("InvalidDefaultArgInFrom", "ARG TAG\nFROM a:${TAG}", [(2, "Default value for ARG a:${TAG} results in an empty")]),
    ("FromPlatformFlagConstDisallowed", "FROM --platform=linux/amd64 a AS base", [(1, 'value "linux/amd64"')]),
    ("CopyIgnoredFile", "FROM a\nCOPY out/x .\nADD ./out .", [(2, 'to Copy file "out/x"'), (3, 'to Add file "./out"')]),
    (
        "InvalidDefinitionDescription",
        "# check=experimental=all\n\n# no\nFROM a AS b\n# A is fine\nARG A\n# no\nARG C",
        [(4, "`# b <description>`"), (8, "`# C <description>`")],
    ),
    ("ExposeProtoCasing", "FROM a\nEXPOSE 80/TcP 81/udp", [(2, "Defined protocol '80/TcP'")]),
    (
        "ExposeInvalidFormat",
        "FROM a\nEXPOSE 80 127.0.0.1:80:80 5000:5000/tcp 8000-8100/udp",
        [(2, "found '127.0.0.1:80:80'"), (2, "found '5000:5000/tcp'")],
    ),
]

GOOD = [
    "ARG TAG=1\nFROM a:${TAG}\nARG TAG\nWORKDIR /b\nWORKDIR c\nCOPY $TAG /",
    "FROM a\nSHELL [\"sh\", \"-c\"]\nCMD b\nENV KEYBOARD=x MONKEY=1 PUBLIC_KEY=2 x=",
    "from a as b\nfrom a as c\nrun d",
    "FROM --platform=linux/amd64 a AS build_amd64\nFROM --platform=$BUILDPLATFORM a AS base\nFROM build_${TARGETARCH}",
    "FROM scratch\nARG b\nENV c=$b d=${e:-f} h=${i:+j}\nCOPY --from=x out /\nADD https://x.example/out /",
    "FROM unknown\nENV a=$JAVA_HOME",
    "FROM known\nENV a=$JAVA_HOME",
    "# comment\nFROM a AS b\nRUN c \\\n # comment\n d\nEXPOSE $p 80-81/tcp",
    "FROM a AS x\nWORKDIR /b\nFROM x\nWORKDIR c",
]  # fmt: skip

KNOWN = {"known": ("PATH", "JAVA_HOME")}
ignored = Ignore(["out", "*.o"]).excludes


def findings(text: str) -> list[tuple[str, int, str]]:
    found = check(parse(text), ignored=ignored, environments=KNOWN)
    return [(each.rule, each.location.first, each.message) for each in found]


@pytest.mark.parametrize(("rule", "text", "expected"), OBJECTIONS)
def test_what_a_rule_objects_to(rule: str, text: str, expected: list[tuple[int, str]]) -> None:
    found = [(line, message) for name, line, message in findings(text) if name == rule]
    assert len(found) == len(expected), found
    for (line, message), (expected_line, part) in zip(found, expected, strict=True):
        assert line == expected_line
        assert part in message


def test_every_rule_has_an_example() -> None:
    assert {rule for rule, _, _ in OBJECTIONS} == set(RULES)


@pytest.mark.parametrize("text", GOOD)
def test_good_files_have_no_findings(text: str) -> None:
    assert findings(text) == []


def test_findings_come_with_their_address() -> None:
    found = check(parse("FROM a\nMAINTAINER b"))
    assert found[0].url == "https://docs.docker.com/go/dockerfile/rule/maintainer-deprecated/"
    assert address_of("JSONArgsRecommended") == "json-args-recommended"
    assert address_of("SecretsUsedInArgOrEnv") == "secrets-used-in-arg-or-env"


def test_rules_are_left_out_by_directive_or_argument() -> None:
    text = "# check=skip=MaintainerDeprecated,JSONArgsRecommended;error=true\nFROM a\nMAINTAINER b\nCMD c\nENV d e"
    found = check(parse(text))
    assert [each.rule for each in found] == ["LegacyKeyValueFormat"]
    settings = settings_of(parse(text), {})
    assert refusal(found, settings) == "lint violation found for rules: LegacyKeyValueFormat"
    argument = {"BUILDKIT_DOCKERFILE_CHECK": "skip=all"}
    assert check(parse(text), build_arguments=argument) == ()
    assert refusal(found, settings_of(parse(text), argument)) == ""


@pytest.mark.parametrize("value", ["skip", "error=maybe", "what=1"])
def test_wrong_settings_are_named(value: str) -> None:
    with pytest.raises(Invalid, match="invalid check option"):
        check(parse(f"# check={value}\nFROM a"))


def test_a_base_image_of_another_platform() -> None:
    """The rule InvalidBaseImagePlatform, which needs the image itself."""
    arm, here = Platform("arm64", "linux"), Platform("amd64", "linux")
    source = ImageSource("a:latest", arm)
    base = {source: Base(ExecutionConfig(), platform=here)}
    text = "FROM a:latest\n"
    (found,) = findings_of(parse(text), BuildRequest(), {0: source}, base)
    assert (found.rule, found.location.first) == ("InvalidBaseImagePlatform", 1)
    assert 'pulled with platform "linux/amd64", expected "linux/arm64"' in found.message
    assert found.url.endswith("/invalid-base-image-platform/")
    skipping = parse("# check=skip=InvalidBaseImagePlatform\n" + text)
    assert not findings_of(skipping, BuildRequest(), {0: source}, base)
    fitting = {source: Base(ExecutionConfig(), platform=arm)}
    assert not findings_of(parse(text), BuildRequest(), {0: source}, fitting)
