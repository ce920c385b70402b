"""Files inside containers: changes, export, and copying in and out, whether the container runs or not."""

import contextlib
import posixpath
from collections.abc import AsyncIterator, Iterator

from boxship.engine.clock import Clock
from boxship.engine.describing import container_event
from boxship.engine.events import Events
from boxship.engine.lives import Lives
from boxship.engine.model import ALIVE, Container, MountPoint
from boxship.engine.records import Records
from boxship.errors import Denied, NotFound
from boxship.runtime.users import resolve_user
from boxship.snapshots import archive
from boxship.snapshots.archive import PathStat
from boxship.snapshots.overlay import Snapshots
from boxship.spec.mount import Mount
from boxship.volumes.volumes import Volumes
from boxship.waiting import in_thread


class Files:
    """changes, export, stat, get, put, sizes. Paths are resolved inside the container, never outside."""

    def __init__(
        self,
        records: Records,
        lives: Lives,
        snapshots: Snapshots,
        volumes: Volumes,
        events: Events,
        clock: Clock,
    ) -> None:
        self._records = records
        self._lives = lives
        self._snapshots = snapshots
        self._volumes = volumes
        self._events = events
        self._clock = clock

    async def changes(self, ref: str) -> list[tuple[int, str]]:
        """(0 modified | 1 added | 2 deleted, path) against the image, sorted by path."""
        return await self._snapshots.changes(self._records.get(ref).id)

    def export(self, ref: str) -> AsyncIterator[bytes]:
        """A tar of the container's whole tree, without its volumes."""
        container = self._records.get(ref)
        self._publish(container, "export")
        return self._snapshots.export(container.id, users=container.users)

    async def sizes(self, ref: str) -> tuple[int, int]:
        """Bytes of the writable layer, and of all layers with it."""
        container = self._records.get(ref)
        own = await self._snapshots.usage(container.id)
        return own, own + container.image_size

    async def stat(self, ref: str, path: str) -> PathStat:
        """What is at a path. Raises NotFound."""
        container = self._records.get(ref)
        async with self._root(container) as (root, mounts):
            with _named(container, path):
                found = await archive.stat(root, path, mounts=mounts, users=_users(container))
        self._publish(container, "archive-path")
        return found

    async def get(self, ref: str, path: str) -> AsyncIterator[bytes]:
        """A tar of a file or a folder; its top entry has the path's last name."""
        container = self._records.get(ref)
        async with self._root(container) as (root, mounts):
            with _named(container, path):
                async for block in archive.get(root, path, mounts=mounts, users=_users(container)):
                    yield block
        self._publish(container, "archive-path")

    async def put(
        self,
        ref: str,
        path: str,
        tar: AsyncIterator[bytes],
        *,
        no_overwrite_dir_non_dir: bool = False,
        copy_uid_gid: bool = False,
    ) -> None:
        """Unpack a tar into a folder. Files have the owners that the tar names; with `copy_uid_gid` they are the
        user's with whom the container was made, where it was made with one.

        Raises NotFound, Invalid (not a folder, a bad tar) or Denied (a read-only place).
        """
        container = self._records.get(ref)
        point = _mount_at(container, path)
        if (point is not None and not point.read_write) or (point is None and container.spec.read_only_rootfs):
            what = "mounted volume" if point else "container rootfs"
            raise Denied(f"{what} is marked read-only")
        by_user = copy_uid_gid and bool(container.process.user)
        async with self._root(container, mounted=by_user) as (root, mounts):
            owner = await in_thread(_owner, container, root) if by_user else None
            with _named(container, path):
                await archive.put(
                    root,
                    path,
                    tar,
                    no_overwrite_dir_non_dir=no_overwrite_dir_non_dir,
                    owner=owner,
                    mounts=mounts,
                    users=_users(container),
                )
        self._publish(container, "extract-to-dir")

    @contextlib.asynccontextmanager
    async def _root(
        self, container: Container, *, mounted: bool = False
    ) -> AsyncIterator[tuple[str, tuple[Mount, ...]]]:
        """The root as the running container sees it; of a stopped one, its overlay with its volumes on top. `mounted`:
        this process may look into it, too."""
        if container.state.phase in ALIVE:
            yield f"/proc/{container.state.process.pid}/root", ()
            return
        live = self._lives.of(container.id)
        user = f"copy:{container.id}"
        async with live.lock:
            root, mounts = self._snapshots.view(container.id)
            ours = mounted and bool(mounts)  # else it is mounted already
            try:
                if ours:
                    await self._snapshots.mount(container.id)
                    mounts = (Mount("bind", root, root, ("rbind",)),)
                for point in container.mounts:
                    if point.kind == "tmpfs":
                        continue
                    source = point.source
                    if point.kind == "volume":
                        source = str(await self._volumes.mount(point.name, user))
                    access = () if point.read_write else ("ro",)
                    mounts = (*mounts, Mount("bind", source, point.target, ("rbind", *access)))
                yield root, mounts
            finally:
                for point in container.mounts:
                    if point.kind == "volume":
                        await self._volumes.release(point.name, user)
                if ours:
                    await self._snapshots.unmount(container.id)

    def _publish(self, container: Container, action: str) -> None:
        self._events.publish(container_event(container, action, self._clock.now()))


def _owner(container: Container, root: str) -> tuple[int, int]:
    """The numbers of the container's user, as its own files have them. Blocks."""
    identity = resolve_user(root, container.process.user)
    return identity.uid, identity.gid


def _users(container: Container) -> str:
    """Whose ids a container's files have as long as it runs, where it has users of its own."""
    return container.users.path if container.state.phase in ALIVE else ""


def _mount_at(container: Container, path: str) -> MountPoint | None:
    """The container's mount that a path lies in, if any; the deepest one wins."""
    clean = posixpath.normpath("/" + path)
    best: MountPoint | None = None
    for point in container.mounts:
        inside = clean == point.target or clean.startswith(point.target.rstrip("/") + "/")
        if inside and (best is None or len(point.target) > len(best.target)):
            best = point
    return best


@contextlib.contextmanager
def _named(container: Container, path: str) -> Iterator[None]:
    """Gives a missing path Docker's text."""
    try:
        yield
    except NotFound as error:
        raise NotFound(f"Could not find the file {path} in container {container.id}") from error
