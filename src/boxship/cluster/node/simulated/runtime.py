"""A Runtime without containers. What a container does follows from its command: `run` until it is stopped (also where
there is no command), `sleep SECONDS` then exit 0, `exit CODE` at once, `exit CODE SECONDS` later, `deaf`: until it is
killed, `broken`: it cannot be started. All times are the loop's, so that a virtual clock serves.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import msgspec

from boxship.cluster.node.runtime import (
    CREATED,
    EXITED,
    RUNNING,
    ContainerRequest,
    ContainerStatus,
    ImageStatus,
    MachineUsage,
    PodUsage,
    Sandbox,
    SandboxSpec,
    Sink,
    Usage,
)
from boxship.cluster.node.simulated.images import SimulatedImages
from boxship.engine.attachments import Streams
from boxship.errors import Conflict, Internal, NotFound, Unavailable, Unsupported
from boxship.spec.container import Resources

GIB = 1 << 30
HISTORY_LIMIT = 100_000
Pause = Callable[[], float]  # seconds that the next call takes


class News:
    """What happened, in order, and who listens to it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.listeners: list[asyncio.Queue[str]] = []
        self.history: list[tuple[float, str, str, str]] = []  # when, what, pod's uid, container's name

    def tell(self, uid: str) -> None:
        for listener in self.listeners:
            listener.put_nowait(uid)

    def note(self, what: str, uid: str, name: str = "") -> None:
        self.history.append((self._now(), what, uid, name))
        del self.history[:-HISTORY_LIMIT]


