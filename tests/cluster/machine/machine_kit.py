"""An engine with nothing above it, in the test's own process, and the node agent's machine on it; and the same in a
process of its own, which may be killed.

As a program: `machine_kit.py HOME` serves calls of the machine, one JSON line each: [method, arguments] → result.
While the file HOME/armed holds a number N, the N-th step that begins or ends kills it.
"""

import asyncio
import contextlib
import functools
import importlib
import inspect
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from boxship.cluster.node.engine_runtime import EngineRuntime
from boxship.cluster.node.runtime import ContainerRequest, SandboxSpec
from boxship.engine import Engine, pods_parts
from boxship.engine.clock import SystemClock
from boxship.engine.hooks import users as users_hook
from boxship.engine.places import Places
from boxship.engine.pods_users import PREFIX, PodUsers
from boxship.engine.system import Facts
from boxship.main.certificates import Certificates, tls_hosts
from boxship.main.daemon import instance_name
from boxship.main.options import parse_arguments
from boxship.main.rooms import make_rooms
from boxship.network.networks import Networks
from boxship.runtime import sharing
from boxship.runtime.driver import Driver
from boxship.snapshots import mapped
from boxship.snapshots.overlay import Snapshots
from boxship.spec.container import ContainerSpec, LogPolicy, NetworkSpec, Resources, Subnet
from boxship.store.sqlite import SqliteStore
from boxship.sys.mount import enter_private_namespace, join_mount_namespace
from daemons import busybox_tar, own_addresses, until

NETWORK = "pods"
IMAGE = "busybox:latest"
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


class Machine:
    """What the tests work with."""

    def __init__(self, engine: Engine, home: Path) -> None:
        self.engine = engine
        self.home = home
        self.data, self.run = home / "data", home / "run"
        self.cgroup = f"boxship-pods-{instance_name(self.data)}"
        self.runtime = EngineRuntime(engine, self.data)

    def sandbox(self, uid: str, **changes: Any) -> SandboxSpec:
        return sandbox(self.cgroup, uid, **changes)


def sandbox(cgroup: str, uid: str, **changes: Any) -> SandboxSpec:
    """A pod called as its uid."""
    plain: dict[str, Any] = {
        "uid": uid,
        "namespace": "default",
        "name": uid,
        "hostname": uid,
        "network": NETWORK,
        "dns": ("10.96.0.10",),
        "dns_search": ("default.svc.cluster.local",),
        "dns_options": ("ndots:5",),
        "cgroup": f"{cgroup}/burstable/pod{uid}",
    }
    return SandboxSpec(**(plain | changes))


def request(uid: str, script: str, name: str = "main", attempt: int = 0, **changes: Any) -> ContainerRequest:
    """A container that runs a shell script."""
    spec = ContainerSpec(**({"image": IMAGE, "entrypoint": ("sh", "-c"), "command": (script,)} | changes))
    return ContainerRequest(uid=uid, name=name, attempt=attempt, hash="h1", spec=spec)


@contextlib.asynccontextmanager
async def running_machine(home: Path) -> AsyncIterator[Machine]:
    """An engine on roots below `home`, with the image busybox and the network of the pods."""
    data, run = home / "data", home / "run"
    for folder in (data, run):
        folder.mkdir(exist_ok=True, mode=0o711)
    words = ["--data-root", str(data), "--run-root", str(run), *own_addresses(())]
    options = parse_arguments(words)
    store = await SqliteStore.open(data / "state.db", reserve=True)
    certificates = Certificates(options, tls_hosts(options))
    rooms = make_rooms(options, data, run, instance_name(data), store, certificates)
    await rooms.content.recover()
    await rooms.driver.open()
    await rooms.networks.start()
    async with asyncio.TaskGroup() as tasks:
        engine = Engine(
            store=store,
            content=rooms.content,
            garbage=rooms.garbage,
            images=rooms.images,
            snapshots=rooms.snapshots,
            volumes=rooms.volumes,
            networks=rooms.networks,
            driver=rooms.driver,
            places=Places(data, run),
            instance=rooms.instance,
            default_log=LogPolicy("json-file"),
            facts=Facts(id="", data_root=str(data), labels=(), address_pools=(), log_driver="json-file"),
            clock=SystemClock(),
            tasks=tasks,
        )
        await engine.start()
        try:
            await furnish(engine)
            yield Machine(engine, home)
        finally:
            await rooms.images.close()
            await engine.stop()
            await rooms.close()
            await store.close()


async def furnish(engine: Engine) -> None:
    """The image and the network, where they are not there yet."""

    async def archive() -> AsyncIterator[bytes]:
        yield busybox_tar()

    if not await engine.images.list():
        await engine.images.import_(archive(), reference=IMAGE, changes=('CMD ["sh"]', "ENV PATH=/bin"))
    if NETWORK not in {network.name for network in engine.networks.list()}:
        subnet = Subnet(f"10.{190 + WORKER}.7.0/24", gateway=f"10.{190 + WORKER}.7.1")
        await engine.networks.create(NetworkSpec(name=NETWORK, subnets=(subnet,)))


async def clear(machine: Machine) -> None:
    """Every pod and container goes, and the network."""
    for sandbox in await machine.runtime.sandboxes():
        await machine.runtime.remove_sandbox(sandbox.spec.uid, logs=True)
    for box in machine.engine.containers.list():
        await machine.engine.containers.remove(box.id, force=True)
    await machine.engine.networks.remove(NETWORK)


# the same in a process of its own


