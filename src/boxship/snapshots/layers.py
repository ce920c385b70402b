"""Image layers, unpacked: made once by a child program, durable, and there from one moment to the next by a rename.

Nothing here mounts, and nothing here may wait for a disk on the loop.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from boxship.errors import Conflict, Exhausted, Internal, NotFound
from boxship.snapshots.layout import LayerRecord, Layout
from boxship.snapshots.places import make_places
from boxship.snapshots.program import run_job
from boxship.snapshots.removal import remove_path
from boxship.sys.path import sync_filesystem


class _Unpacking:
    """A layer on its way: its folder, and whether it got there, once that is known."""

    def __init__(self, folder: str, parent: str | None) -> None:
        loop = asyncio.get_running_loop()
        self.folder = folder
        self.parent = parent
        self.unpacked: asyncio.Future[bool] = loop.create_future()
        self.published: asyncio.Future[bool] = loop.create_future()


class Layers:
    """The layers of one folder. `cleaner` deletes what was discarded."""

    def __init__(self, layout: Layout, cleaner: ThreadPoolExecutor) -> None:
        self._layout = layout
        self._cleaner = cleaner
        self._applying: dict[str, asyncio.Lock] = {}
        self._unpacking: dict[str, _Unpacking] = {}
        self._gate = asyncio.Semaphore((os.cpu_count() or 1) + 1)
        self._synchronising = asyncio.Lock()
        self._unsynchronised = self._synchronised = 0  # counts of layers

    def has_layer(self, chain_id: str) -> bool:
        """Whether the layer is unpacked."""
        return self._layout.record(chain_id) is not None

    def layers(self) -> list[str]:
        """The chain ids of all layers."""
        return self._layout.layer_ids()

    async def apply(
        self,
        chain_id: str,
        parent: str | None,
        tar: AsyncIterator[bytes] | Path,
        *,
        diff_id: str = "",
        limit_bytes: int = 0,
    ) -> int:
        """Unpack one layer (tar, also compressed) on top of `parent`; bytes on the device. Idempotent.

        The parent may still be on its way, by a call that began before: then the two go on side by side. Conflict where
        the parent fails then. With `diff_id` ("sha256:…") the uncompressed stream must have that digest. Invalid names
        the entry that is wrong, and leaves nothing, also where its files would have more than `limit_bytes` (0: any),
        holes not counted. Once this returns, the layer survives a power failure.
        """
        lock = self._applying.setdefault(chain_id, asyncio.Lock())
        try:
            async with lock:
                known = self._layout.record(chain_id)
                return known.size if known else await self._apply(chain_id, parent, tar, diff_id, limit_bytes)
        finally:
            if not lock.locked():
                self._applying.pop(chain_id, None)

    async def _apply(
        self, chain_id: str, parent: str | None, tar: AsyncIterator[bytes] | Path, diff_id: str, limit_bytes: int
    ) -> int:
        final = self._layout.layer(chain_id)
        lower, below = self._below(parent)
        staged = self._layout.unique(self._layout.staging, final.name)
        (staged / "fs").mkdir(parents=True, mode=0o755)
        os.chmod(staged / "fs", 0o755)
        job = {
            "kind": "unpack-layer",
            "what": f"unpack layer {chain_id}",
            "root": f"{staged}/fs",
            "lower": lower,  # a layer on its way may get to its final place meanwhile
            "digest": diff_id,
            "wait": bool(below),
            "limit": limit_bytes,
        }
        ours = self._unpacking[chain_id] = _Unpacking(f"{staged}/fs", parent)
        try:
            async with self._gate:
                answer = await _run_above(job, tar, [layer.unpacked for layer in below])
            ours.unpacked.set_result(True)
            record = LayerRecord(parent, answer["size"])
            (staged / "layer.json").write_bytes(msgspec.json.encode(record))
            await self._synchronise()
            if below and not await asyncio.shield(below[0].published):
                raise Conflict(f"cannot unpack layer {chain_id}: the layer below it was not unpacked")
            await asyncio.to_thread(self._publish, staged, final)
            ours.published.set_result(True)
        except OSError as error:
            kind = Exhausted if error.errno in (errno.ENOSPC, errno.EDQUOT) else Internal
            raise kind(f"cannot unpack layer {chain_id}: {error.strerror}") from error
        finally:
            del self._unpacking[chain_id]
            for outcome in (ours.unpacked, ours.published):
                if not outcome.done():
                    outcome.set_result(False)
            if staged.exists():
                self._cleaner.submit(remove_path, staged)
        return record.size

    def _below(self, parent: str | None) -> "tuple[list[tuple[str, ...]], list[_Unpacking]]":
        """Where the folders of the chain from `parent` down are or will be, and its layers that are on their way, both
        topmost first."""
        folders: list[tuple[str, ...]] = []
        below: list[_Unpacking] = []
        while parent is not None and (layer := self._unpacking.get(parent)) is not None:
            folders.append((layer.folder, f"{self._layout.layer(parent)}/fs"))
            below.append(layer)
            parent = layer.parent
        if parent is not None or not folders:
            folders += [(folder,) for folder in self._layout.folders(parent)]
        return folders, below

    async def _synchronise(self) -> None:
        """Make all that was unpacked so far durable. Who comes while that is done waits for one more, all together."""
        self._unsynchronised += 1
        mine = self._unsynchronised
        async with self._synchronising:
            if self._synchronised < mine:
                covered = self._unsynchronised
                await asyncio.to_thread(self._sync)
                self._synchronised = covered

    def _sync(self) -> None:
        descriptor = os.open(self._layout.layers, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_filesystem(descriptor)
        finally:
            os.close(descriptor)

    def _publish(self, staged: Path, final: Path) -> None:
        """Make a staged layer, which is durable, visible."""
        descriptor = os.open(self._layout.layers, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
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
        gone = [self._layout.discard(self._layout.layer(chain_id))]
        self._layout.forget(chain_id)
        gone.append(self._layout.discard(self._layout.places_of(chain_id)))
        for path in filter(None, gone):
            self._cleaner.submit(remove_path, path)

    def holds(self, chain_id: str) -> bool:
        """Whether anything lies in the layer's place."""
        return self._layout.layer(chain_id).exists()

    async def examine_layer(self, chain_id: str, *, below: bool = True) -> str:
        """What is wrong with an unpacked layer on the disk, or with `below` with the one that it stands on; "" for
        nothing."""
        place = self._layout.layer(chain_id)

        def look() -> str:
            try:
                record = msgspec.json.decode((place / "layer.json").read_bytes(), type=LayerRecord)
            except FileNotFoundError:
                return "it has no record" if place.is_dir() else "it is not there"
            except (OSError, msgspec.MsgspecError) as error:
                return f"its record cannot be read: {error}"
            if not (place / "fs").is_dir():
                return "its files are gone"
            if below and record.parent is not None and not (self._layout.layer(record.parent) / "fs").is_dir():
                return f"the layer below it, {record.parent}, is gone"
            return ""

        return await asyncio.to_thread(look)

    async def layer_usage(self, chain_id: str) -> int:
        """Bytes of one layer on the device."""
        record = self._layout.record(chain_id)
        if record is None:
            raise NotFound(f"cannot measure layer {chain_id}: it is not unpacked")
        return record.size

    async def records_usage(self, chain_ids: Collection[str]) -> int:
        """Bytes on the device that layers take beside their files: their folders and records."""
        places = [self._layout.layer(chain_id) for chain_id in chain_ids]

        def count() -> int:
            total = 0
            for path in (path for place in places for path in (place, place / "layer.json")):
                with contextlib.suppress(FileNotFoundError):  # it may go meanwhile
                    total += path.stat().st_blocks * 512
            return total

        return await asyncio.to_thread(count)

    def make_places(self, parent: str | None, wanted: Sequence[tuple[str, str]]) -> None:
        """The mount points that the image lacks, once for all snapshots on it. Blocks; OSError."""
        final = self._layout.places_of(parent)
        staged = self._layout.unique(self._layout.staging, f"places-{final.name}")
        staged.mkdir(mode=0o755)
        try:
            make_places(staged, self._layout.folders(parent), wanted)
            os.rename(staged, final)
        except OSError as error:
            remove_path(staged)
            if error.errno != errno.ENOTEMPTY:  # else another snapshot's preparation was first
                raise


async def _run_above(
    job: dict[str, Any], tar: AsyncIterator[bytes] | Path, below: "Sequence[asyncio.Future[bool]]"
) -> Any:
    """Run a job that may have to wait for the layers below, which get ready meanwhile."""
    if not below:
        return await run_job(job, tar)
    read, descriptor = os.pipe2(os.O_CLOEXEC)
    write = os.fdopen(descriptor, "wb", buffering=0)

    async def tell() -> None:
        if all([await asyncio.shield(ready) for ready in below]):
            with contextlib.suppress(BrokenPipeError):  # it did not need to know
                write.write(b"+")
        else:
            write.close()

    telling = asyncio.ensure_future(tell())
    try:
        return await run_job(job, tar, given=read)
    finally:
        os.close(read)
        telling.cancel()
        await asyncio.wait([telling])
        write.close()
