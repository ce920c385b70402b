"""A node for tests of what streams: the agent's real server over processes of this machine instead of containers, and a
real control plane that finds it. Pods are objects made by hand; a container is a folder with a log."""

import asyncio
import contextlib
import datetime
import os
import pty
import termios
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from control_kit import KUBECTLS, Control, running_control

from boxship.cluster.access.remote import Remote, api_client
from boxship.cluster.access.remote import Server as ApiServer
from boxship.cluster.node.runtime import EXITED, RUNNING, ContainerStatus, MachineUsage, PodUsage, Sink, Usage
from boxship.cluster.node.server.door import NODE_LIMITS, NodeDoor
from boxship.cluster.node.server.entry import Entry, serving_context
from boxship.cluster.objects import Object
from boxship.errors import Unavailable
from boxship.pki.certificates import dump_certificates
from boxship.pki.cluster import open_authority
from boxship.pki.cluster_certificates import Wanted, make_certificate
from boxship.pki.keys import dump_key, new_key
from boxship.transport.client import Trust
from boxship.transport.listen import TlsAddress
from boxship.transport.server import Server
from daemons import kubectl_program, surroundings

NODE = "kit-node"
DEADLINE = 20.0  # seconds


class ProcessStreams:
    """Streams of a process of this machine, in the shape of the engine's."""

    def __init__(self, process: asyncio.subprocess.Process, master: int | None) -> None:
        self.process = process
        self.tty = master is not None
        self.master = master
        self._pieces: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(8)
        self._tasks = [asyncio.ensure_future(self._pump(number)) for number in ((1,) if self.tty else (1, 2))]
        self._left = len(self._tasks)

    async def _pump(self, number: int) -> None:
        try:
            if self.master is not None:
                loop = asyncio.get_running_loop()
                while True:
                    try:
                        data = await loop.run_in_executor(None, os.read, self.master, 65536)
                    except OSError:
                        break
                    if not data:
                        break
                    await self._pieces.put((number, data))
            else:
                reader = self.process.stdout if number == 1 else self.process.stderr
                assert reader is not None
                while data := await reader.read(65536):
                    await self._pieces.put((number, data))
        finally:
            self._left -= 1
            if not self._left:
                await self._pieces.put(None)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        while (piece := await self._pieces.get()) is not None:
            yield piece

    async def write(self, data: bytes) -> None:
        if self.master is not None:
            os.write(self.master, data)
        elif self.process.stdin is not None:
            self.process.stdin.write(data)
            await self.process.stdin.drain()

    async def end_input(self) -> None:
        if self.process.stdin is not None and not self.process.stdin.is_closing():
            self.process.stdin.close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self.process.returncode is None:
            await self.end_input()
            if self.tty or self._left:  # nobody reads what it writes
                self.process.terminate()
                self.process._transport.close()  # type: ignore[attr-defined]


class SocketSink:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def end(self) -> None:
        if self._writer.can_write_eof():
            self._writer.write_eof()

    async def close(self) -> None:
        self._writer.close()


