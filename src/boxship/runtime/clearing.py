"""Takes containers away: processes, cgroups, the runtime's state, bundles. Everything here may be repeated.

What `crun delete` removes (its state folder and the cgroups) is removed directly, which is seven times quicker; other
runtimes are asked by their program. Nothing outside of a container's own places is touched.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Collection
from pathlib import Path

import msgspec

from boxship.errors import BoxshipError
from boxship.runtime import conmon
from boxship.runtime.handle import Handle, Process
from boxship.runtime.parents import Parents
from boxship.runtime.programs import Programs
from boxship.sys import cgroup
from boxship.sys.cgroup import Layout
from boxship.sys.pidfd import is_alive, open_process, send_signal, start_time, wait_pidfd
from boxship.sys.spawn import SAFE_ENVIRONMENT, reap, run

DELETE_SECONDS = 30.0
MONITOR_SECONDS = 5.0  # that conmon may take to write the exit file after its container's end
LOOK_SECONDS = 0.002
STRAY_SECONDS = 0.5  # that an unknown exec's conmon may take to end after its process


class Clearing:
    """Knows where the parts of containers lie."""

    def __init__(self, run_root: Path, parent: str, programs: Programs, layout: Layout) -> None:
        self.bundles = run_root / "bundles"
        self._parent = parent  # the cgroup of the instance's containers
        self._programs = programs
        self._layout = layout
        self.parents = Parents(run_root / "cgroup-parents.json", parent, layout)

    async def delete(self, container_id: str, handle: Handle | None) -> None:
        """Clear everything of a container; without a handle, by its id alone."""
        bundle = handle.bundle if handle else self.bundles / container_id
        path = (handle.cgroup if handle else "") or cgroup_of(bundle) or f"/{self._parent}/{container_id}"
        if handle is not None and handle.monitor.pid:
            if is_alive(handle.monitor.pid, handle.monitor.started):
                await asyncio.to_thread(cgroup.kill, self._layout, path)
                await self.end_monitor(handle.monitor)
        else:
            # Perhaps still in the middle of `create`: its runtime dies with it.
            for pid, found in await asyncio.to_thread(lambda: list(conmon.living(self.bundles))):
                if found == bundle or bundle in found.parents:
                    await self.end_with_runtime(Process(pid, start_time(pid)), path)
        for runtime in self._programs:
            if not runtime.is_crun and (self._programs.state(runtime) / container_id).exists():
                with contextlib.suppress(BoxshipError):  # what matters is cleared below
                    state = str(self._programs.state(runtime))
                    line = [runtime.program, "--root", state, "delete", "--force", container_id]
                    await run(line, env=SAFE_ENVIRONMENT, timeout=DELETE_SECONDS)
        await asyncio.to_thread(self._remove, container_id, path, bundle)
        self.parents.release(container_id)

    async def end_monitor(self, monitor: Process, seconds: float = MONITOR_SECONDS) -> None:
        """Wait for a conmon whose process has ended; kill it where it takes too long. Reaps it if it is our child."""
        descriptor = open_process(monitor.pid, monitor.started)
        if descriptor is not None:
            try:
                async with asyncio.timeout(seconds):
                    await wait_pidfd(descriptor)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                await wait_pidfd(descriptor)
            finally:
                os.close(descriptor)
        reap_ended(monitor)

    async def gone(self, killed: Process) -> None:
        """Wait for the end of a killed process; where the kernel holds it up, no longer than is sensible."""
        descriptor = open_process(killed.pid, killed.started)
        if descriptor is not None:
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(MONITOR_SECONDS):
                        await wait_pidfd(descriptor)
            finally:
                os.close(descriptor)

    async def end_with_runtime(self, monitor: Process, path: str) -> None:
        """End a conmon in the middle of whatever it does. It is stopped first, so that it starts nothing any more, and
        inherits what its runtime forked."""
        send_signal(monitor.pid, monitor.started, signal.SIGSTOP)
        await asyncio.to_thread(cgroup.kill, self._layout, path)  # frozen processes too
        deadline = time.monotonic() + MONITOR_SECONDS
        while time.monotonic() < deadline:
            children = [(pid, start_time(pid)) for pid in await asyncio.to_thread(conmon.descendants, monitor.pid)]
            living = [child for child in children if is_alive(*child)]
            if not living:
                break
            for child in living:
                send_signal(*child, signal.SIGKILL)
            await asyncio.sleep(LOOK_SECONDS)
        await self.end_monitor(monitor, seconds=0)

    async def forget_exec(self, handle: Handle) -> None:
        """Clear what an ended exec left."""
        await self.end_monitor(handle.monitor)
        await asyncio.to_thread(shutil.rmtree, handle.bundle, ignore_errors=True)

    async def sweep_execs(self, keep: Collection[str]) -> None:
        """End the execs that are not in `keep`, and clear what they left: nobody knows of them."""
        await asyncio.gather(*(self._end_exec(*found) for found in await asyncio.to_thread(self._strays, set(keep))))

    def _strays(self, keep: set[str]) -> list[tuple[Path, int]]:
        """(bundle, conmon's pid or 0) of execs that are not in `keep`."""
        living = {bundle: pid for pid, bundle in conmon.living(self.bundles)}
        return [(bundle, living.get(bundle, 0)) for bundle in self.bundles.glob("*/execs/*") if bundle.name not in keep]

    async def _end_exec(self, bundle: Path, pid: int) -> None:
        if pid:
            monitor = Process(pid, start_time(pid))
            for child in await asyncio.to_thread(conmon.descendants, pid):
                send_signal(child, start_time(child), signal.SIGKILL)
            await self.end_monitor(monitor, STRAY_SECONDS)
        await asyncio.to_thread(shutil.rmtree, bundle, ignore_errors=True)

    async def sweep(self, keep: Collection[str]) -> None:
        """Clear what belongs to no container in `keep`."""
        for container_id in await asyncio.to_thread(self._known) - set(keep):
            await self.delete(container_id, None)
        await asyncio.to_thread(self._sweep_cgroups, frozenset(keep))
        self.parents.sweep()

    def remove_parent(self) -> None:
        """Take the instance's cgroup away where no container is left in it."""
        cgroup.remove_empty(self._layout, self._parent)

    def _known(self) -> set[str]:
        """Ids of containers of which anything is left."""
        found = {bundle.name for _, bundle in conmon.living(self.bundles) if bundle.parent == self.bundles}
        for folder in (self.bundles, *(self._programs.state(runtime) for runtime in self._programs)):
            with contextlib.suppress(FileNotFoundError):
                found |= {entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")}
        return found

    def _remove(self, container_id: str, path: str, bundle: Path) -> None:
        if path.strip("/"):
            cgroup.kill(self._layout, path)
            cgroup.remove(self._layout, path)
        for runtime in self._programs:
            shutil.rmtree(self._programs.state(runtime) / container_id, ignore_errors=True)
        shutil.rmtree(bundle, ignore_errors=True)

    def _sweep_cgroups(self, keep: frozenset[str]) -> None:
        left: set[str] = set()
        for folder in cgroup.folders(self._layout, self._parent):
            with contextlib.suppress(FileNotFoundError):
                left |= {entry.name for entry in os.scandir(folder) if entry.is_dir()}
        for name in left - keep:
            cgroup.kill(self._layout, f"/{self._parent}/{name}")
            cgroup.remove(self._layout, f"/{self._parent}/{name}")


def reap_ended(monitor: Process) -> None:
    """Reap a conmon that has ended, if it is our child and nobody has yet; a later process of its pid is left alone."""
    if monitor.pid and start_time(monitor.pid) == monitor.started and not is_alive(monitor.pid, monitor.started):
        reap(monitor.pid)


class _Linux(msgspec.Struct, frozen=True):
    cgroupsPath: str = ""


class _Config(msgspec.Struct, frozen=True):
    linux: _Linux = _Linux()


def cgroup_of(bundle: Path) -> str:
    """The cgroup path in a bundle's config.json; "" where there is none."""
    try:
        return msgspec.json.decode((bundle / "config.json").read_bytes(), type=_Config).linux.cgroupsPath
    except (OSError, msgspec.MsgspecError):
        return ""
