"""The verbs by which users start and end containers; what they set in motion is the supervisor's."""

import asyncio
import contextlib
from collections.abc import Awaitable

from boxship.engine.clock import Clock
from boxship.engine.describing import container_event
from boxship.engine.events import Events
from boxship.engine.groups import Groups, group_of
from boxship.engine.lives import Lives, WaitResult
from boxship.engine.model import ALIVE, Container, Phase
from boxship.engine.records import Records
from boxship.engine.states import move, with_state
from boxship.engine.supervisor import Supervisor
from boxship.errors import Conflict, Invalid, Timeout, Unchanged
from boxship.runtime.driver import Driver
from boxship.runtime.handle import Handle
from boxship.spec.signals import signal_number

DEFAULT_STOP_TIMEOUT = 10  # seconds
KILL_DEADLINE = 10  # seconds that a process may take to end after SIGKILL
SIGKILL = 9
CONDITIONS = ("not-running", "next-exit", "removed")


class Life:
    """start, stop, restart, kill, pause, unpause, wait."""

    def __init__(
        self,
        records: Records,
        lives: Lives,
        supervisor: Supervisor,
        driver: Driver,
        groups: Groups,
        events: Events,
        clock: Clock,
    ) -> None:
        self._records = records
        self._lives = lives
        self._supervisor = supervisor
        self._driver = driver
        self._groups = groups
        self._events = events
        self._clock = clock

    async def start(self, ref: str) -> None:
        """Start a container. Raises Unchanged where it runs, Conflict where it is paused or being removed."""
        identifier = self._records.get(ref).id
        live = self._lives.of(identifier)
        async with live.lock:
            container = self._records.get(identifier)
            match container.state.phase:
                case Phase.PAUSED:
                    raise Conflict("cannot start a paused container, try unpause instead")
                case Phase.RUNNING | Phase.STOPPING:
                    raise Unchanged(f"container {ref} is already running")
                case Phase.REMOVING | Phase.DEAD:
                    raise Conflict("container is marked for removal and cannot be started")
            live.cancel("restart")
            live.restart_delay = 0
            await self._supervisor.launch(container)

    async def stop(self, ref: str, *, timeout: int | None = None, signal: str = "") -> None:
        """Ask a container to end, and kill it after `timeout` seconds (-1: never; None: its own setting).

        Raises Unchanged where it doesn't run.
        """
        container = self._records.get(ref)
        number = signal_number(signal or container.stop_signal)
        await self._stop(container.id, stop_timeout(container, timeout), number)

    async def restart(self, ref: str, *, timeout: int | None = None, signal: str = "") -> None:
        """Stop the container if it runs, then start it."""
        container = self._records.get(ref)
        number = signal_number(signal or container.stop_signal)
        live = self._lives.of(container.id)
        live.restarting = True
        try:
            with contextlib.suppress(Unchanged):
                await self._stop(container.id, stop_timeout(container, timeout), number, keep=True)
            with contextlib.suppress(Unchanged):
                await self.start(container.id)
        finally:
            live.restarting = False
        self._events.publish(container_event(container, "restart", self._clock.now()))

    async def kill(self, ref: str, *, signal: str = "") -> None:
        """Send a signal (default SIGKILL). After SIGKILL, returns when the container has ended."""
        number = signal_number(signal or "SIGKILL")
        identifier = self._records.get(ref).id
        live = self._lives.of(identifier)
        async with live.lock:
            container = self._records.get(identifier)
            if container.state.phase is Phase.RESTARTING:
                await self._supervisor.settle(container)
                return
            handle = live.handle
            if container.state.phase not in ALIVE or handle is None:
                raise Conflict(f"cannot kill container: {ref}: container {container.id} is not running")
            ends = number in (SIGKILL, signal_number(container.stop_signal))
            event = container_event(container, "kill", self._clock.now(), signal=str(number))
            if ends:
                live.stopping = True
                leaving = bool(group_of(container))
                state = with_state(container, stopped_by_user=True, leaving=leaving)
                container = await self._records.save(state, event)
                await self._groups.follow(container)
            else:
                self._events.publish(event)
            ended = live.next_exit()
            await self._signal(handle, number, thaw=ends)
        if number == SIGKILL:
            await self._await_end(ended, container, handle)
        elif container.state.leaving:
            self._groups.let_back_later(container, stop_timeout(container))

    async def pause(self, ref: str) -> None:
        """Freeze all processes of a running container."""
        identifier = self._records.get(ref).id
        live = self._lives.of(identifier)
        async with live.lock:
            container = self._records.get(identifier)
            if container.state.phase is Phase.PAUSED:
                raise Conflict(f"container {container.id} is already paused")
            if container.state.phase is Phase.RESTARTING:
                raise Conflict(f"container {container.id} is restarting, wait until the container is running")
            if container.state.phase is not Phase.RUNNING or live.handle is None:
                raise Conflict(f"container {container.id} is not running")
            paused = move(container, Phase.PAUSED)
            await self._groups.follow(paused)  # while it can still answer
            try:
                await self._driver.pause(live.handle)
                await self._records.save(paused, container_event(container, "pause", self._clock.now()))
            except BaseException:
                await self._groups.follow(container)
                raise

    async def unpause(self, ref: str) -> None:
        """Let the processes of a paused container go on."""
        identifier = self._records.get(ref).id
        live = self._lives.of(identifier)
        async with live.lock:
            container = self._records.get(identifier)
            if container.state.phase is not Phase.PAUSED or live.handle is None:
                raise Conflict(f"container {container.id} is not paused")
            await self._driver.resume(live.handle)
            running = await self._records.save(
                move(container, Phase.RUNNING), container_event(container, "unpause", self._clock.now())
            )
            await self._groups.follow(running)

    def wait(self, ref: str, condition: str) -> Awaitable[WaitResult]:
        """The container's end, as an awaitable that is registered when this returns.

        `condition` is "not-running" (at once where it doesn't run), "next-exit" or "removed"; Invalid for another.
        """
        if condition not in CONDITIONS:
            raise Invalid(f'invalid condition: "{condition}"')
        container = self._records.get(ref)
        live = self._lives.of(container.id)
        if condition == "removed":
            return live.removal()
        future = live.next_exit()
        idle = (Phase.CREATING, Phase.CREATED, Phase.EXITED, Phase.DEAD)
        if condition == "not-running" and container.state.phase in idle:
            future.set_result(WaitResult(container.state.exit_code, container.state.error))
        return future

    async def _stop(self, identifier: str, timeout: int, number: int, *, keep: bool = False) -> None:
        """`keep` leaves the mark by which "unless-stopped" stays off after a restart of the daemon unset."""
        live = self._lives.of(identifier)
        drained = await self._leave_group(identifier, waits=timeout != 0)
        try:
            async with live.lock:
                container = self._records.get(identifier)
                if container.state.phase is Phase.RESTARTING:
                    await self._supervisor.settle(container)
                    return
                handle = live.handle
                if container.state.phase not in ALIVE or handle is None:
                    raise Unchanged(f"container {identifier} is already stopped")
                live.stopping = True
                thaw = container.state.phase is Phase.PAUSED
                container = await self._records.save(
                    move(container, Phase.STOPPING, stopped_by_user=not keep, drained=drained),
                    container_event(container, "kill", self._clock.now(), signal=str(number)),
                )
                ended = live.next_exit()
                await self._signal(handle, number, thaw=thaw)
        except BaseException:
            await self._groups.come_back(identifier)
            raise
        if not await _within(ended, timeout):
            self._events.publish(container_event(container, "kill", self._clock.now(), signal=str(SIGKILL)))
            await self._signal(handle, SIGKILL, thaw=True)
            await self._await_end(ended, container, handle)
        self._events.publish(container_event(container, "stop", self._clock.now()))

    async def _leave_group(self, identifier: str, *, waits: bool) -> str:
        """Before a stop's first signal: nothing new comes to a group's member any more, and if it `waits`, what it has
        got may end. How that went, for people to read."""
        live = self._lives.of(identifier)
        if not group_of(self._records.get(identifier)):
            return ""
        async with live.lock:
            container = self._records.get(identifier)
            if container.state.phase not in (Phase.RUNNING, Phase.PAUSED) or live.handle is None:
                return ""
            live.stopping = True  # should it end by itself meanwhile, that was wanted
            container = await self._records.save(with_state(container, leaving=True))
            await self._groups.follow(container)
            ended = live.next_exit()
        if not waits or container.state.phase is Phase.PAUSED:
            return ""
        try:
            return await self._groups.drain(container, ended)
        except BaseException:
            await self._groups.come_back(identifier)
            raise

    async def _signal(self, handle: Handle, number: int, *, thaw: bool) -> None:
        self._driver.signal(handle, number)
        if thaw:
            await self._driver.resume(handle)

    async def _await_end(self, ended: "asyncio.Future[WaitResult]", container: Container, handle: Handle) -> None:
        """Wait for the end after SIGKILL, helping with the whole cgroup where one process holds out."""
        if await _within(ended, KILL_DEADLINE // 2):
            return
        await self._driver.kill_all(handle)
        if not await _within(ended, KILL_DEADLINE // 2):
            raise Timeout(
                f"cannot stop container: {container.id}: tried to kill container, but did not receive an exit event"
            )


def stop_timeout(container: Container, timeout: int | None = None) -> int:
    """Seconds from a stop's first signal to its last: as asked for, else the container's own; -1 for ever."""
    if timeout is not None:
        return timeout
    own = container.spec.stop_timeout
    return DEFAULT_STOP_TIMEOUT if own is None else own


async def _within(future: "asyncio.Future[WaitResult]", seconds: float) -> bool:
    done, _ = await asyncio.wait([future], timeout=None if seconds < 0 else seconds)
    return bool(done)
