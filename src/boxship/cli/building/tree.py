"""Progress on a terminal: stages and their steps as a tree that is drawn over itself, with times, what running steps
say, and what came from the cache. When all is over the whole tree stands once.
"""

from __future__ import annotations

from collections.abc import Callable

from boxship.cli.building.plain import amount, notice_text
from boxship.cli.building.steps import CACHED, DONE, FAILED, RUNNING, WAITING, Step, Steps
from boxship.cli.daemon import Object
from boxship.cli.text import visible

MARKS = {WAITING: "·", RUNNING: "●", DONE: "✔", CACHED: "✔", FAILED: "✘"}
COLORS = {WAITING: "2", RUNNING: "33", DONE: "32", CACHED: "36", FAILED: "31"}
TAIL_LINES = 6  # of a running step's output
TIME_WIDTH = 9
FRAME_SECONDS = 0.08

Line = tuple[str, str, str]  # color, text, what stands at the right


class TreeShow:
    """Draws. `size` gives rows and columns of the terminal at any moment."""

    def __init__(
        self,
        steps: Steps,
        write: Callable[[str], object],
        size: Callable[[], tuple[int, int]],
        title: str,
        *,
        explain: bool = False,
        color: bool = True,
    ) -> None:
        self._steps = steps
        self._write = write
        self._size = size
        self._title = title
        self._explain = explain
        self._color = color
        self._began = steps.clock()
        self._drawn: list[int] = []  # widths of the lines that stand there
        self._last = 0.0
        self._notices: list[str] = []

    def take(self, kind: str, event: Object) -> None:
        ended = self._steps.take(kind, event)
        if ended is not None:
            ended.finish_output()
        if kind == "Noticed":
            self._notices.append(notice_text(event["finding"]))

    def tick(self) -> None:
        """Draw what stands now, if it was not drawn a moment ago."""
        if self._steps.clock() - self._last < FRAME_SECONDS:
            return
        self._last = self._steps.clock()
        rows, columns = self._size()
        lines = self._lines(live=True)
        self._draw(shortened(lines, (rows or 24) - 2), columns or 80)

    def close(self) -> None:
        """Draw the whole tree for good."""
        columns = self._size()[1] or 80
        self._draw(self._lines(live=False), columns)
        self._drawn = []
        if self._notices:
            self._write("".join(f"{notice}\n" for notice in self._notices))

    def _draw(self, lines: list[Line], columns: int) -> None:
        # A terminal that became narrower since has broken the lines that stand on it.
        rows = sum(max(1, -(-drawn // columns)) for drawn in self._drawn)
        up = f"\x1b[{rows}A" if rows else ""
        shown = [self._laid_out(line, columns) for line in lines]
        colored = [self._colored(line[0], text) for line, text in zip(lines, shown, strict=True)]
        self._write(up + "".join(f"\r\x1b[2K{text}\n" for text in colored) + "\x1b[J")
        self._drawn = [width(text) for text in shown]

    def _laid_out(self, line: Line, columns: int) -> str:
        _, text, right = line
        room = columns - 1 - (max(len(right), TIME_WIDTH) + 1 if right else 0)
        shown = fitted(text, max(room, 1))
        return shown + " " * (room - width(shown)) + right.rjust(columns - 1 - room) if right else shown

    def _colored(self, color: str, text: str) -> str:
        return f"\x1b[{color}m{text}\x1b[0m" if color and self._color else text

    def _lines(self, *, live: bool) -> list[Line]:
        all_steps = list(self._steps.all.values())
        over = sum(step.state in (DONE, CACHED, FAILED) for step in all_steps)
        lines: list[Line] = [
            ("1", f"{self._title}  {over}/{len(all_steps)}", f"{self._steps.clock() - self._began:.1f}s")
        ]
        stage = ""
        several = len({step.stage for step in all_steps if step.stage}) > 1
        for step in all_steps:
            if several and step.stage != stage:
                stage = step.stage
                if stage:
                    lines.append(("1", f" {visible(stage)}", ""))
            lines += self._step_lines(step, "   " if several and stage else " ", live)
        return lines

    def _step_lines(self, step: Step, indent: str, live: bool) -> list[Line]:
        right = ""
        if step.state == CACHED:
            right = "cached"
        elif step.state != WAITING:
            right = f"{self._steps.elapsed(step):.1f}s"
        text = f"{indent}{MARKS[step.state]} {visible(step.name)}"
        if step.parts and step.state != CACHED:
            text += f"  {amount(step)}"
        lines = [(COLORS[step.state], text, right)]
        if live and step.state == RUNNING:
            lines += [("2", f"{indent}    {visible(line)}", "") for line in step.tail[-TAIL_LINES:]]
        if self._explain and step.reason and step.state in (DONE, FAILED):
            lines.append(("2", f"{indent}    not cached: {visible(step.reason)}", ""))
        return lines


def shortened(lines: list[Line], rows: int) -> list[Line]:
    """As many lines as there is room for: what is over goes first, from the top; the title stays."""
    rows = max(rows, 3)
    excess = len(lines) - rows
    if excess <= 0:
        return lines
    ended = (COLORS[DONE], COLORS[CACHED])
    kept = [lines[0]]
    for line in lines[1:]:
        if excess > 0 and line[0] in ended:
            excess -= 1
        else:
            kept.append(line)
    return kept if len(kept) <= rows else kept[:rows]


def width(text: str) -> int:
    """Columns that the text takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def fitted(text: str, columns: int) -> str:
    """The text cut to so many columns."""
    text = text.expandtabs(4).replace("\n", " ")
    if width(text) <= columns:
        return text
    shown = text[:columns]
    while width(shown) > columns - 1:
        shown = shown[:-1]
    return f"{shown}…"
