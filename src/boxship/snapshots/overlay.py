"""Writable roots on overlayfs, on top of layers (see `layers`).

A writable snapshot is four folders and takes well below a millisecond. Mounts live in the daemon's own mount namespace,
so none outlives it. Removing renames first and deletes in a thread. Nothing here may wait for a disk on the loop.
"""

import asyncio
import contextlib
import errno
import os
import shutil
from collections.abc import AsyncIterator, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec

from boxship.errors import Exhausted, Internal, Invalid, Unsupported
from boxship.snapshots import mapped
from boxship.snapshots.layout import Layout
from boxship.snapshots.making import OPTIONS, Draft, LayerMaking
from boxship.snapshots.places import MOUNT_POINTS, find_missing, make_places
from boxship.snapshots.program import measure, plain_mounts, run_job, stream_job
from boxship.snapshots.removal import remove_path
from boxship.snapshots.showing import show
from boxship.spec.mount import Mount
from boxship.spec.users import UserMap
from boxship.sys.mount import detach_held, mounted_under, unmount
from boxship.sys.mount import mount as make_mount
from boxship.sys.overlay import MAXIMUM_LAYERS
from boxship.waiting import in_thread

NOBODY = UserMap()
_LOOP_LAYERS = 32  # a mount of more layers takes longer than the loop may wait


