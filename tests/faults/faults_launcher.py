"""Runs boxshipd for the fault tests: imported once, forked for each start, and made to kill itself where a test says.

Production code has no hooks for this. The launcher wraps the durable steps (every commit of the store, and the methods
of the rooms that change the machine) before the daemon starts; while the file `armed` holds a number N, the N-th step
that begins or ends kills the process with SIGKILL. Each step is written to `trace`, so a failure names its point.

Protocol on stdin/stdout, one JSON line each: {"arguments": […], "home": DIR, "settings": {…},
"namespace": PID whose mounts the daemon sees, or 0} → {"pid": N}.
"""

import asyncio
import functools
import json
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from boxship.content import Content, Ingest
from boxship.engine import budget
from boxship.main import daemon
from boxship.network.networks import Networks
from boxship.runtime import clearing, launching
from boxship.runtime.driver import Driver
from boxship.snapshots.overlay import Snapshots
from boxship.store import reserve
from boxship.store.sqlite import SqliteStore
from boxship.sys.mount import join_mount_namespace
from boxship.volumes.volumes import Volumes

STEPS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (SqliteStore, ("commit",)),
    (Driver, ("create", "start", "delete", "exec", "forget_exec", "update", "pause", "resume")),
    (Snapshots, ("prepare", "mount", "unmount", "remove", "apply", "remove_layer")),
    (Networks, ("attach", "detach", "connect", "disconnect", "create", "remove")),
    (Volumes, ("create", "remove", "mount", "release", "populate")),
    (Content, ("delete",)),
)


class Fuse:
    """Counts steps while armed, and kills this process at the chosen one."""

    def __init__(self, home: Path) -> None:
        self._armed = home / "armed"
        self._trace = home / "trace"
        self._count = 0

    def step(self, name: str) -> None:
        """A step begins or ends here."""
        try:
            chosen = int(self._armed.read_text())
        except (FileNotFoundError, ValueError):
            self._count = 0
            return
        self._count += 1
        with self._trace.open("a") as trace:
            trace.write(f"{self._count} {name}\n")
        if self._count == chosen:
            os.kill(os.getpid(), signal.SIGKILL)


def wrap(fuse: Fuse, owner: type, name: str) -> None:
    """Let the fuse see when a coroutine method begins and ends."""
    inner: Callable[..., Awaitable[Any]] = getattr(owner, name)

    @functools.wraps(inner)
    async def outer(*arguments: Any, **options: Any) -> Any:
        told = f"{owner.__name__}.{name}"
        if name == "commit":
            told += " " + ",".join(f"{type(item).__name__}:{item.key[:22]}" for item in arguments[1:])
        fuse.step(f"before {told}")
        try:
            return await inner(*arguments, **options)
        finally:
            fuse.step(f"after {told}")

    setattr(owner, name, outer)


def wrap_ingest(fuse: Fuse) -> None:
    """A blob becomes visible in a thread, by a method that is no coroutine."""
    inner = Ingest.finish

    def finish(self: Ingest, *arguments: Any, **options: Any) -> str:
        fuse.step("before Ingest.finish")
        digest = inner(self, *arguments, **options)
        fuse.step("after Ingest.finish")
        return digest

    Ingest.finish = finish  # type: ignore[method-assign]


def tell_tasks(*_arguments: object) -> None:
    """Where every task of the daemon waits, for the report of a hang."""
    for task in [task for task in asyncio.tasks._all_tasks if not task.done()]:  # type: ignore[attr-defined]
        print(f"task {task.get_coro().__qualname__}", file=sys.stderr)
        task.print_stack(file=sys.stderr)
    for frame in sys._current_frames().values():
        traceback.print_stack(frame, file=sys.stderr)
    print("end of tasks", file=sys.stderr, flush=True)


def serve(request: dict[str, Any]) -> None:
    """Become the daemon; never returns."""
    home = Path(request["home"])
    os.setsid()
    log = os.open(home / "boxshipd.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for descriptor in (nothing, log):
        os.close(descriptor)
    fuse = Fuse(home)
    for owner, names in STEPS:
        for name in names:
            wrap(fuse, owner, name)
    wrap_ingest(fuse)
    modules = {"launching": launching, "clearing": clearing, "reserve": reserve, "budget": budget}
    for name, value in request["settings"].items():
        module, _, constant = name.partition(".")
        assert hasattr(modules[module], constant), name
        setattr(modules[module], constant, value)
    if request["namespace"]:
        join_mount_namespace(request["namespace"])
    signal.signal(signal.SIGUSR1, tell_tasks)
    sys.argv = ["boxshipd", *request["arguments"]]
    status = 0
    try:
        daemon.run()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 70
    sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Fork a daemon for each request; children are reaped by the kernel's rule for ignored SIGCHLD of this process."""
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            serve(request)
        print(json.dumps({"pid": pid}), flush=True)
        # Reap those that have ended; the tests look at /proc, where an unreaped one is a zombie.
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break


if __name__ == "__main__":
    main()
