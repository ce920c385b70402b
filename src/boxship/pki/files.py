"""Private files: written whole or not at all, readable by their owner alone.

A crash in the middle of a write leaves the old file or none, never half a key. Nothing here knows what a key is.
"""

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from boxship.errors import Denied, Exists, Internal, NotFound

PRIVATE = 0o600
PUBLIC = 0o644
UNFINISHED = ".new"


def write_file(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Put `data` at `path` in one step, durable when this returns."""
    temporary = _beside(path)
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            os.fchmod(handle, mode)  # whatever the umask says
            with os.fdopen(handle, "wb", closefd=False) as file:
                file.write(data)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise Internal(f"cannot write {path}: {error.strerror}") from error


def _beside(path: Path) -> Path:
    """The name under which something is made before it gets its own; `sweep` knows it."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}{UNFINISHED}")


def write_folder(path: Path, files: Mapping[str, tuple[bytes, int]]) -> None:
    """Make the folder `path` (mode 0700) with files of name → (data, mode) in one step. Raises Exists."""
    temporary = _beside(path)
    try:
        temporary.mkdir(mode=0o700)
        for name, (data, mode) in files.items():
            write_file(temporary / name, data, mode)
        if path.exists():  # a rename would replace an empty folder
            raise Exists(f"cannot make {path}: it exists")
        os.rename(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise Internal(f"cannot make {path}: {error.strerror}") from error
    finally:
        remove_folder(temporary)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Change a folder alone: other processes that use this wait. The lock goes with its holder, also by a kill."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Internal(f"cannot open {folder}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Under the lock: take away what a crash left half-made in a folder."""
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        if path.name.startswith(".") and path.name.endswith(UNFINISHED):
            if path.is_dir():
                remove_folder(path)
            else:
                path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Take away a flat folder that this room made; a missing one is fine."""
    if path.is_dir():
        for child in path.iterdir():
            child.unlink()
        path.rmdir()


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"cannot read {path}: no such file") from error
    except OSError as error:
        raise Internal(f"cannot read {path}: {error.strerror}") from error


def is_private(path: Path) -> bool:
    """True where neither the group nor others may read or write the file."""
    return not stat.S_IMODE(path.stat().st_mode) & 0o077


def read_passphrase(path: Path) -> bytes:
    """The first line of a passphrase file. Raises Denied where others may read the file or it is empty."""
    data = read_file(path)
    if not is_private(path):
        raise Denied(f"cannot use the passphrase file {path}: others may read it (chmod 600 {path})")
    line = data.split(b"\n", 1)[0].strip()
    if not line:
        raise Denied(f"cannot use the passphrase file {path}: its first line is empty")
    return line
