"""Real containers by crun, runc and conmon: a busybox root, a driver with its own run root, nothing left behind."""

import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import Any

import msgspec

from boxship.runtime import security
from boxship.runtime.config import render
from boxship.runtime.driver import Attached, Driver, ExecPlan, Exit, Handle
from boxship.runtime.plan import Identity, Plan
from boxship.sys import cgroup

BUSYBOX = Path("/bin/busybox")
APPLETS = (
    "cat chmod chroot cp cut date dd echo env false grep head hostname id kill ls mkdir mknod mount nc nproc ping ps "
    "pwd readlink rm seq sh sleep stat stty tail tee test touch tr true tty uname unshare wc yes"
).split()


class Box:
    """Makes containers and clears them."""

    def __init__(self, driver: Driver, instance: str, root: Path, rootfs: Path) -> None:
        self.driver = driver
        self.instance = instance
        self.root = root
        self.rootfs = rootfs

    def plan(self, *arguments: str, **changes: Any) -> Plan:
        identifier = secrets.token_hex(32)
        rights, _ = security.rights(
            privileged=False,
            add=(),
            drop=(),
            options=(),
            masked_paths=None,
            read_only_paths=None,
            devices=(),
        )
        plan = Plan(
            id=identifier,
            rootfs=str(self.rootfs),
            arguments=arguments,
            environment=("PATH=/sbin:/bin", "HOME=/root"),
            hostname=identifier[:12],
            rights=rights,
            cgroup_path=f"/boxship-{self.instance}/{identifier}",
        )
        return msgspec.structs.replace(plan, **changes)

    async def create(
        self,
        *arguments: str,
        runtime: str = "crun",
        stdin: bool = False,
        stdin_once: bool = False,
        log: bool = True,
        plan: Plan | None = None,
        **changes: Any,
    ) -> Handle:
        plan = plan or self.plan(*arguments, **changes)
        return await self.driver.create(
            plan.id,
            render(plan, self.driver.layout),
            runtime=runtime,
            bundle=self.bundle(plan.id),
            log_path=self.log(plan.id) if log else None,
            tty=plan.tty,
            stdin=stdin,
            stdin_once=stdin_once,
        )

    def bundle(self, identifier: str) -> Path:
        return self.root / "bundles" / identifier

    def log(self, identifier: str) -> Path:
        return self.root / f"{identifier}.log"

    async def run(self, *arguments: str, **options: Any) -> tuple[Exit, bytes, bytes]:
        """Run to the end: exit, stdout, stderr."""
        handle = await self.create(*arguments, **options)
        attached = await self.driver.connect(handle)
        await self.driver.start(handle)
        out, error = await drain(attached)
        ended = await self.driver.wait(handle)
        await self.driver.delete(handle.id, handle)
        return ended, out, error

    async def started(self, *arguments: str, **options: Any) -> Handle:
        handle = await self.create(*arguments, **options)
        await self.driver.start(handle)
        return handle

    def exec_plan(self, *arguments: str, **changes: Any) -> ExecPlan:
        plan = ExecPlan(
            arguments=arguments,
            environment=("PATH=/sbin:/bin",),
            working_directory="/",
            identity=Identity(),
            tty=False,
            console_size=(0, 0),
            rights=self.plan().rights,
        )
        return msgspec.structs.replace(plan, **changes)


async def drain(attached: Attached) -> tuple[bytes, bytes]:
    parts: dict[int, bytes] = {1: b"", 2: b""}
    async for stream, data in attached:
        parts[stream] += data
    attached.close()
    return parts[1], parts[2]


def living_children(instance: str, run_root: Path) -> list[str]:
    """Processes that belong to an instance: conmons, and whatever is in its cgroups."""
    found = [str(pid) for pid in Driver.living_monitors(run_root)]
    layout = cgroup.detect()
    return found + [str(pid) for pid in cgroup.pids(layout, f"/boxship-{instance}")]


def children() -> set[str]:
    """Pids of the children of this process, ended or not."""
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


def new_descriptors(before: set[str]) -> list[str]:
    """What is open now and was not before, once threads that work in the background are through."""
    end = time.monotonic() + 10
    while True:
        found = []
        for name in set(os.listdir("/proc/self/fd")) - before:
            with contextlib.suppress(FileNotFoundError):
                found.append(f"{name}: {os.readlink(f'/proc/self/fd/{name}')}")
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.01)