class ProcessRuntime:
    """As much of Runtime as the server asks for. `home` is each container's working directory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.found: dict[str, ContainerStatus] = {}
        self.processes: dict[str, ProcessStreams] = {}
        self.news: list[asyncio.Queue[str]] = []
        self.cpu = 0

    def put(self, status: ContainerStatus) -> None:
        self.found[status.id] = status
        for queue in self.news:
            queue.put_nowait(status.uid)

    async def containers(self, uid: str = "") -> Sequence[ContainerStatus]:
        return [each for each in self.found.values() if not uid or each.uid == uid]

    async def changes(self) -> AsyncIterator[str]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        self.news.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self.news.remove(queue)

    async def exec(self, id: str, command: Sequence[str], *, tty: bool, stdin: bool) -> tuple[str, ProcessStreams]:
        master: int | None = None
        if tty:
            master, slave = pty.openpty()
            process = await asyncio.create_subprocess_exec(
                "setsid", "-c", *command, stdin=slave, stdout=slave, stderr=slave, cwd=self.home
            )
            os.close(slave)
        else:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    cwd=self.home,
                )
            except FileNotFoundError:
                raise Unavailable(f'exec: "{command[0]}": executable file not found in $PATH') from None
        name = f"exec{len(self.processes)}"
        self.processes[name] = ProcessStreams(process, master)
        return name, self.processes[name]

    async def attach(self, id: str, *, stdin: bool) -> ProcessStreams:
        _, streams = await self.exec(id, ["cat"], tty=False, stdin=True)
        return streams

    async def resize(self, id: str, rows: int, columns: int) -> None:
        streams = self.processes[id]
        if streams.master is not None:
            termios.tcsetwinsize(streams.master, (rows, columns))

    async def exit_code(self, exec_id: str) -> int:
        code = await self.processes[exec_id].process.wait()
        return code if code >= 0 else 128 - code

    async def run(self, id: str, command: Sequence[str], *, timeout: float) -> tuple[int, bytes]:
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=self.home)
        output, _ = await process.communicate()
        return process.returncode or 0, output

    async def connect(self, uid: str, port: int) -> tuple[AsyncIterator[bytes], Sink]:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError as error:
            raise Unavailable(f"dial tcp4 127.0.0.1:{port}: connect: {os.strerror(error.errno or 0).lower()}") from None

        async def incoming() -> AsyncIterator[bytes]:
            while data := await reader.read(65536):
                yield data

        return incoming(), SocketSink(writer)

    async def usage(self) -> tuple[MachineUsage, Sequence[PodUsage]]:
        now = time.time_ns()
        pods: dict[str, dict[str, Usage]] = {}
        for each in self.found.values():
            if each.phase == RUNNING:
                cpu = (now - each.started_at) // 10  # a tenth of a processor
                pods.setdefault(each.uid, {})[each.name] = Usage(now, cpu, 20 << 20, 10 << 20)
        found = [
            PodUsage(uid, Usage(now, sum(each.cpu for each in containers.values()), 20 << 20, 10 << 20), containers)
            for uid, containers in pods.items()
        ]
        whole = Usage(now, now // 2, 2 << 30, 1 << 30)
        return MachineUsage(whole, 4 << 30, 2 << 30, 1 << 40, 1 << 39, 1000, 500, 32768), found


class Pods:
    """Implements PodsHere: what was put."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Object] = {}

    async def ready(self) -> None:
        return

    def find(self, namespace: str, name: str) -> Object | None:
        return self.known.get((namespace, name))

    def all(self) -> Sequence[Object]:
        return list(self.known.values())


