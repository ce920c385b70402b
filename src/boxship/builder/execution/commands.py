"""RUN: a process in a container without a record, by the engine's own primitives.

The step has an id as containers have; what it takes (snapshot, network place, cgroup, bundle, mounts) carries that id,
so that the recovery that the engine does at each start takes back what a kill leaves, for it knows no such container.
"""

import asyncio
import logging
import posixpath
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boxship.builder.execution.caches import Caches
from boxship.builder.execution.keeping import Keeping
from boxship.builder.execution.mounts import StepMounts
from boxship.builder.execution.settings import Settings
from boxship.builder.execution.writing import Writing
from boxship.builder.operations import Agents, LayerTree, RunOperation, Said, StepFailed
from boxship.content import Lease
from boxship.errors import BoxshipError
from boxship.images.model import Layer
from boxship.network.networks import Networks
from boxship.runtime import security
from boxship.runtime.config import render
from boxship.runtime.driver import Driver, Exit, Handle
from boxship.runtime.failures import Unrunnable
from boxship.runtime.plan import HOST, NEW, Namespaces, Plan
from boxship.runtime.privatefiles import clear_folder
from boxship.runtime.users import resolve_user
from boxship.snapshots.making import Draft, Packed
from boxship.snapshots.overlay import Snapshots
from boxship.spec.attachment import Attachment
from boxship.spec.container import EndpointRequest
from boxship.spec.mount import Mount
from boxship.waiting import to_the_end

log = logging.getLogger(__name__)

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHM_BYTES = 64 << 20
NETWORKS = {"": "bridge", "default": "bridge"}


class Commands:
    """Runs commands on top of layers."""

    def __init__(
        self,
        *,
        run_root: Path,
        snapshots: Snapshots,
        driver: Driver,
        networks: Networks,
        instance: str,
        keeping: Keeping,
        writing: Writing,
        caches: Caches,
        settings: Settings,
    ) -> None:
        self._run_root = run_root
        self._folder = run_root / "builds"
        self._snapshots = snapshots
        self._driver = driver
        self._networks = networks
        self._instance = instance
        self._keeping = keeping
        self._writing = writing
        self._caches = caches
        self._settings = settings

    async def recover(self) -> None:
        """Take back the folders and mounts of steps that a crash left."""
        await asyncio.to_thread(clear_folder, self._folder)
        self._folder.mkdir(parents=True, mode=0o700)  # sockets of agents lie there, also for others than root

    async def run(
        self, base: LayerTree, operation: RunOperation, said: Said, agents: Agents | None, lease: Lease
    ) -> Layer | None:
        step = Step(self, secrets.token_hex(32), operation, said, agents)
        try:
            ended = await step.perform(base)
            if ended.code:
                raise StepFailed(" ".join(operation.arguments), ended.code, out_of_memory=ended.oom_killed)
            await to_the_end(step.release())
            draft = await self._snapshots.take(step.id)
        except BaseException:
            await to_the_end(step.take_back())
            raise
        if draft is None:
            return None
        step.clean(draft)
        return await self._keeping.keep(draft, self._packing(draft, operation.epoch), lease)

    def _packing(self, draft: Draft, epoch: int | None) -> Any:
        async def packing(write: Callable[[bytes], None]) -> Packed:
            return await self._snapshots.pack(draft, write, epoch=epoch)

        return packing

    # what a step uses of us

    @property
    def parts(self) -> tuple[Snapshots, Driver, Networks]:
        return self._snapshots, self._driver, self._networks

    def folder_of(self, identifier: str) -> Path:
        return self._folder / identifier

    def bundle_of(self, identifier: str) -> Path:
        return self._run_root / "bundles" / identifier

    def mounts_of(self, step: "Step") -> StepMounts:
        return StepMounts(
            step.id,
            step.folder,
            step.operation,
            step.agents,
            self._snapshots,
            self._writing,
            self._caches,
            self._settings,
        )

    def cgroup_of(self, identifier: str, parent: str) -> str:
        inside = posixpath.normpath(f"/{parent}").strip("/")  # not out of the cgroups by way of ".."
        return f"/{inside or f'boxship-{self._instance}'}/{identifier}"

    @property
    def runtime(self) -> str:
        return self._settings.runtime


