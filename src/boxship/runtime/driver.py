"""The driver: makes, starts, watches, changes and clears containers, by conmon and an OCI runtime.

One conmon stays with each container and each exec. It holds the standard streams, writes the log and the exit code,
and outlives this daemon; so any end is known after a restart. How time is spent (crun 1.8.1, two cores, p50):

- create: 12 ms, of which conmon's own start 3 and crun 7. Four things are done for it: seccomp filters are compiled
  once (`filters`; 10 to 18 ms each time otherwise), crun runs from a read-only mount (`programs`; 2 ms), the kernel's
  slow first write to cgroup.procs is spent ahead (`cgroup.Warmth`; 8 to 16 ms), conmon does not fork away (--sync).
- start: 0.1 ms. With crun, the process waits for one byte on the fifo exec.fifo in crun's state folder; `crun start`
  (4 ms) does nothing else but check and write it. Other runtimes are asked by their program.
- exec: 9 ms by conmon, 5 ms by crun alone. conmon it is: the exec and its exit code outlive the daemon too.
- delete: 0.7 ms. What `crun delete` (5 ms) removes are the cgroups and its state folder; both are removed here.

Every wait for a runtime has a deadline, and whatever fails is taken back before the error is raised. The driver must
never act on a pid that may have become another process, and never touch a cgroup outside of a container's own.
"""

import asyncio
import os
import signal as signals
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakValueDictionary

import msgspec

from boxship.runtime import conmon, failures, limits, processes, stats
from boxship.runtime.attach import Attached
from boxship.runtime.clearing import Clearing, cgroup_of, reap_ended
from boxship.runtime.handle import ExecPlan, Exit, Handle, Process, Running
from boxship.runtime.host import look
from boxship.runtime.launching import Launching, exit_file
from boxship.runtime.programs import Programs, Runtime, find_init
from boxship.spec.container import Resources
from boxship.spec.stats import StatsSample
from boxship.sys import cgroup
from boxship.sys.cgroup import Warmth
from boxship.sys.pidfd import is_alive, open_process, send_signal, wait_pidfd
from boxship.sys.seqpacket import connect
from boxship.sys.spawn import SAFE_ENVIRONMENT, run

__all__ = ["Attached", "Driver", "ExecPlan", "Exit", "Handle", "Process", "Running"]

START_SECONDS = 30.0
REOPEN_SECONDS = 5.0
REOPEN_LOOK_SECONDS = 0.002
KILLED_CODE = 137


class StoredProcess(Protocol):
    """A process as the engine keeps it."""

    @property
    def pid(self) -> int: ...

    @property
    def started(self) -> int: ...


