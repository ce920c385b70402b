"""Which stages a build needs, and what each of them stands on. Pure.

A name after FROM is a stage above, then a named context, then an image; what --from names may be a stage's number too.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from boxship.builder.addresses import is_remote, remote_source
from boxship.builder.dockerfile.syntax import Copy, Dockerfile, Instruction, OnBuild, Run, Stage
from boxship.builder.dockerfile.words import expand_word
from boxship.builder.graph import ContextSource, ImageSource, Source
from boxship.builder.model import BuildRequest
from boxship.builder.variables import Globals
from boxship.errors import BoxshipError, Invalid, Unsupported
from boxship.spec import platform as platforms
from boxship.spec import reference as references
from boxship.spec.image import Platform

SCRATCH = "scratch"
IMAGE_CONTEXT = "docker-image://"
NUMBER_DIGITS = 10  # what has as many is no stage's number


class StageBase(msgspec.Struct, frozen=True):
    """What a stage stands on: another stage by its index, or a source, or nothing (FROM scratch)."""

    stage: int | None = None
    source: Source | None = None


class PlannedStage(msgspec.Struct, frozen=True):
    """A stage that is needed. `replaced`: a named context takes its place, its instructions do not count."""

    stage: Stage
    platform: Platform
    base: StageBase
    replaced: bool = False
    index: int = 0


class Failure(Exception):
    """A wrong instruction, with the reason."""

    def __init__(self, instruction: Instruction, reason: BoxshipError) -> None:
        super().__init__(str(reason))
        self.instruction = instruction
        self.reason = reason


class Layout:
    """The stages of a Dockerfile for one request."""

    def __init__(self, dockerfile: Dockerfile, request: BuildRequest, build: Platform, target: Platform) -> None:
        self.dockerfile = dockerfile
        self.request = request
        self.build = build
        self.target_platform = target
        if not dockerfile.stages:
            raise Invalid("dockerfile contains no stages to build")
        self.target = find_target(dockerfile.stages, request.target)

    def stages(self, scope: Globals) -> dict[int, PlannedStage]:
        """Every stage up to the target with its base, by index. Raises Failure."""
        found = {}
        for stage in self.dockerfile.stages[: self.target + 1]:
            try:
                found[stage.index] = self._place(stage, scope)
            except BoxshipError as error:
                raise Failure(stage.origin, error) from error
        return found

    def _place(self, stage: Stage, scope: Globals) -> PlannedStage:
        platform = self.target_platform
        if stage.origin.platform:
            text = expand_word(stage.origin.platform, scope.values, self.dockerfile.escape)
            if not text:
                raise Invalid("base platform is empty")
            platform = platforms.normalise(platforms.parse(text))
        if stage.name and stage.name in self.request.contexts:
            base = StageBase(source=self.named(stage.name, platform))
            return PlannedStage(stage, platform, base, replaced=True, index=stage.index)
        name = expand_word(stage.origin.base, scope.values, self.dockerfile.escape)
        if not name:
            raise Invalid(f"base name ({stage.origin.base}) should not be blank")
        above = self._above(name, stage.index)
        if above is not None:
            return PlannedStage(stage, platform, StageBase(stage=above), index=stage.index)
        if name == SCRATCH:
            return PlannedStage(stage, platform, StageBase(), index=stage.index)
        return PlannedStage(stage, platform, StageBase(source=self.outside(name, platform)), index=stage.index)

    def _above(self, name: str, limit: int) -> int | None:
        """The last stage of that name above `limit`."""
        lowered = name.lower()
        for stage in reversed(self.dockerfile.stages[:limit]):
            if stage.name and stage.name == lowered:
                return stage.index
        return None

    def input_stage(self, origin: str, current: int) -> int | None:
        """The stage that --from means, or None for what is no stage. Raises Invalid for itself or a later one."""
        if origin.isdecimal() and len(origin) < NUMBER_DIGITS:
            index = int(origin)
            if index >= len(self.dockerfile.stages):
                raise Invalid(f"invalid from flag value {origin}: there is no such stage")
            if index == current:
                raise Invalid(f"invalid from flag value {origin}: refers to current build stage")
            if index > current:
                raise Invalid(f"invalid from flag value {origin}: refers to a later build stage")
            return index
        if self.dockerfile.stages[current].name and self.dockerfile.stages[current].name == origin.lower():
            raise Invalid(f"circular dependency detected on stage: {origin}")
        found = self._above(origin, current)
        if found is None and origin.lower() not in self.request.contexts:
            for stage in self.dockerfile.stages[current + 1 :]:
                if stage.name and stage.name == origin.lower():
                    raise Invalid(f"invalid from flag value {origin}: refers to a later build stage")
        return found

    def outside(self, name: str, platform: Platform) -> Source:
        """A named context or an image. Raises Invalid."""
        for known in _spellings(name):
            if known in self.request.contexts:
                return self.named(known, platform)
        reference = references.parse(name)
        return ImageSource(reference.with_default_tag().familiar, platform, self.request.pull)

    def main_source(self) -> Source | None:
        """The main context, None where only a Dockerfile was sent."""
        return None if self.request.context is None else ContextSource()

    def named(self, name: str, platform: Platform) -> Source:
        """The named context `name`."""
        value = self.request.contexts[name]
        if not isinstance(value, str):
            return ContextSource(name)
        if value.startswith(IMAGE_CONTEXT):
            reference = references.parse(value.removeprefix(IMAGE_CONTEXT)).with_default_tag()
            return ImageSource(reference.familiar, platform, self.request.pull)
        if is_remote(value):
            return remote_source(value)
        raise Unsupported(f"unsupported: build context {name}={value}")


def _spellings(name: str) -> Iterable[str]:
    """The forms under which an image may be given another context."""
    yield name
    yield name.lower()
    try:
        reference = references.parse(name)
    except BoxshipError:
        return
    tagged = reference.with_default_tag()
    yield from (tagged.familiar, str(tagged), reference.familiar, str(reference))
    if not tagged.digest and tagged.tag == references.DEFAULT_TAG:
        yield from (tagged.familiar_name, tagged.name)


def find_target(stages: Sequence[Stage], target: str) -> int:
    """The index of the stage that is asked for by name or number; the last without one. Raises Invalid."""
    if not target:
        return len(stages) - 1
    for stage in reversed(stages):
        if stage.name and stage.name == target.lower():
            return stage.index
    if target.isdecimal() and len(target) < NUMBER_DIGITS and int(target) < len(stages):
        return int(target)
    raise Invalid(f'target stage "{target}" could not be found')


def origins(instructions: Iterable[Instruction]) -> Iterable[tuple[Instruction, str]]:
    """What instructions name with --from or from=, "" left out."""
    for instruction in instructions:
        if isinstance(instruction, Copy) and instruction.origin:
            yield instruction, instruction.origin
        elif isinstance(instruction, Run):
            for mount in instruction.mounts:
                if mount.origin:
                    yield instruction, mount.origin


def needed(
    layout: Layout, stages: Mapping[int, PlannedStage], triggers: Mapping[int, Sequence[Instruction]]
) -> set[int]:
    """The indexes of the stages that the target needs, itself among them. Raises Failure."""
    found: set[int] = set()
    waiting = [layout.target]
    while waiting:
        index = waiting.pop()
        if index in found:
            continue
        found.add(index)
        planned = stages[index]
        if planned.base.stage is not None:
            waiting.append(planned.base.stage)
        if planned.replaced:
            continue
        for instruction, origin in origins((*triggers.get(index, ()), *planned.stage.instructions)):
            try:
                above = layout.input_stage(origin, index)
            except BoxshipError as error:
                raise Failure(instruction, error) from error
            if above is not None:
                waiting.append(above)
    return found


def own_triggers(stage: Stage) -> tuple[str, ...]:
    """The ONBUILD triggers that a stage itself sets."""
    return tuple(instruction.trigger for instruction in stage.instructions if isinstance(instruction, OnBuild))
