"""Whether a container whose log is followed still writes: asked while a reader follows, and no longer."""

import asyncio
from collections.abc import AsyncIterator

from boxship.cluster.node.runtime import EXITED, ContainerStatus, Runtime
from boxship.errors import BoxshipError
from boxship.transport.exchange import close_stream

LOOK_SECONDS = 5.0  # between looks, in case a change is not told


class Ending:
    """`ended` is for the reader of the log, which asks it often; it turns true when the container has ended."""

    def __init__(self, runtime: Runtime, container: ContainerStatus) -> None:
        self._runtime = runtime
        self._container = container
        self.ended = container.phase == EXITED

    async def until(self, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The lines, with an eye on the container meanwhile."""
        watching = asyncio.ensure_future(self._watch())
        try:
            async for piece in lines:
                yield piece
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await close_stream(lines)

    async def _watch(self) -> None:
        changes = self._runtime.changes()
        waiting = asyncio.ensure_future(_next(changes))
        try:
            await asyncio.sleep(0)  # it listens before the first look
            self.ended = await self._has_ended()
            while not self.ended:
                done, _ = await asyncio.wait((waiting,), timeout=LOOK_SECONDS)
                if not done or waiting.result() == self._container.uid:
                    self.ended = await self._has_ended()
                if done:
                    waiting = asyncio.ensure_future(_next(changes))
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await close_stream(changes)

    async def _has_ended(self) -> bool:
        try:
            found = await self._runtime.containers(self._container.uid)
        except BoxshipError:
            return False
        mine = [each for each in found if each.id == self._container.id]
        return not mine or mine[0].phase == EXITED


async def _next(changes: AsyncIterator[str]) -> str:
    return await anext(changes)
