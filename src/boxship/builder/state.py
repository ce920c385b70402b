"""A stage while it is being planned: its config, its variables, and the steps so far. Pure; used by `planner` alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from boxship.builder.dockerfile.syntax import Instruction
from boxship.builder.dockerfile.words import expand, expand_heredoc
from boxship.builder.graph import Action, Configure, Source, Step
from boxship.builder.model import BuildRequest
from boxship.builder.stages import Layout, PlannedStage
from boxship.builder.variables import Globals
from boxship.errors import Invalid
from boxship.spec.image import ExecutionConfig

DEFAULT_SHELL = ("/bin/sh", "-c")


class StageState:
    """What the instructions of one stage change."""

    def __init__(
        self,
        planned: PlannedStage,
        layout: Layout,
        scope: Globals,
        inputs: "Inputs",
        *,
        title: str,
        total: int,
    ) -> None:
        self.planned = planned
        self.layout = layout
        self.scope = scope
        self.inputs = inputs
        self.title = title
        self.total = total
        self.config = ExecutionConfig()
        self.author = ""
        self.arguments: dict[str, str | None] = {}
        self._variables: dict[str, str] | None = None
        self.command_set = False
        fresh = {name.lower() for name in layout.request.no_cache_stages}
        self.no_cache = layout.request.no_cache or planned.stage.name in fresh
        self.steps: list[Step] = []
        self.last = ""
        self.number = 0
        self.undefined: list[tuple[Instruction, str]] = []

    @property
    def request(self) -> BuildRequest:
        return self.layout.request

    @property
    def environment(self) -> dict[str, str]:
        """What ENV set, here and below."""
        return environment_of(self.config)

    @property
    def variables(self) -> dict[str, str]:
        """What an instruction may use: ENV goes before ARG."""
        if self._variables is None:
            values = {name: value for name, value in self.arguments.items() if value is not None}
            self._variables = values | self.environment
        return self._variables

    def declare(self, name: str, value: str | None) -> None:
        """ARG: None where it has no value. Named again, it keeps its place."""
        self.arguments[name] = value
        self._variables = None

    @property
    def shell(self) -> tuple[str, ...]:
        return self.config.Shell or DEFAULT_SHELL

    @property
    def working_directory(self) -> str:
        return normalise("/", self.config.WorkingDir or "/")

    def absolute(self, path: str) -> str:
        """A path as seen from the working directory; a slash at its end stays."""
        return normalise(self.working_directory, path)

    def word(self, text: str) -> str:
        return expand(text, self.variables, self.layout.dockerfile.escape).text

    def words(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Each text as one word."""
        variables = self.variables
        return tuple(expand(text, variables, self.layout.dockerfile.escape).text for text in texts)

    def split(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Each text as any number of words."""
        variables = self.variables
        return tuple(word for text in texts for word in expand(text, variables, self.layout.dockerfile.escape).words)

    def heredoc(self, content: str) -> str:
        return expand_heredoc(content, self.variables).text

    def set(self, **changes: Any) -> None:
        """Change the config."""
        self.config = msgspec.structs.replace(self.config, **changes)
        if "Env" in changes:
            self._variables = None

    def emit(
        self,
        instruction: Instruction,
        history: str,
        action: Action | None = None,
        *,
        shown: str = "",
        command: str = "",
    ) -> None:
        """Add a step. `shown` is what people read of it instead of the instruction's text."""
        text = instruction.text
        counted = action is not None
        if counted:
            self.number += 1
        self.add(
            Step(
                id=f"{self.planned.index}.{len(self.steps)}",
                name=self.prefix(self.number) + (shown or text) if counted else f"{self.label()}{text}",
                action=action or Configure(),
                base=self.last,
                stage=self.title,
                number=self.number if counted else 0,
                total=self.total,
                instruction=text,
                location=instruction.location,
                config=self.config,
                history=history,
                author=self.author,
                command=command,
                no_cache=self.no_cache,
            )
        )

    def add(self, step: Step) -> None:
        self.steps.append(step)
        self.last = step.id

    def prefix(self, number: int) -> str:
        """[web 2/5], numbers as wide as the total."""
        width = len(str(self.total))
        return f"[{self.title + ' ' if self.title else ''}{number:>{width}}/{self.total}] "

    def label(self) -> str:
        return f"[{self.title}] " if self.title else ""


class Inputs:
    """What steps name besides what they stand on; each thing becomes one step, however often it is named."""

    def __init__(self, load: Callable[[Source], str], stage: Callable[[int], str]) -> None:
        self._load = load
        self._stage = stage

    def of(self, state: StageState, origin: str) -> str:
        """The step that --from means; "" is the main context. Raises Invalid."""
        if not origin:
            return self.main(state)
        above = state.layout.input_stage(origin, state.planned.index)
        if above is not None:
            return self._stage(above)
        if origin == "scratch":
            raise Invalid("invalid from flag value scratch: it has no files")
        return self._load(state.layout.outside(origin, state.planned.platform))

    def main(self, state: StageState) -> str:
        """The main context. Raises Invalid where there is none."""
        from_elsewhere = state.layout.main_source()
        if from_elsewhere is None:
            raise Invalid("there is no build context: only a Dockerfile was sent")
        return self._load(from_elsewhere)

    def source(self, source: Source) -> str:
        return self._load(source)


def environment_of(config: ExecutionConfig) -> dict[str, str]:
    """Names and values of a config's Env."""
    pairs = (entry.partition("=") for entry in config.Env or ())
    return {name: value for name, _, value in pairs}


def environment_tuple(values: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in values.items())


def normalise(folder: str, path: str) -> str:
    """An absolute path without dots; a slash at the end of `path` stays, and "", "." and ".." at its end mean one."""
    slash = path == "" or path.endswith("/") or path.rpartition("/")[2] in (".", "..")
    parts: list[str] = []
    for part in f"{'' if path.startswith('/') else folder}/{path}".split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    joined = "/" + "/".join(parts)
    return joined + "/" if slash and joined != "/" else joined
