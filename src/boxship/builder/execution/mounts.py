"""The mounts of one RUN: each --mount, the here-documents, and the machine's CA bundle, as the runtime takes them.

What a mount needs is made before the step's root is mounted, because the places where they go must be known then; it
is given back afterwards. Nothing of a mount is ever in the step's layer.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from boxship.builder.execution.caches import Caches, Taken
from boxship.builder.execution.hostca import CA_ENVIRONMENT, CA_PLACES, CA_TARGET, find_bundle, take_out
from boxship.builder.execution.settings import Settings
from boxship.builder.execution.writing import Writing
from boxship.builder.operations import Agents, FolderTree, LayerTree, RunOperation, StepMount
from boxship.errors import Conflict, Invalid, NotFound, Unsupported
from boxship.runtime.agentsocket import AgentSocket
from boxship.runtime.plan import Identity
from boxship.runtime.privatefiles import mount_private, write_private
from boxship.snapshots.inside import locate, make_folder
from boxship.snapshots.making import Draft
from boxship.snapshots.overlay import Snapshots
from boxship.spec.mount import Mount

SECRET_BYTES = 16 << 20  # of all secrets of one step
PIPES = "/dev/pipes"
OWN_TMPFS = ("nosuid", "nodev")


class StepMounts:
    """The mounts of one step; `prepare` once, `release` as often as you like."""

    def __init__(
        self,
        identifier: str,
        folder: Path,
        operation: RunOperation,
        agents: Agents | None,
        snapshots: Snapshots,
        writing: Writing,
        caches: Caches,
        settings: Settings,
    ) -> None:
        self._id = identifier
        self._folder = folder
        self._operation = operation
        self._agents = agents
        self._snapshots = snapshots
        self._writing = writing
        self._caches = caches
        self._bundle = find_bundle(settings.ca_bundle) if settings.host_ca or operation.host_ca else ""
        self._drafts: list[Draft] = []
        self._taken: list[Taken] = []
        self._sockets: list[AgentSocket] = []
        self._agent_path = ""
        self._has_private = False
        self._count = 0

    async def prepare(self) -> tuple[Mount, ...]:
        """Make everything ready; the mounts in order."""
        found = []
        for mount in self._operation.mounts:
            made = await self._make(mount)
            if made is not None:
                found.append(made)
        if self._operation.files:
            found.append(await asyncio.to_thread(self._pipes))
        if self._bundle:
            found.append(Mount("bind", self._bundle, CA_TARGET, ("bind", "rprivate", "ro")))
        return await self._placed(found)

    async def _placed(self, mounts: list[Mount]) -> tuple[Mount, ...]:
        """The mounts with their places made, in no layer; links in their targets are followed inside the root."""
        wanted = [
            (mount.target, "file" if mount.kind == "bind" and not os.path.isdir(mount.source) else "folder")
            for mount in mounts
        ]
        inside = [number for number, (target, _) in enumerate(wanted) if not _is_kernels(target)]
        try:
            seeds = [(place, self._bundle) for place in CA_PLACES] if self._bundle else []
            targets = await self._snapshots.add_places(self._id, [wanted[number] for number in inside], seeds)
        except OSError as error:
            raise Invalid(f"cannot mount {', '.join(mount.target for mount in mounts)}: {error.strerror}") from error
        places = dict(zip(inside, targets, strict=True))
        return tuple(
            Mount(mount.kind, mount.source, places.get(number, mount.target), mount.options)
            for number, mount in enumerate(mounts)
        )

    async def _make(self, mount: StepMount) -> Mount | None:
        makers: dict[str, Callable[[StepMount], Awaitable[Mount | None]]] = {
            "bind": self._bind,
            "cache": self._cache,
            "secret": self._secret,
            "ssh": self._ssh,
            "tmpfs": self._tmpfs,
        }
        if mount.kind not in makers:
            raise Unsupported(f"unsupported: mount of type {mount.kind}")
        return await makers[mount.kind](mount)

    async def _bind(self, mount: StepMount) -> Mount:
        source = mount.source.strip("/")
        if isinstance(mount.tree, FolderTree):
            draft = await self._draft(None)
            await self._writing.fill(str(draft.upper), mount.tree, mount.source)
            path = str(no_link(draft.upper / "content", mount.source))
        else:
            draft = await self._draft(mount.tree.chain_id if mount.tree else None)
            root = await self._snapshots.mount_draft(draft, read_only=mount.read_only)
            try:
                path = await asyncio.to_thread(locate, root, source)
            except FileNotFoundError:
                raise NotFound(f"cannot mount /{source}: not found in what it is mounted from") from None
        return Mount("bind", path, mount.target, ("rbind", "rprivate", "ro" if mount.read_only else "rw"))

    async def _draft(self, parent: str | None) -> Draft:
        draft = await self._snapshots.draft(parent)
        self._drafts.append(draft)
        return draft

    async def _cache(self, mount: StepMount) -> Mount:
        async def fill(folder: Path) -> None:
            content = folder / "content"
            if mount.tree is not None:
                await self._writing.fill(str(folder), mount.tree, mount.source)
            no_link(content, mount.source).mkdir(exist_ok=True)
            os.chown(content, mount.uid, mount.gid)
            content.chmod(0o755 if mount.mode is None else mount.mode)

        scope = (mount.tree.chain_id or "") if isinstance(mount.tree, LayerTree) else ""
        taken = await self._caches.take(
            mount.identifier or mount.target, mount.sharing, fill, scope=scope + mount.source
        )
        self._taken.append(taken)
        return Mount("bind", str(taken.path), mount.target, ("rbind", "rprivate", "ro" if mount.read_only else "rw"))

    async def _secret(self, mount: StepMount) -> Mount | None:
        if mount.content is None:
            return None
        mode = 0o400 if mount.mode is None else mount.mode
        path = self._private() / self._name("secret")
        await asyncio.to_thread(write_private, path, mount.content, uid=mount.uid, gid=mount.gid, mode=mode)
        return Mount("bind", str(path), mount.target, ("bind", "rprivate", "ro"))

    async def _ssh(self, mount: StepMount) -> Mount | None:
        identifier = mount.identifier or "default"
        agents = self._agents
        if agents is None or not agents.offers(identifier):
            raise NotFound(f"cannot mount ssh agent {identifier}: the client offers none of that name")
        path = self._folder / self._name("agent")
        socket = AgentSocket(path, lambda: agents.connect(identifier))
        self._sockets.append(socket)
        await socket.open(uid=mount.uid, gid=mount.gid, mode=0o600 if mount.mode is None else mount.mode)
        self._agent_path = self._agent_path or mount.target
        return Mount("bind", str(path), mount.target, ("bind", "rprivate", "ro" if mount.read_only else "rw"))

    async def _tmpfs(self, mount: StepMount) -> Mount:
        size = (f"size={mount.size}",) if mount.size else ()
        mode = (f"mode={mount.mode:o}",) if mount.mode is not None else ()
        read_only = ("ro",) if mount.read_only else ()
        return Mount("tmpfs", "tmpfs", mount.target, (*OWN_TMPFS, *read_only, *mode, *size))

    def _pipes(self) -> Mount:
        """The here-documents as files that everybody may execute."""
        folder = self._folder / "pipes"
        folder.mkdir(mode=0o755)
        for file in self._operation.files:
            if "/" in file.name or file.name in ("", ".", ".."):
                raise Invalid(f"cannot give the command a here-document named {file.name!r}")
            write_private(folder / file.name, file.content, uid=0, gid=0, mode=0o755)
        return Mount("bind", str(folder), PIPES, ("bind", "rprivate", "ro"))

    def _private(self) -> Path:
        """A place in memory for what must not reach a disk."""
        place = self._folder / "private"
        if not self._has_private:
            mount_private(place, SECRET_BYTES)
            self._has_private = True
        return place

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"

    def take_out(self, changes: Path) -> list[str]:
        """Remove from the step's changes what is the machine's own; the paths. Blocks."""
        return take_out(str(changes), self._bundle) if self._bundle else []

    def environment(self) -> tuple[str, ...]:
        """Variables that come with the mounts."""
        agent = (f"SSH_AUTH_SOCK={self._agent_path}",) if self._agent_path else ()
        return (*agent, *(CA_ENVIRONMENT if self._bundle else ()))

    def make_working_directory(self, rootfs: str, path: str, identity: Identity) -> None:
        """The folder in which the command begins; where it is missing it is made for the user, and kept."""
        make_folder(rootfs, path or "/", identity.uid, identity.gid)

    async def release(self) -> None:
        """Give everything back. The step's process has ended."""
        while self._sockets:
            await self._sockets.pop().close()
        while self._taken:
            self._caches.release(self._taken.pop())
        while self._drafts:
            draft = self._drafts.pop()
            await self._snapshots.unmount_draft(draft)
            self._snapshots.discard(draft)


def no_link(path: Path, source: str) -> Path:
    """What was copied for a mount. A link can only come of a folder that somebody changes at that very moment; we and
    the runtime would follow it to the machine's files. Raises Conflict."""
    if path.is_symlink():
        raise Conflict(f"cannot mount {source}: it changed while the build read it")
    return path


def _is_kernels(target: str) -> bool:
    """Whether a target lies in what the runtime mounts itself, which no layer shows."""
    return target.startswith(("/dev/", "/proc/", "/sys/"))
