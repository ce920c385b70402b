"""Watching files, and updating containers with what changes: whole batches, into every container of a service, also
those that are made or started meanwhile.

It looks at the files again and again, seldom enough to stay cheap. What a container has got is remembered by its id: a
new one gets everything at once, one that restarts keeps what it has. A failure is told and tried again.
"""

from __future__ import annotations

import io
import os
import tarfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from boxship.cli.composing.hooks import run_hook
from boxship.cli.composing.observing import seen_container
from boxship.cli.composing.opening import Opening
from boxship.cli.composing.seen import containers
from boxship.cli.composing.watch_rules import Rule, Stamp, differences, rules_of
from boxship.cli.copying import pack_one
from boxship.cli.text import visible
from boxship.compose.model import Project
from boxship.compose.parts import Hook
from boxship.compose.planning.lifecycle import restart
from boxship.compose.planning.observed import LABEL_PROJECT, SeenContainer
from boxship.compose.planning.options import RestartOptions, UpOptions
from boxship.compose.planning.up import up
from boxship.compose.running.session import image_phases
from boxship.errors import BoxshipError

LEAST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between two looks
SHARE = 10  # a look may take a tenth of the time
SETTLE_SECONDS = 1.0  # a batch is closed after this, even if changes go on
PORTION_BYTES = 32 << 20  # of files in one archive; a larger file has one of its own
REMOVED_AT_ONCE = 200  # paths in one command
LIVE = ("running", "restarting", "paused")


class Batch:
    """What changed under one rule since the last time."""

    def __init__(self) -> None:
        self.changed: dict[str, None] = {}
        self.removed: dict[str, None] = {}

    def take(self, changed: Sequence[str], removed: Sequence[str]) -> bool:
        """Whether there was anything new."""
        for path in changed:
            self.removed.pop(path, None)
            self.changed[path] = None
        for path in removed:
            self.changed.pop(path, None)
            self.removed[path] = None
        return bool(changed or removed)

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


