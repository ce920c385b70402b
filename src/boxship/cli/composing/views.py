"""How people see a plan being carried out: a table that is drawn over itself, plain lines, lines of JSON, or nothing.

Every view takes the same events. The table has a line for each network, volume, image and container, those of a service
below each other; it leaves the output of containers, which passes above it, alone.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from boxship.cli.composing.progress_rows import CANCELED, DONE, FAILED, WAITING, WARNING, WORKING, Row, Rows
from boxship.cli.composing.screen import Line, Screen
from boxship.cli.text import visible
from boxship.compose.planning.actions import AwaitContainer, Plan, StartContainer
from boxship.compose.running.view import Event, Outcome, subject
from boxship.spec.quantity import format_decimal_bytes

MARKS = {WAITING: "·", WORKING: "●", DONE: "✔", WARNING: "!", FAILED: "✘", CANCELED: "-"}
COLORS = {WAITING: "2", WORKING: "33", DONE: "32", WARNING: "35", FAILED: "31", CANCELED: "2"}
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAME_SECONDS = 0.1
BAR_CELLS = 12
STATE_CELLS = 36  # of a line that are kept for what becomes of the thing
LEAST_NAME_CELLS = 14
STATUS = {
    WAITING: "Waiting",
    WORKING: "Working",
    DONE: "Done",
    WARNING: "Warning",
    FAILED: "Error",
    CANCELED: "Canceled",
}
BYTES = ("Pulling", "Pushing")


class QuietView:
    """Shows warnings and failures alone."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen

    def begin(self, plan: Plan, dry_run: bool) -> None:
        for warning in plan.warnings:
            self.screen.write(f"WARNING: {visible(warning)}\n")

    def event(self, event: Event) -> None:
        """Failures are told at the end, by who asked for the plan."""

    def say(self, text: str) -> None:
        self.screen.write(f"{visible(text)}\n")

    def end(self, outcome: Outcome) -> None:
        """Nothing stands there that had to be closed."""


