"""A client's hold on a container's streams: attach, logs, terminal size."""

import asyncio
from collections.abc import AsyncIterator

from boxship.engine.clock import Clock
from boxship.engine.describing import container_event
from boxship.engine.events import Events
from boxship.engine.lives import Lives
from boxship.engine.model import ALIVE, Container, Phase
from boxship.engine.records import Records
from boxship.errors import Conflict, Unsupported
from boxship.logs.options import TagFacts, parse_options
from boxship.logs.reader import read
from boxship.runtime.attach import Attached
from boxship.runtime.driver import Driver
from boxship.spec.detach_keys import DetachKeys
from boxship.spec.log import LogRecord

STDOUT, STDERR = 1, 2
RECORD_SECONDS = 5  # from the end of an exec's output to its exit code in the store, at most


class Streams:
    """One client's view of a container's or an exec's streams.

    It may be made before the process starts: output then waits for the first byte and misses none.
    """

    def __init__(
        self,
        *,
        tty: bool,
        wanted: frozenset[int],
        takes_input: bool,
        owns_stdin: bool = True,
        ends_with_input: bool = False,
        replay: AsyncIterator[LogRecord] | None = None,
        live: bool = True,
        detach_keys: str = "",
    ) -> None:
        self.tty = tty
        self._wanted = wanted
        self.takes_input = takes_input
        self.owns_stdin = owns_stdin  # else the process's stdin would end with this client, which sends none
        self._ends_with_input = ends_with_input
        self._replay = replay
        self._live = live
        self._keys = DetachKeys(detach_keys) if tty else None
        self._message = b""
        self._joined: asyncio.Future[Attached | None] = asyncio.get_running_loop().create_future()
        self._input_ended = False
        self._detached = False
        self._recorded: asyncio.Task[None] | None = None

    def end_after(self, recorded: asyncio.Task[None]) -> None:
        """Let the output end only when the process's exit code has been recorded: clients ask for it at once."""
        self._recorded = recorded

    def join(self, attached: Attached) -> None:
        """The process is about to run: its streams are here."""
        if self._joined.done():
            attached.close()
        else:
            self._joined.set_result(attached)

    def give_up(self) -> None:
        """There will be no process."""
        if not self._joined.done():
            self._joined.set_result(None)

    def fail(self, message: str) -> None:
        """There is no process, and the client reads why on its stream."""
        self._message = message.encode()
        self.give_up()

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """(stream, data) until the process ends or the client detaches; the replayed log first."""
        if self._message:
            yield STDOUT, self._message
        if self._replay is not None:
            async for record in self._replay:
                yield record.stream, record.data
        if not self._live:
            return
        attached = await asyncio.shield(self._joined)
        if attached is None:
            return
        async for stream, data in attached:
            if stream in self._wanted:
                yield stream, data
        if self._recorded is not None and not self._detached:
            await asyncio.wait({self._recorded}, timeout=RECORD_SECONDS)

    async def write(self, data: bytes) -> None:
        """Send to the process's stdin. The detach keys end this client's view and reach nobody."""
        attached = await asyncio.shield(self._joined)
        if attached is None or not self.takes_input or self._input_ended:
            return
        if self._keys is not None:
            data, detached = self._keys.feed(data)
            if data:
                await attached.write(data)
            if detached:
                self._detached = True
                attached.close()
            return
        await attached.write(data)

    async def end_input(self) -> None:
        """The client will send nothing more: the process's stdin ends, its output goes on. Where a process keeps its
        stdin for further clients, this one's view ends, as it would otherwise stay for ever."""
        attached = await asyncio.shield(self._joined)
        if attached is None or not self.takes_input or self._input_ended:
            return
        self._input_ended = True
        if self._ends_with_input:
            self._detached = True
            attached.close()
        else:
            await attached.close_stdin()

    async def close(self) -> None:
        """Let go. Safe to call twice."""
        if not self._joined.done():
            self._joined.set_result(None)
            return
        attached = self._joined.result()
        if attached is not None:
            attached.close()


