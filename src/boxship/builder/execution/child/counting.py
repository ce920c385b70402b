"""What a copy would bring, as one digest: names, kinds, modes, owners, links, contents and capabilities; no times.

Contents are read once: their digests are kept in a table, by what the kernel says of the file (device, inode, size,
mtime, ctime). A file that was changed shortly before it was read is not trusted, for it may have been changed again
within the same tick of the clock. The table is only a memory: when it is lost, files are read again.
"""

from __future__ import annotations

import marshal
import os
import stat
import time

from boxship.builder.execution.child.sources import Match, SourceTree
from boxship.builder.execution.child.walking import Walker, changed
from boxship.snapshots.child.pack import xattrs_of

TYPE_CHECKING = False  # the typing module would double the time to start
if TYPE_CHECKING:
    from typing import Any

    Known = tuple[int, int, int, int, int, int, bytes]

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
PIECE_BYTES = 1 << 20
SMALL_BYTES = 1 << 16
RACY_NS = 2_000_000_000  # of a file's change before it was read: not trusted by a later build
TICK_NS = 50_000_000  # the same within one build, and where times are finer than the coarsest clock tick of a kernel
COARSE_NS = 1_000_000  # a time without a remainder of this may come from a filesystem that keeps seconds
TABLE_FILES = 500_000  # more are not remembered
_VERSION = 1


def new_hash() -> Any:
    """A hash; the first one must be made before the chroot, which hides Python's own files."""
    import _hashlib  # hashlib's own import costs milliseconds

    return _hashlib.openssl_sha256(usedforsecurity=False)


def same(first: os.stat_result, second: os.stat_result) -> bool:
    """Whether a file is as it was."""
    return (
        first.st_mtime_ns == second.st_mtime_ns
        and first.st_ctime_ns == second.st_ctime_ns
        and first.st_size == second.st_size
        and first.st_ino == second.st_ino
    )


class Digests:
    """The table: folder → name → what the kernel said, when it was read, and its digest."""

    def __init__(self, path: str, *, racy_ns: int) -> None:
        self._path = path
        self._racy = racy_ns
        self._known: dict[str, dict[str, Known]] = {}
        self._seen: dict[str, dict[str, Known]] = {}
        self._changed = False
        if path:
            self._load()

    def _load(self) -> None:
        try:
            with open(self._path, "rb") as file:
                version, table = marshal.loads(file.read())
            if version == _VERSION and isinstance(table, dict):
                self._known = table
        except (OSError, ValueError, EOFError, TypeError):
            self._known = {}

    def find(self, path: str, name: str, info: os.stat_result) -> bytes | None:
        """The digest of a file of the folder `path`, where it was read before and is as it was."""
        known = self._known.get(path, {}).get(name)
        if known is None:
            return None
        ino, size, mtime, ctime, device, at, digest = known
        if (
            ino != info.st_ino
            or mtime != info.st_mtime_ns
            or ctime != info.st_ctime_ns
            or size != info.st_size
            or device != info.st_dev
            or ctime + (min(self._racy, TICK_NS) if ctime % COARSE_NS else self._racy) >= at
        ):
            return None
        self._seen.setdefault(path, {})[name] = known
        return digest

    def add(self, path: str, name: str, info: os.stat_result, at: int, digest: bytes) -> None:
        """Remember what was read from the moment `at` on."""
        self._changed = True
        self._seen.setdefault(path, {})[name] = (
            info.st_ino,
            info.st_size,
            info.st_mtime_ns,
            info.st_ctime_ns,
            info.st_dev,
            at,
            digest,
        )

    def save(self) -> None:
        """Write the table with what was seen; the folders that were visited have only what they have now."""
        if not self._path or not self._changed:
            return
        table = {**self._known, **self._seen}
        if sum([len(names) for names in table.values()]) > TABLE_FILES:
            table = self._seen
        staged = f"{self._path}.{os.getpid()}.new"
        try:
            with open(staged, "wb") as file:
                file.write(marshal.dumps((_VERSION, table)))
            os.rename(staged, self._path)
        except OSError:  # a full disk, say: then the files are read again
            try:
                os.unlink(staged)
            except OSError:
                return


