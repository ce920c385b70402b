"""Mounts of a pod's volumes: memory, and parts of folders bound to places of their own. In the daemon's own mount
namespace, where nobody else sees them. Paths are opened inside their root, so no link in a volume leads out of it.

Every call may be repeated: what a crash left half made is made again or taken away.
"""

import contextlib
import errno
import os
import stat
import threading
from pathlib import Path

from boxship.errors import Denied, Internal, NotFound
from boxship.spec.mount import Mount
from boxship.sys.mount import bind, mount, unmount
from boxship.sys.path import open_beneath, open_in_root

HIDDEN = 0o700


class MountPoints:
    """Implements cluster.node's Mounts. One for all threads."""

    def __init__(self) -> None:
        self._filling = threading.Lock()

    def memory(self, path: Path, *, size: int = 0, mode: int = 0o755, owner: int = 0) -> None:
        path.mkdir(mode=HIDDEN, parents=True, exist_ok=True)
        words = ["nosuid", "nodev", f"mode={mode:o}", f"uid={owner}", f"gid={owner}"]
        words += [f"size={size}"] if size else []
        with self._filling:  # a second tmpfs would hide what somebody has written to the first already
            if not os.path.ismount(path):
                mount(Mount("tmpfs", "tmpfs", str(path), tuple(words)))
            elif owner:
                os.chown(path, owner, -1)

    def pin(self, root: Path, part: str, place: Path, *, read_only: bool = False, owner: int = 0) -> None:
        folder = _open_root(root)
        try:
            found = _open_part(folder, root, part, make=not read_only, owner=owner)
            try:
                self.unmount(place)
                _make_place(place, folder=stat.S_ISDIR(os.fstat(found).st_mode))
                bind(found, str(place), ("rbind", "private"))
            finally:
                os.close(found)
        finally:
            os.close(folder)

    def read(self, root: Path, part: str, limit: int) -> bytes | None:
        folder = _open_root(root)
        try:
            found = open_in_root(folder, part, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return None
        finally:
            os.close(folder)
        with os.fdopen(found, "rb") as file:
            return file.read(limit) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None

    def unmount(self, path: Path) -> None:
        while unmount(path):
            pass


def _open_root(root: Path) -> int:
    try:
        return os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise NotFound(f"cannot access {root}: {(error.strerror or '').lower()}") from error


def _open_part(folder: int, root: Path, part: str, *, make: bool, owner: int) -> int:
    """A tree that is only read is an image's, whose links mean its own root; in others no link may lead out."""
    try:
        return _open_written(folder, root, part) if make else open_in_root(folder, part, os.O_PATH)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise Denied(f'subpath "{root}/{part}" not within volume path "{root}"') from error
        if error.errno != errno.ENOENT or not make:
            raise Denied(f"cannot access path {root}/{part}: {(error.strerror or '').lower()}") from error
    mode = stat.S_IMODE(os.fstat(folder).st_mode)
    done = os.dup(folder)
    try:
        walked = ""
        for word in part.split("/"):
            if word in ("", "."):
                continue
            walked = f"{walked}/{word}" if walked else word
            made = _make_folder(word, done)
            opened = open_beneath(folder, walked, os.O_RDONLY if made else os.O_PATH)  # from the top: links stay inside
            os.close(done)
            done = opened
            if made:
                os.fchmod(done, mode)
                if owner:
                    os.fchown(done, owner, -1 if mode & stat.S_ISGID else owner)
        return done
    except OSError as error:
        os.close(done)
        raise Denied(f"cannot make {root}/{part}: {(error.strerror or '').lower()}") from error


def _open_written(folder: int, root: Path, part: str) -> int:
    """An absolute link counts where what it says on the machine lies in the tree; it is opened from the tree again."""
    try:
        return open_beneath(folder, part, os.O_PATH)
    except OSError as error:
        real, top = os.path.realpath(root / part), os.path.realpath(root)
        if error.errno != errno.EXDEV or not real.startswith(f"{top}/"):
            raise
        return open_beneath(folder, os.path.relpath(real, top), os.O_PATH)


def _make_folder(name: str, parent: int) -> bool:
    try:
        os.mkdir(name, HIDDEN, dir_fd=parent)
    except FileExistsError:
        return False
    return True


def _make_place(place: Path, *, folder: bool) -> None:
    place.parent.mkdir(mode=HIDDEN, parents=True, exist_ok=True)
    try:
        if place.is_dir() != folder:
            with contextlib.suppress(FileNotFoundError):
                place.rmdir() if place.is_dir() else place.unlink()
        place.mkdir(mode=HIDDEN, exist_ok=True) if folder else place.touch(mode=0o600)
    except OSError as error:
        raise Internal(f"cannot make {place}: {(error.strerror or '').lower()}") from error
