"""What the classic builder writes: `Step 1/3 : …`, the steps' output, their end, as JSON values of a progress stream.

Steps run side by side; here they are told in the order of the Dockerfile. What a later step says meanwhile is held back
until its turn comes. There are no intermediate containers; their lines are written because clients look for them. Pure.
"""

import codecs
import hashlib
from collections.abc import Iterator
from typing import Any

from boxship.builder.model import (
    BuildEvent,
    Built,
    Noticed,
    Planned,
    StepFinished,
    StepOutput,
    StepProgress,
    StepStarted,
)

SHORT = 12  # hexadecimal digits of an id
STDERR = 2
RED, PLAIN = "\x1b[91m", "\x1b[0m"
QUIET = ("FROM", "COPY", "ADD")  # instructions for which the classic builder made no container
HELD_BYTES = 16 << 20  # of one step's output before its turn; what is more is left out

Line = dict[str, Any]


def short(identifier: str) -> str:
    return identifier.rpartition(":")[2][:SHORT]


def text(words: str) -> Line:
    return {"stream": words}


class _Step:
    """One instruction: what it has said and not yet told, and how it ended."""

    def __init__(self, started: StepStarted) -> None:
        self.started = started
        self.held: list[Line] = []
        self.held_bytes = 0
        self.begun = False
        self.told = False
        self.finished: StepFinished | None = None
        self.running = False
        self.decoders = {number: codecs.getincrementaldecoder("utf-8")("replace") for number in (1, STDERR)}


class ClassicWriter:
    """Events in, lines out. `rm` says whether to tell that intermediate containers are gone; `cache` whether there is
    any for steps that only change the config: those have none here, but had one in the classic builder."""

    def __init__(self, *, aux: bool = True, rm: bool = True, cache: bool = True) -> None:
        self._aux = aux
        self._rm = rm
        self._cache = cache
        self._missed: set[str] = set()  # stages of which a step was not cached
        self._steps: dict[str, _Step] = {}
        self._order: list[_Step] = []
        self._planned = False
        self._turn = 0

    def write(self, event: BuildEvent) -> Iterator[Line]:
        """The lines that can be told after the event."""
        if isinstance(event, Planned):
            self._planned = True
            for started in event.steps:
                self._add(started)
        elif isinstance(event, StepStarted):
            self._add(event)
            if event.step in self._steps:
                self._steps[event.step].begun = True
                yield from self._tell()
        elif isinstance(event, StepOutput):
            yield from self._output(event)
        elif isinstance(event, StepFinished):
            yield from self._finish(event)
        elif isinstance(event, StepProgress):
            yield from self._progress(event)
        elif isinstance(event, Noticed):
            if not event.finding.rule:
                yield text(f"{RED}[Warning] {event.finding.message}\n{PLAIN}")
        elif isinstance(event, Built):
            yield from self._built(event)

    def _add(self, started: StepStarted) -> None:
        if started.instruction and started.step not in self._steps:
            step = self._steps[started.step] = _Step(started)
            self._order.append(step)

    def _output(self, event: StepOutput) -> Iterator[Line]:
        step = self._steps.get(event.step)
        if step is None:
            return
        words = step.decoders[STDERR if event.stream == STDERR else 1].decode(event.data)
        if not step.running:
            step.running = True
            step.held += self._running(step)
        step.held_bytes += len(event.data)
        if words and (step.told or step.held_bytes <= HELD_BYTES):
            step.held.append(text(f"{RED}{words}{PLAIN}" if event.stream == STDERR else words))
        yield from self._tell()

    def _running(self, step: _Step) -> list[Line]:
        word = step.started.instruction.split(None, 1)[0].upper()
        return [] if word in QUIET else [text(f" ---> Running in {container_of(step.started)}\n")]

    def _finish(self, event: StepFinished) -> Iterator[Line]:
        step = self._steps.get(event.step)
        if step is None:
            return
        step.begun = True
        step.finished = event
        if not event.error:
            step.held += self._ending(step, event)
        yield from self._tell()

    def _ending(self, step: _Step, event: StepFinished) -> list[Line]:
        lines = []
        word = step.started.instruction.split(None, 1)[0].upper()
        cached = event.cached
        if step.started.number:
            if not cached and word != "FROM":
                self._missed.add(step.started.stage)
        elif not self._cache or step.started.stage in self._missed:
            cached = False
        if cached and word != "FROM":
            lines.append(text(" ---> Using cache\n"))
        elif word not in QUIET:
            if not step.running:
                lines += self._running(step)
            if self._rm:
                lines.append(text(f" ---> Removed intermediate container {container_of(step.started)}\n"))
        if event.image:
            lines.append(text(f" ---> {short(event.image)}\n"))
        return lines

    def _progress(self, event: StepProgress) -> Iterator[Line]:
        """Bytes that are fetched: the client draws a bar for each part."""
        detail = {"current": event.current, "total": event.total} if event.total else {"current": event.current}
        yield {"status": "Downloading", "progressDetail": detail, "id": short(event.part)}

    def _tell(self) -> Iterator[Line]:
        """Everything up to the first step that goes on."""
        while self._turn < len(self._order):
            step = self._order[self._turn]
            if not step.begun:
                return
            yield from self._release(step, self._turn)
            if step.finished is None or step.finished.error:
                return
            self._turn += 1

    def _release(self, step: _Step, index: int) -> Iterator[Line]:
        if not step.told:
            step.told = True
            yield text(f"Step {index + 1}/{len(self._order)} : {step.started.instruction}")
            yield text("\n")
        held, step.held = step.held, []
        yield from held

    def failed(self, name: str) -> Iterator[Line]:
        """What the failed step has said, also where its turn has not come."""
        step = self._steps.get(name)
        if step is not None:
            yield from self._release(step, self._order.index(step))

    def _built(self, event: Built) -> Iterator[Line]:
        if event.image:
            if self._aux:
                yield {"aux": {"ID": event.image}}
            yield text(f"Successfully built {short(event.image)}\n")
        for name in event.names:
            yield text(f"Successfully tagged {name}\n")


def container_of(step: StepStarted) -> str:
    """The name of the container that a step would have had."""
    return hashlib.sha256(f"{step.step} {step.instruction}".encode()).hexdigest()[:SHORT]