class Driver:
    """One for each daemon. Call `open` before anything else, in the daemon's own mount namespace."""

    def __init__(self, run_root: Path, *, instance: str, runtimes: Mapping[str, Path], default: str) -> None:
        self.layout = cgroup.detect()
        self.host = look(self.layout)
        self._programs = Programs(run_root, runtimes, default)
        self.runtimes = self._programs.paths()
        self.default_runtime = default
        self.init_binary = find_init()
        self._clearing = Clearing(run_root, f"boxship-{instance}", self._programs, self.layout)
        self._launching = Launching(self._programs, self._clearing)
        self._warmth = Warmth(self.layout)
        self._connecting: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()

    async def open(self) -> None:
        """Make the folders and the mounts that the driver works with."""
        self._clearing.bundles.mkdir(parents=True, exist_ok=True, mode=0o700)
        await asyncio.to_thread(self._programs.bind)

    async def close(self) -> None:
        """Give the mounts back; containers go on."""
        await asyncio.to_thread(self._programs.unbind)
        await asyncio.to_thread(self._clearing.remove_parent)

    def anticipate(self) -> None:
        """A container or an exec will be started soon: spend the kernel's waits now."""
        self._warmth.seek()

    def handle(
        self, container_id: str, runtime: str, process: StoredProcess, monitor: StoredProcess, bundle: Path
    ) -> Handle:
        """The handle of a container that an earlier daemon created."""
        return Handle(
            id=container_id,
            runtime=runtime,
            bundle=bundle,
            process=Process(process.pid, process.started),
            monitor=Process(monitor.pid, monitor.started),
            cgroup=cgroup_of(bundle),
        )

    def exec_handle(
        self, container_id: str, exec_id: str, process: StoredProcess, monitor: StoredProcess, runtime: str
    ) -> Handle:
        """The handle of an exec that an earlier daemon started."""
        container = self._clearing.bundles / container_id
        handle = self.handle(container_id, runtime, process, monitor, container / "execs" / exec_id)
        return msgspec.structs.replace(handle, exec_id=exec_id, cgroup=cgroup_of(container))

    async def create(
        self,
        container_id: str,
        config: dict[str, Any],
        *,
        runtime: str,
        bundle: Path,
        log_path: str | Path | None,
        tty: bool,
        stdin: bool,
        stdin_once: bool,
    ) -> Handle:
        """Make the container, its process waiting for `start`. Clients may `connect` from now on.

        Raises failures.Unrunnable (with the exit code 126 or 127) where the program cannot be run, Invalid for a wrong
        config, Internal with the runtime's own words otherwise, Timeout. Nothing is left behind then.
        """
        self._warmth.seek()
        handle = Handle(id=container_id, runtime=runtime, bundle=bundle, cgroup=config["linux"]["cgroupsPath"])
        self._clearing.parents.claim(container_id, handle.cgroup)
        return await self._launching.create(
            handle, config, log_path=str(log_path or ""), tty=tty, stdin=stdin, keep_stdin=tty or not stdin_once
        )

    async def connect(self, handle: Handle, *, stdin: bool = True) -> Attached:
        """The process's streams: output from this moment on, or all of it when called before `start`.

        A client that sends no stdin says so: else its going would end a stdin that ends with its first client.
        """
        async with self._connecting.setdefault(handle.bundle, asyncio.Lock()):
            connection = connect(handle.bundle / "attach")
            try:
                await conmon.settle(handle.bundle)
            except BaseException:
                connection.close()
                raise
        return Attached(connection, owns_stdin=stdin)

    async def start(self, handle: Handle) -> None:
        """Let the created process run the user's program."""
        runtime = self._programs.get(handle.runtime)
        if runtime.is_crun and self._release(runtime, handle):
            return
        line = [runtime.program, "--root", str(self._programs.state(runtime)), "start", handle.id]
        done = await run(line, env=SAFE_ENVIRONMENT, timeout=START_SECONDS)
        if done.returncode != 0:
            raise failures.describe(done.stderr.decode(errors="replace"), (), "start")

    def _release(self, runtime: Runtime, handle: Handle) -> bool:
        """Write the byte that crun's waiting process reads; False where there is no process that waits for one."""
        fifo = self._programs.state(runtime) / handle.id / "exec.fifo"
        try:
            descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # not there, or nobody reads: `crun start` tells what is the matter
            return False
        try:
            os.write(descriptor, b"\0")
        finally:
            os.close(descriptor)
        fifo.unlink(missing_ok=True)
        return True

    def signal(self, handle: Handle, number: int) -> None:
        """Send a signal to the process. One that has ended is fine."""
        send_signal(handle.process.pid, handle.process.started, number)

    async def kill_all(self, handle: Handle) -> None:
        """Kill every process of the container."""
        await asyncio.to_thread(cgroup.kill, self.layout, handle.cgroup)

    async def pause(self, handle: Handle) -> None:
        """Stop every process of the container where it is."""
        await asyncio.to_thread(cgroup.freeze, self.layout, handle.cgroup)

    async def resume(self, handle: Handle) -> None:
        """Let paused processes go on; nothing happens to others."""
        await asyncio.to_thread(cgroup.thaw, self.layout, handle.cgroup)

    async def resize(self, handle: Handle, rows: int, columns: int) -> None:
        """Set the size of the terminal of a container or an exec."""
        # Of two messages that it reads together, conmon loses one; and it hands a size from its first fifo to a second
        # one, which it reads a round of its loop later. Two looks are two rounds.
        await conmon.settle(handle.bundle)
        await conmon.settle(handle.bundle)
        conmon.control(handle.bundle, conmon.RESIZE, rows, columns)

    async def reopen_log(self, handle: Handle) -> None:
        """Make conmon go on in a new log file, after the old one was renamed; returns when it has done so."""
        path = conmon.log_path(handle.monitor.pid)
        conmon.control(handle.bundle, conmon.REOPEN_LOG)
        async with conmon.deadline(f"reopen the log of container {handle.id}", REOPEN_SECONDS):
            while path and not os.path.exists(path) and is_alive(handle.monitor.pid, handle.monitor.started):
                await asyncio.sleep(REOPEN_LOOK_SECONDS)

    async def wait(self, handle: Handle) -> Exit:
        """The end of a container or an exec. Many may wait.

        Where conmon was killed, its process is killed too, for nobody could tell its end any more.
        """
        descriptor = open_process(handle.monitor.pid, handle.monitor.started)
        if descriptor is not None:
            try:
                await wait_pidfd(descriptor)
            finally:
                os.close(descriptor)
        reap_ended(handle.monitor)
        return await self._exit(handle)

    async def delete(self, container_id: str, handle: Handle | None) -> None:
        """Clear everything of a container: processes, cgroups, the runtime's state, the bundle. May be repeated.

        Without a handle (a crash came before it was stored) what is found by the id is cleared.
        """
        await self._clearing.delete(container_id, handle)

    async def exec(
        self, handle: Handle, exec_id: str, plan: ExecPlan, *, stdin: bool, attach: bool
    ) -> tuple[Handle, Attached | None]:
        """Start a further process in a running container; with `attach`, its streams from their first byte on.

        Raises as `create` does.
        """
        self._warmth.seek()
        run_ = Handle(
            id=handle.id,
            runtime=handle.runtime,
            bundle=handle.bundle / "execs" / exec_id,
            cgroup=handle.cgroup,
            exec_id=exec_id,
        )
        return await self._launching.exec(run_, plan, stdin=stdin, attach=attach)

    async def exec_capture(
        self, handle: Handle, exec_id: str, plan: ExecPlan, *, seconds: float, limit: int
    ) -> tuple[int, bytes]:
        """Run a process to its end: its exit code and the first `limit` bytes of its output; -1 at the deadline."""
        started, attached = await self.exec(handle, exec_id, plan, stdin=False, attach=True)
        assert attached is not None
        output = bytearray()
        code = -1
        try:
            async with asyncio.timeout(seconds):
                async for _, data in attached:
                    output += data[: limit - len(output)]
                code = (await self.wait(started)).code
        except TimeoutError:
            pass
        finally:
            attached.close()
            self.signal(started, signals.SIGKILL)
            await asyncio.shield(self.forget_exec(started))
        return code, bytes(output)

    async def forget_exec(self, handle: Handle) -> None:
        """Clear what an ended exec left in the run root, after its exit code was stored."""
        await self._clearing.forget_exec(handle)

    async def recover(self, handle: Handle) -> Running | Exit | None:
        """What became of a container while no daemon looked; None where nothing is known of it."""
        if not handle.bundle.exists():
            return None
        if not exit_file(handle).exists() and is_alive(handle.monitor.pid, handle.monitor.started):
            if is_alive(handle.process.pid, handle.process.started):
                return Running(handle.process)
            await self._clearing.end_monitor(handle.monitor)  # it is about to write the exit file
        return await self._exit(handle)

    async def _exit(self, handle: Handle) -> Exit:
        path = exit_file(handle)
        try:
            text, state = path.read_text(), path.stat()
        except FileNotFoundError:
            if not handle.exec_id:
                await self.kill_all(handle)
            self.signal(handle, signals.SIGKILL)
            await self._clearing.gone(handle.process)
            return Exit(KILLED_CODE, time.time_ns(), monitor_lost=True)
        oom = not handle.exec_id and stats.killed_for_memory(self.layout, handle.cgroup)
        return Exit(int(text or KILLED_CODE) & 0xFF, state.st_mtime_ns, oom_killed=oom)

    async def sweep(self, keep: Collection[str]) -> None:
        """Clear what belongs to no container in `keep`: bundles, monitors, cgroups."""
        await self._clearing.sweep(keep)

    async def sweep_execs(self, keep: Collection[str]) -> None:
        """End the execs whose ids are not in `keep`: an earlier daemon died before it knew that they ran."""
        await self._clearing.sweep_execs(keep)

    def stats(self, handle: Handle) -> StatsSample:
        """What the container uses now; without its network, which another room knows."""
        return stats.sample(self.layout, handle.cgroup)

    async def update(self, handle: Handle, before: Resources, after: Resources) -> None:
        """Change the limits of a running container; where the kernel refuses one, all are as before, and Invalid."""
        wanted = limits.writes(before, after, self.layout)
        await asyncio.to_thread(processes.apply_limits, self.layout, handle.cgroup, wanted)

    async def top(self, handle: Handle, ps_args: str) -> tuple[list[str], list[list[str]]]:
        """The titles and rows of ps(1) for the container's processes."""
        return await processes.top(cgroup.pids(self.layout, handle.cgroup), ps_args)

    @staticmethod
    def living_monitors(run_root: Path) -> list[int]:
        """Pids of the conmons of an instance's containers that still live."""
        folder = run_root / "bundles"
        return [pid for pid, bundle in conmon.living(folder) if bundle.parent == folder]
