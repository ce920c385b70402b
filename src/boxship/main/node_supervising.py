"""Keeps the parts of a node running: one that fails is started again after a pause, and the others never notice."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from boxship.errors import BoxshipError

log = logging.getLogger("boxshipd.node")

PAUSES = (0.1, 15.0)  # seconds before a part is started again: the first and the longest
STEADY_SECONDS = 60.0  # a part that ran for so long begins with the shortest pause again
RUNNING, WAITING = "running", "waiting"
Work = Callable[[], Awaitable[None]]


class Part:
    """One part. `work` runs without end; `state` and `why` are for people."""

    def __init__(self, name: str, work: Work) -> None:
        self.name = name
        self.state, self.why = WAITING, "not started"
        self._work = work

    async def run(self) -> None:
        """Without end."""
        loop = asyncio.get_running_loop()
        pause = PAUSES[0]
        while True:
            begun = loop.time()
            self.state, self.why = RUNNING, ""
            try:
                await self._work()
                self.why = "it ended"
            except Exception as error:  # the border of a part: a mistake in one must not end the others
                expected = _only_ours(error)
                self.why = str(expected or error) or type(error).__name__
                log.error("the node's %s: %s", self.name, self.why, exc_info=None if expected else error)
            self.state = WAITING
            if loop.time() - begun > STEADY_SECONDS:
                pause = PAUSES[0]
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(pause * 2, PAUSES[1])


def _only_ours(error: BaseException) -> BaseException | None:
    """The first of the errors that we raise on purpose, where there are no others."""
    if isinstance(error, BaseExceptionGroup):
        found = [_only_ours(one) for one in error.exceptions]
        return found[0] if all(found) else None
    return error if isinstance(error, BoxshipError) else None
