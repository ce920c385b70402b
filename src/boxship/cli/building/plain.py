"""Progress as lines, for logs and pipes: every step has a number, and what it says stands behind it."""

from __future__ import annotations

from collections.abc import Callable

from boxship.cli.building.steps import CACHED, FAILED, RUNNING, Step, Steps
from boxship.cli.daemon import Object
from boxship.cli.text import visible

Write = Callable[[str], object]


class PlainShow:
    """Writes as the news come. When another step speaks in between, a step's name is said again."""

    def __init__(self, steps: Steps, write: Write, *, explain: bool = False) -> None:
        self._steps = steps
        self._write = write
        self._explain = explain
        self._current: Step | None = None

    def take(self, kind: str, event: Object) -> None:
        steps = self._steps
        if kind == "Planned":
            steps.plan(event)
        elif kind == "StepStarted":
            step = steps.begin(event)
            if step is not None and (self._current is None or self._current.state != RUNNING):
                self._turn_to(step)
        elif kind == "StepOutput":
            said = steps.say(event)
            if said is not None:
                self._lines(*said)
        elif kind == "StepProgress":
            steps.progress(event)
        elif kind == "StepFinished":
            step = steps.finish(event)
            if step is not None:
                self._end(step)
        elif kind == "Noticed":
            self._leave()
            self._write(notice_text(event["finding"]) + "\n")

    def _leave(self) -> None:
        if self._current is not None:
            if self._current.state == RUNNING:
                self._write(f"#{self._current.number} ...\n")
            self._write("\n")
            self._current = None

    def _turn_to(self, step: Step) -> None:
        if self._current is step:
            return
        self._leave()
        self._current = step
        self._write(f"#{step.number} {visible(step.name)}\n")

    def _lines(self, step: Step, lines: list[str]) -> None:
        if lines:
            self._turn_to(step)
            elapsed = self._steps.elapsed(step)
            self._write("".join(f"#{step.number} {elapsed:.3f} {visible(line)}\n" for line in lines))

    def _end(self, step: Step) -> None:
        self._lines(step, step.finish_output())
        self._turn_to(step)
        if step.parts:
            self._write(f"#{step.number} {amount(step)}\n")
        if step.state == CACHED:
            self._write(f"#{step.number} CACHED\n")
        elif step.state == FAILED:
            self._write(f"#{step.number} ERROR: {first_line(step.error)}\n")
        else:
            self._write(f"#{step.number} DONE {step.seconds:.1f}s\n")
        if self._explain and step.reason and step.state != CACHED:
            self._write(f"#{step.number} not cached: {visible(step.reason)}\n")

    def tick(self) -> None:
        """Nothing moves in a log."""

    def close(self) -> None:
        self._leave()


def first_line(text: str) -> str:
    """The rest, such as lines of the Dockerfile, is told at the end of the build."""
    return visible(text.partition("\n")[0])


def amount(step: Step) -> str:
    """ "12.3MB / 40MB"."""
    from boxship.spec.quantity import format_decimal_bytes

    current, total = step.fetched()
    return format_decimal_bytes(current, 3) + (f" / {format_decimal_bytes(total, 3)}" if total else "")


def notice_text(finding: Object) -> str:
    """A finding or warning as one line."""
    place = finding.get("location") or {}
    where = f" ({place['file']}:{place['first']})" if place.get("file") else ""
    rule = f"{finding['rule']}: " if finding.get("rule") else ""
    return f"WARNING: {rule}{visible(finding.get('message') or '')}{where}"
