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
import contextlib
import os
import shutil
import signal as signals
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from boxship.errors import Internal
from boxship.runtime import conmon, failures, limits, processes, stats
from boxship.runtime.attach import Attached
from boxship.runtime.config import process as process_object
from boxship.runtime.easing import ease
from boxship.runtime.filters import Filters
from boxship.runtime.handle import ExecPlan, Exit, Handle, Process, Running
from boxship.runtime.host import look
from boxship.runtime.programs import Programs, Runtime, find_init
from boxship.spec.container import Resources
from boxship.spec.stats import StatsSample
from boxship.sys import cgroup
from boxship.sys.cgroup import Warmth
from boxship.sys.pidfd import is_alive, open_process, send_signal, start_time, wait_pidfd
from boxship.sys.seqpacket import connect
from boxship.sys.spawn import reap, run

__all__ = ["Attached", "Driver", "ExecPlan", "Exit", "Handle", "Process", "Running"]

CREATE_SECONDS = 60.0  # conmon and the runtime's `create`
START_SECONDS = 30.0
EXEC_SECONDS = 30.0
DELETE_SECONDS = 30.0
MONITOR_SECONDS = 5.0  # that conmon may take to write the exit file after its container's end
REOPEN_SECONDS = 5.0
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
        self._run_root = run_root
        self._parent = f"boxship-{instance}"
        self._programs = Programs(run_root, runtimes, default)
        self._filters = Filters()
        self.layout = cgroup.detect()
        self.host = look(self.layout)
        self.runtimes = self._programs.paths()
        self.default_runtime = default
        self.init_binary = find_init()
        self._warmth = Warmth(self.layout)

    async def open(self) -> None:
        """Make the folders and the mounts that the driver works with."""
        self._bundles.mkdir(parents=True, exist_ok=True, mode=0o700)
        await asyncio.to_thread(self._programs.bind)

    async def close(self) -> None:
        """Give the mounts back, and the instance's cgroup where no container is in it; containers go on."""
        await asyncio.to_thread(self._programs.unbind)
        await asyncio.to_thread(self._remove_empty_parent)

    def _remove_empty_parent(self) -> None:
        for folder in cgroup.folders(self.layout, self._parent):
            with contextlib.suppress(OSError):  # it holds containers, or was never made
                os.rmdir(folder)

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
            cgroup=_cgroup_of(bundle),
        )

    def exec_handle(
        self, container_id: str, exec_id: str, process: StoredProcess, monitor: StoredProcess, runtime: str
    ) -> Handle:
        """The handle of an exec that an earlier daemon started."""
        handle = self.handle(container_id, runtime, process, monitor, self._bundles / container_id / "execs" / exec_id)
        return msgspec.structs.replace(handle, exec_id=exec_id)

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
        chosen = self._programs.get(runtime)
        if chosen.is_crun:
            config = await self._filters.apply(config)
        config, warnings = ease(config)
        bundle.mkdir(parents=True, exist_ok=True, mode=0o700)
        (bundle / "config.json").write_bytes(msgspec.json.encode(config))
        request = conmon.Request(
            container_id=container_id,
            program=chosen.program,
            state_root=self._state(chosen),
            bundle=bundle,
            log_path=str(log_path or ""),
            tty=tty,
            stdin=stdin,
            keep_stdin=tty or not stdin_once,
        )
        path = config["linux"]["cgroupsPath"]
        handle = Handle(id=container_id, runtime=chosen.name, bundle=bundle, cgroup=path, warnings=warnings)
        return await self._launch(request, handle, tuple(config["process"]["args"]))

    async def connect(self, handle: Handle) -> Attached:
        """The process's streams; output from this moment on, or all of it when called before `start`."""
        return Attached(connect(handle.bundle / "attach"))

    async def start(self, handle: Handle) -> None:
        """Let the created process run the user's program."""
        chosen = self._programs.get(handle.runtime)
        if chosen.is_crun and self._release(handle):
            return
        await self._ask(chosen, "start", handle.id, seconds=START_SECONDS)

    def signal(self, handle: Handle, number: int) -> None:
        """Send a signal to the container's process. One that has ended is fine."""
        send_signal(handle.process.pid, handle.process.started, number)

    async def kill_all(self, handle: Handle) -> None:
        """Kill every process of the container."""
        await asyncio.to_thread(cgroup.kill, self.layout, handle.cgroup)

    async def pause(self, handle: Handle) -> None:
        """Stop every process of the container where it is."""
        await asyncio.to_thread(cgroup.freeze, self.layout, handle.cgroup)

    async def resume(self, handle: Handle) -> None:
        """Let paused processes go on."""
        await asyncio.to_thread(cgroup.thaw, self.layout, handle.cgroup)

    async def resize(self, handle: Handle, rows: int, columns: int) -> None:
        """Set the size of the terminal of a container or an exec."""
        conmon.control(handle.bundle, conmon.RESIZE, rows, columns)

    async def reopen_log(self, handle: Handle) -> None:
        """Make conmon go on in a new log file, after the old one was renamed; returns when it has done so."""
        path = _log_of(handle.monitor)
        conmon.control(handle.bundle, conmon.REOPEN_LOG)
        async with conmon.deadline(f"reopen the log of container {handle.id}", REOPEN_SECONDS):
            while path and not os.path.exists(path) and is_alive(handle.monitor.pid, handle.monitor.started):
                await asyncio.sleep(0.002)

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
        if handle.monitor.pid and not is_alive(handle.monitor.pid, handle.monitor.started):
            with contextlib.suppress(OSError):
                reap(handle.monitor.pid) if start_time(handle.monitor.pid) == handle.monitor.started else None
        return await self._exit(handle)

    exec_wait = wait

    async def delete(self, container_id: str, handle: Handle | None) -> None:
        """Clear everything of a container: processes, cgroups, the runtime's state, the bundle. May be repeated.

        Without a handle (a crash came before it was stored) what is found by the id is cleared.
        """
        bundle = handle.bundle if handle else self._bundles / container_id
        path = (handle.cgroup if handle else "") or _cgroup_of(bundle)
        if handle is None or not handle.monitor.pid:
            monitors = [pid for pid, found in conmon.living(self._bundles) if found == bundle]
        else:
            monitors = [handle.monitor.pid] if is_alive(handle.monitor.pid, handle.monitor.started) else []
        if monitors:
            await self._end_monitors(monitors, path)
        for runtime in self._programs:
            if not runtime.is_crun and (self._state(runtime) / container_id).exists():
                with contextlib.suppress(Internal):
                    await self._ask(runtime, "delete", "--force", container_id, seconds=DELETE_SECONDS)
        await asyncio.to_thread(self._clear, container_id, path, bundle)

    async def exec(
        self, handle: Handle, exec_id: str, plan: ExecPlan, *, stdin: bool, attach: bool
    ) -> tuple[Handle, Attached | None]:
        """Start a further process in a running container; with `attach`, its streams from their first byte on.

        Raises as `create` does.
        """
        self._warmth.seek()
        chosen = self._programs.get(handle.runtime)
        bundle = handle.bundle / "execs" / exec_id
        bundle.mkdir(parents=True, exist_ok=True, mode=0o700)
        described = process_object(
            plan.arguments,
            plan.environment,
            plan.working_directory,
            plan.identity,
            plan.rights,
            tty=plan.tty,
            console_size=plan.console_size,
        )
        (bundle / "process.json").write_bytes(msgspec.json.encode(described))
        request = conmon.Request(
            container_id=handle.id,
            program=chosen.program,
            state_root=self._state(chosen),
            bundle=bundle,
            tty=plan.tty,
            stdin=stdin,
            keep_stdin=plan.tty,
            process=bundle / "process.json",
            attach=attach,
        )
        run_ = Handle(id=handle.id, runtime=handle.runtime, bundle=bundle, cgroup=handle.cgroup, exec_id=exec_id)
        streams: list[Attached] = []
        started = await self._launch(request, run_, plan.arguments, streams)
        return started, streams[0] if streams else None

    async def exec_capture(
        self, handle: Handle, exec_id: str, plan: ExecPlan, *, seconds: float, limit: int
    ) -> tuple[int, bytes]:
        """Run a process to its end: its exit code and the first `limit` bytes of its output; -1 at the deadline."""
        started, attached = await self.exec(handle, exec_id, plan, stdin=False, attach=True)
        output = bytearray()
        code = -1
        try:
            async with asyncio.timeout(seconds):
                async for _, data in attached or ():  # type: ignore[union-attr]
                    output += data[: limit - len(output)]
                code = (await self.wait(started)).code
        except TimeoutError:
            self.signal(started, signals.SIGKILL)
        finally:
            if attached is not None:
                attached.close()
            await self.forget_exec(started)
        return code, bytes(output)

    async def forget_exec(self, handle: Handle) -> None:
        """Clear what an ended exec left in the run root."""
        await self._monitor_end(handle)
        await asyncio.to_thread(shutil.rmtree, handle.bundle, ignore_errors=True)

    async def recover(self, handle: Handle) -> Running | Exit | None:
        """What became of a container while no daemon looked; None where nothing is known of it."""
        if not handle.bundle.exists():
            return None
        if _exit_file(handle).exists():
            return await self._exit(handle)
        if is_alive(handle.monitor.pid, handle.monitor.started):
            if is_alive(handle.process.pid, handle.process.started):
                return Running(handle.process)
            await self._monitor_end(handle)
        return await self._exit(handle)

    async def sweep(self, keep: Collection[str]) -> None:
        """Clear what belongs to no container in `keep`: bundles, monitors, cgroups."""
        found = {path.name for path in self._bundles.iterdir()} if self._bundles.exists() else set()
        found |= {bundle.name for _, bundle in conmon.living(self._bundles) if bundle.parent == self._bundles}
        for runtime in self._programs:
            with contextlib.suppress(FileNotFoundError):
                found |= {path.name for path in self._state(runtime).iterdir() if not path.name.startswith(".")}
        for container_id in found - set(keep):
            await self.delete(container_id, None)
        await asyncio.to_thread(self._sweep_cgroups, frozenset(keep))

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

    @property
    def _bundles(self) -> Path:
        return self._run_root / "bundles"

    def _state(self, runtime: Runtime) -> Path:
        return self._run_root / "runtimes" / runtime.name

    async def _launch(
        self, request: conmon.Request, handle: Handle, arguments: tuple[str, ...], streams: list[Attached] | None = None
    ) -> Handle:
        """Spawn conmon and wait for the process; the completed handle. Whatever goes wrong, nothing is left."""
        is_exec = bool(handle.exec_id)
        action = f"exec in container {handle.id}" if is_exec else f"create container {handle.id}"
        request.state_root.mkdir(parents=True, exist_ok=True, mode=0o700)
        _exit_file(handle).unlink(missing_ok=True)
        monitor = conmon.Conmon(request)
        try:
            async with conmon.deadline(action, EXEC_SECONDS if is_exec else CREATE_SECONDS):
                if request.attach and streams is not None:
                    await monitor.attach_ready()
                    streams.append(Attached(connect(request.bundle / "attach")))
                    monitor.let_start()
                pid = await monitor.process()
        except BaseException as error:
            await asyncio.shield(self._take_back(monitor, handle, streams))
            if isinstance(error, conmon.Failed):
                raise failures.describe(str(error), arguments, "exec" if is_exec else "create") from None
            raise
        finally:
            monitor.close()
        return msgspec.structs.replace(
            handle, process=Process(pid, start_time(pid)), monitor=Process(monitor.pid, monitor.started)
        )

    async def _take_back(self, monitor: conmon.Conmon, handle: Handle, streams: list[Attached] | None) -> None:
        for attached in streams or ():
            attached.close()
        if not handle.exec_id:
            send_signal(monitor.pid, monitor.started, signals.SIGKILL)  # its runtime dies with it
            await conmon.end(monitor.pid, MONITOR_SECONDS)
            await self.delete(handle.id, msgspec.structs.replace(handle, monitor=Process(monitor.pid, 0)))
            return
        await conmon.end(monitor.pid, 0.05)
        await asyncio.to_thread(shutil.rmtree, handle.bundle, ignore_errors=True)

    def _release(self, handle: Handle) -> bool:
        """Write the byte that crun's waiting process reads; False where it is not to be done that way."""
        fifo = self._state(self._programs.get(handle.runtime)) / handle.id / "exec.fifo"
        try:
            descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # not there, or nobody waits: `crun start` says what is the matter
            return False
        try:
            os.write(descriptor, b"\0")
        finally:
            os.close(descriptor)
        fifo.unlink()
        return True

    async def _ask(self, runtime: Runtime, *arguments: str, seconds: float) -> None:
        """Run the runtime's own program."""
        done = await run([runtime.program, "--root", str(self._state(runtime)), *arguments], timeout=seconds)
        if done.returncode != 0:
            raise failures.describe(done.stderr.decode(errors="replace"), (), arguments[0])

    async def _exit(self, handle: Handle) -> Exit:
        path = _exit_file(handle)
        try:
            text, state = path.read_text(), path.stat()
        except FileNotFoundError:
            if not handle.exec_id:
                await self.kill_all(handle)
            elif handle.process.pid:
                self.signal(handle, signals.SIGKILL)
            return Exit(KILLED_CODE, time.time_ns(), monitor_lost=True)
        oom = not handle.exec_id and stats.killed_for_memory(self.layout, handle.cgroup)
        return Exit(int(text or KILLED_CODE) & 0xFF, state.st_mtime_ns, oom_killed=oom)

    async def _monitor_end(self, handle: Handle) -> None:
        """Wait a little for a conmon whose process has ended; then make an end of it."""
        descriptor = open_process(handle.monitor.pid, handle.monitor.started)
        if descriptor is None:
            return
        try:
            async with asyncio.timeout(MONITOR_SECONDS):
                await wait_pidfd(descriptor)
        except TimeoutError:
            signals.pidfd_send_signal(descriptor, signals.SIGKILL)
            await wait_pidfd(descriptor)
        finally:
            os.close(descriptor)
        reap(handle.monitor.pid)

    async def _end_monitors(self, monitors: list[int], path: str) -> None:
        if path:
            await asyncio.to_thread(cgroup.kill, self.layout, path)
        for pid in monitors:
            started = start_time(pid)
            handle = Handle(id="", runtime="", bundle=self._bundles, monitor=Process(pid, started))
            await self._monitor_end(handle)

    def _clear(self, container_id: str, path: str, bundle: Path) -> None:
        if path and path.strip("/"):
            cgroup.kill(self.layout, path)
            cgroup.remove(self.layout, path)
        for runtime in self._programs:
            shutil.rmtree(self._state(runtime) / container_id, ignore_errors=True)
        shutil.rmtree(bundle, ignore_errors=True)

    def _sweep_cgroups(self, keep: frozenset[str]) -> None:
        for folder in cgroup.folders(self.layout, self._parent):
            with contextlib.suppress(FileNotFoundError):
                for entry in os.scandir(folder):
                    if entry.is_dir() and entry.name not in keep:
                        cgroup.kill(self.layout, f"/{self._parent}/{entry.name}")
                        cgroup.remove(self.layout, f"/{self._parent}/{entry.name}")


class _CgroupPath(msgspec.Struct, frozen=True):
    cgroupsPath: str = ""


class _Config(msgspec.Struct, frozen=True):
    linux: _CgroupPath = _CgroupPath()


def _cgroup_of(bundle: Path) -> str:
    """The cgroup path in a bundle's config.json; "" where there is none."""
    try:
        return msgspec.json.decode((bundle / "config.json").read_bytes(), type=_Config).linux.cgroupsPath
    except (OSError, msgspec.MsgspecError):
        return ""


def _exit_file(handle: Handle) -> Path:
    return handle.bundle / handle.id


def _log_of(monitor: Process) -> str:
    """The log file of a living conmon, from its command line."""
    try:
        words = Path(f"/proc/{monitor.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    prefix = b"--log-path=k8s-file:"
    return next((os.fsdecode(word.removeprefix(prefix)) for word in words if word.startswith(prefix)), "")
