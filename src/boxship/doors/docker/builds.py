"""What the door needs for builds: the builder, the place of contexts that are sent, and the builds that run.

A build runs in a task of its own, so that it can be ended at any moment, whoever reads its events.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from boxship.builder.contexts import Contexts
from boxship.builder.model import BuildEvent, BuildRequest
from boxship.builder.operations import Agents, FolderTree
from boxship.errors import Canceled
from boxship.waiting import to_the_end

if TYPE_CHECKING:
    from boxship.builder.builder import Builder

IDENTIFIER_CHARACTERS = 256  # of a build's id, which the client chooses
EVENTS_AHEAD = 64  # that nobody has read yet; then the build waits


class RunningBuild:
    """One build that goes on. Close it in any case: what the client sent for it goes then too."""

    def __init__(self, builds: "Builds", request: BuildRequest, agents: Agents | None, identifier: str) -> None:
        self.identifier = identifier
        self._builds = builds
        self._events: deque[BuildEvent] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._task = asyncio.ensure_future(self._run(request, agents))
        self._task.add_done_callback(lambda _: self._news.set())

    async def _run(self, request: BuildRequest, agents: Agents | None) -> None:
        async with contextlib.aclosing(self._builds.builder.build(request, agents=agents)) as events:
            async for event in events:
                self._events.append(event)
                self._news.set()
                while len(self._events) >= EVENTS_AHEAD:
                    self._room.clear()
                    await self._room.wait()

    async def next(self) -> BuildEvent | None:
        """The next event, None after the last. Raises what the build raised, Canceled where it was cancelled."""
        while not self._events:
            if self._task.cancelled():
                raise Canceled("build cancelled")
            if self._task.done():
                self._task.result()
                return None
            self._news.clear()
            await self._news.wait()
        event = self._events.popleft()
        self._room.set()
        return event

    def cancel(self) -> None:
        """End the build; `next` raises Canceled."""
        self._task.cancel()

    async def close(self, contexts: Sequence[FolderTree] = ()) -> None:
        """End the build where it goes on, and remove the contexts that were sent for it. May be called twice."""
        self._task.cancel()
        self._builds.forget(self)
        await to_the_end(self._tidy(contexts))

    async def _tidy(self, contexts: Sequence[FolderTree]) -> None:
        await asyncio.gather(self._task, return_exceptions=True)
        for context in contexts:
            await self._builds.contexts.drop(context)


class Builds:
    """The builder with its contexts, and the builds that run under an id of their client's."""

    def __init__(self, builder: "Builder", contexts: Contexts) -> None:
        self.builder = builder
        self.contexts = contexts
        self._running: dict[str, RunningBuild] = {}

    def start(self, request: BuildRequest, *, agents: Agents | None = None, identifier: str = "") -> RunningBuild:
        """Start a build. An id that is taken is given over."""
        running = RunningBuild(self, request, agents, identifier[:IDENTIFIER_CHARACTERS])
        if running.identifier:
            self._running[running.identifier] = running
        return running

    def cancel(self, identifier: str) -> None:
        """End the build of that id, if one runs."""
        running = self._running.get(identifier[:IDENTIFIER_CHARACTERS])
        if running is not None:
            running.cancel()

    def forget(self, running: RunningBuild) -> None:
        if self._running.get(running.identifier) is running:
            del self._running[running.identifier]
