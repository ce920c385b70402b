"""How a build is shown: which of the ways, and what stands at its end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from boxship.cli.building.steps import Steps
from boxship.cli.call import Call
from boxship.cli.daemon import Object
from boxship.cli.flags import UsageError
from boxship.cli.terminal import is_terminal, terminal_size
from boxship.cli.text import short_id, visible

WAYS = ("auto", "plain", "tty", "quiet", "rawjson", "none")
NOISE = 2  # news go to standard error: standard output is for results

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.building.plain import PlainShow
    from boxship.cli.building.tree import TreeShow


def write_all(text: str) -> None:
    data = memoryview(text.encode("utf-8", "replace"))
    while data:
        data = data[os.write(NOISE, data) :]


def way_of(call: Call) -> str:
    """The way that flags, environment and terminal ask for."""
    options, environment = call.options, call.environment
    way = options.text("progress")
    if not options.given("progress"):
        way = environment.get("BOXSHIP_PROGRESS") or environment.get("BUILDKIT_PROGRESS") or way
    if way not in WAYS:
        raise UsageError(f"invalid argument {way!r} for --progress: it must be one of {', '.join(WAYS[:-1])}")
    if options.on("quiet") and way in ("auto", "quiet", "none"):
        return "quiet"
    if options.on("quiet"):
        raise UsageError("the progress and the quiet options conflict")
    if way == "tty" and not is_terminal(NOISE):
        raise UsageError("cannot show progress as tty: standard error is not a terminal")
    if way == "auto":
        return "tty" if is_terminal(NOISE) and environment.get("TERM", "dumb") != "dumb" else "plain"
    return "quiet" if way == "none" else way


class Show:
    """Takes the news of one build, keeps what its end needs, and shows them in one way."""

    def __init__(self, call: Call, way: str, title: str) -> None:
        self.way = way
        self.steps = Steps(time.monotonic)
        self.built: Object = {}
        self.findings: list[Object] = []
        self._explain = call.options.on("explain")
        self._began = time.monotonic()
        self._inner = self._make(call, title)

    def _make(self, call: Call, title: str) -> PlainShow | TreeShow:
        if self.way == "tty":
            from boxship.cli.building.tree import TreeShow

            color = not call.environment.get("NO_COLOR")
            size = lambda: terminal_size(NOISE)  # noqa: E731
            return TreeShow(self.steps, write_all, size, title, explain=self._explain, color=color)
        from boxship.cli.building.plain import PlainShow

        write: Callable[[str], object] = write_all if self.way == "plain" else _drop
        return PlainShow(self.steps, write, explain=self._explain)

    def take(self, kind: str, event: Object, raw: bytes) -> None:
        if self.way == "rawjson":
            write_all(raw.decode("utf-8", "replace") + "\n")
        if kind == "Built":
            self.built = event
        elif kind == "Noticed":
            self.findings.append(event["finding"])
        self._inner.take(kind, event)

    @property
    def tick(self) -> Callable[[], object] | None:
        return self._inner.tick if self.way == "tty" else None

    def close(self) -> None:
        self._inner.close()

    def write_summary(self) -> None:
        """One line about the whole."""
        if self.way in ("quiet", "rawjson"):
            return
        built = self.built
        names = ", ".join(visible(name) for name in built.get("names") or [])
        image = short_id(built.get("image") or "")
        what = f" {names} ({image})" if names and image else f" {names or image}".rstrip()
        cached = built.get("cached") or 0
        seconds = time.monotonic() - self._began
        write_all(f"Built{what}: {built.get('steps') or 0} steps, {cached} cached, {seconds:.1f} s\n")

    def write_failure(self, fields: Object) -> None:
        """What the failed step said last, and where it stands."""
        step = self.steps.all.get(fields.get("step") or "")
        parts = []
        if step is not None and step.tail and self.way != "rawjson":
            rule = "------\n"
            tail = "".join(f"{visible(line)}\n" for line in step.tail)
            parts.append(f"{rule} > {visible(step.name)}:\n{tail}{rule}")
        if fields.get("excerpt"):
            parts.append(visible(fields["excerpt"]) + "\n")
        if parts:
            write_all("".join(parts))


def _drop(text: str) -> None:
    """For ways that show no steps."""