class Attachments:
    """attach, logs and resize of containers."""

    def __init__(self, records: Records, lives: Lives, driver: Driver, events: Events, clock: Clock) -> None:
        self._records = records
        self._lives = lives
        self._driver = driver
        self._events = events
        self._clock = clock

    async def attach(
        self,
        ref: str,
        *,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        logs: bool = False,
        stream: bool = True,
        detach_keys: str = "",
    ) -> Streams:
        """A client's streams. Raises Conflict where the container is paused, restarting or being removed."""
        container = self._records.get(ref)
        if container.state.phase is Phase.PAUSED:
            raise Conflict(f"container {ref} is paused, unpause the container before attach")
        if container.state.phase is Phase.RESTARTING:
            raise Conflict(f"container {ref} is restarting, wait until the container is running")
        if container.state.phase in (Phase.REMOVING, Phase.DEAD):
            raise Conflict(f"container {ref} is marked for removal and cannot be attached to")
        wanted = frozenset(number for number, on in ((STDOUT, stdout), (STDERR, stderr)) if on)
        replay = None
        if logs and container.log_path:
            replay = self.logs(ref, stdout=stdout, stderr=stderr, follow=False, since=0, until=0, tail=None, merge=True)
        running = container.state.phase in ALIVE
        spec = container.spec
        takes_input = stdin and spec.open_stdin
        ends_with_a_client = spec.open_stdin and spec.stdin_once and not spec.tty
        streams = Streams(
            tty=spec.tty,
            wanted=wanted,
            takes_input=takes_input,
            owns_stdin=takes_input or not ends_with_a_client,
            ends_with_input=takes_input and not ends_with_a_client,
            replay=replay,
            live=stream and (running or not logs),
            detach_keys=detach_keys,
        )
        if stream:
            await self._enter(container, streams)
        self._events.publish(container_event(container, "attach", self._clock.now()))
        return streams

    async def _enter(self, container: Container, streams: Streams) -> None:
        live = self._lives.of(container.id)
        handle = live.handle
        if container.state.phase in ALIVE and handle is not None:
            streams.join(await self._driver.connect(handle, stdin=streams.owns_stdin))
        else:
            live.attaching.append(streams)

    def logs(
        self,
        ref: str,
        *,
        stdout: bool,
        stderr: bool,
        follow: bool,
        since: int,
        until: int,
        tail: int | None,
        merge: bool = False,
    ) -> AsyncIterator[LogRecord]:
        """The container's log. Times in nanoseconds since the epoch, 0 for none; `tail` None for all. `merge` joins
        neighbouring lines of one stream into one record, which is faster where their times are not shown.

        Raises Unsupported where its log driver keeps none.
        """
        container = self._records.get(ref)
        if not container.log_path:
            raise Unsupported("configured logging driver does not support reading")
        streams = frozenset(number for number, on in ((STDOUT, stdout), (STDERR, stderr)) if on)
        return read(
            container.log_path,
            since=since,
            until=until,
            tail=tail,
            follow=follow,
            ended=lambda: self._has_ended(container.id),
            streams=streams,
            merge=merge,
        )

    def log_attributes(self, ref: str) -> dict[str, str]:
        """What the log options "labels" and "env" add to each line when details are asked for."""
        container = self._records.get(ref)
        settings = parse_options(container.spec.log.driver, container.spec.log.options)
        facts = TagFacts(container.id, container.name, container.image_id, container.spec.image)
        return settings.attributes(container.labels, container.process.environment, facts)

    async def resize(self, ref: str, rows: int, columns: int) -> None:
        """Set the size of the container's terminal. Raises Conflict where it doesn't run."""
        container = self._records.get(ref)
        handle = self._lives.of(container.id).handle
        if container.state.phase not in ALIVE or handle is None:
            raise Conflict(f"cannot resize a stopped container: container {container.id} is not running")
        await self._driver.resize(handle, rows, columns)
        self._events.publish(
            container_event(container, "resize", self._clock.now(), height=str(rows), width=str(columns))
        )

    def _has_ended(self, container_id: str) -> bool:
        container = self._records.find(container_id)
        if container is None:
            return True
        return container.state.phase in (Phase.CREATED, Phase.EXITED, Phase.REMOVING, Phase.DEAD)
