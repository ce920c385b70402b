"""Checks that follow variables, platforms and paths from instruction to instruction. Pure."""

import difflib
import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Mapping

import msgspec

from boxship.builder.dockerfile.arguments import PLATFORM, PROXIES
from boxship.builder.dockerfile.syntax import (
    Add,
    Arg,
    Copy,
    Dockerfile,
    Env,
    Expose,
    From,
    Instruction,
    Label,
    Location,
    Stage,
    StopSignal,
    User,
    Volume,
    WorkingDirectory,
)
from boxship.builder.dockerfile.words import expand
from boxship.errors import BoxshipError, Invalid
from boxship.spec import reference

Found = tuple[str, Location]
NAMES_LIMIT = 500  # more are not searched for one that is spelled alike
_TARGET = ("$TARGETPLATFORM", "${TARGETPLATFORM}")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|git@", re.IGNORECASE)


class Surroundings(msgspec.Struct, frozen=True):
    """What a check may know besides the file; see `checks.check`."""

    build_arguments: Mapping[str, str | None]
    ignored: Callable[[str], bool] | None
    environments: Mapping[str, Collection[str]]


class _Scope(msgspec.Struct):
    """The variables of a stage at one instruction; `complete` is off where the base image may bring more."""

    values: dict[str, str]
    complete: bool
    directory_set: bool = False

    def copy(self) -> "_Scope":
        return _Scope(dict(self.values), self.complete, self.directory_set)


def _global_values(dockerfile: Dockerfile, given: Mapping[str, str | None]) -> dict[str, str]:
    """The variables before the first FROM; what has no value is empty."""
    values = dict.fromkeys(PLATFORM, "")
    for argument in dockerfile.arguments:
        for name, default in argument.pairs:
            chosen = given.get(name)
            values[name] = chosen if chosen is not None else _text(default or "", values, dockerfile.escape)
    return values


def _text(text: str, values: Mapping[str, str], escape: str) -> str:
    try:
        return expand(text, values, escape).text
    except Invalid:
        return ""


def _undefined(text: str, values: Mapping[str, str], escape: str) -> frozenset[str]:
    try:
        return expand(text, values, escape).undefined
    except Invalid:
        return frozenset()


def _scopes(dockerfile: Dockerfile, around: Surroundings) -> Iterator[tuple[Stage, Instruction, _Scope]]:
    """Every instruction of every stage, with the variables that it sees."""
    outside = _global_values(dockerfile, around.build_arguments)
    ends: dict[str, _Scope] = {}
    for stage in dockerfile.stages:
        base = _text(stage.origin.base, outside, dockerfile.escape)
        if base.lower() in ends:
            scope = ends[base.lower()].copy()
        else:
            known = around.environments.get(base, () if base == "scratch" else None)
            scope = _Scope(dict.fromkeys(known or (), ""), known is not None)
            scope.values.setdefault("PATH", "")
        for instruction in stage.instructions:
            yield stage, instruction, scope
            _apply(instruction, scope, outside, dockerfile.escape, around.build_arguments)
        ends[str(stage.index)] = scope
        if stage.name:
            ends[stage.name] = scope


def _apply(
    instruction: Instruction, scope: _Scope, outside: Mapping[str, str], escape: str, given: Mapping[str, str | None]
) -> None:
    """What an instruction does to the variables."""
    if isinstance(instruction, Env):
        values = {key: _text(value, scope.values, escape) for key, value in instruction.pairs}
        scope.values.update(values)
    elif isinstance(instruction, Arg):
        for name, default in instruction.pairs:
            chosen = given.get(name)
            if chosen is None:
                chosen = outside.get(name, "") if default is None else _text(default, scope.values, escape)
            scope.values[name] = chosen
    elif isinstance(instruction, WorkingDirectory):
        scope.directory_set = True


def _texts(instruction: Instruction) -> tuple[str, ...]:
    """The words in which an instruction has variables put in."""
    match instruction:
        case Copy():
            return (*instruction.sources, instruction.destination, instruction.owner, instruction.mode)
        case Env() | Label():
            return tuple(text for pair in instruction.pairs for text in pair)
        case Arg():
            return tuple(default or "" for _, default in instruction.pairs)
        case Expose():
            return instruction.ports
        case Volume():
            return instruction.paths
        case User():
            return (instruction.user,)
        case WorkingDirectory():
            return (instruction.path,)
        case StopSignal():
            return (instruction.signal,)
    return ()


def _near(name: str, names: Collection[str]) -> str:
    if len(names) > NAMES_LIMIT:
        return ""
    close = difflib.get_close_matches(name, names, 1)
    return close[0] if close else ""