class Count:
    """The digest in the making, with each file's own line where they are asked for."""

    def __init__(self, *, with_owners: bool, lines: dict[str, str] | None = None) -> None:
        self._hash = new_hash()
        self._owners = with_owners
        self._lines = lines

    def add(self, relative: str, info: os.stat_result, detail: bytes) -> None:
        owner = (info.st_uid, info.st_gid) if self._owners else (0, 0)
        name = relative.encode("utf-8", "surrogateescape")
        line = b"%d %b %o %d %d %b" % (len(name), name, info.st_mode, *owner, detail)
        self._hash.update(b"%d " % len(line) + line)
        if self._lines is not None:
            own = new_hash()
            own.update(line)
            self._lines[relative] = own.hexdigest()[:12]

    def mark(self) -> None:
        """A folder whose contents come: its own mode does not."""
        self._hash.update(b"contents ")

    def digest(self) -> str:
        return "sha256:" + str(self._hash.hexdigest())


def read_digest(folder: int, path: str, name: str, info: os.stat_result) -> tuple[int, bytes]:
    """When reading began, and the digest of a regular file with its attributes. Conflict where it changed meanwhile."""
    at = time.time_ns()
    try:
        descriptor = os.open(name, READ, dir_fd=folder)
    except OSError:
        raise changed(f"{path}/{name}".lstrip("/")) from None
    try:
        counted = new_hash()
        if info.st_size <= SMALL_BYTES:
            counted.update(os.read(descriptor, SMALL_BYTES + 1))
        else:
            while piece := os.read(descriptor, PIECE_BYTES):
                counted.update(piece)
        add_attributes(counted, descriptor)
        if not same(os.fstat(descriptor), info):
            raise changed(f"{path}/{name}".lstrip("/"))
    finally:
        os.close(descriptor)
    return at, counted.digest()


def add_attributes(counted: Any, descriptor: int) -> dict[str, bytes]:
    """Count the extended attributes that a layer keeps; they are returned."""
    attributes = xattrs_of(descriptor)
    for key in sorted(attributes):
        counted.update(b"\0%b=%b" % (key.encode("utf-8", "surrogateescape"), attributes[key]))
    return attributes


def detail_of(folder: int, name: str, info: os.stat_result) -> bytes:
    """What is counted of a file that is neither regular nor a folder."""
    if stat.S_ISLNK(info.st_mode):
        return os.readlink(name, dir_fd=folder).encode("utf-8", "surrogateescape")
    return b"%d" % info.st_rdev


class Counter(Walker):
    """Counts a source without copying anything."""

    def __init__(
        self, tree: SourceTree, selection: dict[str, Any], count: Count, digests: Digests, *, parents: bool
    ) -> None:
        super().__init__(tree, selection, parents=parents)
        self._count = count
        self._digests = digests

    def run(self) -> str:
        for match in self.tree.matches(self.selection, parents=self.parents):
            if not self.excluded_match(match):
                self._match(match)
        return self._count.digest()

    def _match(self, match: Match) -> None:
        above, _, last = match.path.rpartition("/")
        folder = self.tree.open_folder(above)
        try:
            if self.parents:
                count_parents(self._count, self.tree, match)
            if not stat.S_ISDIR(match.info.st_mode):
                self.file(folder, above, last, match.relative if self.parents else match.name, match.info, None)
            elif self.parents:
                self.folder(folder, match.path, last or ".", match.relative, match.info, None, 0)
            else:
                self._count.mark()
                inner = self.tree.open_folder(match.path)
                try:
                    self.contents(inner, match.path, "", None)
                finally:
                    os.close(inner)
        finally:
            os.close(folder)

    def enter(self, folder: int, name: str, relative: str, info: os.stat_result, target: Any) -> Any:
        self._count.add(relative, info, b"")

    def file(self, folder: int, path: str, name: str, relative: str, info: os.stat_result, target: Any) -> None:
        if not stat.S_ISREG(info.st_mode):
            self._count.add(relative, info, detail_of(folder, name, info))
            return
        digest = self._digests.find(path, name, info)
        if digest is None:
            at, digest = read_digest(folder, path, name, info)
            self._digests.add(path, name, info, at, digest)
        self._count.add(relative, info, digest)


def count_parents(count: Count, tree: SourceTree, match: Match) -> None:
    """The folders between the pivot and what --parents copies."""
    parts = match.relative.split("/")[:-1]
    base = match.path[: len(match.path) - len(match.relative)]
    for depth in range(1, len(parts) + 1):
        way = "/".join(parts[:depth])
        info = tree.look(base + way)
        if info is not None:
            count.add(way, info, b"parent")
