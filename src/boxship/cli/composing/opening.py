"""A call of `boxship compose`: its project, from files or from what is there under its name, and how it is changed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any

from boxship.cli.call import Call, Failure
from boxship.cli.composing.host import HttpHost
from boxship.cli.composing.localfiles import LocalFiles
from boxship.cli.composing.reach import Reach
from boxship.cli.composing.screen import Screen
from boxship.cli.composing.settings import is_true, read_settings
from boxship.cli.text import visible
from boxship.compose.load import Options as LoadOptions
from boxship.compose.load import load
from boxship.compose.loading import LoadRequest
from boxship.compose.model import Project
from boxship.compose.planning.actions import BuildImage, Plan
from boxship.compose.planning.observed import Observed
from boxship.compose.planning.selecting import looked_at, recovered
from boxship.compose.running.host import News
from boxship.errors import BoxshipError, NotFound

Phase = Callable[[Observed], Plan]
TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.composing.builds import Watch
    from boxship.cli.composing.views import QuietView
    from boxship.compose.running.cancel import Cancel
    from boxship.compose.running.view import Outcome


class Opening:
    """What a verb works with. The daemon is reached for when it is first needed."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.settings = read_settings(call)
        self.screen = Screen(self.settings.descriptor, live=self.settings.way == "tty", color=self.settings.color)
        self.build_memory = 0  # bytes, at most; 0: no limit
        self.build_checks = False  # Dockerfiles are only looked at
        self.watch_builds: Watch | None = None
        self.findings: list[tuple[str, dict[str, Any]]] = []
        self._host: HttpHost | None = None
        self._said: set[str] = set()

    @property
    def host(self) -> HttpHost:
        if self._host is None:
            reach = Reach(self.call)
            self._host = HttpHost(reach, self._build)
            options = self.call.options
            self._host.quiet_pull = options.has("quiet-pull") and options.on("quiet-pull")
        return self._host

    def _build(self, project: Project, action: BuildImage, tell: Callable[[News], None]) -> str:
        from boxship.cli.composing.builds import Builder, BuildLimits

        limits = BuildLimits(self.build_memory, self.build_checks)
        builder = Builder(self.host.reach, self.watch_builds, limits, self.findings)
        return builder.build(project, action, tell)

    def request(self, **changes: Any) -> LoadRequest:
        """What flags and environment say about the files."""
        group, environment = self.call.group, self.call.environment
        files = tuple(group.texts("file"))
        return LoadRequest(
            start=os.getcwd(),
            stdin=sys.stdin.buffer.read() if "-" in files else None,
            files=files,
            directory=group.text("project-directory"),
            name=group.text("project-name"),
            env_files=tuple(group.texts("env-file")),
            profiles=tuple(group.texts("profile")),
            environment=environment,
            **changes,
        )

    def load(self, services: Sequence[str] = (), request: LoadRequest | None = None, **options: Any) -> Project:
        """The project of the files. Raises FileError and others before anything is touched."""
        chosen = LoadOptions(services=tuple(services), **options)
        project = load(request or self.request(), LocalFiles(), chosen)
        for warning in project.warnings:
            self.warn(warning)
        return project

    def project(self, services: Sequence[str] = (), **options: Any) -> Project:
        """The project of the files; where there are none but a name, what is there under it."""
        name = self.call.group.text("project-name") or self.call.environment.get("COMPOSE_PROJECT_NAME", "")
        try:
            return self.load(services, **options)
        except NotFound:
            given = self.call.group.texts("file") or self.call.environment.get("COMPOSE_FILE")
            if not name or given:
                raise
        return recovered(name, self.host.observe(name))

    def observe(self, project: Project) -> Observed:
        images, networks, volumes = looked_at(project)
        return self.host.observe(project.name, images=images, networks=networks, volumes=volumes)

    def warn(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.screen.write(f"WARNING: {visible(text)}\n", 2)

    def view(self, title: str, *, quiet: bool = False) -> QuietView:
        from boxship.cli.composing.views import JsonView, PlainView, QuietView, TableView

        way = "quiet" if quiet else self.settings.way
        if way == "tty":
            return TableView(self.screen, title)
        if way == "json":
            return JsonView(self.screen)
        return QuietView(self.screen) if way == "quiet" else PlainView(self.screen)

    def run(
        self,
        project: Project,
        title: str,
        *phases: Phase,
        view: QuietView | None = None,
        cancel: Cancel | None = None,
    ) -> Outcome:
        """Change the project, one phase after the other; what failed is told. Without a `cancel`, Ctrl-C is heard here:
        once, and what is being done ends in order; twice, and nothing is waited for."""
        from boxship.compose.running.cancel import Cancel
        from boxship.compose.running.session import change

        with nullcontext(cancel) if cancel else interrupts(Cancel()) as asked:
            outcome = change(
                self.host,
                project,
                view or self.view(f"{title} {project.name}"),
                *phases,
                parallel=self.settings.parallel,
                dry_run=self.settings.dry_run,
                wait=self.settings.wait,
                cancel=asked,
            )
        for failure in outcome.failures:
            self.screen.write(f"boxship: {visible(failure.subject)}: {visible(failure.reason)}\n", 2)
        return outcome

    def change(self, project: Project, title: str, *phases: Phase, **how: Any) -> int:
        """The exit code of `run`."""
        return int(self.run(project, title, *phases, **how).code)


@contextmanager
def interrupts(cancel: Cancel) -> Iterator[Cancel]:
    """While it is entered, Ctrl-C asks `cancel`, whatever the program does at that moment. Where no run hears of that
    (the lock or the daemon's answer is waited for) it interrupts as it always does."""
    if threading.current_thread() is not threading.main_thread():
        yield cancel  # signals are the main thread's
        return

    def ask(number: int, frame: FrameType | None) -> None:
        cancel.ask()
        if not cancel.is_heard:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)


def timeout_of(call: Call) -> float | None:
    """--timeout; None where it was not given."""
    return float(call.options.number("timeout")) if call.options.given("timeout") else None


def orphans_of(call: Call, project: Project) -> tuple[bool, bool]:
    """(remove them, say nothing of them). The variables may stand in the project's .env, too."""
    environment = {**project.environment, **call.environment}
    remove = call.options.on("remove-orphans") or is_true(environment, "COMPOSE_REMOVE_ORPHANS")
    ignore = is_true(environment, "COMPOSE_IGNORE_ORPHANS")
    if remove and ignore:
        raise Failure("cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans")
    return remove, ignore


def scales(words: Sequence[str], flag: str = "--scale") -> dict[str, int]:
    """ "web=3" as numbers by service."""
    found = {}
    for word in words:
        name, equals, number = word.partition("=")
        if not equals or not name or not (number.isascii() and number.isdigit()):
            raise Failure(f"invalid argument {word!r} for {flag}: it must be SERVICE=NUMBER")
        found[name] = int(number)
    return found


def confirm(call: Call, question: str) -> bool:
    """Ask on the terminal. No answer means no."""
    call.write(f"? {question} [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def service_names(call: Call) -> list[str]:
    """For the shell: nothing where there is no project."""
    try:
        request = Opening(call).request()
        project = load(request, LocalFiles(), LoadOptions())
    except (BoxshipError, OSError):
        return []
    return [*project.services, *project.disabled]
