"""The node agent's machine: pods and containers of this process's own engine.

Nothing is kept here: what is asked is answered from the engine's records. A container of a pod is an ordinary container
of the engine whose labels say what it belongs to, so Docker's clients see it too.
"""

import asyncio
import contextlib
import math
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from boxship.cluster.node import log_links
from boxship.cluster.node.engine_images import EngineRuntimeImages
from boxship.cluster.node.engine_status import (
    POD_UID,
    changed_fields,
    container_status,
    is_news,
    location_of,
    sandbox_of,
    spec_of,
)
from boxship.cluster.node.engine_usage import used
from boxship.cluster.node.peers import Peers
from boxship.cluster.node.planning import NotPossible
from boxship.cluster.node.pulled import PullRecords
from boxship.cluster.node.runtime import (
    EXITED,
    ContainerRequest,
    ContainerStatus,
    MachineUsage,
    PodUsage,
    Sandbox,
    SandboxSpec,
    Sink,
)
from boxship.cluster.node.volumes.hostpaths import LINKS, LOGS, OURS
from boxship.engine import Engine
from boxship.engine.attachments import Streams
from boxship.engine.model import ALIVE, Container, Event, ExecSpec
from boxship.errors import Conflict, Exhausted, NotFound, Timeout, Unchanged, Unsupported
from boxship.spec.container import ContainerSpec, Resources
from boxship.spec.pod import PodSpec

OUTPUT_LIMIT = 16 << 10  # bytes of a command's output that are handed back
TARGET = "target:"  # a process namespace by the name of a container of the same pod


