"""Moves a container through its life: starts its process, awaits its end, and decides what comes then.

The order of every move is: intent to the store, act, record. So whatever moment a crash picks, the record says what was
under way, and `recovery` finishes it or takes it back with the functions of this module.
"""

import asyncio
import logging

from boxship.engine import restarts
from boxship.engine.clock import Clock
from boxship.engine.describing import container_event
from boxship.engine.groups import Groups, is_opening
from boxship.engine.health import HealthMonitor
from boxship.engine.lives import Live, Lives, WaitResult
from boxship.engine.model import ALIVE, Container, Event, Health, Phase, ProcessHandle
from boxship.engine.records import Records
from boxship.engine.removal import Removal
from boxship.engine.start import Starter
from boxship.engine.states import move, with_state
from boxship.engine.tasks import Tasks
from boxship.errors import BoxshipError, Exhausted, Internal
from boxship.runtime.driver import Driver
from boxship.runtime.failures import Unrunnable
from boxship.runtime.handle import Exit, Handle
from boxship.spec.container import SECOND

logger = logging.getLogger(__name__)

FAILED_EXIT = 128  # the process could not be started (Docker's convention); 126 and 127 come from the runtime
KILLED_EXIT = 137
FULL_DISK_DELAY = SECOND


def exit_code_of_failure(error: BaseException) -> int:
    """The exit code that a failed start gets."""
    return error.exit_code if isinstance(error, Unrunnable) else FAILED_EXIT


