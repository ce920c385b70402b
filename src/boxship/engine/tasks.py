"""Background tasks that a fault in one of them does not end: each is logged where it fails, and the daemon goes on."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

logger = logging.getLogger(__name__)

P = ParamSpec("P")
Task = asyncio.Task[None]


class Tasks:
    """Starts tasks in the engine's group, which owns them all."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group

    def start(self, what: str, work: Callable[P, Coroutine[Any, Any, None]], *args: P.args, **kwargs: P.kwargs) -> Task:
        """Run `work` with the arguments; `what` names it in the log ("look after container X")."""
        return self._group.create_task(_guarded(what, lambda: work(*args, **kwargs)), name=what)


async def _guarded(what: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        await work()
    except Exception:  # the border of a task: a mistake of ours in one container must not end all others
        logger.exception("cannot %s", what)
