"""The wish to stop: asked once, nothing more begins and what is being done ends; asked twice, nothing is waited for."""

from __future__ import annotations

import queue
import threading
from typing import Any


class Cancel:
    """Asked from any thread, or from a signal's handler."""

    def __init__(self) -> None:
        self.times = 0
        self._inboxes: list[queue.SimpleQueue[Any]] = []
        self._lock = threading.Lock()

    def ask(self) -> None:
        self.times += 1
        for inbox in tuple(self._inboxes):
            inbox.put(self)

    @property
    def is_heard(self) -> bool:
        """Whether a run is there that hears of it."""
        return bool(self._inboxes)

    def attach(self, inbox: queue.SimpleQueue[Any]) -> None:
        """Let a run's inbox hear of it."""
        with self._lock:
            self._inboxes = [*self._inboxes, inbox]

    def detach(self, inbox: queue.SimpleQueue[Any]) -> None:
        with self._lock:
            self._inboxes = [other for other in self._inboxes if other is not inbox]
