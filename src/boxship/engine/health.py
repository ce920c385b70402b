"""Probes running containers as their health checks say; what a probe's result means is a pure function."""

import logging
from collections.abc import Awaitable, Callable

from boxship.engine.clock import Clock
from boxship.engine.describing import container_event
from boxship.engine.groups import Groups
from boxship.engine.lives import Lives
from boxship.engine.model import Container, Event, Health, Phase, ProbeResult
from boxship.engine.records import Records
from boxship.engine.states import with_state
from boxship.errors import BoxshipError
from boxship.spec.container import SECOND, HealthCheck
from boxship.spec.duration import format_duration

logger = logging.getLogger(__name__)

DEFAULT_INTERVAL = 30 * SECOND
DEFAULT_TIMEOUT = 30 * SECOND
DEFAULT_START_INTERVAL = 5 * SECOND
DEFAULT_RETRIES = 3
PROBES_KEPT = 5
OUTPUT_LIMIT = 4096  # bytes of a probe's output that are kept

Probe = Callable[[Container, tuple[str, ...], float], Awaitable[tuple[int, bytes]]]
"""Runs a command in a container with a deadline in seconds: exit code (-1 at the deadline) and output."""


def probe_command(check: HealthCheck, shell: tuple[str, ...]) -> tuple[str, ...]:
    """The command that a check stands for; () for none."""
    match check.test:
        case ("CMD", *arguments):
            return tuple(arguments)
        case ("CMD-SHELL", *lines):
            return (*(shell or ("/bin/sh", "-c")), " ".join(lines))
        case _:
            return ()


def after_probe(health: Health, result: ProbeResult, check: HealthCheck, since_start: int) -> Health:
    """The health after one more probe, `since_start` nanoseconds after the container's start.

    A failure in the start period doesn't count, unless the container has been healthy already.
    """
    probes = (*health.probes, result)[-PROBES_KEPT:]
    if result.exit_code == 0:
        return Health("healthy", 0, probes)
    if health.status == "starting" and since_start < check.start_period:
        return Health("starting", health.failing_streak, probes)
    streak = health.failing_streak + 1
    status = "unhealthy" if streak >= (check.retries or DEFAULT_RETRIES) else health.status
    return Health(status, streak, probes)


def next_wait(health: Health, check: HealthCheck, since_start: int) -> int:
    """Nanoseconds until the next probe: the start interval while it is starting within its start period."""
    if health.status == "starting" and since_start < check.start_period:
        return check.start_interval or DEFAULT_START_INTERVAL
    return check.interval or DEFAULT_INTERVAL


class HealthMonitor:
    """One `watch` per running container with a check; the supervisor owns the tasks."""

    def __init__(self, records: Records, lives: Lives, clock: Clock, probe: Probe, groups: Groups) -> None:
        self._records = records
        self._lives = lives
        self._clock = clock
        self._probe = probe
        self._groups = groups

    def wanted(self, container: Container) -> bool:
        """Whether the container has a check that runs anything."""
        return container.health is not None and bool(probe_command(container.health, container.spec.shell))

    async def watch(self, container_id: str) -> None:
        """Probe until cancelled, or until the container is gone; resumes where an earlier daemon left off."""
        known = self._records.find(container_id)
        age = max(0, self._clock.now() - known.state.started_at) if known else 0
        started = self._clock.monotonic() - age  # from here on the wall clock may jump
        while True:
            container = self._records.find(container_id)
            if container is None or container.health is None:
                return
            health = container.state.health or Health()
            await self._clock.sleep(next_wait(health, container.health, self._clock.monotonic() - started))
            container = self._records.find(container_id)
            if container is None or container.state.phase not in (Phase.RUNNING, Phase.PAUSED):
                return
            if container.state.phase is Phase.RUNNING:
                await self._probe_once(container, started)

    async def _probe_once(self, container: Container, started: int) -> None:
        check = container.health
        if check is None:
            return
        command = probe_command(check, container.spec.shell)
        begin = self._clock.now()
        timeout = (check.timeout or DEFAULT_TIMEOUT) / SECOND
        try:
            code, output = await self._probe(container, command, timeout)
        except (BoxshipError, OSError) as error:
            code, output = -1, str(error).encode()
        if code == -1 and not output:
            output = f"Health check exceeded timeout ({format_duration(check.timeout or DEFAULT_TIMEOUT)})".encode()
        text = output[:OUTPUT_LIMIT].decode("utf-8", "replace")
        result = ProbeResult(begin, self._clock.now(), code, text)
        await self._record(container.id, result, self._clock.monotonic() - started)

    async def _record(self, container_id: str, result: ProbeResult, since_start: int) -> None:
        async with self._lives.of(container_id).lock:  # else a pause or a stop that is being stored would be undone
            container = self._records.find(container_id)
            if container is None or container.health is None or container.state.phase is not Phase.RUNNING:
                return
            before = container.state.health or Health()
            after = after_probe(before, result, container.health, since_start)
            events: list[Event] = []
            if after.status != before.status:
                events.append(container_event(container, f"health_status: {after.status}", self._clock.now()))
            changed = with_state(container, health=after)
            await self._groups.follow(changed)  # who is told that it is healthy finds it in its group
            try:
                await self._records.save(changed, *events)
            except BoxshipError as error:
                logger.warning("cannot record the health of container %s: %s", container_id[:12], error)
                await self._groups.follow(container)
