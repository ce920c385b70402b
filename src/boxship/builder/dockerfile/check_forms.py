"""Checks that look at how a Dockerfile is written: casing, order, forms, names. Pure."""

import re
from collections.abc import Callable, Iterator

from boxship.builder.dockerfile.arguments import PUBLIC_WORD, RESERVED_STAGES, SECRET_WORDS
from boxship.builder.dockerfile.check_variables import Surroundings
from boxship.builder.dockerfile.flags import written_command
from boxship.builder.dockerfile.syntax import (
    Arg,
    Cmd,
    Command,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    From,
    HealthCheck,
    Instruction,
    Label,
    Location,
    Maintainer,
    Shell,
)

Found = tuple[str, Location]
_SECRET = re.compile(rf"(?:_|^)(?:{'|'.join(SECRET_WORDS)})(?:_|$)", re.IGNORECASE)
_PUBLIC = re.compile(rf"(?:_|^)(?:{PUBLIC_WORD})(?:_|$)", re.IGNORECASE)
_PORT = re.compile(r"[^/:]*(?:/[^/:]*)?")


def every(dockerfile: Dockerfile) -> Iterator[Instruction]:
    """All instructions in the order of the file."""
    yield from dockerfile.arguments
    for stage in dockerfile.stages:
        yield stage.origin
        yield from stage.instructions


def _written_name(instruction: Instruction) -> str:
    """The name behind AS as it was written."""
    return instruction.text.split()[-1]


def _stage_name_casing(dockerfile: Dockerfile, _: Surroundings) -> Iterator[Found]:
    for stage in dockerfile.stages:
        if stage.name and _written_name(stage.origin) != stage.name:
            yield f"Stage name '{_written_name(stage.origin)}' should be lowercase", stage.origin.location


def _from_as_casing(dockerfile: Dockerfile, _: Surroundings) -> Iterator[Found]:
    for stage in dockerfile.stages:
        if stage.name:
            words = stage.origin.text.split()
            first, behind = words[0], words[-2]
            if first.isupper() != behind.isupper() and (first.isupper() or first.islower()):
                yield f"'{behind}' and '{first}' keywords' casing do not match", stage.origin.location


def _no_empty_continuation(dockerfile: Dockerfile, _: Surroundings) -> Iterator[Found]:
    for line, place in dockerfile.empty.items():
        yield "Empty continuation line", Location(place.file, line, line)


def _consistent_instruction_casing(dockerfile: Dockerfile, _: Surroundings) -> Iterator[Found]:
    words = [(written_command(found.text)[0], found.location) for found in every(dockerfile)]
    lower = sum(word.islower() for word, _ in words)
    upper = sum(word.isupper() for word, _ in words)
    kind = "lowercase" if lower > upper else "uppercase"
    for word, location in words:
        if not (word.islower() if lower > upper else word.isupper()):
            yield f"Command '{word}' should match the case of the command majority ({kind})", location


def _duplicate_stage_name(dockerfile: Dockerfile, _: Surroundings) -> Iterator[Found]:
    seen: set[str] = set()
    for stage in dockerfile.stages:
        if stage.name in seen:
            yield f'Duplicate stage name "{stage.name}", stage names should be unique', stage.origin.location
        if stage.name:
            seen.add(stage.name)


def _reserved_stage_name(dockerfile: Dockerfile, _: Surroundings) -> Iterator[Found]:
    for stage in dockerfile.stages:
        if stage.name in RESERVED_STAGES:
            yield f"'{stage.name}' is reserved and should not be used as a stage name", stage.origin.location


def _json_arguments_recommended(dockerfile: Dockerfile, _: Surroundings) -> Iterator[Found]:
    for stage in dockerfile.stages:
        shell_given = False
        for found in stage.instructions:
            shell_given = shell_given or isinstance(found, Shell)
            if isinstance(found, Command) and found.words is None and found.line and not shell_given:
                name = "CMD" if isinstance(found, Cmd) else "ENTRYPOINT"
                yield (
                    f"JSON arguments recommended for {name} to prevent unintended behavior related to OS signals",
                    found.location,
                )


