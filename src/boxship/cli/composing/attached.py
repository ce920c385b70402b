"""`up` in the foreground: the containers' output while the project comes up and after that, until everything has ended,
somebody presses Ctrl-C, or one container's end is to end all.

The first Ctrl-C stops the containers as they want to be stopped, the second kills them. A program that dies without
warning leaves the project running: it was asked for.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import time
from collections.abc import Callable
from types import FrameType

from msgspec import Struct

from boxship.cli.composing.following import Following, Source
from boxship.cli.composing.observing import first_name
from boxship.cli.composing.opening import Opening, Phase
from boxship.cli.composing.printing import LogPrinter, short_name
from boxship.cli.composing.reading import lives_on
from boxship.cli.composing.seen import containers, labels_of, service_of
from boxship.compose.model import Project
from boxship.compose.planning.lifecycle import kill, stop
from boxship.compose.planning.options import KillOptions, StopOptions
from boxship.compose.running.cancel import Cancel
from boxship.errors import NotFound

ASKED = "asked"
LOOK_SECONDS = 1.0
EXIT_INTERRUPTED = 130


class Attachment(Struct, frozen=True, kw_only=True):
    """`shown` are the services whose output is wanted, `services` those that were brought up,
    `staying` those that have to end for the whole to be over. `code_from` is the
    service whose exit code is the program's; `abort` is "", exit (any end) or failure (an end with another code)."""

    shown: frozenset[str]
    services: tuple[str, ...]
    staying: frozenset[str]
    code_from: str = ""
    abort: str = ""
    timeout: float | None = None


class Ended(Struct, frozen=True):
    source: Source
    code: int
    again: bool


class Foreground:
    """One `up` with output."""

    def __init__(self, opening: Opening, project: Project, asked: Attachment, printer: LogPrinter) -> None:
        self._opening = opening
        self._project = project
        self._asked = asked
        self._printer = printer
        self._news: queue.Queue[Ended | str] = queue.Queue()
        self._cancel = Cancel()
        self._asked_times = 0
        self._bringing = False
        self._code: int | None = None
        self._watching = False
        self._steps_through = frozenset(
            name
            for service in project.services.values()
            for name, dependency in service.depends_on.items()
            if dependency.condition == "service_completed_successfully"
        )
        self._following = Following(
            opening.host,
            project.name,
            lambda service: service in asked.services or service in asked.shown,
            printer,
            ended=lambda source, code, again: self._news.put(Ended(source, code, again)),
            shown=lambda service: service in asked.shown,
        )

    def run(self, *phases: Phase, after: Callable[[], object] | None = None) -> int:
        """Bring up, and stay. `after` is called when all is up."""
        self._watching = after is not None
        before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._following.watch()
            for item in containers(self._opening, self._project, stopped=False):
                if service_of(item) in self._asked.services:
                    name = short_name(first_name(item), labels_of(item))
                    self._following.add(item["Id"], name, service_of(item), time.time_ns())
            self._bringing = True
            outcome = self._opening.run(self._project, "Up", *phases, cancel=self._cancel)
            self._bringing = False
            if outcome.code and not outcome.canceled:
                return int(outcome.code)
            if after and not outcome.canceled:
                after()
            return self._stay()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked_times += 1
        self._cancel.ask()
        self._news.put(ASKED)
        if self._bringing and not self._cancel.is_heard:
            raise KeyboardInterrupt  # nothing is being done: another's lock is waited for, or the daemon's answer

    def _stay(self) -> int:
        """Until there is a reason to end."""
        alive = self._alive()
        if not self._asked_times and alive:
            names = ", ".join(sorted(name for name in self._following.names() if name))
            self._printer.notice(f"Attaching to {names}" if names else "Attaching to nothing")
        while not self._asked_times and (alive or not self._news.empty()):
            try:
                news = self._news.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if self._following.broken:
                    raise BrokenPipeError from None  # the project stays as it was asked for
                if self._following.lost:
                    self._following.resume(lambda: self._asked_times > 0)
                alive = self._lives_on()
                continue
            if isinstance(news, Ended) and self._take(news):
                return self._end(stopping=True)
            alive = self._lives_on()
        if self._asked_times:
            return self._end(stopping=True)
        return self._end(stopping=False)

    def _take(self, news: Ended) -> bool:
        """Tell of an end; whether it ends all."""
        name = news.source.name
        if not self._is_there(news.source):
            return False  # it was replaced
        again = " (restarting)" if news.again else ""
        if news.source.service in self._asked.staying or news.source.service in self._asked.shown:
            self._printer.notice(f"{name} exited with code {news.code}{again}")
        if news.again:
            return False
        asked = self._asked
        if not news.code and news.source.service in self._steps_through and news.source.service != asked.code_from:
            return False  # others waited for just that
        counts = not asked.code_from or news.source.service == asked.code_from
        if counts and self._code is None and (asked.abort != "failure" or news.code):
            self._code = news.code
        if asked.abort == "failure":
            return bool(news.code)
        return asked.abort == "exit"

    def _is_there(self, source: Source) -> bool:
        try:
            self._opening.host.inspect(source.id)
        except NotFound:
            return False
        return True

    def _lives_on(self) -> bool:
        return self._watching or lives_on(self._alive)

    def _alive(self) -> bool:
        """Whether anything that was brought up still runs, or is about to run again."""
        found = containers(self._opening, self._project, stopped=False)
        return any(service_of(item) in self._asked.staying for item in found)

    def _end(self, *, stopping: bool) -> int:
        asked = self._asked
        if stopping:
            if self._asked_times:
                self._printer.notice("Gracefully Stopping... press Ctrl+C again to force")
            else:
                self._printer.notice("Aborting on container exit...")
            self._stop()
        self._drain()
        if self._asked_times and not asked.abort:
            return EXIT_INTERRUPTED
        if asked.abort:
            return self._code or 0
        return 0

    def _stop(self) -> None:
        """All containers of what was brought up; at the second Ctrl-C they are killed."""
        options = StopOptions(services=self._asked.services, timeout=self._asked.timeout)
        cancel = Cancel()
        calm = self._asked_times

        def force(number: int, frame: FrameType | None) -> None:
            self._asked_times += 1
            cancel.ask()
            cancel.ask()
            if not cancel.is_heard:
                raise KeyboardInterrupt

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, force)
        if calm < 2:
            with contextlib.suppress(KeyboardInterrupt):  # asked again before the stop began
                self._opening.run(self._project, "Stop", lambda seen: stop(self._project, seen, options), cancel=cancel)
        if self._asked_times > calm or calm > 1:  # also where it came before the handler
            asked = KillOptions(services=self._asked.services)
            self._opening.run(self._project, "Kill", lambda seen: kill(self._project, seen, asked))

    def _drain(self) -> None:
        """What was said to the end, and the ends themselves."""
        self._following.drain_all()
        deadline = time.monotonic() + LOOK_SECONDS
        while not self._news.empty() or (self._following.ending() and time.monotonic() < deadline):
            try:
                news = self._news.get(timeout=0.05)
            except queue.Empty:
                continue
            if isinstance(news, Ended):
                self._take(news)