def _undefined_variable(dockerfile: Dockerfile, around: Surroundings) -> Iterator[Found]:
    for _, instruction, scope in _scopes(dockerfile, around):
        if not scope.complete:
            continue
        missing: set[str] = set()
        for text in _texts(instruction):
            if "$" in text:
                missing |= _undefined(text, scope.values, dockerfile.escape)
        for name in sorted(missing - set(PROXIES)):
            near = _near(name, scope.values)
            hint = f" (did you mean ${near}?)" if near else ""
            yield f"Usage of undefined variable '${name}'{hint}", instruction.location


def _undefined_argument_in_from(dockerfile: Dockerfile, around: Surroundings) -> Iterator[Found]:
    values = _global_values(dockerfile, around.build_arguments)
    for stage in dockerfile.stages:
        for text in (stage.origin.platform, stage.origin.base):
            for name in sorted(_undefined(text, values, dockerfile.escape)):
                near = _near(name, values)
                hint = f" (did you mean {near}?)" if near else ""
                yield f"FROM argument '{name}' is not declared{hint}", stage.origin.location


def _invalid_default_argument(dockerfile: Dockerfile, around: Surroundings) -> Iterator[Found]:
    values = _global_values(dockerfile, {})
    stages = {stage.name for stage in dockerfile.stages}
    for stage in dockerfile.stages:
        base = stage.origin.base
        if "$" not in base or _undefined(base, values, dockerfile.escape):
            continue
        if any(name in PLATFORM for name in expand_names(base, values, dockerfile.escape)):
            continue  # known only when the build begins
        name = _text(base, values, dockerfile.escape)
        if name.lower() in stages or name == "scratch":
            continue
        try:
            reference.parse(name)
        except BoxshipError:
            yield (
                f"Default value for ARG {base} results in an empty or invalid base image name",
                stage.origin.location,
            )


def expand_names(text: str, values: Mapping[str, str], escape: str) -> frozenset[str]:
    """The variables that a text uses and that are there."""
    try:
        return expand(text, values, escape).used
    except Invalid:
        return frozenset()


def _working_directory_relative(dockerfile: Dockerfile, around: Surroundings) -> Iterator[Found]:
    for _, instruction, scope in _scopes(dockerfile, around):
        if isinstance(instruction, WorkingDirectory) and not scope.directory_set:
            path = _text(instruction.path, scope.values, dockerfile.escape)
            if path and not path.startswith("/"):
                yield (
                    f'Relative workdir "{path}" can have unexpected results if the base image changes',
                    instruction.location,
                )


def _redundant_target_platform(dockerfile: Dockerfile, _: Surroundings) -> Iterator[Found]:
    for stage in dockerfile.stages:
        if stage.origin.platform in _TARGET:
            yield (
                f"Setting platform to predefined {stage.origin.platform} in FROM is redundant as this is the default "
                "behavior",
                stage.origin.location,
            )


def _constant_platform(dockerfile: Dockerfile, _: Surroundings) -> Iterator[Found]:
    for stage in dockerfile.stages:
        platform = stage.origin.platform
        if platform and "$" not in platform and not _names_platform(stage.origin, platform):
            yield f'FROM --platform flag should not use constant value "{platform}"', stage.origin.location


def _names_platform(origin: From, platform: str) -> bool:
    """A stage that is named after its platform is chosen by name: `FROM build_$TARGETARCH`."""
    return any(part and part in origin.name for part in platform.lower().split("/"))


def _copy_ignored_file(dockerfile: Dockerfile, around: Surroundings) -> Iterator[Found]:
    if around.ignored is None:
        return
    for _, instruction, scope in _scopes(dockerfile, around):
        if not isinstance(instruction, Copy) or instruction.origin:
            continue
        verb = "Add" if isinstance(instruction, Add) else "Copy"
        for source in instruction.sources:
            path = _text(source, scope.values, dockerfile.escape)
            bare = posixpath.normpath("/" + path).lstrip("/")
            if bare and not _ADDRESS.match(path) and around.ignored(bare):
                yield f'Attempting to {verb} file "{path}" that is excluded by .dockerignore', instruction.location


VARIABLES: dict[str, Callable[[Dockerfile, Surroundings], Iterator[Found]]] = {
    "UndefinedArgInFrom": _undefined_argument_in_from,
    "WorkdirRelativePath": _working_directory_relative,
    "UndefinedVar": _undefined_variable,
    "RedundantTargetPlatform": _redundant_target_platform,
    "InvalidDefaultArgInFrom": _invalid_default_argument,
    "FromPlatformFlagConstDisallowed": _constant_platform,
    "CopyIgnoredFile": _copy_ignored_file,
}