class SimulatedRuntime(SimulatedImages):
    """Implements runtime.Runtime. `answers` says what `run` answers for a command."""

    def __init__(self, now: Callable[[], float], *, pause: Pause | None = None, network: str = "10.244.0") -> None:
        super().__init__(_waiting(pause))
        self._now = now
        self._network = network
        self._numbers = itertools.count(1)
        self.pods: dict[str, Sandbox] = {}
        self.table: dict[str, ContainerStatus] = {}
        self._scripts: dict[str, tuple[str, ...]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._news = News(now)
        self.answers: dict[tuple[str, ...], tuple[int, bytes]] = {}
        self.history = self._news.history

    def _nanoseconds(self) -> int:
        return int(self._now() * 1e9)

    # Sandboxes

    async def sandboxes(self, uid: str = "") -> Sequence[Sandbox]:
        return [sandbox for key, sandbox in self.pods.items() if uid in ("", key)]

    async def containers(self, uid: str = "") -> Sequence[ContainerStatus]:
        return [one for one in self.table.values() if uid in ("", one.uid)]

    async def changes(self) -> AsyncIterator[str]:
        listener: asyncio.Queue[str] = asyncio.Queue()
        self._news.listeners.append(listener)
        try:
            while True:
                yield await listener.get()
        finally:
            self._news.listeners.remove(listener)

    async def create_sandbox(self, spec: SandboxSpec) -> Sandbox:
        await self._wait()
        known = self.pods.get(spec.uid)
        if known is not None and known.ready and known.spec.attempt == spec.attempt:
            return known
        number = next(self._numbers)
        address = f"{self._network}.{number % 250 + 2}"
        sandbox = Sandbox(f"sandbox-{number}", spec, self._nanoseconds(), True, (address,))
        self.pods[spec.uid] = sandbox
        self._news.note("sandbox", spec.uid)
        self._news.tell(spec.uid)
        return sandbox

    async def update_sandbox(self, uid: str, resources: Resources) -> None:
        await self._wait()

    async def stop_sandbox(self, uid: str) -> None:
        await self._wait()
        self.break_sandbox(uid)

    def break_sandbox(self, uid: str) -> None:
        """As if its namespaces had gone, with all that runs in them."""
        for id in [id for id, one in self.table.items() if one.uid == uid and one.phase == RUNNING]:
            self.end(id, 137, signal=9)
        if uid in self.pods:
            self.pods[uid] = msgspec.structs.replace(self.pods[uid], ready=False)
            self._news.tell(uid)

    async def remove_sandbox(self, uid: str, *, logs: bool = False) -> None:
        await self._wait()
        for id in [id for id, one in self.table.items() if one.uid == uid]:
            if self.table[id].phase == RUNNING:
                self.end(id, 137, signal=9)
            del self.table[id]
        if self.pods.pop(uid, None) is not None:
            self._news.note("removed", uid)
        self._news.tell(uid)
        await self._wait()

    # Containers

    async def create(self, request: ContainerRequest) -> ContainerStatus:
        await self._wait()
        sandbox = self.pods.get(request.uid)
        if sandbox is None or not sandbox.ready:
            raise NotFound(f"cannot create container {request.name}: its pod has no sandbox")
        for one in self.table.values():
            if (one.uid, one.name, one.attempt) == (request.uid, request.name, request.attempt):
                return one
        id = f"{next(self._numbers):064x}"
        self._scripts[id] = tuple(request.spec.entrypoint or ()) + tuple(request.spec.command or ())
        self.table[id] = ContainerStatus(
            id,
            request.uid,
            request.name,
            request.attempt,
            CREATED,
            max(self._nanoseconds(), sandbox.created_at),
            image=request.spec.image,
            image_id=request.image_id,
            hash=request.hash,
            resources=request.spec.resources,
        )
        self._news.note("created", request.uid, request.name)
        await self._wait()
        return self.table[id]

    async def start(self, id: str) -> None:
        await self._wait()
        one = found(self.table, id)
        if one.phase == RUNNING:
            return
        if one.phase != CREATED:
            raise Conflict(f"cannot start container {id}: it has ended")
        sandbox = self.pods.get(one.uid)
        if sandbox is None or not sandbox.ready or one.created_at < sandbox.created_at:
            raise Conflict(f"cannot start container {id}: its sandbox is gone")
        script = self._scripts[id] or ("run",)
        self.table[id] = msgspec.structs.replace(one, phase=RUNNING, started_at=self._nanoseconds(), pid=1)
        self._news.note("started", one.uid, one.name)
        if script[0] == "broken":
            self.end(id, 128, reason="StartError", message="it is broken")
            raise Internal(f"cannot start container {id}: it is broken")
        if script[0] == "sleep":
            self._timers[id] = asyncio.get_running_loop().call_later(float(script[1]), self.end, id, 0)
        elif script[0] == "exit":
            pause = float(script[2]) if len(script) > 2 else 0.0
            self._timers[id] = asyncio.get_running_loop().call_later(pause, self.end, id, int(script[1]))
        self._news.tell(one.uid)
        await self._wait()

    async def stop(self, id: str, *, grace: float, signal: str = "") -> None:
        one = found(self.table, id)
        if one.phase != RUNNING:
            return
        script = self._scripts[id] or ("run",)
        await asyncio.sleep(grace if script[0] == "deaf" else 0)
        await self._wait()
        if id in self.table and self.table[id].phase == RUNNING:
            self.end(id, *((137, 9) if script[0] == "deaf" else (0, 0)))

    def end(self, id: str, code: int, signal: int = 0, *, reason: str = "", message: str = "") -> None:
        """As if its process had ended by itself."""
        timer = self._timers.pop(id, None)
        if timer is not None:
            timer.cancel()
        one = self.table.get(id)
        if one is None or one.phase == EXITED:
            return
        self.table[id] = msgspec.structs.replace(
            one,
            phase=EXITED,
            finished_at=self._nanoseconds(),
            exit_code=code,
            signal=signal,
            reason=reason,
            message=message,
            pid=0,
        )
        self._news.note("ended", one.uid, one.name)
        self._news.tell(one.uid)

    async def remove(self, id: str) -> None:
        await self._wait()
        one = self.table.get(id)
        if one is not None and one.phase == RUNNING:
            raise Conflict(f"cannot remove container {id}: it runs")
        self.table.pop(id, None)

    async def update(self, id: str, resources: Resources) -> None:
        await self._wait()
        self.table[id] = msgspec.structs.replace(found(self.table, id), resources=resources)

    async def run(self, id: str, command: Sequence[str], *, timeout: float) -> tuple[int, bytes]:
        await self._wait()
        if found(self.table, id).phase != RUNNING:
            raise Conflict(f"cannot run in container {id}: it does not run")
        return self.answers.get(tuple(command), (0, b""))

    async def exec(self, id: str, command: Sequence[str], *, tty: bool, stdin: bool) -> tuple[str, Streams]:
        raise Unsupported("unsupported: exec in a simulated container")

    async def attach(self, id: str, *, stdin: bool) -> Streams:
        raise Unsupported("unsupported: attach to a simulated container")

    async def resize(self, id: str, rows: int, columns: int) -> None:
        raise Unsupported("unsupported: the terminal of a simulated container")

    async def exit_code(self, exec_id: str) -> int:
        raise NotFound(f"no exec {exec_id}")

    async def connect(self, uid: str, port: int) -> tuple[AsyncIterator[bytes], Sink]:
        raise Unavailable(f"nobody listens at port {port}")

    # Images and usage

    async def images(self) -> Sequence[ImageStatus]:
        return list(self.here.values())

    async def remove_image(self, id: str) -> None:
        if any(one.image_id == id for one in self.table.values()):
            raise Conflict(f"cannot remove image {id}: it is in use")
        self.here = {name: image for name, image in self.here.items() if image.id != id}

    async def usage(self, *, fresh: bool = False) -> tuple[MachineUsage, Sequence[PodUsage]]:
        machine = Usage(self._nanoseconds())
        return MachineUsage(machine, 8 * GIB, 6 * GIB, 100 * GIB, 60 * GIB, 1_000_000, 900_000, 32_768), ()


def _waiting(pause: Pause | None) -> Callable[[], Awaitable[None]]:
    async def wait() -> None:
        if pause is not None:
            await asyncio.sleep(pause())

    return wait


def found(table: Mapping[str, ContainerStatus], id: str) -> ContainerStatus:
    """Raises NotFound."""
    if id not in table:
        raise NotFound(f"no container {id}")
    return table[id]
