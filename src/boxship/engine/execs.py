"""Further processes in running containers.

An exec's record is in the store from its creation to the end of its container, or until it has been ended for
`KEPT_AFTER_END`: its exit code can be asked for after a restart of the daemon too.
"""

import asyncio
import logging
import secrets

import msgspec

from boxship.engine import merging
from boxship.engine.attachments import STDERR, STDOUT, Streams
from boxship.engine.clock import Clock
from boxship.engine.describing import container_event
from boxship.engine.events import Events
from boxship.engine.lives import Lives
from boxship.engine.model import ALIVE, Container, Exec, ExecSpec, Phase, ProcessHandle
from boxship.engine.records import Records
from boxship.engine.supervisor import FULL_DISK_DELAY, exit_code_of_failure
from boxship.engine.tasks import Tasks
from boxship.errors import BoxshipError, Conflict, Exhausted, Invalid, NotFound
from boxship.runtime import security
from boxship.runtime.driver import Driver
from boxship.runtime.handle import ExecPlan, Handle
from boxship.runtime.users import resolve_user
from boxship.spec.container import SECOND
from boxship.store import Delete, Put, Store

logger = logging.getLogger(__name__)

PREFIX = "execs/"
KEPT_AFTER_END = 300 * SECOND
PROBE_OUTPUT_LIMIT = 4096  # bytes
START_PATIENCE = 2 * SECOND  # for the start of an exec whose terminal gets its size
START_POLL = SECOND // 100

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Exec).decode


