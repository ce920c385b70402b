"""Image layers, unpacked: made once by a child program, durable, and there from one moment to the next by a rename.

Nothing here mounts, and nothing here may wait for a disk on the loop.
"""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from boxship.errors import Exhausted, Internal, NotFound
from boxship.snapshots.layout import LayerRecord, Layout
from boxship.snapshots.places import make_places
from boxship.snapshots.program import run_job
from boxship.snapshots.removal import remove_path
from boxship.sys.path import sync_filesystem


class Layers:
    """The layers of one folder. `cleaner` deletes what was discarded."""

    def __init__(self, layout: Layout, cleaner: ThreadPoolExecutor) -> None:
        self._layout = layout
        self._cleaner = cleaner
        self._applying: dict[str, asyncio.Lock] = {}

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
        gone = [self._layout.discard(self._layout.layer(chain_id))]
        self._layout.forget(chain_id)
        gone.append(self._layout.discard(self._layout.places_of(chain_id)))
        for path in filter(None, gone):
            self._cleaner.submit(remove_path, path)

    async def layer_usage(self, chain_id: str) -> int:
        """Bytes of one layer on the device."""
        record = self._layout.record(chain_id)
        if record is None:
            raise NotFound(f"cannot measure layer {chain_id}: it is not unpacked")
        return record.size

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