class Remote:
    """A machine that may be killed. `call` names a method of the runtime."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.data, self.run = home / "data", home / "run"
        self.process: subprocess.Popen[str] | None = None
        self.cgroup = ""

    def start(self) -> None:
        self.home.chmod(0o711)  # pods with users of their own walk to their files
        with (self.home / "machine.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, str(self.home)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self._line() == "ready", (self.home / "machine.log").read_text()[-3000:]
        self.cgroup = f"boxship-pods-{instance_name(self.data)}"

    def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        self.send(method, *arguments, **named)
        answer = self._line()
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def send(self, method: str, *arguments: Any, **named: Any) -> None:
        """Without waiting for the answer."""
        assert self.process is not None and self.process.stdin is not None
        line = msgspec.json.encode([method, arguments, named]).decode()
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _line(self) -> Any:
        assert self.process is not None and self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.home / "machine.log").read_text()[-3000:]
        return json.loads(line)

    def lives_through(self, step: int, uid: str, own_users: bool) -> bool:
        """Run a whole life of a pod, killed at a step; False where the process was."""
        armed = self.home / "armed"
        armed.write_text(str(step))
        assert self.process is not None and self.process.stdout is not None
        self.send("life", uid, own_users)
        line = self.process.stdout.readline()
        armed.unlink()
        if line:
            assert "error" not in json.loads(line), line
        return bool(line)

    def kill(self) -> None:
        """kill -9, also of one that is dead already."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def stop(self) -> None:
        """Take everything away, and end."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        assert self.process is not None
        self.call("clear")
        self.kill()
        self.start()  # what is left behind is what a start does not find
        self.process.terminate()
        until(lambda: self.process is not None and self.process.poll() is not None, 20, "the machine ends")


class Fuse:
    """Counts the steps that change the machine, and kills this process at the chosen one."""

    def __init__(self, armed: Path) -> None:
        self._armed = armed
        self._count = 0

    def arm(self) -> None:
        for owner, names in STEPS:
            for name in names:
                setattr(owner, name, self._wrapped(getattr(owner, name)))

    def _wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def later(*arguments: Any, **options: Any) -> Any:
            self._step()
            try:
                return await function(*arguments, **options)
            finally:
                self._step()

        @functools.wraps(function)
        def now(*arguments: Any, **options: Any) -> Any:
            self._step()
            try:
                return function(*arguments, **options)
            finally:
                self._step()

        return later if inspect.iscoroutinefunction(function) else now

    def _step(self) -> None:
        try:
            chosen = int(self._armed.read_text())
        except (FileNotFoundError, ValueError):
            self._count = 0
            return
        self._count += 1
        if self._count == chosen:
            os.kill(os.getpid(), signal.SIGKILL)


STEPS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (SqliteStore, ("commit",)),
    (Driver, ("create", "start", "delete")),
    (Snapshots, ("prepare", "mount", "unmount", "remove")),
    (Networks, ("attach", "detach")),
    (sharing, ("keep_ipc", "make_cgroup", "set_up_network", "hold_processes", "make_namespaces", "set_up_ipc")),
    (sharing, ("end_processes", "let_go", "remove_cgroup", "remove_empty_above")),
    (pods_parts, ("mount_shared_memory", "unmount_shared_memory")),
    (users_hook, ("show_root", "show_mapped", "clear_mapped")),
    (mapped, ("mount_mapped",)),
    (PodUsers, ("take", "free")),
)


async def life(machine: Machine, uid: str, own_users: bool = False) -> None:
    """A pod from its beginning to its end, with a second attempt."""
    runtime = machine.runtime
    for attempt in (0, 1):
        shared = {"share_processes": attempt == 0, "own_users": own_users}
        await runtime.create_sandbox(machine.sandbox(uid, attempt=attempt, **shared))
        made = await runtime.create(request(uid, "exec sleep 1000", attempt=attempt))
        await runtime.start(made.id)
        if attempt == 0:
            await runtime.stop_sandbox(uid)
    await runtime.remove_sandbox(uid, logs=True)


async def _serve(home: Path) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop.add_reader(0, lambda: lines.put_nowait(sys.stdin.readline()))
    Fuse(home / "armed").arm()
    async with running_machine(home) as machine:
        print(json.dumps("ready"), flush=True)
        ended = asyncio.ensure_future(stopped.wait())
        while True:
            line = asyncio.ensure_future(lines.get())
            await asyncio.wait({line, ended}, return_when=asyncio.FIRST_COMPLETED)
            if stopped.is_set():
                line.cancel()
                return
            if not line.result():  # the test is gone
                return
            print(msgspec.json.encode(await _answer(machine, line.result())).decode(), flush=True)


async def _answer(machine: Machine, line: str) -> dict[str, Any]:
    method, arguments, named = json.loads(line)
    try:
        if method == "clear":
            await clear(machine)
            return {"result": None}
        if method == "life":
            return {"result": await life(machine, *arguments)}
        if method == "ranges":
            return {"result": {entry.key: None for entry in (await machine.engine.events._store.list(PREFIX)).entries}}
        if method in ("pod_mounts", "release"):
            return {"result": await getattr(importlib.import_module("pod_volumes_kit"), method)(machine, *arguments)}
        if method == "audit":
            return {"result": await machine.engine.networks._networks.audit()}
        function = getattr(machine.runtime, method)
        kinds = {"create_sandbox": SandboxSpec, "create": ContainerRequest, "update_sandbox": Resources}
        given = [msgspec.convert(each, kinds[method]) if isinstance(each, dict) else each for each in arguments]
        result = function(*given, **named)
        return {"result": await result if inspect.isawaitable(result) else result}
    except Exception as error:  # whatever it is, the test reads it
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    _home = Path(sys.argv[1])
    (_home / "data").mkdir(exist_ok=True)
    (_home / "run").mkdir(exist_ok=True)
    for _pid in Driver.living_monitors(_home / "run"):
        join_mount_namespace(_pid)
        break
    else:
        enter_private_namespace()
    import uvloop

    uvloop.run(_serve(_home))