class Execs:
    """create, start, get, resize; and `probe`, which health checks use."""

    def __init__(
        self,
        records: Records,
        lives: Lives,
        driver: Driver,
        store: Store,
        events: Events,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._records = records
        self._lives = lives
        self._driver = driver
        self._store = store
        self._events = events
        self._clock = clock
        self._tasks = tasks
        self._execs: dict[str, Exec] = {}
        self._handles: dict[str, Handle] = {}
        self._watching: set[asyncio.Task[None]] = set()
        self._ends: dict[str, asyncio.Event] = {}

    async def load(self) -> None:
        """Read the records, find the execs that still run, and learn how the others ended.

        Whatever runs without a record that says so was never answered for (or is a health check's probe): it ends.
        """
        for entry in (await self._store.list(PREFIX)).entries:
            run = _decode(entry.value)
            container = self._records.find(run.container_id)
            if container is None:
                await self._store.commit(Delete(entry.key))
                continue
            self._execs[run.id] = run
            if run.running:
                handle = self._driver.exec_handle(run.container_id, run.id, run.process, run.monitor, container.runtime)
                self._watch(run.id, handle)
        await self._driver.sweep_execs([run.id for run in self._execs.values() if run.running])

    async def close(self) -> None:
        """Stop watching; the processes go on."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)

    def get(self, exec_id: str) -> Exec:
        """Raises NotFound with Docker's text."""
        run = self._execs.get(exec_id)
        if run is None:
            raise NotFound(f"No such exec instance: {exec_id}")
        return run

    def of(self, container_id: str) -> list[str]:
        """Ids of the execs that run in a container."""
        return [run.id for run in self._execs.values() if run.container_id == container_id and run.running]

    async def create(self, ref: str, spec: ExecSpec) -> Exec:
        """Note down a process to be started. Raises Conflict where the container doesn't run."""
        container = self._running(self._records.get(ref).id)
        if not spec.command:
            raise Invalid("No exec command specified")
        run = Exec(
            id=secrets.token_hex(32),
            container_id=container.id,
            spec=spec,
            created_at=self._clock.now(),
            arguments=spec.command,
        )
        self._forget_old()
        self._execs[run.id] = run
        event = container_event(container, f"exec_create: {' '.join(spec.command)}", self._clock.now(), execID=run.id)
        await self._events.commit(Put(PREFIX + run.id, _encode(run)), events=(event,))
        return run

    async def start(self, exec_id: str, *, detach: bool, console_size: tuple[int, int] = (0, 0)) -> Streams | None:
        """Start an exec; its streams, or None when detached.

        A program that can't be run is an error when detached; attached, it is text on the stream and exit code 126 or
        127, as clients expect. Raises Conflict where it was started before or the container doesn't run.
        """
        run = self.get(exec_id)
        container = self._running(run.container_id)
        if run.started:
            raise Conflict(f"Error: Exec command {exec_id} has already run")
        run = self._execs[exec_id] = msgspec.structs.replace(run, started=True)
        spec = run.spec
        streams = None
        if not detach:
            wanted = frozenset(n for n, on in ((STDOUT, spec.attach_stdout), (STDERR, spec.attach_stderr)) if on)
            streams = Streams(tty=spec.tty, wanted=wanted, takes_input=spec.attach_stdin, detach_keys=spec.detach_keys)
        try:
            handle = await self._launch(container, run, console_size, streams)
        except BoxshipError as error:
            await self._failed(run, container, error)
            if streams is None:
                raise
            streams.fail(f"{error}\r\n" if spec.tty else f"{error}\n")
            return streams
        run = msgspec.structs.replace(
            run,
            running=True,
            process=ProcessHandle(handle.process.pid, handle.process.started),
            monitor=ProcessHandle(handle.monitor.pid, handle.monitor.started),
        )
        self._execs[exec_id] = run
        event = container_event(container, f"exec_start: {' '.join(spec.command)}", self._clock.now(), execID=run.id)
        await self._events.commit(Put(PREFIX + run.id, _encode(run)), events=(event,))
        recorded = self._watch(exec_id, handle)
        if streams is not None:
            streams.end_after(recorded)
        return streams

    async def resize(self, exec_id: str, rows: int, columns: int) -> None:
        """Set the size of an exec's terminal. Raises Conflict where it doesn't run.

        Clients ask for it as soon as they are told that the start goes on, so one that is about to run is awaited.
        """
        latest = self._clock.monotonic() + START_PATIENCE
        while (handle := self._handles.get(exec_id)) is None:
            if self.get(exec_id).exit_code is not None or self._clock.monotonic() > latest:
                raise Conflict(f"cannot resize exec {exec_id}: it is not running")
            await self._clock.sleep(START_POLL)
        await self._driver.resize(handle, rows, columns)

    async def probe(
        self, container: Container, command: tuple[str, ...], seconds: float, limit: int = PROBE_OUTPUT_LIMIT
    ) -> tuple[int, bytes]:
        """Run a command to its end, without a record: (exit code, output), exit code -1 at the deadline."""
        handle = self._lives.of(container.id).handle
        if handle is None:
            raise Conflict(f"container {container.id} is not running")
        plan = self._plan(container, ExecSpec(command=command), (0, 0))
        return await self._driver.exec_capture(handle, secrets.token_hex(16), plan, seconds=seconds, limit=limit)

    async def _launch(
        self, container: Container, run: Exec, console_size: tuple[int, int], streams: Streams | None
    ) -> Handle:
        handle = self._lives.of(container.id).handle
        if handle is None:
            raise Conflict(f"container {container.id} is not running")
        plan = self._plan(container, run.spec, console_size)
        started, attached = await self._driver.exec(
            handle, run.id, plan, stdin=run.spec.attach_stdin, attach=streams is not None
        )
        if streams is not None and attached is not None:
            streams.join(attached)
        return started

    def _plan(self, container: Container, spec: ExecSpec, console_size: tuple[int, int]) -> ExecPlan:
        root = f"/proc/{container.state.process.pid}/root"
        if spec.user:
            identity = resolve_user(root, spec.user)
        else:
            wanted = container.spec
            identity = resolve_user(root, container.process.user, wanted.groups, wanted.groups_policy)
        container.users.check((identity.uid, identity.gid, *identity.groups))
        process = msgspec.structs.replace(
            container.process,
            environment=merging.merge_environment(spec.environment, container.process.environment),
        )
        environment = merging.runtime_environment(
            process, hostname=container.spec.hostname or container.id[:12], home=identity.home, tty=spec.tty
        )
        rights, _ = security.rights(
            privileged=container.spec.privileged or spec.privileged,
            add=container.spec.capabilities_add,
            drop=container.spec.capabilities_drop,
            options=container.spec.security_options,
            masked_paths=None,
            read_only_paths=None,
            devices=(),
        )
        return ExecPlan(
            arguments=spec.command,
            environment=environment,
            working_directory=spec.working_directory or container.process.working_directory or "/",
            identity=identity,
            tty=spec.tty,
            console_size=console_size if console_size != (0, 0) else spec.console_size,
            rights=rights,
            oom_score_adjustment=container.spec.oom_score_adjustment,
            ulimits=container.spec.ulimits,
            first_user=container.users.first,
        )

    def _running(self, container_id: str) -> Container:
        container = self._records.get(container_id)
        if container.state.phase is Phase.PAUSED:
            raise Conflict(f"container {container.id} is paused, unpause the container before exec")
        if container.state.phase is Phase.RESTARTING:
            raise Conflict(f"container {container.id} is restarting, wait until the container is running")
        if container.state.phase not in ALIVE:
            raise Conflict(f"container {container.id} is not running")
        return container

    def _watch(self, exec_id: str, handle: Handle) -> asyncio.Task[None]:
        self._handles[exec_id] = handle
        task = self._tasks.start(f"record the end of exec {exec_id[:12]}", self._until_end, exec_id, handle)
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)
        return task

    async def _until_end(self, exec_id: str, handle: Handle) -> None:
        try:
            ended = await self._driver.wait(handle)
            run = msgspec.structs.replace(self._execs[exec_id], running=False, exit_code=ended.code, can_remove=True)
            while True:
                try:
                    await self._ended(run)
                    break
                except Exhausted as error:  # a full disk: its record waits until there is space again
                    logger.warning("cannot record the end of exec %s yet: %s", exec_id[:12], error)
                    await self._clock.sleep(FULL_DISK_DELAY)
            await self._driver.forget_exec(handle)
        finally:
            self._handles.pop(exec_id, None)

    async def _failed(self, run: Exec, container: Container, error: BoxshipError) -> None:
        logger.info("cannot run exec %s in container %s: %s", run.id[:12], container.id[:12], error)
        code = exit_code_of_failure(error)
        await self._ended(msgspec.structs.replace(run, started=True, running=False, exit_code=code))

    async def wait(self, exec_id: str) -> int:
        """The exit code of an exec that was started, as soon as there is one."""
        while (code := self.get(exec_id).exit_code) is None:
            await self._ends.setdefault(exec_id, asyncio.Event()).wait()
        return code

    async def _ended(self, run: Exec) -> None:
        self._execs[run.id] = run
        if (waited_for := self._ends.pop(run.id, None)) is not None:
            waited_for.set()
        container = self._records.find(run.container_id)
        if container is None:
            self._execs.pop(run.id, None)
            await self._store.commit(Delete(PREFIX + run.id))
            return
        event = container_event(container, "exec_die", self._clock.now(), execID=run.id, exitCode=str(run.exit_code))
        await self._events.commit(Put(PREFIX + run.id, _encode(run)), events=(event,))

    def _forget_old(self) -> None:
        """Drop ended execs that nobody has asked for in a while, and those of containers that are gone."""
        oldest = self._clock.now() - KEPT_AFTER_END
        gone = [
            run.id
            for run in self._execs.values()
            if (run.exit_code is not None and run.created_at < oldest) or self._records.find(run.container_id) is None
        ]
        for exec_id in gone:
            if exec_id not in self._handles:
                del self._execs[exec_id]
                self._events.drop(PREFIX + exec_id)
