"""What is known of a build's steps: made of the daemon's news, read by whoever shows them. It writes nothing.

Steps that only change the image's config are not shown; they take no time. Times are of this program's clock until a
step has ended, then the daemon's.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable

from boxship.cli.daemon import Object

TAIL_LINES = 12  # of a step's output, kept for its end
LINE_CHARACTERS = 4000  # of one line that has not ended yet

WAITING, RUNNING, DONE, CACHED, FAILED = "waiting", "running", "done", "cached", "failed"


class Step:
    """One step. `number` counts from 1 in the order in which they began; 0 has not begun."""

    def __init__(self, name: str, stage: str, instruction: str) -> None:
        self.name = name
        self.stage = stage
        self.instruction = instruction
        self.state = WAITING
        self.number = 0
        self.began = 0.0
        self.seconds = 0.0
        self.reason = ""
        self.error = ""
        self.tail: list[str] = []
        self.parts: dict[str, tuple[int, int]] = {}
        self._open: dict[int, bytes] = {}

    def take_output(self, stream: int, data: bytes) -> list[str]:
        """The lines that are whole by now."""
        *whole, rest = (self._open.pop(stream, b"") + data).split(b"\n")
        if len(rest) > LINE_CHARACTERS:
            whole.append(rest)
            rest = b""
        if rest:
            self._open[stream] = rest
        return self._keep(whole)

    def finish_output(self) -> list[str]:
        """Lines that never ended."""
        rest, self._open = list(self._open.values()), {}
        return self._keep(rest)

    def _keep(self, whole: list[bytes]) -> list[str]:
        # A carriage return starts a line again: what stands last on it is what a terminal would show.
        lines = [line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2] for line in whole]
        self.tail = [*self.tail, *lines][-TAIL_LINES:]
        return lines

    def fetched(self) -> tuple[int, int]:
        """Bytes there, and in all; 0 where that is not known."""
        current = sum(part[0] for part in self.parts.values())
        total = sum(part[1] for part in self.parts.values()) if all(part[1] for part in self.parts.values()) else 0
        return current, total


class Steps:
    """All steps, by the name that the daemon has for them and in the order of the Dockerfile."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.all: dict[str, Step] = {}
        self._began = 0

    def take(self, kind: str, event: Object) -> Step | None:
        """Any event of a build; the step that it ended, if it did."""
        if kind == "Planned":
            self.plan(event)
        elif kind == "StepStarted":
            self.begin(event)
        elif kind == "StepOutput":
            self.say(event)
        elif kind == "StepProgress":
            self.progress(event)
        elif kind == "StepFinished":
            return self.finish(event)
        return None

    def plan(self, event: Object) -> None:
        for fields in event["steps"]:
            self._find(fields)

    def _find(self, fields: Object) -> Step | None:
        """The step of a plan or a beginning; None for one that is not shown."""
        if fields.get("instruction") and not fields.get("number"):
            return None
        step = self.all.get(fields["step"])
        if step is None:
            step = Step(
                fields.get("name") or fields["step"], fields.get("stage") or "", fields.get("instruction") or ""
            )
            self.all[fields["step"]] = step
        return step

    def begin(self, event: Object) -> Step | None:
        step = self._find(event)
        if step is not None and step.state == WAITING:
            self._began += 1
            step.number = self._began
            step.state = RUNNING
            step.began = self.clock()
        return step

    def say(self, event: Object) -> tuple[Step, list[str]] | None:
        step = self.all.get(event["step"])
        if step is None:
            return None
        return step, step.take_output(event["stream"], binascii.a2b_base64(event["data"]))

    def progress(self, event: Object) -> Step | None:
        step = self.all.get(event["step"])
        if step is not None:
            step.parts[event["part"]] = (event["current"], event.get("total") or 0)
        return step

    def finish(self, event: Object) -> Step | None:
        step = self.all.get(event["step"])
        if step is None:
            return None
        if not step.number:
            self._began += 1
            step.number = self._began
        step.seconds = event.get("seconds") or 0.0
        step.reason = event.get("reason") or ""
        step.error = event.get("error") or ""
        step.state = FAILED if step.error else CACHED if event.get("cached") else DONE
        return step

    def elapsed(self, step: Step) -> float:
        return self.clock() - step.began if step.state == RUNNING else step.seconds
