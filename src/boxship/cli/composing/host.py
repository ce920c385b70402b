"""The Host of the room `compose` over HTTP: what is there, what is done, what happens, and who may change a project.

It does what it is told and decides nothing; each kind of action has one function in `acting`, `images` or `builds`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from boxship.cli.composing.observing import pulled_at, seen_container, seen_network, seen_volume
from boxship.cli.composing.reach import Reach
from boxship.cli.daemon import DaemonError
from boxship.cli.escape import escape, path_of
from boxship.compose.model import Project
from boxship.compose.planning.actions import Action, BuildImage, PullImage
from boxship.compose.planning.observed import LABEL_PROJECT, Observed, SeenNetwork, SeenVolume
from boxship.compose.running.host import News
from boxship.errors import BoxshipError, Conflict, NotFound, Timeout

Object = dict[str, Any]
Tell = Callable[[News], None]
Build = Callable[[Project, BuildImage, Tell], str]
TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.composing.acting import Once
LOCK_SECONDS = 600.0  # how long one program waits for another to be done with the project


def filters(**values: list[str]) -> str:
    return json.dumps(values, separators=(",", ":"))


class HttpHost:
    """One engine, asked over HTTP."""

    def __init__(self, reach: Reach, build: Build) -> None:
        self.reach = reach
        self.build = build
        self.once: Once | None = None
        self.quiet_pull = False  # pulls tell of their begin and end alone
        self._owner = f"boxship {reach.call.name} (process {os.getpid()})"

    def observe(
        self,
        project: str,
        *,
        images: tuple[str, ...] = (),
        networks: tuple[str, ...] = (),
        volumes: tuple[str, ...] = (),
    ) -> Observed:
        daemon = self.reach.daemon
        label = filters(label=[f"{LABEL_PROJECT}={project}"])
        found = daemon.get("/containers/json", {"all": True, "filters": label})
        here, pulled = self._images(images)
        return Observed(
            containers=tuple(seen_container(item) for item in reversed(found)),
            networks=tuple(self._networks(project, networks)),
            volumes=tuple(self._volumes(project, volumes)),
            images=here,
            pulled=pulled,
        )

    def _images(self, names: tuple[str, ...]) -> tuple[dict[str, str], dict[str, int]]:
        here: dict[str, str] = {}
        pulled: dict[str, int] = {}
        for name in names:
            found = self.image(name)
            if found is not None:
                here[name] = found["Id"]
                pulled[name] = pulled_at(found)
        return here, pulled

    def image(self, name: str) -> Object | None:
        """What is known of an image that is here."""
        try:
            found = self.reach.daemon.get(f"/images/{path_of(name)}/json")
        except DaemonError as error:
            if error.status == 404:
                return None
            raise
        assert isinstance(found, dict)
        return found

    def _networks(self, project: str, names: tuple[str, ...]) -> Iterator[SeenNetwork]:
        for item in self.reach.daemon.get("/networks"):
            if item["Name"] in names or (item.get("Labels") or {}).get(LABEL_PROJECT) == project:
                try:
                    yield seen_network(self.reach.daemon.get(f"/networks/{item['Id']}"))
                except DaemonError as error:
                    if error.status != 404:  # it may just have been removed
                        raise

    def _volumes(self, project: str, names: tuple[str, ...]) -> Iterator[SeenVolume]:
        for item in self.reach.daemon.get("/volumes").get("Volumes") or []:
            if item["Name"] in names or (item.get("Labels") or {}).get(LABEL_PROJECT) == project:
                yield seen_volume(item)

    def perform(self, project: Project, action: Action, tell: Tell) -> str:
        # What acts is imported by those who act: most verbs only look.
        from boxship.cli.composing.performing import perform

        tell = (lambda news: None) if self.quiet_pull and isinstance(action, PullImage) else tell
        return perform(self.reach, project, action, tell, build=self.build, once=self.once)

    def inspect(self, container: str) -> Object:
        try:
            found = self.reach.daemon.get(f"/containers/{escape(container)}/json")
        except DaemonError as error:
            if error.status == 404:
                raise NotFound(str(error)) from None
            raise
        assert isinstance(found, dict)
        return found

    def events(self, project: str) -> Iterator[Object]:
        yield from self.listen(project)

    def listen(self, project: str, since: str = "", until: str = "") -> Iterator[Object]:
        """Like `events`, but the daemon listens already when this returns."""
        query = {
            "filters": filters(label=[f"{LABEL_PROJECT}={project}"], type=["container"]),
            "since": since or None,
            "until": until or None,
        }
        response = self.reach.daemon.request("GET", "/events", query, own_connection=True)

        def follow() -> Iterator[Object]:
            try:
                for line in response.lines():
                    yield json.loads(line)
            finally:
                response.close()

        return follow()

    @contextmanager
    def lock(self, project: str, *, wait: bool, tell: Callable[[str], None]) -> Iterator[None]:
        """The lock is the connection: it ends with this program, however that ends."""
        query: Object = {"owner": self._owner, "wait": wait}
        try:
            response = self.reach.daemon.request(
                "POST", f"/boxship/locks/{escape(project)}", query, own_connection=True
            )
        except DaemonError as error:
            if error.status == 404:  # an engine that knows no locks
                yield
                return
            if error.status == 409:
                raise Conflict(f"cannot change project {project}: {error}") from None
            raise
        try:
            self._hold(project, response.pieces(), tell)
            yield
        finally:
            response.close()

    def _hold(self, project: str, pieces: Iterator[bytes], tell: Callable[[str], None]) -> None:
        """Until the lock is ours. The daemon sends blank lines meanwhile, so the time is looked at."""
        deadline, text, owner = time.monotonic() + LOCK_SECONDS, b"", ""
        for piece in pieces:
            *lines, text = (text + piece).split(b"\n")
            for line in filter(bytes.strip, lines):
                news = json.loads(line)
                if news.get("held"):
                    return
                owner = str(news.get("waiting") or owner)
                tell(f"waiting: {owner} is changing project {project}")
            if time.monotonic() > deadline:
                raise Timeout(f"cannot change project {project}: {owner} has been at it for {LOCK_SECONDS:g} s")
        raise BoxshipError(f"cannot change project {project}: the daemon closed the connection")
