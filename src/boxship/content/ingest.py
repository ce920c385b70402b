"""Blobs on their way in: written to a file of their own, hashed on the way, then verified, made durable and renamed.

An ingest with a name outlives the connection that brought it, and the daemon: `pause` keeps what has come, and the next
`begin` of that name goes on there. Nothing here is visible as a blob before `finish` has compared its digest.
"""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from boxship.errors import Conflict, Exhausted, Internal, Invalid, NotFound

ALGORITHMS = ("sha256", "sha512")
PARTIAL_SECONDS = 24 * 3600  # that a paused ingest is kept since its last byte
PIECE = 1024 * 1024  # bytes hashed at once when a partial is read again
WRITE_BACK = 8 * 1024 * 1024  # bytes after which their way to the disk begins

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class Partial(msgspec.Struct, frozen=True):
    """A named ingest that is not finished."""

    name: str
    size: int
    modified_ns: int


class Shelf:
    """The folders of what is half-made: `ingest` for what has no name and is worthless after a crash, `partials` for
    what has one. Safe to use from several threads."""

    def __init__(self, root: Path, blobs: Path) -> None:
        self.ingest = root / "ingest"
        self.partials = root / "partials"
        self.blobs = blobs
        self._lock = threading.Lock()
        self._open: set[str] = set()
        self._paused: dict[str, tuple[str, Any, int]] = {}  # name: algorithm, hash so far, size

    def recover(self) -> None:
        """Make the folders; remove what nobody can continue. Nothing may be open."""
        for folder in (self.ingest, self.partials):
            folder.mkdir(parents=True, exist_ok=True)
        for path in self.ingest.iterdir():
            path.unlink()

    def acquire(self, name: str) -> None:
        """Open a name for one user. Raises Conflict while another has it, Invalid for what is no name."""
        if not _NAME.fullmatch(name):
            raise Invalid(f"cannot write blob {name!r}: it is named with other characters than A-Z a-z 0-9 . _ -")
        with self._lock:
            if name in self._open:
                raise Conflict(f"cannot write blob {name}: it is being written already")
            self._open.add(name)

    def release(self, name: str, paused: tuple[str, Any, int] | None = None) -> None:
        with self._lock:
            self._open.discard(name)
            if paused is not None:
                self._paused[name] = paused

    def known_hash(self, name: str, algorithm: str, size: int) -> Any:
        """The hash of a paused ingest where it is still known, so that it need not be read again; else None."""
        with self._lock:
            known = self._paused.pop(name, None)
        return known[1] if known is not None and (known[0], known[2]) == (algorithm, size) else None

    def list(self) -> tuple[Partial, ...]:
        """All that are not finished, by name; also those being written."""
        found = []
        with os.scandir(self.partials) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat()
                    found.append(Partial(entry.name, status.st_size, status.st_mtime_ns))
        return tuple(sorted(found, key=lambda partial: partial.name))

    def drop(self, name: str) -> None:
        """Remove a paused ingest. Raises NotFound, or Conflict while it is being written."""
        self.acquire(name)
        try:
            self._paused.pop(name, None)
            (self.partials / name).unlink()
        except FileNotFoundError:
            raise NotFound(f"cannot remove the partial blob {name}: there is none") from None
        finally:
            self.release(name)

    def drop_old(self, before_ns: int) -> None:
        """Remove those whose last byte came before that time."""
        for partial in self.list():
            if partial.modified_ns < before_ns:
                with contextlib.suppress(NotFound, Conflict):
                    self.drop(partial.name)


