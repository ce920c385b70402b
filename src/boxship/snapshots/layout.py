"""Where layers and writable roots lie on the disk, and the moves that are atomic there.

    layers/<chain id hex>/{fs, layer.json}    finished layers; layer.json names the parent
    places/<chain id hex>                      mount points that the image of these layers lacks (see `places`)
    active/<key>/{upper, work, merged, parent} writable roots; `parent` is a link to the layer below; `places`, where
                                               it is there, has mount points of this one snapshot alone
    staging/                                   half-made things, worthless after a crash
    trash/                                     things on their way out
    mapped/                                    this folder as a user namespace sees it, for moments (see `mapped`)
    empty/                                     the layer below a snapshot that stands on nothing

A thing is made in staging and renamed into place; it leaves by a rename to trash. Nothing here mounts.
"""

import contextlib
import itertools
import os
import re
import shutil
from pathlib import Path

import msgspec

from boxship.errors import Invalid, NotFound
from boxship.sys.spreading import spread_subfolders

_CHAIN = re.compile(r"sha256:[0-9a-f]{64}\Z")
_KEY = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,199}\Z")


class LayerRecord(msgspec.Struct, frozen=True):
    """What layer.json says: the chain id of the layer below, and bytes on the device."""

    parent: str | None
    size: int


class Layout:
    """The folders of one snapshots root. Every call is a few system calls, none waits for a disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.layers = root / "layers"
        self.active = root / "active"
        self.places = root / "places"
        self.staging = root / "staging"
        self.trash = root / "trash"
        self.empty = root / "empty"
        self.mapped = root / "mapped"
        self._counter = itertools.count()
        self._records: dict[str, LayerRecord] = {}

    def make(self) -> None:
        """Make the folders that are missing."""
        inside = (self.layers, self.places, self.active, self.staging, self.trash, self.empty, self.mapped)
        for folder in (self.root, *inside):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.active, self.staging):  # trees begin here
            spread_subfolders(folder)

    def unique(self, folder: Path, name: str) -> Path:
        """A path in staging or trash that nothing has."""
        while True:
            path = folder / f"{name}.{os.getpid()}.{next(self._counter)}"
            if not os.path.lexists(path):
                return path

    def layer(self, chain_id: str) -> Path:
        if not _CHAIN.match(chain_id):
            raise Invalid(f"cannot use layer {chain_id!r}: not a chain id")
        return self.layers / chain_id[7:]

    def snapshot(self, key: str) -> Path:
        if not _KEY.match(key):
            raise Invalid(f"cannot use snapshot {key!r}: not a key")
        return self.active / key

    def record(self, chain_id: str) -> LayerRecord | None:
        """What is recorded of a finished layer; None where there is none."""
        known = self._records.get(chain_id)
        if known is None:
            try:
                data = (self.layer(chain_id) / "layer.json").read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None
            known = self._records[chain_id] = msgspec.json.decode(data, type=LayerRecord)
        return known

    def forget(self, chain_id: str) -> None:
        self._records.pop(chain_id, None)

    def chain(self, chain_id: str | None) -> list[str]:
        """The chain ids from this layer down. NotFound where one is missing."""
        found = []
        while chain_id is not None:
            record = self.record(chain_id)
            if record is None:
                raise NotFound(f"cannot use layer {chain_id}: it is not unpacked")
            found.append(chain_id)
            chain_id = record.parent
        return found

    def lower(self, chain_id: str | None) -> list[str]:
        """What lies below a writable snapshot on that chain: the chain's folders, and above them its places."""
        folders = self.folders(chain_id)
        places = self.places_of(chain_id)
        return [str(places), *folders] if os.path.isdir(places) else folders

    def lower_of(self, key: str) -> list[str]:
        """What lies below a writable snapshot."""
        lower = self.lower(self.parent_of(key))
        own = self.snapshot(key) / "places"
        return [str(own), *lower] if own.is_dir() else lower

    def places_of(self, chain_id: str | None) -> Path:
        """Where the mount points that the image lacks lie."""
        return self.places / (chain_id[7:] if chain_id else "none")

    def folders(self, chain_id: str | None) -> list[str]:
        """The folders of the chain's files, topmost first."""
        return [f"{self.layers}/{layer[7:]}/fs" for layer in self.chain(chain_id)] or [str(self.empty)]

    def parent_of(self, key: str) -> str | None:
        """The layer that a writable snapshot stands on; NotFound where there is no such snapshot."""
        path = self.snapshot(key)
        try:
            return "sha256:" + os.path.basename(os.readlink(path / "parent"))
        except FileNotFoundError:
            if path.is_dir():
                return None
            raise NotFound(f"cannot use snapshot {key}: there is none") from None

    def make_snapshot(self, key: str, parent: str | None) -> None:
        """A new, empty writable snapshot; one that is there stays as it is."""
        final = self.snapshot(key)
        made = self.unique(self.staging, key)
        text = str(made)
        os.mkdir(text, 0o700)
        for name in ("upper", "work", "merged"):
            os.mkdir(f"{text}/{name}", 0o755)
        os.chmod(f"{text}/upper", 0o755)  # the root folder of the container, whatever our umask is
        if parent is not None:
            os.symlink(f"../../layers/{parent[7:]}", f"{text}/parent")
        try:
            os.rename(text, final)
        except OSError:
            shutil.rmtree(text)
            if not final.is_dir():
                raise

    def discard(self, path: Path) -> Path | None:
        """Move something to the trash; where it lies now, None where there was nothing."""
        gone = self.unique(self.trash, path.name)
        try:
            os.rename(path, gone)
        except FileNotFoundError:
            return None
        return gone

    def leftovers(self) -> list[Path]:
        """What staging and trash hold."""
        return [Path(entry.path) for folder in (self.staging, self.trash) for entry in os.scandir(folder)]

    def layer_ids(self) -> list[str]:
        """The chain ids of all finished layers."""
        with contextlib.suppress(FileNotFoundError):
            return sorted("sha256:" + name for name in os.listdir(self.layers))
        return []

    def snapshot_keys(self) -> list[str]:
        """The keys of all writable snapshots."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(os.listdir(self.active))
        return []