class Watching:
    """Watches the services' rules until it is told to stop."""

    def __init__(
        self, opening: Opening, project: Project, names: Iterable[str], *, prune: bool = True, quiet: bool = False
    ) -> None:
        self._opening = opening
        self._project = project
        self._rules = rules_of(project, tuple(names))
        self._prune = prune
        self._quiet = quiet
        self._over = threading.Event()
        self._known: dict[Rule, dict[str, Stamp]] = {}
        self._filled: set[str] = set()  # ids of containers that have got everything
        self._pause = LEAST_PAUSE

    def start(self) -> None:
        """In a thread of its own."""
        threading.Thread(target=self.run, daemon=True).start()

    def stop(self) -> None:
        self._over.set()

    def run(self) -> None:
        """Until `stop`."""
        self._known = {rule: rule.scan() for rule in self._rules}
        self._say("Watch enabled")
        batches: dict[Rule, Batch] = {}
        while not self._over.is_set():
            try:
                if batches:
                    self._apply(batches)
                self._fill()
            except (BoxshipError, OSError) as error:
                self._say(f"cannot update: {visible(str(error))}")
                self._filled.clear()  # whatever is there then gets everything
                self._over.wait(LONGEST_PAUSE)
            self._over.wait(self._pause)
            batches = self._collect()

    def _say(self, text: str) -> None:
        self._opening.screen.write(f"{text}\n")

    def _collect(self) -> dict[Rule, Batch]:
        """What changed, once it has come to rest."""
        batches = {rule: Batch() for rule in self._rules}
        closed = time.monotonic() + SETTLE_SECONDS
        while self._look(batches) and time.monotonic() < closed:
            time.sleep(LEAST_PAUSE)
        return {rule: batch for rule, batch in batches.items() if batch}

    def _look(self, batches: dict[Rule, Batch]) -> bool:
        began = time.monotonic()
        moved = False
        for rule, batch in batches.items():
            now = rule.scan()
            moved |= batch.take(*differences(self._known[rule], now))
            self._known[rule] = now
        self._pause = min(max((time.monotonic() - began) * SHARE, LEAST_PAUSE), LONGEST_PAUSE)
        return moved

    def _containers(self) -> list[SeenContainer]:
        services = {rule.service for rule in self._rules}
        found = map(seen_container, containers(self._opening, self._project, stopped=False))
        return [one for one in found if one.service in services and one.state in LIVE]

    def _fill(self) -> None:
        """Give containers that are new what belongs into them."""
        for container in self._containers():
            if container.id in self._filled:
                continue
            for rule in self._rules:
                if rule.service == container.service and rule.syncs and self._known[rule]:
                    self._put(container, rule, list(self._known[rule]))
            self._filled.add(container.id)

    def _apply(self, batches: dict[Rule, Batch]) -> None:
        rebuilt = {rule.service for rule in batches if rule.trigger.action == "rebuild"}
        containers = self._containers()
        restarted: dict[str, None] = {}
        for rule, batch in batches.items():
            if rule.service in rebuilt:
                continue
            count = len(batch.changed) + len(batch.removed)
            if rule.syncs:
                self._say(f'Syncing service "{rule.service}" after {count} changes were detected')
                for container in containers:
                    if container.service == rule.service and container.id in self._filled:
                        self._sync(container, rule, batch)
            if rule.trigger.action in ("restart", "sync+restart"):
                restarted[rule.service] = None
        if restarted:
            self._restart(tuple(restarted))
        for service in sorted(rebuilt):
            self._rebuild(service)

    def _sync(self, container: SeenContainer, rule: Rule, batch: Batch) -> None:
        if batch.changed:
            self._put(container, rule, list(batch.changed))
        gone = sorted(rule.target(path) for path in batch.removed)
        for start in range(0, len(gone), REMOVED_AT_ONCE):
            command = ("rm", "-rf", "--", *gone[start : start + REMOVED_AT_ONCE])
            run_hook(self._opening.host.reach, container.id, "watch", Hook(command=command, user="0"))
        if rule.trigger.action == "sync+exec" and rule.trigger.exec is not None:
            run_hook(self._opening.host.reach, container.id, "watch", rule.trigger.exec)

    def _put(self, container: SeenContainer, rule: Rule, paths: list[str]) -> None:
        path = f"/containers/{container.id}/archive"
        daemon = self._opening.host.reach.daemon
        for portion in portions(paths, self._known[rule]):
            data = archive(rule, portion)
            if data:
                daemon.request("PUT", path, {"path": "/"}, stream=iter((data,))).read()

    def _restart(self, services: tuple[str, ...]) -> None:
        options = RestartOptions(services=services, no_deps=True)
        view = self._opening.view("Restart", quiet=True)
        self._opening.run(self._project, "Restart", lambda seen: restart(self._project, seen, options), view=view)
        self._say(f"service(s) {', '.join(sorted(services))} restarted")

    def _rebuild(self, service: str) -> None:
        self._say(f'Rebuilding service "{service}" after changes were detected...')
        options = UpOptions(services=(service,), no_deps=True, build=True, ignore_orphans=True, now=time.time_ns())
        outcome = self._opening.run(
            self._project,
            "Rebuild",
            *image_phases(self._project, options),
            lambda seen: up(self._project, seen, options),
            view=self._opening.view("Rebuild", quiet=self._quiet),
        )
        if outcome.code:
            return  # told already; the next change is the next try
        if self._prune:
            import json

            filters = json.dumps({"dangling": ["true"], "label": [f"{LABEL_PROJECT}={self._project.name}"]})
            self._opening.host.reach.daemon.post("/images/prune", {"filters": filters})
        self._say(f'service "{service}" successfully built')


def portions(paths: Iterable[str], known: Mapping[str, Stamp]) -> Iterator[list[str]]:
    """The paths in order, cut where their files have become more than one archive is to hold in memory."""
    portion: list[str] = []
    size = 0
    for path in sorted(paths):
        portion.append(path)
        size += known[path][1] if path in known else 0
        if size >= PORTION_BYTES:
            yield portion
            portion, size = [], 0
    yield portion


def archive(rule: Rule, paths: list[str]) -> bytes:
    """The files as an archive to unpack at a container's root. What went away meanwhile is left out."""
    parts = []
    with tarfile.open(mode="w", fileobj=io.BytesIO()) as headers:
        for path in sorted(paths):
            local = rule.local(path)
            if not os.path.lexists(local):
                continue
            try:
                parts.append(b"".join(pack_one(headers, local, rule.target(path).lstrip("/"))))
            except OSError:
                continue
    return b"".join([*parts, bytes(2 * tarfile.BLOCKSIZE)]) if parts else b""
