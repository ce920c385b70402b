"""Layers and writable roots on overlayfs.

A layer is unpacked once, in a child program, and appears by a rename; a writable snapshot is four folders and takes
well below a millisecond. Mounts live in the daemon's own mount namespace, so none outlives it. Removing renames first
and deletes in a thread. Nothing here may wait for a disk on the loop.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec

from boxship.errors import Exhausted, Internal, Invalid, NotFound, Unsupported
from boxship.snapshots.layout import LayerRecord, Layout
from boxship.snapshots.program import plain_mounts, run_job, stream_job
from boxship.snapshots.removal import remove_path
from boxship.spec.mount import Mount
from boxship.sys.mount import detach_held, mounted_under, unmount
from boxship.sys.mount import mount as make_mount
from boxship.sys.overlay import MAXIMUM_LAYERS
from boxship.sys.path import sync_filesystem

# Renamed folders and files that were only chmodded must be whole in the upper folder, or they could not be exported.
OPTIONS = ("index=off", "redirect_dir=off", "metacopy=off")
_LOOP_LAYERS = 32  # a mount of more layers takes longer than the loop may wait


class Snapshots:
    """All layers and writable snapshots under one folder. One instance for a folder."""

    def __init__(self, root: Path) -> None:
        self._layout = Layout(root)
        self._layout.make()
        self._cleaner = ThreadPoolExecutor(1, thread_name_prefix="snapshots")
        self._ending: dict[str, Future[None]] = {}  # overlays that were detached and are being closed
        self._applying: dict[str, asyncio.Lock] = {}

    async def recover(self, keep: Collection[str], *, mounted: Collection[str] = ()) -> None:
        """Take back what a crash left: half-made layers, trash, snapshots that are not in `keep`, and all mounts but
        those of the keys in `mounted`."""
        wanted = {str(self.rootfs(key)) for key in mounted if key in keep}
        for info in mounted_under(self._layout.active):
            if info.target not in wanted:
                unmount(info.target)
        for key in self._layout.snapshot_keys():
            if key not in keep:
                self._layout.discard(self._layout.active / key)
        for chain_id in self._layout.layer_ids():
            if self._layout.record(chain_id) is None:
                self._layout.discard(self._layout.layers / chain_id[7:])
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

    # layers

    def has_layer(self, chain_id: str) -> bool:
        """Whether the layer is unpacked."""
        return self._layout.record(chain_id) is not None

    def layers(self) -> list[str]:
        """The chain ids of all layers."""
        return self._layout.layer_ids()

    async def apply(
        self, chain_id: str, parent: str | None, tar: AsyncIterator[bytes] | Path, *, diff_id: str = ""
    ) -> int:
        """Unpack one layer (tar, also compressed) on top of `parent`; bytes on the device. Idempotent.

        With `diff_id` ("sha256:…") the uncompressed stream must have that digest. Invalid names the entry that is
        wrong, and leaves nothing; once this returns, the layer survives a power failure.
        """
        lock = self._applying.setdefault(chain_id, asyncio.Lock())
        try:
            async with lock:
                known = self._layout.record(chain_id)
                return known.size if known else await self._apply(chain_id, parent, tar, diff_id)
        finally:
            if not lock.locked():
                self._applying.pop(chain_id, None)

    async def _apply(self, chain_id: str, parent: str | None, tar: AsyncIterator[bytes] | Path, diff_id: str) -> int:
        final = self._layout.layer(chain_id)
        lower = self._layout.folders(parent)
        staged = self._layout.unique(self._layout.staging, final.name)
        (staged / "fs").mkdir(parents=True, mode=0o755)
        os.chmod(staged / "fs", 0o755)
        job = {
            "kind": "unpack-layer",
            "what": f"unpack layer {chain_id}",
            "root": f"{staged}/fs",
            "lower": lower,
            "digest": diff_id,
        }
        try:
            answer = await run_job(job, tar)
            record = LayerRecord(parent, answer["size"])
            (staged / "layer.json").write_bytes(msgspec.json.encode(record))
            await asyncio.to_thread(self._publish, staged, final)
        except OSError as error:
            kind = Exhausted if error.errno in (errno.ENOSPC, errno.EDQUOT) else Internal
            raise kind(f"cannot unpack layer {chain_id}: {error.strerror}") from error
        finally:
            if staged.exists():
                self._cleaner.submit(remove_path, staged)
        return record.size

    def _publish(self, staged: Path, final: Path) -> None:
        """Make a staged layer durable, then visible."""
        descriptor = os.open(self._layout.layers, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_filesystem(descriptor)
            try:
                os.rename(staged, final)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:  # else somebody unpacked the same meanwhile
                    raise
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    async def remove_layer(self, chain_id: str) -> None:
        """Forget a layer that no image and no snapshot uses; idempotent."""
        gone = self._layout.discard(self._layout.layer(chain_id))
        self._layout.forget(chain_id)
        if gone:
            self._cleaner.submit(remove_path, gone)

    async def layer_usage(self, chain_id: str) -> int:
        """Bytes of one layer on the device."""
        record = self._layout.record(chain_id)
        if record is None:
            raise NotFound(f"cannot measure layer {chain_id}: it is not unpacked")
        return record.size

    # writable snapshots

    async def prepare(self, key: str, parent: str | None) -> None:
        """A writable snapshot on a layer (None: on nothing); done before: nothing happens.

        No sync: the record that makes a container exist is committed after this on the same filesystem, and a
        snapshot that a power failure took can be prepared again.
        """
        if len(self._layout.chain(parent)) > MAXIMUM_LAYERS:
            raise Invalid(f"cannot prepare {key}: more than {MAXIMUM_LAYERS} layers")
        try:
            self._layout.make_snapshot(key, parent)
        except OSError as error:
            kind = Exhausted if error.errno in (errno.ENOSPC, errno.EDQUOT) else Internal
            raise kind(f"cannot prepare snapshot {key}: {error.strerror}") from error

    def rootfs(self, key: str) -> Path:
        """Where the snapshot is mounted."""
        return self._layout.snapshot(key) / "merged"

    def _options(self, lower: list[str], folder: Path) -> tuple[str, ...]:
        layers = [f"lowerdir+={path}" for path in lower]
        return (*layers, f"upperdir={folder}/upper", f"workdir={folder}/work", *OPTIONS)

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """The mount that shows the snapshot."""
        parent = self._layout.parent_of(key)
        folder = self._layout.snapshot(key)
        options = self._options(self._layout.folders(parent), folder)
        return (Mount("overlay", "overlay", f"{folder}/merged", options),)

    def view(self, key: str) -> tuple[str, tuple[Mount, ...]]:
        """The root of a snapshot for `archive`, and the mounts that it needs there: none where it is mounted."""
        root = self.rootfs(key)
        return str(root), () if is_mounted(root) else self.mounts(key)

    async def mount(self, key: str) -> Path:
        """Mount the snapshot in our namespace; idempotent."""
        root = self.rootfs(key)
        ending = self._ending.get(key)
        if ending is not None:  # the same upper folder must not be mounted twice at a time
            await asyncio.wrap_future(ending)
        if is_mounted(root):
            return root
        (request,) = self.mounts(key)
        if len(request.options) > _LOOP_LAYERS:
            await asyncio.to_thread(make_mount, request)
        else:
            make_mount(request)
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
        lower = self._layout.folders(parent)
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

    def export(self, key: str) -> AsyncIterator[bytes]:
        """A tar of the whole tree that the container sees, without its volumes."""
        root, mounts = self.view(key)
        return stream_job(
            {
                "kind": "pack-tree",
                "what": f"export {key}",
                "root": root,
                "layer": False,
                "mounts": plain_mounts(mounts),
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
        (size,) = await run_job(
            {"kind": "usage", "what": f"measure {key}", "paths": [f"{self._layout.snapshot(key)}/upper"]}
        )
        return int(size)

    async def parents_usage(self, key: str) -> int:
        """Bytes on the device of the layers that the snapshot stands on."""
        return sum([await self.layer_usage(layer) for layer in self._layout.chain(self._layout.parent_of(key))])

    async def usages(self, keys: Collection[str]) -> dict[str, int]:
        """`usage` of many snapshots by one run; missing ones have 0."""
        paths = [f"{self._layout.snapshot(key)}/upper" for key in keys]
        sizes = await run_job({"kind": "usage", "what": "measure snapshots", "paths": paths})
        return dict(zip(keys, sizes, strict=True))

    async def total_usage(self) -> dict[str, int]:
        """Bytes on the device: "layers", "active", and "other" (staging and trash)."""
        layout = self._layout
        paths = [str(folder) for folder in (layout.layers, layout.active, layout.staging, layout.trash)]
        layers, active, staging, trash = await run_job({"kind": "usage", "what": "measure snapshots", "paths": paths})
        return {"layers": layers, "active": active, "other": staging + trash}


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
