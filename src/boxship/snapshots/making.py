"""Layers made here: the upper folder of a writable snapshot becomes one by a rename, and its archive a blob.

It goes in two steps, because what keeps the new layer alive must know its name before it shows: `pack` writes the
archive and says what the layer takes, `publish` gives the folder its place. Nothing is copied.
"""

import asyncio
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from boxship.errors import Exhausted, Internal, Invalid
from boxship.snapshots.layers import Layers
from boxship.snapshots.layout import LayerRecord
from boxship.snapshots.program import pump_job
from boxship.snapshots.removal import remove_path
from boxship.spec.mount import Mount
from boxship.sys.mount import detach_held
from boxship.sys.mount import mount as make_mount
from boxship.sys.overlay import MAXIMUM_LAYERS
from boxship.waiting import in_thread

# Renamed folders and files that were only chmodded must be whole in the upper folder, or they could not be exported.
OPTIONS = ("index=off", "redirect_dir=off", "metacopy=off")


class Draft(msgspec.Struct, frozen=True):
    """A layer in the making, in a folder of its own: `fs` are its files, `work` and `merged` are for an overlay."""

    folder: Path
    parent: str | None

    @property
    def upper(self) -> Path:
        return self.folder / "fs"


class Packed(msgspec.Struct, frozen=True):
    """What the archive of a layer has: entries, and bytes on the device of its files."""

    entries: int
    size: int


class LayerMaking(Layers):
    """Makes layers out of folders that were filled here."""

    async def draft(self, parent: str | None) -> Draft:
        """An empty layer in the making; `discard` it in the end, whatever becomes of it."""
        if len(self._layout.chain(parent)) >= MAXIMUM_LAYERS:  # NotFound where a layer is missing
            raise Invalid(f"cannot make one more layer: {MAXIMUM_LAYERS} are the most")
        folder = self._layout.unique(self._layout.staging, "draft")
        for name in ("fs", "work", "merged"):
            (folder / name).mkdir(parents=True, mode=0o755)
        os.chmod(folder / "fs", 0o755)
        return Draft(folder, parent)

    async def draft_of(self, key: str) -> Draft | None:
        """The upper folder of a snapshot, which ends with this; None: nothing changed. It must not be mounted any
        more, nor have an end of its mount under way."""
        parent = self._layout.parent_of(key)
        gone = self._layout.unique(self._layout.staging, key)
        os.rename(self._layout.snapshot(key), gone)
        draft = Draft(gone, parent)
        os.rename(gone / "upper", draft.upper)
        with os.scandir(draft.upper) as entries:
            if next(entries, None) is not None:
                return draft
        self.discard(draft)
        return None

    async def mount_draft(self, draft: Draft, *, read_only: bool = False) -> Path:
        """Show a draft on its parent, in our namespace, without mount points of its own; `unmount_draft` before the
        draft is packed or discarded."""
        layers = [f"lowerdir+={path}" for path in self.folders(draft.parent)]
        words = (*layers, *OPTIONS)
        if not read_only:
            words = (*words, f"upperdir={draft.upper}", f"workdir={draft.folder}/work", "volatile")
        elif len(layers) == 1:
            words = (f"lowerdir+={draft.upper}", *words)  # an overlay that is only read has two layers at least
        if read_only:
            words = (*words, "ro")
        target = draft.folder / "merged"
        await in_thread(make_mount, Mount("overlay", "overlay", str(target), words))
        return target

    async def unmount_draft(self, draft: Draft) -> None:
        """Take the mount away; idempotent."""
        held = detach_held(draft.folder / "merged")
        if held is not None:
            await in_thread(os.close, held)

    def discard(self, draft: Draft) -> None:
        """Delete what is left of a draft, in the background."""
        if os.path.lexists(draft.folder):
            gone = self._layout.discard(draft.folder)
            if gone is not None:
                self._cleaner.submit(remove_path, gone)

    def folders(self, chain_id: str | None) -> list[str]:
        """The folders of a chain's files, topmost first; NotFound where a layer is missing."""
        return self._layout.folders(chain_id)

    async def pack(self, draft: Draft, write: Callable[[bytes], None], *, epoch: int | None = None) -> Packed:
        """Write the draft's archive, in a thread. Times after `epoch` (seconds) are set back, in the files too."""
        job = {
            "kind": "pack-layer",
            "what": "pack the layer",
            "root": str(draft.upper),
            "lower": self.folders(draft.parent),
            "epoch": epoch,
        }
        answer = await pump_job(job, write)
        return Packed(answer["entries"], answer["size"])

    async def publish(self, draft: Draft, chain_id: str, packed: Packed) -> int:
        """Give a packed draft its place as the layer of that chain id; bytes on the device. Durable when this returns.
        Where that layer is there already, it stays as it is."""
        lock = self._applying.setdefault(chain_id, asyncio.Lock())
        try:
            async with lock:
                known = self._layout.record(chain_id)
                if known is None:
                    known = LayerRecord(draft.parent, packed.size)
                    await in_thread(self._settle, draft, chain_id, known)
                return known.size
        except OSError as error:
            kind = Exhausted if error.errno in (errno.ENOSPC, errno.EDQUOT) else Internal
            raise kind(f"cannot keep layer {chain_id}: {error.strerror}") from error
        finally:
            if not lock.locked():
                self._applying.pop(chain_id, None)

    def _settle(self, draft: Draft, chain_id: str, record: LayerRecord) -> None:
        with os.scandir(draft.folder) as entries:  # an overlay's work, and mount points of this one snapshot alone
            others = [entry for entry in entries if entry.name != draft.upper.name]
        for entry in others:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
        (draft.folder / "layer.json").write_bytes(msgspec.json.encode(record))
        self._publish(draft.folder, self._layout.layer(chain_id))
