"""Background tasks that a fault in one of them does not end: each is logged where it fails, and the daemon goes on."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)


class Tasks:
    """Starts tasks in the engine's group, which owns them all."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group

    def start(self, work: Coroutine[Any, Any, None], what: str) -> "asyncio.Task[None]":
        """Run `work`; `what` names it in the log ("look after container X")."""
        return self._group.create_task(_guarded(work, what), name=what)


async def _guarded(work: Coroutine[Any, Any, None], what: str) -> None:
    try:
        await work
    except Exception:  # the border of a task: a mistake of ours in one container must not end all others
        logger.exception("cannot %s", what)