class Snapshots(LayerMaking):
    """All layers and writable snapshots under one folder. One instance for a folder."""

    def __init__(self, root: Path, *, mount_points: Sequence[tuple[str, str]] = MOUNT_POINTS) -> None:
        super().__init__(Layout(root), ThreadPoolExecutor(1, thread_name_prefix="snapshots"))
        self._mount_points = mount_points
        self._layout.make()
        self._ending: dict[str, Future[None]] = {}  # overlays that were detached and are being closed

    async def recover(self, keep: Collection[str], *, mounted: Collection[str] = ()) -> None:
        """Take back what a crash left: half-made layers, trash, snapshots that are not in `keep`, and all mounts but
        those of the keys in `mounted`."""
        wanted = {str(self.rootfs(key)) for key in mounted if key in keep}
        for info in mounted_under(self._layout.root):
            if info.target not in wanted:
                unmount(info.target)
        mapped.clear_all(self._layout)
        for key in self._layout.snapshot_keys():
            if key not in keep:
                self._layout.discard(self._layout.active / key)
        for chain_id in self._layout.layer_ids():
            if self._layout.record(chain_id) is None:
                self._layout.discard(self._layout.layers / chain_id[7:])
        for name in os.listdir(self._layout.places):
            if name != "none" and self._layout.record(f"sha256:{name}") is None:
                self._layout.discard(self._layout.places / name)
        for path in self._layout.leftovers():
            self._cleaner.submit(remove_path, path)

    async def close(self) -> None:
        """Finish deleting. Mounts stay: running containers need them."""
        await asyncio.to_thread(self._cleaner.shutdown)

    def check(self) -> None:
        """Unsupported where overlayfs cannot work on the data root; found out by a trial, before the loop runs."""
        trial = self._layout.unique(self._layout.staging, "trial")
        for name in ("lower1", "lower2", "upper", "work", "merged"):
            (trial / name).mkdir(parents=True)
        (trial / "lower2" / "file").write_bytes(b"")
        target = trial / "merged"
        try:
            options = self._options([f"{trial}/lower1", f"{trial}/lower2"], trial)
            make_mount(Mount("overlay", "overlay", str(target), options))
            try:
                os.unlink(target / "file")
                (target / "folder").mkdir()
            finally:
                unmount(target)
        except (Internal, OSError) as error:
            raise Unsupported(f"unsupported: overlayfs on {self._layout.root}: {error}") from error
        finally:
            remove_path(trial)

    async def prepare(self, key: str, parent: str | None) -> None:
        """A writable snapshot on a layer (None: on nothing); done before: nothing happens.

        No sync: the record that makes a container exist is committed after this on the same filesystem, and a
        snapshot that a power failure took can be prepared again.
        """
        depth = len(self._layout.chain(parent))
        if depth > MAXIMUM_LAYERS:
            raise Invalid(f"cannot prepare {key}: more than {MAXIMUM_LAYERS} layers")
        try:
            if self._mount_points and depth < MAXIMUM_LAYERS and not os.path.isdir(self._layout.places_of(parent)):
                await asyncio.to_thread(self.make_places, parent, self._mount_points)
            self._layout.make_snapshot(key, parent)
        except OSError as error:
            kind = Exhausted if error.errno in (errno.ENOSPC, errno.EDQUOT) else Internal
            raise kind(f"cannot prepare snapshot {key}: {error.strerror}") from error

    async def add_places(
        self, key: str, wanted: Sequence[tuple[str, str]], seeds: Sequence[tuple[str, str]] = ()
    ) -> list[str]:
        """Mount points (path, "folder" or "file") of a snapshot that is not mounted yet, in no layer of it: what is
        missing is made, and none of it is ever in a layer that the snapshot becomes. The paths, with links followed.
        `seeds` are files (path, of the machine) that hide what the image has there; whoever changes one gets a copy."""
        return await in_thread(add_places, self._layout, key, wanted, seeds)

    def has_snapshot(self, key: str) -> bool:
        """Whether there is such a writable snapshot."""
        return (self._layout.snapshot(key) / "upper").is_dir()

    def rootfs(self, key: str) -> Path:
        """Where the snapshot is mounted."""
        return self._layout.snapshot(key) / "merged"

    def _options(self, lower: list[str], folder: Path) -> tuple[str, ...]:
        layers = [f"lowerdir+={path}" for path in lower]
        return (*layers, f"upperdir={folder}/upper", f"workdir={folder}/work", *OPTIONS)

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """The mount that shows the snapshot."""
        folder = self._layout.snapshot(key)
        options = self._options(self._layout.lower_of(key), folder)
        return (Mount("overlay", "overlay", f"{folder}/merged", options),)

    def view(self, key: str) -> tuple[str, tuple[Mount, ...]]:
        """The root of a snapshot for `archive`, and the mounts that it needs there: none where it is mounted."""
        root = self.rootfs(key)
        return str(root), () if is_mounted(root) else self.mounts(key)

    def check_users(self, users: UserMap) -> None:
        """Unsupported where no snapshot can be mounted for a user namespace. Blocks."""
        mapped.check(self._layout, users)

    def show(self, folders: Sequence[str], target: Path, users: UserMap) -> None:
        """Show layers' folders, topmost first, read-only and as one tree; `showing.hide` takes it away. Blocks."""
        if users:
            mapped.show_mapped(self._layout, folders, target, users)
        else:
            show(folders, target)

    async def mount(self, key: str, *, volatile: bool = False, users: UserMap = NOBODY) -> Path:
        """Mount the snapshot in our namespace; idempotent. With `users`, files have the owners that they have there.

        `volatile` leaves out every sync, also those that the container asks for: for containers whose files nobody
        wants after a power failure, because they are removed when they end.
        """
        root = self.rootfs(key)
        ending = self._ending.get(key)
        if ending is not None:  # the same upper folder must not be mounted twice at a time
            await asyncio.shield(asyncio.wrap_future(ending))
        if is_mounted(root):
            return root
        (request,) = self.mounts(key)
        clear_volatile_mark(root.parent)
        if volatile:
            request = msgspec.structs.replace(request, options=(*request.options, "volatile"))
        if users:
            await in_thread(mapped.mount_mapped, self._layout, request, users)
        elif len(request.options) > _LOOP_LAYERS:
            await in_thread(make_mount, request)
        else:
            make_mount(request)
        if volatile:
            clear_volatile_mark(root.parent)
        return root

    async def unmount(self, key: str) -> None:
        """Take the mount out of sight at once, and end it in the background; idempotent."""
        held = detach_held(self.rootfs(key))
        if held is None:
            return
        ending = self._ending[key] = self._cleaner.submit(os.close, held)
        ending.add_done_callback(lambda done: self._ended(key, done))

    def _ended(self, key: str, done: "Future[None]") -> None:
        if self._ending.get(key) is done:
            del self._ending[key]

    async def take(self, key: str) -> Draft | None:
        """A snapshot's changes as a layer in the making; the snapshot ends with this. None where nothing changed."""
        await self.unmount(key)
        ending = self._ending.get(key)
        if ending is not None:
            await asyncio.shield(asyncio.wrap_future(ending))
        return await self.draft_of(key)

    async def remove(self, key: str) -> None:
        """Take a snapshot away: gone from its place at once, deleted in the background; idempotent."""
        held = detach_held(self.rootfs(key))
        gone = self._layout.discard(self._layout.snapshot(key))
        if gone or held is not None:
            self._cleaner.submit(_delete_held, gone, held)

    async def changes(self, key: str) -> list[tuple[int, str]]:
        """(0 modified | 1 added | 2 deleted, path), by path, of everything that differs from the layers."""
        parent = self._layout.parent_of(key)
        folder = self._layout.snapshot(key)
        lower = self._layout.lower(parent)
        mounts: tuple[Mount, ...] = ()
        place = lower[0]
        if len(lower) > 1:
            place = f"{folder}/merged"
            options = (*(f"lowerdir+={path}" for path in lower), *OPTIONS, "ro")
            mounts = (Mount("overlay", "overlay", place, options),)
        job = {
            "kind": "compare",
            "what": f"compare {key}",
            "upper": f"{folder}/upper",
            "lower": place,
            "mounts": plain_mounts(mounts),
        }
        return [(kind, path) for kind, path in await run_job(job)]

    def export(self, key: str, *, users: UserMap = NOBODY) -> AsyncIterator[bytes]:
        """A tar of the whole tree that the container sees, without its volumes; `users` are those that it is mounted
        for."""
        root, mounts = self.view(key)
        return stream_job(
            {
                "kind": "pack-tree",
                "what": f"export {key}",
                "root": root,
                "layer": False,
                "mounts": plain_mounts(mounts),
                "users": "" if mounts else users.path,
            }
        )

    def diff(self, key: str) -> AsyncIterator[bytes]:
        """A tar layer (OCI whiteouts) of what the snapshot changed."""
        self._layout.parent_of(key)  # NotFound now rather than at the first byte
        root = f"{self._layout.snapshot(key)}/upper"
        return stream_job({"kind": "pack-tree", "what": f"read {key}", "root": root, "layer": True, "mounts": []})

    async def usage(self, key: str) -> int:
        """Bytes on the device of what the snapshot changed."""
        self._layout.parent_of(key)
        return (await self.measures([key]))[key][0]

    async def usages(self, keys: Collection[str]) -> dict[str, int]:
        """`usage` of many snapshots by one run; missing ones have 0."""
        return {key: size for key, (size, _) in (await self.measures(keys)).items()}

    async def measures(self, keys: Collection[str]) -> dict[str, tuple[int, int]]:
        """Bytes and inodes of what many snapshots changed; 0 for missing ones."""
        paths = [f"{self._layout.snapshot(key)}/upper" for key in keys]
        return dict(zip(keys, await measure(paths, "measure snapshots"), strict=True))


