"""The whole file: text to `syntax.Dockerfile`. Pure; any text at all gives a value or a DockerfileError."""

import msgspec

from boxship.builder.dockerfile import directives
from boxship.builder.dockerfile.flags import command_of
from boxship.builder.dockerfile.instructions import KEYWORDS, instruction_of
from boxship.builder.dockerfile.lines import Line, Reader, decoded, physical, readable
from boxship.builder.dockerfile.problems import DockerfileError
from boxship.builder.dockerfile.syntax import (
    Arg,
    Dockerfile,
    Env,
    From,
    Instruction,
    Label,
    Location,
    Maintainer,
    OnBuild,
    Stage,
)
from boxship.errors import Invalid

STAGES_LIMIT = 1_000
PAIRS_LIMIT = 10_000  # of ENV, ARG and LABEL together
TRIGGER_FILE = "ONBUILD"


def parse(content: bytes | str, file: str = "Dockerfile") -> Dockerfile:
    """Read a Dockerfile; `file` is how messages name it. Raises DockerfileError."""
    text = decoded(content, file)
    physical_lines = physical(text)
    shown = tuple(readable(line) for line in physical_lines)

    def fail(reason: str, first: int, last: int) -> DockerfileError:
        keyword = command_of(shown[first - 1])[0] if first <= len(shown) else ""
        return DockerfileError(reason, Location(file, first, last), shown, keyword if keyword in KEYWORDS else "")

    try:
        named, _ = directives.read(shown)
    except directives.Wrong as error:
        raise fail(str(error), error.line, error.line) from None
    escape = named.get("escape", "\\")
    reader = Reader(physical_lines, escape, fail, file)
    lines = reader.read()
    if not lines:
        raise fail("file with no instructions", max(len(shown), 1), max(len(shown), 1))
    instructions = [_instruction(line, escape, shown) for line in lines]
    _count_pairs(instructions, shown)
    arguments, stages = _stages(instructions, shown)
    return Dockerfile(
        file=file,
        lines=shown,
        directives=named,
        escape=escape,
        arguments=arguments,
        stages=stages,
        comments=reader.comments,
        empty={number: line.location for line in lines for number in line.empty},
    )


def parse_trigger(trigger: str, location: Location, file: str = TRIGGER_FILE) -> Instruction:
    """The instruction of an image's ONBUILD trigger; `location` is the FROM that brings it. Raises DockerfileError,
    whose excerpt shows the trigger."""
    shown = tuple(readable(line) for line in physical(trigger))

    def fail(reason: str, first: int, last: int) -> DockerfileError:
        return DockerfileError(reason, Location(file, first, last), shown)

    lines = Reader(physical(decoded(trigger, file)), "\\", fail, file).read()
    if len(lines) != 1:
        raise fail("a trigger has to be exactly one instruction", 1, max(len(shown), 1))
    found = _instruction(lines[0], "\\", shown)
    if isinstance(found, From | Maintainer | OnBuild):
        raise fail(f"{command_of(found.text)[0]} isn't allowed as an ONBUILD trigger", 1, len(shown))
    return msgspec.structs.replace(found, location=location)


def _instruction(line: Line, escape: str, shown: tuple[str, ...]) -> Instruction:
    try:
        return instruction_of(line, escape)
    except Invalid as error:
        keyword = command_of(line.text)[0]
        raise DockerfileError(str(error), line.location, shown, keyword) from None


def _count_pairs(instructions: list[Instruction], shown: tuple[str, ...]) -> None:
    count = 0
    for instruction in instructions:
        count += len(instruction.pairs) if isinstance(instruction, Arg | Env | Label) else 0
        if count > PAIRS_LIMIT:
            raise DockerfileError(
                f"the file has more than {PAIRS_LIMIT} variables and labels", instruction.location, shown
            )


def _stages(instructions: list[Instruction], shown: tuple[str, ...]) -> tuple[tuple[Arg, ...], tuple[Stage, ...]]:
    """What stands before the first FROM, and the stages."""
    arguments: list[Arg] = []
    parts: list[tuple[From, list[Instruction]]] = []
    for instruction in instructions:
        if isinstance(instruction, From):
            parts.append((instruction, []))
            if len(parts) > STAGES_LIMIT:
                raise DockerfileError(f"the file has more than {STAGES_LIMIT} stages", instruction.location, shown)
        elif parts:
            parts[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            arguments.append(instruction)
        else:
            keyword = command_of(instruction.text)[0]
            raise DockerfileError(
                f"no build stage in current context: {keyword} stands before the first FROM",
                instruction.location,
                shown,
            )
    if not parts:
        raise DockerfileError("dockerfile contains no stages to build", instructions[-1].location, shown)
    stages = [Stage(index, origin.name, origin, tuple(body)) for index, (origin, body) in enumerate(parts)]
    return tuple(arguments), tuple(stages)