class Ingest:
    """One blob on its way in. Synchronous, for use in a thread; ends with `finish`, `pause` or `abandon`. `size` is
    how many bytes are there, at the beginning those of a former attempt.

    A caller that is cancelled cannot stop a thread that still works here, and ends the ingest from another one: calls
    wait for each other, else one would close a descriptor that by then is somebody else's."""

    def __init__(self, shelf: Shelf, name: str, algorithm: str) -> None:
        if algorithm not in ALGORITHMS:
            raise Invalid(f"cannot store a blob by {algorithm}: only {' and '.join(ALGORITHMS)} digests are kept")
        self.name = name
        self.size = 0
        self.algorithm = algorithm
        self._shelf = shelf
        self._working = threading.RLock()
        self._sent = 0  # bytes whose way to the disk has begun
        self._hash: Any = hashlib.new(algorithm, usedforsecurity=False)
        self._descriptor = -1
        if name:
            shelf.acquire(name)
        self._path = shelf.partials / name if name else shelf.ingest / secrets.token_hex(16)
        try:
            with kernel(f"cannot write {self._path}"):
                exclusive = 0 if name else os.O_EXCL
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | exclusive | os.O_CLOEXEC, 0o600)
                self._continue()
        except BaseException:
            self._close()
            raise

    def _continue(self) -> None:
        """Take up what a former attempt left."""
        size = os.fstat(self._descriptor).st_size
        known = self._shelf.known_hash(self.name, self.algorithm, size) if self.name else None
        if known is not None:
            self._hash = known
            self.size = os.lseek(self._descriptor, 0, os.SEEK_END)
            return
        while data := os.read(self._descriptor, PIECE):
            self._hash.update(data)
            self.size += len(data)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Add data. Raises Exhausted on a full disk; what was written then is taken back."""
        with self._working:
            self._write(data)

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        try:
            with kernel(f"cannot write {self._path}"):
                rest = view
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
        except BaseException:
            with contextlib.suppress(OSError):  # what cannot be cut off will not have the right digest
                os.ftruncate(self._descriptor, self.size)
                os.lseek(self._descriptor, self.size, os.SEEK_SET)
            raise
        self._hash.update(view)
        self.size += len(view)
        if self.size - self._sent >= WRITE_BACK:
            # This starts the way to the disk of what has come, so that the synchronisation at the end finds little.
            os.posix_fadvise(self._descriptor, self._sent, self.size - self._sent, os.POSIX_FADV_DONTNEED)
            self._sent = self.size

    def digest(self) -> str:
        """The digest of what has been written so far."""
        return f"{self.algorithm}:{self._hash.hexdigest()}"

    def finish(self, expected: str | None = None, size: int | None = None) -> str:
        """Make the blob visible and durable; its digest. Raises Invalid where it is not what was expected: then nothing
        of it remains."""
        with self._working:
            return self._finish(expected, size)

    def _finish(self, expected: str | None, size: int | None) -> str:
        digest = self.digest()
        try:
            if expected is not None and digest != expected:
                raise Invalid(f"cannot store blob {expected}: the content has the digest {digest}")
            if size is not None and size != self.size:
                raise Invalid(f"cannot store blob {digest}: it has {self.size} bytes instead of {size}")
            with kernel(f"cannot store blob {digest}"):
                self._settle(digest)
        finally:
            self.abandon()
        return digest

    def _settle(self, digest: str) -> None:
        algorithm, _, encoded = digest.partition(":")
        target = self._shelf.blobs / algorithm / encoded
        if not target.exists():  # else it came twice, and the other may not have made its name durable yet
            os.fchmod(self._descriptor, 0o400)
            os.fsync(self._descriptor)
            os.rename(self._path, target)
        synchronise(target.parent)

    def pause(self) -> None:
        """Stop for now; `begin` of the same name goes on here. One without a name is gone."""
        with self._working:
            if not self.name:
                self.abandon()
            elif self._descriptor >= 0:
                self._close((self.algorithm, self._hash, self.size))

    def abandon(self) -> None:
        """Take back what is not finished; safe to call twice, and after `pause`, which it leaves as it is."""
        with self._working:
            if self._descriptor >= 0:
                self._path.unlink(missing_ok=True)
                self._close()

    def _close(self, paused: tuple[str, Any, int] | None = None) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self.name:
            self._shelf.release(self.name, paused)


@contextlib.contextmanager
def kernel(what: str) -> Iterator[None]:
    """Errors of the kernel as ours."""
    try:
        yield
    except OSError as error:
        kind = Exhausted if error.errno in (errno.ENOSPC, errno.EDQUOT) else Internal
        raise kind(f"{what}: {os.strerror(error.errno or 0)}") from error


def synchronise(folder: Path) -> None:
    """Make a folder's names durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
