"""Makes the processes of containers: writes the bundle, spawns conmon, waits for the runtime's answer.

Every wait has a deadline; whatever goes wrong, or if the caller is cancelled, everything is taken back first.
"""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import msgspec

from boxship.runtime import conmon, failures
from boxship.runtime.attach import Attached
from boxship.runtime.clearing import Clearing
from boxship.runtime.config import process as process_object
from boxship.runtime.easing import ease, ease_process
from boxship.runtime.filters import Filters
from boxship.runtime.handle import ExecPlan, Handle, Process
from boxship.runtime.programs import Programs
from boxship.runtime.streams import give_streams, owner_of
from boxship.sys.pidfd import start_time
from boxship.sys.seqpacket import connect

CREATE_SECONDS = 60.0  # conmon and the runtime's `create`
EXEC_SECONDS = 30.0
EXEC_MESSAGE_SECONDS = 0.1  # that a failed exec's conmon may take to end by itself


class Launching:
    """Creates containers and execs."""

    def __init__(self, programs: Programs, clearing: Clearing) -> None:
        self._programs = programs
        self._clearing = clearing
        self._filters = Filters()

    async def create(
        self, handle: Handle, config: dict[str, Any], *, log_path: str, tty: bool, stdin: bool, keep_stdin: bool
    ) -> Handle:
        """Make a container's process, which waits for its start. `handle` says where; the complete one is returned."""
        chosen = self._programs.get(handle.runtime)
        mappings = config["linux"].get("uidMappings", ())
        if chosen.is_crun:
            config = without_mappings(await self._filters.apply(config))
        config, warnings = ease(config)
        handle.bundle.mkdir(parents=True, exist_ok=True, mode=0o700)
        (handle.bundle / "config.json").write_bytes(msgspec.json.encode(config))
        request = conmon.Request(
            container_id=handle.id,
            program=chosen.program,
            state_root=self._programs.state(chosen),
            bundle=handle.bundle,
            log_path=log_path,
            tty=tty,
            stdin=stdin,
            keep_stdin=keep_stdin,
        )
        arguments = tuple(config["process"]["args"])
        handle = msgspec.structs.replace(handle, runtime=chosen.name, warnings=warnings)
        started, _ = await self._launch(request, handle, arguments, CREATE_SECONDS)
        for mapping in mappings:
            user = config["process"]["user"]
            give_streams(started.process.pid, mapping["hostID"] + user["uid"], mapping["hostID"] + user["gid"])
        return started

    async def exec(
        self, handle: Handle, plan: ExecPlan, *, stdin: bool, attach: bool
    ) -> tuple[Handle, Attached | None]:
        """Make a further process in a container, which runs at once. `handle` is the exec's own."""
        chosen = self._programs.get(handle.runtime)
        handle.bundle.mkdir(parents=True, exist_ok=True, mode=0o700)
        described = process_object(
            plan.arguments,
            plan.environment,
            plan.working_directory,
            plan.identity,
            plan.rights,
            tty=plan.tty,
            console_size=plan.console_size,
            oom_score_adjustment=plan.oom_score_adjustment,
            ulimits=plan.ulimits,
        )
        described, warnings = ease_process(described)
        handle = msgspec.structs.replace(handle, warnings=warnings)
        (handle.bundle / "process.json").write_bytes(msgspec.json.encode(described))
        request = conmon.Request(
            container_id=handle.id,
            program=chosen.program,
            state_root=self._programs.state(chosen),
            bundle=handle.bundle,
            tty=plan.tty,
            stdin=stdin,
            keep_stdin=plan.tty,
            process=handle.bundle / "process.json",
            attach=attach,
        )
        size = plan.console_size if plan.tty else (0, 0)
        return await self._launch(request, handle, plan.arguments, EXEC_SECONDS, size, owner_of(plan))

    async def _launch(
        self,
        request: conmon.Request,
        handle: Handle,
        arguments: tuple[str, ...],
        seconds: float,
        console_size: tuple[int, int] = (0, 0),
        owner: tuple[int, int] | None = None,
    ) -> tuple[Handle, Attached | None]:
        action = "exec" if handle.exec_id else "create"
        request.state_root.mkdir(parents=True, exist_ok=True, mode=0o700)
        exit_file(handle).unlink(missing_ok=True)
        attached = None
        monitor = conmon.Conmon(request)
        try:
            async with conmon.deadline(f"{action} container {handle.id}", seconds):
                if request.attach:
                    await monitor.attach_ready()
                    attached = Attached(connect(request.bundle / "attach"))
                    if all(console_size):  # the runtimes set the first size of a container only, not of an exec
                        conmon.control(request.bundle, conmon.RESIZE, *console_size)
                    if owner is not None:
                        give_streams(monitor.pid, *owner, every=True)
                    monitor.let_start()
                pid = await monitor.process()
                if owner is not None:
                    give_streams(pid, *owner)
        except BaseException as error:
            if attached is not None:
                attached.close()
            await asyncio.shield(self._take_back(Process(monitor.pid, monitor.started), handle))
            if isinstance(error, conmon.Failed):
                raise failures.describe(str(error), arguments, action) from None
            raise
        finally:
            monitor.close()
        process = Process(pid, start_time(pid))
        known = msgspec.structs.replace(handle, process=process, monitor=Process(monitor.pid, monitor.started))
        return known, attached

    async def _take_back(self, monitor: Process, handle: Handle) -> None:
        if handle.exec_id:
            await self._clearing.end_monitor(monitor, EXEC_MESSAGE_SECONDS)
            await asyncio.to_thread(shutil.rmtree, handle.bundle, ignore_errors=True)
            return
        await self._clearing.end_with_runtime(monitor, handle.cgroup)
        await self._clearing.delete(handle.id, msgspec.structs.replace(handle, monitor=monitor))


def without_mappings(config: dict[str, Any]) -> dict[str, Any]:
    """crun reads them from the user namespace that it joins. Told of them, crun 1.8 gives the standard streams to the
    container's user, and that is the machine's own /dev/null where stdin is closed."""
    linux = {name: value for name, value in config["linux"].items() if name not in ("uidMappings", "gidMappings")}
    return {**config, "linux": linux}


def exit_file(handle: Handle) -> Path:
    """Where conmon writes the exit code."""
    return handle.bundle / handle.id
