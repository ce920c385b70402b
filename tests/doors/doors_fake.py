"""An engine of plain values for the door's tests: it keeps what it is given and does nothing to any machine."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import msgspec

from boxship.doors.docker.door import Door
from boxship.engine.lives import WaitResult
from boxship.engine.model import Container, Event, Exec, ExecSpec, MountPoint, Phase, Process, ProcessHandle, State
from boxship.engine.system import SystemInfo
from boxship.engine.values import LayerProgress, Loaded
from boxship.errors import Conflict, NotFound, Unchanged
from boxship.spec.container import ContainerSpec, NetworkSpec
from boxship.spec.log import LogRecord
from boxship.spec.stats import StatsSample
from boxship.transport.exchange import Reply, Request
from boxship.transport.memory import Answer, Client

SECOND = 1_000_000_000


def container_of(spec: ContainerSpec, name: str = "box", **state: Any) -> Container:
    """A record as the engine would make it of a spec, without an image."""
    return Container(
        id=hashlib.sha256(name.encode()).hexdigest(),
        name=name,
        created_at=1_700_000_000 * SECOND,
        image_id="sha256:" + "1" * 64,
        image_size=1000,
        spec=spec,
        process=Process(
            arguments=(*(spec.entrypoint or ()), *(spec.command or ())) or ("sh",),
            environment=spec.environment,
            working_directory=spec.working_directory,
            user=spec.user,
            entrypoint=spec.entrypoint,
            command=spec.command,
        ),
        labels=spec.labels,
        exposed_ports=spec.exposed_ports,
        volumes=spec.volumes,
        stop_signal=spec.stop_signal or "SIGTERM",
        platform="linux/amd64",
        runtime=spec.runtime or "crun",
        state=State(**{"phase": Phase.CREATED, **state}),
        health=spec.health,
        mounts=tuple(
            MountPoint(kind=mount.kind, target=mount.target, source=mount.source, origin=mount.origin)
            for mount in spec.mounts
        ),
    )


class FakeStreams:
    """Says hello, echoes its input, and says goodbye when that ends."""

    def __init__(self, tty: bool) -> None:
        self.tty = tty
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.closed = False

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        yield 1, b"hello\n"
        while (data := await self.queue.get()) is not None:
            yield 2, data
        yield 1, b"bye\n"

    async def write(self, data: bytes) -> None:
        self.queue.put_nowait(data)

    async def end_input(self) -> None:
        self.queue.put_nowait(None)

    async def close(self) -> None:
        self.closed = True


class FakeContainers:
    def __init__(self) -> None:
        self.all: dict[str, Container] = {}

    async def create(self, spec: ContainerSpec, name: str | None) -> tuple[Container, tuple[str, ...]]:
        if spec.image == "missing":
            raise NotFound("No such image: missing:latest")
        made = container_of(spec, name or f"box{len(self.all)}")
        if made.name in {other.name for other in self.all.values()}:
            raise Conflict(f'Conflict. The container name "/{made.name}" is already in use by container "x".')
        self.all[made.id] = made
        return made, ("a warning",)

    def add(self, container: Container) -> Container:
        self.all[container.id] = container
        return container

    def get(self, ref: str) -> Container:
        for container in self.all.values():
            if ref in (container.name, container.id) or (len(ref) >= 4 and container.id.startswith(ref)):
                return container
        raise NotFound(f"No such container: {ref}")

    def list(self) -> list[Container]:
        return sorted(self.all.values(), key=lambda container: container.created_at, reverse=True)

    async def rename(self, ref: str, name: str) -> None:
        container = self.get(ref)
        self.all[container.id] = msgspec.structs.replace(container, name=name)

    async def remove(self, ref: str, *, force: bool = False, volumes: bool = False) -> None:
        del self.all[self.get(ref).id]

    async def update(self, ref: str, changes: dict[str, object], restart: object) -> tuple[str, ...]:
        container = self.get(ref)
        resources = msgspec.structs.replace(container.spec.resources, **changes)
        spec = msgspec.structs.replace(container.spec, resources=resources)
        self.all[container.id] = msgspec.structs.replace(container, spec=spec)
        return ()

    async def prune(self, keep: Any) -> tuple[list[str], int]:
        gone = [container.id for container in self.list() if not keep(container)]
        for identifier in gone:
            del self.all[identifier]
        return gone, 7


class FakeLife:
    def __init__(self, containers: FakeContainers) -> None:
        self.containers = containers
        self.calls: list[tuple[Any, ...]] = []
        self.ending: asyncio.Future[WaitResult] | None = None

    async def start(self, ref: str) -> None:
        if self.containers.get(ref).state.phase is Phase.RUNNING:
            raise Unchanged("runs")
        self.calls.append(("start", ref))

    async def stop(self, ref: str, *, timeout: int | None = None, signal: str = "") -> None:
        self.containers.get(ref)
        self.calls.append(("stop", ref, timeout, signal))

    restart = stop

    async def kill(self, ref: str, *, signal: str = "") -> None:
        self.containers.get(ref)
        raise Conflict(f"cannot kill container: {ref}: it is not running")

    async def pause(self, ref: str) -> None:
        raise RuntimeError("nobody foresaw this")

    async def unpause(self, ref: str) -> None:
        raise OSError(28, "No space left on device")

    def wait(self, ref: str, condition: str) -> Any:
        self.containers.get(ref)
        self.ending = asyncio.get_running_loop().create_future()
        return self.ending


class FakeAttachments:
    def __init__(self, containers: FakeContainers) -> None:
        self.containers = containers
        self.streams: list[FakeStreams] = []
        self.records: list[LogRecord] = []

    async def attach(self, ref: str, **options: Any) -> FakeStreams:
        self.streams.append(FakeStreams(self.containers.get(ref).spec.tty))
        return self.streams[-1]

    def logs(self, ref: str, **options: Any) -> AsyncIterator[LogRecord]:
        self.options = options

        async def records() -> AsyncIterator[LogRecord]:
            for record in self.records:
                yield record

        return records()

    def log_attributes(self, ref: str) -> dict[str, str]:
        return {"b": "2", "a": "1 x"}

    async def resize(self, ref: str, rows: int, columns: int) -> None:
        self.containers.get(ref)


class FakeExecs:
    def __init__(self, containers: FakeContainers) -> None:
        self.containers = containers
        self.all: dict[str, Exec] = {}
        self.streams: list[FakeStreams] = []

    def of(self, container_id: str) -> list[str]:
        return [found.id for found in self.all.values() if found.container_id == container_id]

    async def create(self, ref: str, spec: ExecSpec) -> Exec:
        made = Exec(id=f"{len(self.all):064x}", container_id=self.containers.get(ref).id, spec=spec, created_at=1)
        self.all[made.id] = made
        return made

    def get(self, ref: str) -> Exec:
        try:
            return self.all[ref]
        except KeyError:
            raise NotFound(f"No such exec instance: {ref}") from None

    async def start(self, ref: str, *, detach: bool, console_size: tuple[int, int]) -> FakeStreams | None:
        found = self.get(ref)
        self.all[ref] = msgspec.structs.replace(
            found, started=True, running=False, exit_code=0, process=ProcessHandle(1, 1)
        )
        self.streams.append(FakeStreams(found.spec.tty))
        return None if detach else self.streams[-1]

    async def resize(self, ref: str, rows: int, columns: int) -> None:
        self.get(ref)


class FakeNetworks:
    def __init__(self) -> None:
        self.all: dict[str, Any] = {}
        self.joined: list[tuple[str, str, Any]] = []

    async def create(self, spec: NetworkSpec) -> Any:
        made = SimpleNamespace(
            id=f"{len(self.all):064x}",
            name=spec.name,
            created_at=1,
            driver=spec.driver,
            scope="local",
            spec=spec,
            predefined=False,
        )
        self.all[made.name] = made
        return made

    def get(self, ref: str) -> Any:
        for network in self.all.values():
            if ref in (network.name, network.id):
                return network
        raise NotFound(f"network {ref} not found")

    def list(self) -> list[Any]:
        return list(self.all.values())

    def endpoints(self, network_id: str) -> dict[str, Any]:
        return {}

    async def remove(self, ref: str) -> None:
        del self.all[self.get(ref).name]

    async def connect(self, ref: str, container: str, request: Any) -> None:
        self.joined.append((ref, container, request))

    async def disconnect(self, ref: str, container: str, *, force: bool) -> None:
        self.get(ref)

    async def prune(self, keep: Any) -> list[str]:
        return [network.name for network in self.list() if not keep(network)]


class FakeVolumes:
    def __init__(self) -> None:
        self.all: dict[str, Any] = {}

    async def create(self, name: str | None, driver: str, options: Any, labels: Any) -> Any:
        made = SimpleNamespace(
            name=name or "random", driver=driver, options=options, labels=labels, created_at=SECOND, mountpoint="/v"
        )
        return self.all.setdefault(made.name, made)

    def get(self, name: str) -> Any:
        if name not in self.all:
            raise NotFound(f"get {name}: no such volume")
        return self.all[name]

    def list(self) -> list[Any]:
        return list(self.all.values())

    def users(self, name: str) -> list[str]:
        return []

    async def remove(self, name: str, *, force: bool) -> None:
        del self.all[self.get(name).name]

    async def prune(self, keep: Any) -> tuple[list[str], int]:
        return [volume.name for volume in self.list() if not keep(volume)], 0


class FakeImages:
    async def resolve(self, ref: str) -> Any:
        raise NotFound(f"No such image: {ref}")

    async def list(self) -> list[Any]:
        return []

    history = resolve

    async def tag(self, ref: str, new: str) -> None:
        raise NotFound(f"No such image: {ref}")

    async def remove(self, ref: str, *, force: bool) -> list[tuple[str, str]]:
        raise NotFound(f"No such image: {ref}")

    async def prune(self, *, dangling: bool, keep: Any) -> tuple[list[tuple[str, str]], int]:
        return [], 0

    async def load(self, body: AsyncIterator[bytes], *, platform: str) -> AsyncIterator[LayerProgress | Loaded]:
        async for chunk in body:
            if chunk == b"garbage":
                raise NotFound("no archive")
            yield LayerProgress("sha256:" + "4" * 64, 1, 1, 9)
            yield Loaded("sha256:" + "2" * 64, ("x:latest",), {"x:latest": "sha256:old"})
            yield Loaded("sha256:" + "5" * 64)

    def save(self, refs: Any, *, platform: str) -> Any:
        raise NotFound(f"No such image: {refs[0]}")

    async def import_(self, body: AsyncIterator[bytes], **options: Any) -> str:
        self.imported = (b"".join([chunk async for chunk in body]), options)
        return "sha256:" + "2" * 64


class FakeFiles:
    def __init__(self, containers: FakeContainers) -> None:
        self.containers = containers

    async def sizes(self, ref: str) -> tuple[int, int]:
        return 5, 10

    async def changes(self, ref: str) -> list[tuple[int, str]]:
        self.containers.get(ref)
        return []

    async def stat(self, ref: str, path: str) -> Any:
        self.containers.get(ref)
        return SimpleNamespace(name="etc", size=4, mode=0o41777, mtime=SECOND, link_target="")

    async def get(self, ref: str, path: str) -> AsyncIterator[bytes]:
        yield b"tar"

    async def put(self, ref: str, path: str, tar: AsyncIterator[bytes], **options: Any) -> None:
        self.put_bytes = b"".join([chunk async for chunk in tar])
        self.options = options

    def export(self, ref: str) -> AsyncIterator[bytes]:
        self.containers.get(ref)
        return self.get(ref, "/")


class FakeMetrics:
    def __init__(self, containers: FakeContainers) -> None:
        self.containers = containers
        self.count = 0

    async def top(self, ref: str, arguments: str) -> tuple[list[str], list[list[str]]]:
        self.containers.get(ref)
        return ["PID"], [["1"]]

    async def stats(self, ref: str) -> StatsSample:
        self.containers.get(ref)
        self.count += 1
        return StatsSample(time=self.count * SECOND, cpu_total=self.count, networks={"eth0": {"rx_bytes": 1}})


class FakeEvents:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.closed = False

    def subscribe(self, *, since: int = 0, until: int = 0) -> AsyncIterator[Event]:
        async def stream() -> AsyncIterator[Event]:
            try:
                for event in self.events:
                    yield event
                if not until:
                    await asyncio.Event().wait()
            finally:
                self.closed = True

        return stream()


class FakeSystem:
    async def usage(self) -> Any:
        return SimpleNamespace(layers_size=0, images=(), containers=(), volumes=())

    async def info(self) -> Any:
        texts = {field.name: f"some {field.name}" for field in msgspec.structs.fields(SystemInfo) if field.type is str}
        numbers = {field.name: 1 for field in msgspec.structs.fields(SystemInfo) if field.type is int}
        lists: dict[str, Any] = {
            "runtimes": {"crun": "/usr/bin/crun"},
            "security_options": (),
            "warnings": ("w",),
            "labels": (),
            "default_address_pools": (),
        }
        return SystemInfo(**{**texts, **numbers, **lists, "cgroup_version": "1", "architecture": "x86_64"})


class FakeCommitting:
    async def commit(self, ref: str, **options: Any) -> str:
        self.options = options
        return "sha256:" + "3" * 64


class FakeEngine:
    def __init__(self) -> None:
        self.containers = containers = FakeContainers()
        self.life = FakeLife(containers)
        self.attachments = FakeAttachments(containers)
        self.files = FakeFiles(containers)
        self.metrics = FakeMetrics(containers)
        self.execs = FakeExecs(containers)
        self.networks = FakeNetworks()
        self.volumes = FakeVolumes()
        self.images = FakeImages()
        self.events = FakeEvents()
        self.system = FakeSystem()
        self.committing = FakeCommitting()


class Desk(Client):
    """A client of a door over a fake engine; bodies are JSON unless they are bytes."""

    def __init__(self) -> None:
        self.engine = FakeEngine()
        door = Door(self.engine)  # type: ignore[arg-type]

        async def handle(request: Request) -> Reply | None:
            return await door.handle(request)

        super().__init__(handle)

    async def ask(self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        data = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        fields = {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}
        return await self.call(method, target, data, fields)

    async def json(self, method: str, target: str, body: Any = None) -> Any:
        """The decoded body of a successful answer."""
        answer = await self.ask(method, target, body)
        data = await answer.read()
        assert answer.status < 300, (answer.status, data)
        return msgspec.json.decode(data) if data else None

    async def error(self, method: str, target: str, body: Any = None) -> tuple[int, str]:
        """Status and message of a failed answer."""
        answer = await self.ask(method, target, body)
        data = await answer.read()
        assert answer.status >= 300, (answer.status, data)
        if not data:
            return answer.status, ""
        assert data.endswith(b"\n")
        decoded = msgspec.json.decode(data)
        assert list(decoded) == ["message"]
        return answer.status, decoded["message"]