class Step:
    """One RUN in the doing. `release` gives everything back but the snapshot; it may be called again."""

    def __init__(
        self, commands: Commands, identifier: str, operation: RunOperation, said: Said, agents: Agents | None
    ) -> None:
        self.id = identifier
        self.operation = operation
        self.agents = agents
        self.folder = commands.folder_of(identifier)
        self._commands = commands
        self._snapshots, self._driver, self._networks = commands.parts
        self._said = said
        self._mounts = commands.mounts_of(self)
        self._handle: Handle | None = None
        self._made = self._attached = False

    async def perform(self, base: LayerTree) -> Exit:
        """Run the command to its end."""
        await self._snapshots.prepare(self.id, base.chain_id)
        self.folder.mkdir(mode=0o711)
        mounts = await self._mounts.prepare()
        rootfs = await self._snapshots.mount(self.id, volatile=True)
        attachment = await self._attach()
        plan = self._plan(str(rootfs), attachment, mounts)
        try:
            return await self._process(plan)
        except Unrunnable as error:
            self._said(2, f"{error}\n".encode())
            return Exit(error.exit_code, 0)

    async def _attach(self) -> Attachment:
        operation = self.operation
        network = NETWORKS.get(operation.network, operation.network)
        self._attached = True
        return await self._networks.attach(
            self.id,
            f"build-{self.id[:12]}",
            requests=() if network == "none" else (EndpointRequest(network=network),),
            hostname=operation.hostname,
            extra_hosts=operation.extra_hosts,
        )

    def _plan(self, rootfs: str, attachment: Attachment, mounts: tuple[Mount, ...]) -> Plan:
        operation = self.operation
        rights, warnings = security.rights(
            privileged=operation.insecure,
            add=(),
            drop=(),
            options=(),
            masked_paths=None,
            read_only_paths=None,
            devices=(),
        )
        self._warn(warnings)
        identity = resolve_user(rootfs, operation.user)
        self._mounts.make_working_directory(rootfs, operation.working_directory, identity)
        own_network = bool(attachment.namespace) and not operation.insecure
        return Plan(
            id=self.id,
            rootfs=rootfs,
            arguments=operation.arguments,
            environment=self._environment(identity.home),
            working_directory=operation.working_directory or "/",
            identity=identity,
            hostname=operation.hostname,
            mounts=(*self._host_files(attachment), *mounts),
            shm_size=operation.shm_size or DEFAULT_SHM_BYTES,
            namespaces=Namespaces(
                network=attachment.namespace or HOST, cgroup=NEW if self._driver.layout.is_v2 else HOST
            ),
            rights=rights,
            sysctls={"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
            if own_network
            else {},
            ulimits=operation.ulimits,
            resources=operation.resources,
            cgroup_path=self._commands.cgroup_of(self.id, operation.cgroup_parent),
        )

    def _environment(self, home: str) -> tuple[str, ...]:
        """What the command gets: the step's variables, its secrets, and the defaults that it does not name."""
        found = {
            entry.partition("=")[0]: entry for entry in (DEFAULT_PATH, f"HOME={home}", *self._mounts.environment())
        }
        found |= {entry.partition("=")[0]: entry for entry in self.operation.environment}
        found |= {name: f"{name}={value}" for name, value in self.operation.secrets.items()}
        return tuple(found.values())

    def _host_files(self, attachment: Attachment) -> tuple[Mount, ...]:
        texts = {"/etc/resolv.conf": attachment.resolv_conf, "/etc/hosts": attachment.hosts}
        found = []
        for target, text in texts.items():
            path = self.folder / target.rpartition("/")[2]
            path.write_text(text)
            found.append(Mount("bind", str(path), target, ("bind", "rprivate")))
        return tuple(found)

    async def _process(self, plan: Plan) -> Exit:
        self._made = True
        handle = await self._driver.create(
            self.id,
            render(plan, self._driver.layout),
            runtime=self._commands.runtime or self._driver.default_runtime,
            bundle=self._commands.bundle_of(self.id),
            log_path=None,
            tty=False,
            stdin=False,
            stdin_once=False,
        )
        self._handle = handle
        self._warn(handle.warnings)
        attached = await self._driver.connect(handle, stdin=False)
        try:
            await self._driver.start(handle)
            async for stream, data in attached:
                self._said(stream, data)
        finally:
            attached.close()
        return await self._driver.wait(handle)

    def _warn(self, warnings: tuple[str, ...]) -> None:
        for warning in warnings:
            self._said(2, f"warning: {warning}\n".encode())

    def clean(self, draft: Draft) -> None:
        """Leave out of the changes what the step only borrowed."""
        for place in self._mounts.take_out(draft.upper):
            self._warn((f"changes of {place} are not kept: it is the host's (--host-ca)",))

    async def take_back(self) -> None:
        """After a failure: everything, with what the command changed."""
        await self.release()
        await self._guarded(self._snapshots.remove(self.id))

    async def release(self) -> None:
        """Each part by itself, so that one that fails keeps no other."""
        if self._made:
            self._made = False
            await self._guarded(self._driver.delete(self.id, self._handle))
        if self._attached:
            self._attached = False
            await self._guarded(self._networks.detach(self.id))
        await self._guarded(self._snapshots.unmount(self.id))
        await self._guarded(self._mounts.release())
        await self._guarded(asyncio.to_thread(clear_folder, self.folder))

    async def _guarded(self, doing: Any) -> None:
        try:
            await doing
        except (BoxshipError, OSError):
            log.exception("cannot give back a part of build step %s", self.id[:12])
