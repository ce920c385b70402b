"""From a Dockerfile, a request and the configs of the base images to the graph of steps. Pure, and deterministic.

Base images are not known at first: `missing_bases` says which are needed, again and again (a trigger of one may need
another stage), until nothing is missing; then `plan`.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence

import msgspec

from boxship.builder.addresses import without_password
from boxship.builder.copying import copy
from boxship.builder.dockerfile.arguments import platform_values, unconsumed
from boxship.builder.dockerfile.parse import parse_trigger
from boxship.builder.dockerfile.syntax import Arg, Copy, Dockerfile, Instruction, Location, Run, WorkingDirectory
from boxship.builder.graph import (
    Action,
    Configure,
    ContextSource,
    CopyAction,
    GitSource,
    Graph,
    HttpSource,
    ImageSource,
    Load,
    Source,
    Step,
)
from boxship.builder.history import MARK
from boxship.builder.instructions import CONFIGURING
from boxship.builder.model import BuildRequest
from boxship.builder.operations import CopyOperation, CopySource
from boxship.builder.running import run
from boxship.builder.stages import Failure, Layout, PlannedStage, needed, own_triggers
from boxship.builder.state import Inputs, StageState
from boxship.builder.variables import (
    DEFAULT_PATH,
    Globals,
    given_arguments,
)
from boxship.errors import BoxshipError
from boxship.spec import platform as platforms
from boxship.spec import reference as references
from boxship.spec.image import ExecutionConfig, Platform

COUNTED = (Run, Copy, WorkingDirectory)
ID_DIGITS = 24  # of what a step loads, in its id


class Base(msgspec.Struct, frozen=True):
    """What is known of an image under a stage. `digest` of its manifest, for people; `author` as its config has it."""

    config: ExecutionConfig
    digest: str = ""
    author: str = ""
    platform: Platform | None = None


Bases = Mapping[ImageSource, Base]


def missing_bases(
    dockerfile: Dockerfile, request: BuildRequest, host: Platform, known: Bases
) -> tuple[ImageSource, ...]:
    """Those of the images under needed stages that are not in `known`. Raises Failure, Invalid."""
    found = base_images(dockerfile, request, host, known).values()
    return tuple(dict.fromkeys(source for source in found if source not in known))


def base_images(dockerfile: Dockerfile, request: BuildRequest, host: Platform, known: Bases) -> dict[int, ImageSource]:
    """The images that needed stages stand on, by the stage's index."""
    draft = _Draft(dockerfile, request, host, known)
    sources = ((index, draft.stages[index].base.source) for index in sorted(draft.needed))
    return {index: source for index, source in sources if isinstance(source, ImageSource)}


def plan(
    dockerfile: Dockerfile,
    request: BuildRequest,
    host: Platform,
    known: Bases,
    offers: Callable[[str], bool] = lambda identifier: False,
) -> Graph:
    """The graph of everything that the target needs; `offers` says which ssh agents there are. Raises Failure for a
    wrong instruction, Invalid for a wrong request."""
    return _Draft(dockerfile, request, host, known).graph(offers)