class Supervisor:
    """Starts containers and looks after them while they live. Callers of `launch` and `finish` hold the live's lock."""

    def __init__(
        self,
        records: Records,
        lives: Lives,
        starter: Starter,
        removal: Removal,
        driver: Driver,
        health: HealthMonitor,
        clock: Clock,
        tasks: Tasks,
        groups: Groups,
    ) -> None:
        self._records = records
        self._lives = lives
        self._starter = starter
        self._removal = removal
        self._driver = driver
        self._health = health
        self._clock = clock
        self._tasks = tasks
        self._groups = groups
        self.closing = False

    async def launch(self, container: Container, restart_count: int = 0) -> Container:
        """Start the container's process and look after it. On failure everything is taken back and the record says why.

        Raises what the failing part raised.
        """
        live = self._lives.of(container.id)
        live.stopping = False
        before = Phase.CREATED if container.state.phase is Phase.CREATED else Phase.EXITED
        container = await self._records.save(
            move(
                container,
                Phase.STARTING,
                error="",
                restart_count=restart_count,
                stopped_by_user=False,
                leaving=False,
                drained="",
            )
        )
        try:
            prepared = await self._starter.prepare(container)
            container = prepared.container
            live.handle = handle = await self._driver.create(container.id, prepared.config, **prepared.options)
            await self._join_clients(live, handle)
            await self._driver.start(handle)
        except BaseException as error:
            await asyncio.shield(self._take_back(container.id, before, error))
            raise
        now = self._clock.now()
        health = Health() if self._health.wanted(container) else None
        container = await self._records.save(
            move(
                container,
                Phase.RUNNING,
                process=ProcessHandle(handle.process.pid, handle.process.started),
                monitor=ProcessHandle(handle.monitor.pid, handle.monitor.started),
                started_at=now,
                exit_code=0,
                oom_killed=False,
                health=health,
                opening=health is None and is_opening(container),
                warnings=(*prepared.warnings, *handle.warnings),
            ),
            *self._starter.start_events(container, now),
            container_event(container, "start", now),
        )
        await self._groups.follow(container)
        self._groups.watch_opening(container)
        self.look_after(container, handle)
        return container

    def look_after(self, container: Container, handle: Handle) -> None:
        """Await the end of a running container, and probe its health meanwhile."""
        live = self._lives.of(container.id)
        live.handle, live.begun = handle, self._clock.monotonic()
        live.tasks["supervise"] = self._tasks.start(
            f"record the end of container {container.id[:12]}", self._supervise, container.id, handle
        )
        if self._health.wanted(container):
            live.tasks["health"] = self._tasks.start(
                f"probe container {container.id[:12]}", self._health.watch, container.id
            )

    async def finish(self, container: Container, ended: Exit) -> None:
        """Record the end of a container's process, give back what it held, and restart it where its policy says so."""
        live = self._lives.of(container.id)
        live.cancel("health", "open", "return")
        await self._groups.follow(with_state(container, leaving=True))  # before all that it held is given back
        await self._starter.release(container)
        state = container.state
        stopped = live.stopping or state.stopped_by_user
        error = "the container's monitor (conmon) ended before it" if ended.monitor_lost else ""
        restart = not self.closing and restarts.wants_restart(
            container.spec.restart, ended.code, state.restart_count, stopped
        )
        now = ended.finished_at
        ran_for = max(0, now - state.started_at)
        container = await self._records.save(
            move(
                container,
                Phase.RESTARTING if restart else Phase.EXITED,
                process=ProcessHandle(),
                monitor=ProcessHandle(),
                finished_at=now,
                exit_code=ended.code,
                oom_killed=ended.oom_killed,
                error=error,
                restart_count=state.restart_count + restart,  # counted when it is decided, as clients expect
                health=_end_of_health(state.health),
                opening=False,
                leaving=False,
            ),
            *self._end_events(container, ended, ran_for),
        )
        handle, live.handle = live.handle, None
        if restart:
            await self._delete(handle)
            self.restart_later(container, self._clock.monotonic() - live.begun)
            return
        live.ended(WaitResult(ended.code, error))
        await self._delete(handle)
        if container.spec.auto_remove and not live.restarting:
            await self._removal.remove(container.id, volumes=True)

    def restart_later(self, container: Container, ran_for: int) -> None:
        """Start the container again after its back-off; a stop meanwhile cancels it. `ran_for` is monotonic: a jump of
        the wall clock must neither shorten nor lengthen the delays."""
        live = self._lives.of(container.id)
        live.restart_delay = restarts.next_delay(live.restart_delay, ran_for)
        live.tasks["restart"] = self._tasks.start(
            f"restart container {container.id[:12]}", self._restart, container.id, live.restart_delay
        )

    async def settle(self, container: Container) -> None:
        """End a container that waits for its restart."""
        live = self._lives.of(container.id)
        live.cancel("restart")
        container = await self._records.save(move(container, Phase.EXITED, stopped_by_user=True))
        live.ended(WaitResult(container.state.exit_code))

    async def _supervise(self, container_id: str, handle: Handle) -> None:
        live = self._lives.of(container_id)
        ended = await self._driver.wait(handle)
        while True:
            try:
                async with live.lock:
                    container = self._records.find(container_id)
                    if container is not None and container.state.phase in ALIVE:
                        await self.finish(container, ended)
                return
            except Exhausted as error:  # a full disk: the end is recorded when there is space again
                logger.warning("cannot record the end of container %s yet: %s", container_id[:12], error)
                await self._clock.sleep(FULL_DISK_DELAY)

    async def _restart(self, container_id: str, delay: int) -> None:
        live = self._lives.of(container_id)
        await self._clock.sleep(delay)
        async with live.lock:
            live.tasks.pop("restart", None)
            container = self._records.find(container_id)
            if container is None or container.state.phase is not Phase.RESTARTING or self.closing:
                return
            count = container.state.restart_count
            try:
                await self.launch(container, restart_count=count)
            except (BoxshipError, OSError) as error:
                logger.warning("cannot restart container %s: %s", container_id[:12], error)
            else:
                return
        while not await self._retry_or_end(container_id, count):
            await self._clock.sleep(FULL_DISK_DELAY)

    async def _retry_or_end(self, container_id: str, count: int) -> bool:
        """After a restart that failed: plan the next or give up; False where a full disk keeps us from noting that."""
        async with self._lives.of(container_id).lock:
            container = self._records.find(container_id)
            if container is None or container.state.phase in ALIVE:
                return True
            state = container.state
            code = state.exit_code or FAILED_EXIT
            if not restarts.wants_restart(container.spec.restart, code, count, state.stopped_by_user):
                self._lives.of(container_id).ended(WaitResult(state.exit_code, state.error))
                return True
            try:
                await self._records.save(with_state(container, phase=Phase.RESTARTING, restart_count=count + 1))
            except Exhausted as error:
                logger.warning("cannot plan the restart of container %s yet: %s", container_id[:12], error)
                return False
            self.restart_later(container, 0)
            return True

    async def _join_clients(self, live: Live, handle: Handle) -> None:
        for client in live.attaching:
            client.join(await self._driver.connect(handle, stdin=client.owns_stdin))
        live.attaching.clear()

    async def _take_back(self, container_id: str, before: Phase, error: BaseException) -> None:
        live = self._lives.of(container_id)
        for client in live.attaching:
            client.give_up()
        live.attaching.clear()
        handle, live.handle = live.handle, None
        await self._driver.delete(container_id, handle)
        container = self._records.find(container_id)
        if container is None:
            return
        await self._starter.release(container)
        code, reason = exit_code_of_failure(error), str(error) or type(error).__name__
        now = self._clock.now()
        await self._records.save(
            move(container, before, error=reason, exit_code=code, process=ProcessHandle(), monitor=ProcessHandle()),
            container_event(container, "die", now, exitCode=str(code), execDuration="0"),
        )
        live.ended(WaitResult(code, reason))
        if container.spec.auto_remove:
            await self._removal.remove(container.id, volumes=True)

    async def _delete(self, handle: Handle | None) -> None:
        if handle is None:
            return
        try:
            await self._driver.delete(handle.id, handle)
        except Internal as error:
            logger.warning("cannot clear the runtime's state of container %s: %s", handle.id[:12], error)

    def _end_events(self, container: Container, ended: Exit, ran_for: int) -> list[Event]:
        now = self._clock.now()
        events = [container_event(container, "oom", now)] if ended.oom_killed else []
        events.append(
            container_event(container, "die", now, exitCode=str(ended.code), execDuration=str(ran_for // SECOND))
        )
        return [*events, *self._starter.end_events(container, now)]


def _end_of_health(health: Health | None) -> Health | None:
    return None if health is None else Health("unhealthy", health.failing_streak, health.probes)