def add_places(
    layout: Layout, key: str, wanted: Sequence[tuple[str, str]], seeds: Sequence[tuple[str, str]]
) -> list[str]:
    """See `Snapshots.add_places`. Blocks."""
    lower = layout.lower(layout.parent_of(key))
    resolved, missing = find_missing(lower, wanted)
    places, _ = find_missing(lower, [(path, "file") for path, _ in seeds])
    if missing or seeds:
        folder = layout.snapshot(key) / "places"
        folder.mkdir(mode=0o755)
        placed = [(place.strip("/"), source) for place, (_, source) in zip(places, seeds, strict=True)]
        make_places(folder, lower, missing, placed)
    return resolved


def clear_volatile_mark(folder: Path) -> None:
    """Take away the note by which overlayfs refuses to mount again what was mounted volatile."""
    mark = f"{folder}/work/work/incompat"
    if os.path.isdir(mark):
        shutil.rmtree(mark)


def is_mounted(root: Path) -> bool:
    """Whether an overlay is mounted there: it has a device number of its own."""
    try:
        return os.lstat(root).st_dev != os.lstat(root.parent).st_dev
    except FileNotFoundError:
        return False


def _delete_held(path: Path | None, held: int | None) -> None:
    """Delete a discarded snapshot before its overlay ends: what is deleted need not be written to the disk any more."""
    try:
        if path is not None:
            remove_path(path)
    finally:
        if held is not None:
            with contextlib.suppress(OSError):
                os.close(held)
