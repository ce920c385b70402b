"""Where volumes lie, and the mounts that belong to them.

NAME/_data          the data
NAME/_fill          data on its way in; worthless after a crash
.pins/NAME~USER~N   parts of volumes, bound there for one user
.trash/             folders on their way out
"""

import errno
import itertools
import os
import re
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

from boxship.errors import Denied, Internal, Invalid, NotFound
from boxship.spec.mount import Mount
from boxship.sys.mount import bind, mount, split_options
from boxship.sys.path import open_in_root

_UNSAFE = re.compile(r"[^a-zA-Z0-9_.-]")


class Places:
    """The folders of one volumes root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._trash = root / ".trash"
        self._pins = root / ".pins"
        self._counter = itertools.count()
        self.make()

    def make(self) -> None:
        for folder in (self.root, self._trash, self._pins):
            folder.mkdir(mode=0o701, parents=True, exist_ok=True)

    def data(self, name: str) -> Path:
        return self.root / name / "_data"

    def names(self) -> list[str]:
        """Volumes that have a folder."""
        return sorted(name for name in os.listdir(self.root) if not name.startswith("."))

    def created_at(self, name: str) -> int:
        """When the folder was made, as well as the filesystem tells, in nanoseconds."""
        return (self.root / name).stat().st_ctime_ns

    def make_volume(self, name: str) -> None:
        """The volume's folders, where they are missing."""
        (self.root / name).mkdir(mode=0o701, exist_ok=True)
        data = self.data(name)
        if not data.is_dir():
            data.mkdir(mode=0o755)
            data.chmod(0o755)

    def make_staged(self, name: str) -> Path:
        staged = self.root / name / "_fill"
        staged.mkdir(mode=0o755)
        return staged

    def discard_staged(self, name: str) -> Path | None:
        """Move what was on its way in to the trash; None where there was nothing."""
        gone = self._unique(name)
        try:
            os.rename(self.root / name / "_fill", gone)
        except FileNotFoundError:
            return None
        return gone

    def discard(self, name: str) -> Path | None:
        """Move a volume's folder to the trash; None where it has none."""
        gone = self._unique(name)
        try:
            os.rename(self.root / name, gone)
        except FileNotFoundError:
            return None
        return gone

    def _unique(self, name: str) -> Path:
        while True:
            path = self._trash / f"{name[:200]}.{os.getpid()}.{next(self._counter)}"
            if not os.path.lexists(path):
                return path

    def trash(self) -> list[Path]:
        return [Path(entry.path) for entry in os.scandir(self._trash)]

    def pin(self, name: str, user: str) -> Path:
        """A new place for a part of a volume."""
        while True:
            path = self._pins / f"{name}~{_UNSAFE.sub('_', user)}~{next(self._counter)}"
            if not os.path.lexists(path):
                return path

    def pins(self, name: str, user: str) -> list[Path]:
        """What is pinned of a volume for a user."""
        wanted = [name, _UNSAFE.sub("_", user)]
        return [self._pins / found for found in os.listdir(self._pins) if found.split("~")[:2] == wanted]

    def leftovers(self, users: Collection[str]) -> list[Path]:
        """Pins of users that are not among `users`."""
        known = {_UNSAFE.sub("_", user) for user in users}
        return [self._pins / found for found in os.listdir(self._pins) if found.split("~")[1] not in known]


def mount_options_volume(target: Path, options: Mapping[str, str]) -> None:
    """Mount what a volume's options describe at its data folder. Internal with Docker's text where that fails."""
    kind, device, words = options["type"], options["device"], options.get("o", "").split(",")
    flags, data = split_options(words)
    try:
        if "bind" in words or "rbind" in words:
            mount(Mount("bind", device, str(target), tuple(word for word in words if word)))
        else:
            mount(Mount(kind, device, str(target), tuple(words)))
    except (Internal, Invalid) as error:
        cause = error.__cause__
        why = (cause.strerror or "").lower() if isinstance(cause, OSError) else str(error)
        details = (f", flags: 0x{flags:x}" if flags else "") + (f", data: {data}" if data else "")
        text = f"failed to mount local volume: mount {device}:{target}{details}: {why}"
        raise Internal(f"error while mounting volume '{target}': {text}") from error


def pin_subpath(places: Places, name: str, user: str, subpath: str) -> Path:
    """Bind a part of a volume to a place of its own: resolved inside the volume, links that lead out refused."""
    if subpath.startswith("/") or ".." in subpath.split("/"):
        raise Invalid(f"cannot access subpath {subpath} of volume {name}: it must be a relative path within the volume")
    root = os.open(places.data(name), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            part = open_in_root(root, subpath, os.O_PATH)
        except OSError as error:
            text = f"cannot access path {places.data(name)}/{subpath}: {(error.strerror or '').lower()}"
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise NotFound(text) from error
            raise Denied(text) from error
        try:
            place = places.pin(name, user)
            if stat.S_ISDIR(os.fstat(part).st_mode):
                place.mkdir(mode=0o700)
            else:
                place.touch(mode=0o600)
            bind(part, str(place), ("rbind", "private"))
        finally:
            os.close(part)
    finally:
        os.close(root)
    return place