class _Draft:
    """One Dockerfile with the stages that it needs."""

    def __init__(self, dockerfile: Dockerfile, request: BuildRequest, host: Platform, known: Bases) -> None:
        self.dockerfile = dockerfile
        self.request = request
        self.known = known
        target = platforms.normalise(request.platform) if request.platform else host
        self.layout = Layout(dockerfile, request, host, target)
        self.given = given_arguments(request.arguments)
        self.scope = Globals(
            platform_values(host, target, request.target), dockerfile.arguments, self.given, dockerfile.escape
        )
        if self.scope.failed is not None:
            raise Failure(*self.scope.failed)
        self.stages = self.layout.stages(self.scope)
        self.triggers: dict[int, list[Instruction]] = {}
        for index in self.stages:
            self.triggers[index] = self._triggers(index)
        self.needed = needed(self.layout, self.stages, self.triggers)
        self.steps: dict[str, Step] = {}
        self.states: dict[int, StageState] = {}
        self.place: Location | None = None  # of the instruction that is planned, for what it has to load

    def _triggers(self, index: int) -> list[Instruction]:
        """The instructions that the base of a stage left for it."""
        planned = self.stages[index]
        base = planned.base
        if planned.replaced:
            return []
        if base.stage is not None:
            texts = own_triggers(self.stages[base.stage].stage) if not self.stages[base.stage].replaced else ()
        elif isinstance(base.source, ImageSource) and base.source in self.known:
            texts = self.known[base.source].config.OnBuild or ()
        else:
            texts = ()
        return [parse_trigger(text, planned.stage.origin.location) for text in texts]

    def graph(self, offers: Callable[[str], bool]) -> Graph:
        for index in sorted(self.needed):
            state = self._begin(self.stages[index])
            self.states[index] = state
            for instruction in self._body(index):
                self.place = instruction.location
                try:
                    _carry(state, instruction, offers)
                except BoxshipError as error:
                    raise Failure(instruction, error) from error
            self._finish(state)
        final = self.states[self.layout.target]
        return Graph(
            steps=self.steps,
            target=final.last,
            platform=final.planned.platform,
            unused=unconsumed(self.given, self._declared()),
        )

    def _body(self, index: int) -> Sequence[Instruction]:
        planned = self.stages[index]
        return () if planned.replaced else (*self.triggers[index], *planned.stage.instructions)

    def _declared(self) -> frozenset[str]:
        """Every name that some ARG of the file declares, needed or not."""
        bodies = [*self.dockerfile.arguments]
        for index, stage in enumerate(self.dockerfile.stages):
            found = (*self.triggers.get(index, ()), *stage.instructions)
            bodies += [instruction for instruction in found if isinstance(instruction, Arg)]
        return frozenset(name for instruction in bodies for name, _ in instruction.pairs)

    def _begin(self, planned: PlannedStage) -> StageState:
        name = planned.stage.name
        title = name or (f"stage-{planned.index}" if len(self.dockerfile.stages) > 1 else "")
        total = 1 + sum(isinstance(instruction, COUNTED) for instruction in self._body(planned.index))
        inputs = Inputs(self._load, lambda index: self.states[index].last)
        state = StageState(planned, self.layout, self.scope, inputs, title=title, total=total)
        self._stand(state)
        return state

    def _stand(self, state: StageState) -> None:
        """The step of FROM."""
        planned = state.planned
        base, origin = planned.base, planned.stage.origin
        self.place = origin.location
        action: Action = Load(base.source)
        shown, history = "scratch", ""
        if base.stage is not None:
            below = self.states[base.stage]
            action = Configure()
            state.last, state.config, state.author = below.last, below.config, below.author
            state.arguments = dict(below.arguments)
            shown = below.planned.stage.name or origin.base
        elif base.source is None:
            state.config = ExecutionConfig(Env=(f"PATH={DEFAULT_PATH}",), WorkingDir="/")
        elif isinstance(base.source, ImageSource):
            known = self.known[base.source]
            state.config, state.author = known.config, known.author
            shown = image_name(base.source, known.digest)
        else:
            state.config = ExecutionConfig(Env=(f"PATH={DEFAULT_PATH}",), WorkingDir="/")
            shown = origin.base
            everything = CopyOperation(sources=(CopySource(None),), destination="/", epoch=self.request.epoch)
            action = CopyAction(everything, (self._load(base.source),))
            history = f"COPY . /{MARK}"
        state.config = msgspec.structs.replace(state.config, OnBuild=None)
        state.number = 1
        state.add(
            Step(
                id=f"{planned.index}.0",
                name=f"{state.prefix(1)}FROM {shown}",
                action=action,
                base=state.last,
                stage=state.title,
                number=1,
                total=state.total,
                instruction=origin.text,
                location=origin.location,
                config=state.config,
                history=history,
                author=state.author,
                no_cache=state.no_cache,
            )
        )

    def _load(self, source: Source) -> str:
        """The step that brings what --from or an ADD names. Its id tells no password that an address may have."""
        identifier = f"load {hashlib.sha256(msgspec.json.encode(source)).hexdigest()[:ID_DIGITS]}"
        if identifier not in self.steps:
            self.steps[identifier] = Step(
                id=identifier, name=source_name(source), action=Load(source), location=self.place
            )
        return identifier

    def _finish(self, state: StageState) -> None:
        for step in state.steps:
            self.steps[step.id] = step


def _carry(state: StageState, instruction: Instruction, offers: Callable[[str], bool]) -> None:
    """Plan one instruction."""
    if isinstance(instruction, Run):
        run(state, instruction, offers)
    elif isinstance(instruction, Copy):
        copy(state, instruction)
    else:
        CONFIGURING[type(instruction)](state, instruction)


def image_name(source: ImageSource, digest: str = "") -> str:
    """An image as BuildKit shows it: docker.io/library/busybox:latest@sha256:…"""
    reference = references.parse(source.reference)
    shown = str(reference)
    return shown if reference.digest or not digest else f"{shown}@{digest}"


def source_name(source: Source) -> str:
    """How a step that brings something is shown."""
    if isinstance(source, ImageSource):
        return f"FROM {image_name(source)}"
    if isinstance(source, ContextSource):
        return f"[context {source.name}] load from client" if source.name else "[internal] load build context"
    if isinstance(source, HttpSource):
        return without_password(source.url)
    assert isinstance(source, GitSource)
    fragment = source.reference + (f":{source.folder}" if source.folder else "")
    return f"[internal] load git source {without_password(source.url)}{'#' + fragment if fragment else ''}"