class EngineRuntime(EngineRuntimeImages):
    """`Runtime` over an engine; `data` is the engine's data root, `peers` other nodes that may have an image, `pulled`
    whose images are whose."""

    def __init__(
        self, engine: Engine, data: Path, peers: Peers | None = None, pulled: PullRecords | None = None
    ) -> None:
        super().__init__(engine, peers, pulled)
        self._engine = engine
        self._logs = data / "pods" / OURS[LOGS]
        self._links = data / "pods" / OURS[LINKS]

    # what is there

    async def sandboxes(self, uid: str = "") -> Sequence[Sandbox]:
        if uid:
            pod = self._engine.pods.find(uid)
            return [sandbox_of(pod)] if pod is not None else []
        return [sandbox_of(pod) for pod in self._engine.pods.list()]

    async def containers(self, uid: str = "") -> Sequence[ContainerStatus]:
        if uid:
            return [container_status(box) for box in self._engine.pods.containers(uid)]
        return [container_status(box) for box in self._engine.containers.list() if POD_UID in box.labels]

    def changes(self) -> AsyncIterator[str]:
        return self._follow(self._engine.events.subscribe())

    async def _follow(self, events: AsyncIterator[Event]) -> AsyncIterator[str]:
        while True:
            try:
                async for event in events:
                    if is_news(event):
                        yield event.attributes[POD_UID] if event.kind == "container" else event.attributes["uid"]
                return
            except Exhausted:  # too slow for so much news: then there is something to see everywhere
                events = self._engine.events.subscribe()
                for uid in {pod.spec.uid for pod in self._engine.pods.list()}:
                    yield uid

    # sandboxes

    async def create_sandbox(self, spec: SandboxSpec) -> Sandbox:
        asked = PodSpec(**{name: getattr(spec, name) for name in SandboxSpec.__struct_fields__})
        return sandbox_of(await self._engine.pods.create(asked))

    async def update_sandbox(self, uid: str, resources: Resources) -> None:
        await self._engine.pods.update(uid, resources)

    async def stop_sandbox(self, uid: str) -> None:
        await self._engine.pods.stop(uid)

    async def remove_sandbox(self, uid: str, *, logs: bool = False) -> None:
        await self._engine.pods.remove(uid)
        if logs and uid:
            await asyncio.to_thread(self._remove_logs, uid)

    def _remove_logs(self, uid: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            for folder in self._logs.iterdir():
                if folder.name.endswith(f"_{uid}"):
                    log_links.unlink_pod(self._links, folder.name)
                    shutil.rmtree(folder, ignore_errors=True)

    # containers

    async def create(self, request: ContainerRequest) -> ContainerStatus:
        pod = self._engine.pods.get(request.uid)
        where = location_of(pod, request)
        with contextlib.suppress(NotFound):
            return container_status(self._engine.containers.get(where.container_name))
        if not pod.ready:
            raise NotFound(f"cannot create container {request.name}: its pod {request.uid} is stopped")
        spec = msgspec.structs.replace(request.spec, image=await self._image_for(request))
        spec = self._with_target(request.uid, spec)
        try:
            await self._engine.pods.check_mounts(request.uid, spec)
        except Unsupported as error:
            raise NotPossible("FailedMount", str(error)) from error
        made = spec_of(pod, request, spec, where, self._logs)
        return container_status(await self._engine.pods.create_container(request.uid, made, where.container_name))

    async def _image_for(self, request: ContainerRequest) -> str:
        """The reference that was asked for, while it stands for the image that was pulled; else that image's id."""
        with contextlib.suppress(NotFound):
            if not request.image_id or (await self._engine.images.resolve(request.spec.image)).id == request.image_id:
                return request.spec.image
        return request.image_id or request.spec.image

    def _with_target(self, uid: str, spec: ContainerSpec) -> ContainerSpec:
        if not spec.pid_mode.startswith(TARGET):
            return spec
        name = spec.pid_mode.removeprefix(TARGET)
        for box in self._engine.pods.containers(uid):
            if box.state.phase in ALIVE and container_status(box).name == name:
                return msgspec.structs.replace(spec, pid_mode=f"container:{box.id}")
        raise Conflict(f"cannot share the processes of container {name}: it is not running")

    async def start(self, id: str) -> None:
        container = self._engine.containers.get(id)
        if container_status(container).phase == EXITED:
            raise Conflict(f"cannot start container {id}: it has ended")
        await asyncio.to_thread(log_links.link, self._links, container.log_path, container.id)
        with contextlib.suppress(Unchanged):
            await self._engine.life.start(id)

    async def stop(self, id: str, *, grace: float, signal: str = "") -> None:
        self._engine.containers.get(id)
        with contextlib.suppress(Unchanged, NotFound):  # it may end and go meanwhile
            await self._engine.life.stop(id, timeout=max(0, math.ceil(grace)), signal=signal)

    async def remove(self, id: str) -> None:
        try:
            container = self._engine.containers.get(id)
            await asyncio.to_thread(log_links.unlink, self._links, container.log_path, container.id)
            await self._engine.containers.remove(id, volumes=True)
        except NotFound:
            return
        await asyncio.to_thread(remove_log, container.log_path)

    async def update(self, id: str, resources: Resources) -> None:
        container = self._engine.containers.get(id)
        await self._engine.containers.update(id, changed_fields(container.spec.resources, resources), None)

    # processes and streams

    async def run(self, id: str, command: Sequence[str], *, timeout: float) -> tuple[int, bytes]:
        container = self._running(id)
        code, output = await self._engine.execs.probe(container, tuple(command), timeout, OUTPUT_LIMIT)
        if code < 0:
            raise Timeout(f"command {' '.join(command)} timed out after {timeout:g} s")
        return code, output

    async def exec(self, id: str, command: Sequence[str], *, tty: bool, stdin: bool) -> tuple[str, Streams]:
        spec = ExecSpec(command=tuple(command), tty=tty, attach_stdin=stdin, attach_stdout=True, attach_stderr=not tty)
        run = await self._engine.execs.create(id, spec)
        streams = await self._engine.execs.start(run.id, detach=False)
        assert streams is not None, "it is attached"
        return run.id, streams

    async def attach(self, id: str, *, stdin: bool) -> Streams:
        return await self._engine.attachments.attach(id, stdin=stdin, stdout=True, stderr=True)

    async def resize(self, id: str, rows: int, columns: int) -> None:
        try:
            self._engine.execs.get(id)
        except NotFound:
            await self._engine.attachments.resize(id, rows, columns)
        else:
            await self._engine.execs.resize(id, rows, columns)

    async def exit_code(self, exec_id: str) -> int:
        return await self._engine.execs.wait(exec_id)

    async def connect(self, uid: str, port: int) -> tuple[AsyncIterator[bytes], Sink]:
        connection = await self._engine.pods.connect(uid, port)
        return connection.output(), connection

    async def reserve_users(self, uid: str) -> int:
        return (await self._engine.pods.reserve_users(uid)).first

    async def mount_image(self, uid: str, reference: str) -> str:
        return await self._engine.pod_images.mount(uid, reference, self._engine.pods.reserved_users(uid))

    async def unmount_images(self, uid: str) -> None:
        await self._engine.pod_images.release(uid)

    async def usage(self, *, fresh: bool = False) -> tuple[MachineUsage, Sequence[PodUsage]]:
        usage = self._engine.pod_usage
        machine, pods = await asyncio.gather(usage.machine(), usage.pods(fresh=fresh))
        names = {box.id: container_status(box).name for box in self._engine.containers.list() if POD_UID in box.labels}
        return used(machine, pods, names)

    def _running(self, id: str) -> Container:
        container = self._engine.containers.get(id)
        if container.state.phase not in ALIVE:
            raise Conflict(f"container {id} is not running")
        return container


def remove_log(path: str) -> None:
    """All files of a container's log, and its folder where it is the last."""
    if not path:
        return
    log = Path(path)
    with contextlib.suppress(OSError):
        for file in log.parent.glob(f"{log.name}*"):
            file.unlink(missing_ok=True)
        log.parent.rmdir()