class PlainView(QuietView):
    """A line for each change of each thing."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(screen)
        self._said: dict[str, str] = {}

    def event(self, event: Event) -> None:
        if event.state == WAITING and not event.text:
            return
        # Why it failed is told at the end, by who asked for the plan.
        text = "Error" if event.state == FAILED else visible(event.text).replace("\n", " ")
        if self._said.get(event.subject) == text:
            return  # bytes that go on
        self._said[event.subject] = text
        dry = "DRY-RUN MODE - " if event.dry_run else ""
        reason = f" ({event.reason})" if event.reason and event.state == WORKING else ""
        self.screen.write(f" {dry}{visible(event.subject)}  {text}{visible(reason)}\n")


class JsonView(QuietView):
    """An object for each event, for other programs."""

    def begin(self, plan: Plan, dry_run: bool) -> None:
        for warning in plan.warnings:
            self._write({"level": "warning", "text": warning})

    def say(self, text: str) -> None:
        self._write({"level": "info", "text": text})

    def event(self, event: Event) -> None:
        fields: dict[str, Any] = {"id": event.subject, "status": STATUS[event.state], "text": event.text}
        fields |= {"service": event.service} if event.service else {}
        fields |= {"reason": event.reason} if event.reason else {}
        fields |= {"dry-run": True} if event.dry_run else {}
        if event.total:
            fields |= {"current": event.current, "total": event.total, "percent": event.current * 100 // event.total}
        self._write(fields)

    def _write(self, fields: dict[str, Any]) -> None:
        self.screen.write(json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n")


class TableView(QuietView):
    """The table. A thread draws it, so that times go on while nothing happens."""

    def __init__(self, screen: Screen, title: str) -> None:
        super().__init__(screen)
        self._title = title
        self._rows = Rows(time.monotonic)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._drawing: threading.Thread | None = None
        self._dry = False
        self._waits: dict[str, dict[int, str]] = {}  # by subject: the steps that its start waits for, and why

    def begin(self, plan: Plan, dry_run: bool) -> None:
        super().begin(plan, dry_run)
        self._dry = dry_run
        with self._lock:
            self._waits = waits_of(plan)
        if self._drawing is None:
            self._over.clear()
            self._drawing = threading.Thread(target=self._draw_on, daemon=True)
            self._drawing.start()

    def event(self, event: Event) -> None:
        with self._lock:
            self._rows.take(event)
            if event.state not in (WAITING, WORKING):
                for waits in self._waits.values():
                    waits.pop(event.step, None)

    def end(self, outcome: Outcome) -> None:
        self._over.set()
        if self._drawing is not None:
            self._drawing.join()
            self._drawing = None
        with self._lock:
            lines = self.lines(self.screen.size()[0], live=False)
        if len(lines) > 1:
            self.screen.draw(lines)
        self.screen.settle()
        self._rows = Rows(time.monotonic)

    def _draw_on(self) -> None:
        while not self._over.wait(FRAME_SECONDS):
            with self._lock:
                lines = self.lines(self.screen.size()[0], live=True)
            if len(lines) > 1:
                self.screen.draw(lines)

    def lines(self, rows: int, *, live: bool) -> list[Line]:
        """The whole table; what is over is left out first where there is no room for all."""
        over, total = self._rows.counts(waiting={name for name, waits in self._waits.items() if waits})
        now = self._rows.clock()
        dry = "DRY-RUN MODE - " if self._dry else ""
        head: Line = ("1", f"{dry}{self._title}  {over}/{total}", f"{now - self._rows.began:.1f}s")
        body = [self._line(row) for row in self._sorted() if row.began or row.text or not live]
        room = rows - 2
        if live and len(body) > room:
            ended = [line for line in body if line[0] in (COLORS[DONE], COLORS[WAITING])]
            excess = len(body) - room
            dropped = set(map(id, ended[:excess]))
            body = [line for line in body if id(line) not in dropped][:room]
        return [head, *body]

    def _sorted(self) -> list[Row]:
        """Networks and volumes first, then each service with its image and containers."""
        rows = list(self._rows.all.values())
        services = list(dict.fromkeys(row.service for row in rows if row.service))
        order = {name: index for index, name in enumerate(services, 1)}
        return sorted(rows, key=lambda row: order.get(row.service, 0))

    def _line(self, row: Row) -> Line:
        mark = MARKS[row.state]
        if row.state == WORKING:
            mark = FRAMES[int(self._rows.clock() / FRAME_SECONDS) % len(FRAMES)]
        text = visible(row.text.partition("\n")[0])
        waits = self._waits.get(row.subject)
        if waits and row.state in (WAITING, DONE):
            mark, text = MARKS[WAITING], f"{text}{', ' if text else ''}waiting for {', '.join(waits.values())}"
        reason = f"  ({visible(row.reason)})" if row.reason and row.state == WORKING else ""
        indent = "   " if row.service else " "
        width = self._subject_width()
        name = shortened(visible(row.subject), width).ljust(width)
        shown = f"{indent}{mark} {name}  {text}{amount(row)}{reason}"
        right = f"{self._rows.elapsed(row):.1f}s" if row.began else ""
        return COLORS[row.state], shown, right

    def _subject_width(self) -> int:
        longest = max((len(visible(row.subject)) for row in self._rows.all.values()), default=0)
        return min(longest, max(self.screen.size()[1] - STATE_CELLS, LEAST_NAME_CELLS))


def shortened(name: str, width: int) -> str:
    """Without its middle where it is too long: replicas differ at the end."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 3
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"


def waits_of(plan: Plan) -> dict[str, dict[int, str]]:
    """What each container waits for before it is started: others that are to be healthy or through."""
    steps = {step.id: step.action for step in plan.steps}
    found: dict[str, dict[int, str]] = {}
    for step in plan.steps:
        if isinstance(step.action, StartContainer):
            awaited = {before: action for before in step.after if isinstance(action := steps[before], AwaitContainer)}
            found[subject(step.action)] = {
                before: f"{visible(action.name)} ({action.condition})" for before, action in awaited.items()
            }
    return found


def amount(row: Row) -> str:
    """A bar, and bytes or steps of a total."""
    if row.state != WORKING or not row.total:
        return ""
    full = min(row.current * BAR_CELLS // row.total, BAR_CELLS)
    bar = "█" * full + "░" * (BAR_CELLS - full)
    if row.text.startswith(BYTES) or row.total > 1 << 16:
        return f"  {bar} {format_decimal_bytes(row.current, 3)} / {format_decimal_bytes(row.total, 3)}"
    return f"  {bar} {row.current}/{row.total}"