class StreamsNode:
    """The node and its control plane."""

    def __init__(self, control: Control, home: Path) -> None:
        self.control = control
        self.home = home
        self.runtime = ProcessRuntime(home)
        self.pods = Pods()
        self.http = api_client("kit")
        pki = control.data / "pki"
        trust = Trust(
            ca_data=(pki / "ca.crt").read_text(), certificate=str(pki / "admin.crt"), key=str(pki / "admin.key")
        )
        self.client = Remote(self.http, ApiServer(control.url, trust))
        entry = Entry(self.client, (pki / "ca.crt").read_bytes(), NODE)
        self.server = Server(NodeDoor(self.runtime, self.pods, entry, NODE).handle, NODE_LIMITS)  # type: ignore[arg-type]
        self.port = 0

    async def start(self) -> None:
        authority = open_authority(self.control.data / "pki", [], datetime.datetime.now(datetime.UTC))
        key = new_key()
        wanted = Wanted("node", "ca", f"system:node:{NODE}", ("system:nodes",), (NODE, "127.0.0.1"))
        certificate = make_certificate(wanted, key.public_key(), authority.signer, datetime.datetime.now(datetime.UTC))
        (self.home / "node.crt").write_bytes(dump_certificates(certificate))
        (self.home / "node.key").write_bytes(dump_key(key, None))
        context = serving_context(self.home / "node.crt", self.home / "node.key", authority.client_ca)
        await self.server.start([TlsAddress("127.0.0.1", self.port, context, clients=False)])
        self.port = self.server.addresses[0][1]
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": NODE, "annotations": {"boxship.io/agent-address": f"127.0.0.1:{self.port}"}},
        }
        await self.client.apply("v1/nodes", "", NODE, node, manager="kit")

    async def pod(self, name: str, *containers: str, running: bool = True, **fields: Any) -> Object:
        """A pod on this node whose containers run, with empty logs."""
        names = containers or (name,)
        spec = {
            "nodeName": NODE,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": each, "image": "none", **fields} for each in names],
        }
        object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        made = await self.client.create("v1/pods", "default", object)
        states = []
        for each in names:
            state: Object = {"waiting": {"reason": "ContainerCreating"}}
            if running:
                found = self.begin(made, each)
                state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
                states.append({"containerID": f"boxship://{found.id}"})
            else:
                states.append({})
            states[-1] |= {
                "name": each,
                "image": "none",
                "imageID": "",
                "ready": running,
                "restartCount": 0,
                "state": state,
            }
        made["status"] = {
            "phase": "Running" if running else "Pending",
            "podIP": "127.0.0.1",
            "podIPs": [{"ip": "127.0.0.1"}],
            "containerStatuses": states,
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        made = await self.client.update("v1/pods", made, subresource="status")
        self.pods.known["default", name] = made
        return made

    def begin(self, pod: Object, container: str, attempt: int = 0) -> ContainerStatus:
        uid = pod["metadata"]["uid"]
        id = f"{pod['metadata']['name']}-{container}-{attempt}"
        log = self.home / f"{id}.log"
        log.touch()
        now = time.time_ns()
        found = ContainerStatus(id, uid, container, attempt, RUNNING, now, now, log_path=str(log))
        self.runtime.put(found)
        return found

    def end(self, container: ContainerStatus) -> None:
        from msgspec.structs import replace

        self.runtime.put(replace(container, phase=EXITED, finished_at=time.time_ns()))

    def log(self, container: str, *lines: str, stream: str = "stdout", attempt: int = 0, pod: str = "") -> None:
        """Lines as conmon writes them."""
        with (self.home / f"{pod or container}-{container}-{attempt}.log").open("a") as file:
            for line in lines:
                stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000+00:00")
                file.write(f"{stamp} {stream} F {line}\n")

    async def kubectl(
        self, *arguments: str, version: str = "", data: bytes = b"", check: bool = True
    ) -> tuple[int, str, str]:
        """Exit code, output, errors."""
        process = await self.begin_kubectl(*arguments, version=version)
        output, errors = await asyncio.wait_for(process.communicate(data), DEADLINE)
        code = process.returncode or 0
        assert not check or code == 0, f"kubectl {arguments}: {code} {errors.decode()} {output.decode()}"
        return code, output.decode(errors="replace"), errors.decode(errors="replace")

    async def begin_kubectl(self, *arguments: str, version: str = "") -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            str(KUBECTLS / version / "kubectl") if version else kubectl_program(),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.home,
            env={
                **surroundings(),
                "KUBECONFIG": str(self.control.kubeconfig),
                "HOME": str(self.home),
                "KUBECACHEDIR": str(self.home / "cache"),
            },
        )

    async def close(self) -> None:
        await self.server.stop()
        await self.http.close()


@contextlib.asynccontextmanager
async def streams_node(control: Control, home: Path) -> AsyncIterator[StreamsNode]:
    node = StreamsNode(control, home)
    await node.start()
    try:
        yield node
    finally:
        await node.close()


@contextlib.contextmanager
def control_for_streams(home: Path) -> Iterator[Control]:
    with running_control(home / "control", "--role", "api", "--role", "controllers") as control:
        yield control


async def until(condition: Callable[[], Any], what: str = "") -> Any:
    deadline = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)
    return found
