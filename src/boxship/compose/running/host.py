"""What a runner needs of the world that hosts it. The command line has the one over HTTP; tests have one in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from msgspec import Struct

from boxship.compose.model import Project
from boxship.compose.planning.actions import Action
from boxship.compose.planning.observed import Observed


class News(Struct, frozen=True):
    """Progress of one action: a line of text, and bytes done of a total where that is known."""

    text: str
    current: int = 0
    total: int = 0


class Host(Protocol):
    """An engine, seen from Compose. Every call may come from any thread, several at once."""

    def observe(
        self,
        project: str,
        *,
        images: tuple[str, ...] = (),
        networks: tuple[str, ...] = (),
        volumes: tuple[str, ...] = (),
    ) -> Observed:
        """What is there of the project, and of the images, networks and volumes that are named."""

    def perform(self, project: Project, action: Action, tell: Callable[[News], None]) -> str:
        """Carry out one action; doing again what is done already is no error. Returns the id of what it made, or "".
        Raises a BoxshipError that names the thing and the reason."""

    def inspect(self, container: str) -> dict[str, Any]:
        """The engine's full record of a container, in Docker's form. Raises NotFound."""

    def events(self, project: str) -> Iterator[dict[str, Any]]:
        """Events of the project's containers from now on, in Docker's form. Closing the iterator ends it."""

    def lock(self, project: str, *, wait: bool, tell: Callable[[str], None]) -> AbstractContextManager[None]:
        """Be the only one who changes the project. Raises Conflict where another is at it and `wait` is off."""
