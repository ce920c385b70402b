"""What a writable layer changed of the layers below it, and how much room a tree takes."""

import os
import stat

from boxship.errors import Invalid
from boxship.snapshots.child.layer import is_opaque, is_whiteout

MODIFIED, ADDED, DELETED = 0, 1, 2
_LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEPTH_LIMIT = 800  # folders within folders


def _capability(folder: int, name: str) -> bytes:
    """security.capability of a regular file, read without opening anything else."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return b""
    try:
        return os.getxattr(descriptor, "security.capability")
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _differs(new: os.stat_result, old: os.stat_result) -> bool:
    """As Docker sees it: a folder's own time and size are no change."""
    if (new.st_mode, new.st_uid, new.st_gid, new.st_rdev) != (old.st_mode, old.st_uid, old.st_gid, old.st_rdev):
        return True
    return not stat.S_ISDIR(new.st_mode) and (new.st_mtime_ns, new.st_size) != (old.st_mtime_ns, old.st_size)


class Comparison:
    """Collects (kind, path) pairs of one writable layer."""

    def __init__(self) -> None:
        self.changes: list[tuple[int, str]] = []

    def folder(self, upper: int, lower: int | None, path: str, depth: int = 0) -> bool:
        """Compare two open folders (`lower` None: nothing was there); whether anything inside changed."""
        if depth > _DEPTH_LIMIT:
            raise Invalid(f"cannot compare {path!r}: folders nested deeper than {_DEPTH_LIMIT}")
        before = len(self.changes)
        names = os.listdir(upper)
        for name in names:
            self._name(upper, lower, name, f"{path}/{name}", depth)
        if lower is not None and is_opaque(upper):
            self.changes += [(DELETED, f"{path}/{name}") for name in set(os.listdir(lower)) - set(names)]
        return len(self.changes) > before

    def _name(self, upper: int, lower: int | None, name: str, path: str, depth: int) -> None:
        try:
            new = os.stat(name, dir_fd=upper, follow_symlinks=False)
        except FileNotFoundError:
            return
        old = None
        if lower is not None:
            try:
                old = os.stat(name, dir_fd=lower, follow_symlinks=False)
            except FileNotFoundError:
                old = None
        if is_whiteout(new):
            if old is not None:
                self.changes.append((DELETED, path))
            return
        if not stat.S_ISDIR(new.st_mode):
            if old is None:
                self.changes.append((ADDED, path))
            elif _differs(new, old) or (
                stat.S_ISREG(new.st_mode) and _capability(upper, name) != _capability(lower or 0, name)
            ):
                self.changes.append((MODIFIED, path))
            return
        self._below(upper, lower, name, path, (new, old), depth)

    def _below(
        self,
        upper: int,
        lower: int | None,
        name: str,
        path: str,
        infos: tuple[os.stat_result, os.stat_result | None],
        depth: int,
    ) -> None:
        """A folder of the upper layer."""
        new, old = infos
        try:
            above = os.open(name, _LOOK, dir_fd=upper)
        except (FileNotFoundError, NotADirectoryError):
            return
        below = None
        try:
            if lower is not None and old is not None and stat.S_ISDIR(old.st_mode):
                below = os.open(name, _LOOK, dir_fd=lower)
            changed = self.folder(above, below, path, depth + 1)
        finally:
            os.close(above)
            if below is not None:
                os.close(below)
        if old is None:
            self.changes.append((ADDED, path))
        elif changed or _differs(new, old):
            self.changes.append((MODIFIED, path))
