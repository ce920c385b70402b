"""What the daemon holds in memory for each container while it runs: lock, waiters, tasks. None of it is truth.

Everything here can be made again from the record and the runtime after a crash.
"""

import asyncio
from typing import Protocol

import msgspec

from boxship.runtime.attach import Attached
from boxship.runtime.handle import Handle

TASKS = ("supervise", "health", "restart", "open", "return")


class WaitResult(msgspec.Struct, frozen=True):
    """How a container ended; `error` tells why there is no honest exit code."""

    exit_code: int
    error: str = ""


class Joinable(Protocol):
    """A client that wants the container's streams from its first byte on."""

    owns_stdin: bool

    def join(self, attached: Attached) -> None: ...

    def give_up(self) -> None: ...


class Live:
    """One container's lock, waiters and tasks."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.handle: Handle | None = None
        self.stopping = False  # the user asked for its end: no restart
        self.restarting = False  # the user asked for a restart: its end is not its removal
        self.restart_delay = 0  # nanoseconds, the last back-off
        self.begun = 0  # monotonic time from which on we have seen it run
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.attaching: list[Joinable] = []
        self._exits: list[asyncio.Future[WaitResult]] = []
        self._removals: list[asyncio.Future[WaitResult]] = []
        self.last = WaitResult(0)

    def next_exit(self) -> "asyncio.Future[WaitResult]":
        """A future of the next end (not of a restart)."""
        future: asyncio.Future[WaitResult] = asyncio.get_running_loop().create_future()
        self._exits = [waiter for waiter in self._exits if not waiter.done()] + [future]
        return future

    def removal(self) -> "asyncio.Future[WaitResult]":
        """A future of the container's removal, with its last exit code."""
        future: asyncio.Future[WaitResult] = asyncio.get_running_loop().create_future()
        self._removals = [waiter for waiter in self._removals if not waiter.done()] + [future]
        return future

    def ended(self, result: WaitResult) -> None:
        """Wake those who wait for the end."""
        self.last = result
        _wake(self._exits, result)

    def removed(self) -> None:
        """Wake those who wait for the removal, and those who wait for an end that will not come."""
        _wake(self._exits, self.last)
        _wake(self._removals, WaitResult(self.last.exit_code))  # the error was the start's own reply
        for client in self.attaching:
            client.give_up()
        self.attaching.clear()

    def cancel(self, *names: str) -> None:
        """Cancel the named tasks (of TASKS); the running task never cancels itself."""
        for name in names:
            task = self.tasks.pop(name, None)
            if task is not None and task is not asyncio.current_task():
                task.cancel()


def _wake(waiters: "list[asyncio.Future[WaitResult]]", result: WaitResult) -> None:
    for future in waiters:
        if not future.done():
            future.set_result(result)
    waiters.clear()


class Lives:
    """`Live` by container id, made at first use."""

    def __init__(self) -> None:
        self._by_id: dict[str, Live] = {}

    def of(self, container_id: str) -> Live:
        live = self._by_id.get(container_id)
        if live is None:
            live = self._by_id[container_id] = Live()
        return live

    def forget(self, container_id: str) -> None:
        """Drop the entry of a container that is gone."""
        live = self._by_id.pop(container_id, None)
        if live is not None:
            live.cancel(*TASKS)
            live.removed()

    async def close(self) -> None:
        """Cancel every container's tasks and wait until they are gone; the containers themselves go on."""
        tasks = [task for live in self._by_id.values() for task in live.tasks.values()]
        for live in self._by_id.values():
            live.cancel(*TASKS)
        await asyncio.gather(*tasks, return_exceptions=True)