def _maintainer_deprecated(dockerfile: Dockerfile, _: Surroundings) -> Iterator[Found]:
    for found in every(dockerfile):
        if isinstance(found, Maintainer):
            yield "Maintainer instruction is deprecated in favor of using label", found.location


def _multiple_instructions_disallowed(dockerfile: Dockerfile, _: Surroundings) -> Iterator[Found]:
    for stage in dockerfile.stages:
        for kind, name in ((Cmd, "CMD"), (Entrypoint, "ENTRYPOINT"), (HealthCheck, "HEALTHCHECK")):
            same = [found for found in stage.instructions if isinstance(found, kind)]
            for found in same[:-1]:
                yield (
                    f"Multiple {name} instructions should not be used in the same stage because only the last one "
                    "will be used",
                    found.location,
                )


def _legacy_key_value_format(dockerfile: Dockerfile, _: Surroundings) -> Iterator[Found]:
    for found in every(dockerfile):
        if isinstance(found, Env | Label) and found.legacy:
            name = "ENV" if isinstance(found, Env) else "LABEL"
            yield f'"{name} key=value" should be used instead of legacy "{name} key value" format', found.location


def _secrets_used(dockerfile: Dockerfile, _: Surroundings) -> Iterator[Found]:
    for found in every(dockerfile):
        if isinstance(found, Arg | Env):
            name = "ARG" if isinstance(found, Arg) else "ENV"
            for key, _value in found.pairs:
                if _SECRET.search(key) and not _PUBLIC.search(key):
                    yield f'Do not use ARG or ENV instructions for sensitive data ({name} "{key}")', found.location


def _invalid_definition_description(dockerfile: Dockerfile, _: Surroundings) -> Iterator[Found]:
    for found, name, kind in _definitions(dockerfile):
        comments = []
        line = found.location.first - 1
        while dockerfile.comments.get(line) and line > len(dockerfile.directives):
            comments.append(dockerfile.comments[line])
            line -= 1
        if comments and not any(comment.startswith(f"{name} ") for comment in comments):
            yield (
                f"Comment for {kind} should follow the format: `# {name} <description>`. If this is not intended to be "
                "a description comment, add an empty line or comment between the instruction and the comment.",
                found.location,
            )


def _definitions(dockerfile: Dockerfile) -> Iterator[tuple[Instruction, str, str]]:
    for found in every(dockerfile):
        if isinstance(found, Arg):
            yield found, found.pairs[0][0], "build argument"
        elif isinstance(found, From) and found.name:
            yield found, found.name, "build stage"


def _expose_protocol_casing(dockerfile: Dockerfile, _: Surroundings) -> Iterator[Found]:
    for found in every(dockerfile):
        for port in found.ports if isinstance(found, Expose) else ():
            protocol = port.rpartition("/")[2] if "/" in port else ""
            if protocol != protocol.lower() and "$" not in protocol:
                yield f"Defined protocol '{port}' in EXPOSE instruction should be lowercase", found.location


def _expose_invalid_format(dockerfile: Dockerfile, _: Surroundings) -> Iterator[Found]:
    for found in every(dockerfile):
        for port in found.ports if isinstance(found, Expose) else ():
            if "$" not in port and not _PORT.fullmatch(port):
                yield (
                    f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'",
                    found.location,
                )


FORMS: dict[str, Callable[[Dockerfile, Surroundings], Iterator[Found]]] = {
    "StageNameCasing": _stage_name_casing,
    "FromAsCasing": _from_as_casing,
    "NoEmptyContinuation": _no_empty_continuation,
    "ConsistentInstructionCasing": _consistent_instruction_casing,
    "DuplicateStageName": _duplicate_stage_name,
    "ReservedStageName": _reserved_stage_name,
    "JSONArgsRecommended": _json_arguments_recommended,
    "MaintainerDeprecated": _maintainer_deprecated,
    "MultipleInstructionsDisallowed": _multiple_instructions_disallowed,
    "LegacyKeyValueFormat": _legacy_key_value_format,
    "SecretsUsedInArgOrEnv": _secrets_used,
    "InvalidDefinitionDescription": _invalid_definition_description,
    "ExposeProtoCasing": _expose_protocol_casing,
    "ExposeInvalidFormat": _expose_invalid_format,
}
