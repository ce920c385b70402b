"""The SQLite file under the store: its tables, its check at opening, and its backup. Synchronous; threads are above.

The file holds three tables: `entries` is what is stored now, each row with a checksum of its own (SQLite notices
damaged pages, not damaged content); `history` has one row for each commit, from which watchers replay and older lists
are made; `times` says how old they are. The revision of the store is that of the newest row of `history`, which
compaction never takes. A file of version 1 is given what it lacks when it is opened; what it has stays as it is.
"""

import os
import sqlite3
import struct
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

from boxship.errors import Exhausted, Unavailable
from boxship.store import Entry, Operation
from boxship.store.ages import Mark
from boxship.store.feed import Commit
from boxship.store.history import Known, pack, unpack
from boxship.store.reserve import keep_log, keep_pages
from boxship.store.tree import decide
from boxship.store.writeahead import find_damage

APPLICATION = 0x426F7873  # marks the file as ours
VERSION = 2  # 1 kept neither what was before a commit nor when it was made
HEADER = b"SQLite format 3\0"
BUSY_LIMIT = 5.0  # seconds that a connection waits for another one's checkpoint
FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}

SCHEMA = f"""
BEGIN;
CREATE TABLE entries (
    key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL,
    checksum INTEGER NOT NULL);
CREATE TABLE history (revision INTEGER PRIMARY KEY, changes BLOB NOT NULL, time REAL, checksum INTEGER);
CREATE TABLE times (revision INTEGER PRIMARY KEY, wall REAL NOT NULL, ran REAL NOT NULL);
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
COMMIT;
"""

FROM_1 = f"""
BEGIN IMMEDIATE;
ALTER TABLE history ADD COLUMN time REAL;
ALTER TABLE history ADD COLUMN checksum INTEGER;
CREATE TABLE times (revision INTEGER PRIMARY KEY, wall REAL NOT NULL, ran REAL NOT NULL);
PRAGMA user_version = {VERSION};
COMMIT;
"""

Changes = list[tuple[str, bytes | None]]


class Damaged(Exception):
    """The file is not what was written; the message says what is wrong with it."""


def backup_of(path: Path) -> Path:
    return path.with_name(path.name + ".backup")


def refusal(path: Path, why: object) -> Unavailable:
    """The error for a damaged file; it names the backup, which is never used without the administrator."""
    backup = backup_of(path)
    try:
        written = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(backup.stat().st_mtime))
        hint = f"the newest backup is {backup} of {written}"
    except OSError:
        hint = "there is no backup"
    return Unavailable(f"cannot open {path}: the file is damaged ({why}); {hint}")


def translate(error: sqlite3.Error, path: Path) -> Exhausted | Unavailable:
    """SQLite's error as one of ours."""
    if getattr(error, "sqlite_errorcode", None) in FULL:
        return Exhausted(f"cannot write {path}: no space left on device")
    return Unavailable(f"cannot use {path}: {error}")


class Database:
    """One open file: a connection for the writer's thread and one for reading history beside it."""

    def __init__(self, path: Path, *, reserve: bool = False, first: int = 0) -> None:
        """Open or create the file. With `reserve` it keeps room for itself; a new one's revisions begin above `first`.
        Raises Damaged, or sqlite3.Error."""
        self.path = path
        self._reserve = reserve
        log = path.with_name(path.name + "-wal")
        clean = not (log.exists() and log.stat().st_size)
        if not path.exists():
            if backup_of(path).exists() or not clean:
                raise Damaged("it is missing")  # beginning anew would lose everything silently
            _create(path, first)
        if damage := find_damage(log, _check_header(path)):
            raise Damaged(damage)
        self._connection = _connect(path)
        try:
            self._prepare()
            if not clean:
                self._check()
            self._renew()
            self.keep_reserve()
            self._reader = _connect(path)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        connection = self._connection
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise Damaged(f"its journal mode is {mode}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 500")  # pages; bounds what a start after a crash has to check
        connection.execute("PRAGMA journal_size_limit = 8388608")

    def _renew(self) -> None:
        """Bring a file of an older version up to ours, whole or not at all."""
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 1:
            self._connection.executescript(FROM_1)

    def keep_reserve(self) -> None:
        """Make again what a full disk has used up of the file's own room; between transactions."""
        if not self._reserve:
            return
        keep_log(self.path.with_name(self.path.name + "-wal"))
        keep_pages(self._connection)

    def _check(self) -> None:
        for (finding,) in self._connection.execute("PRAGMA quick_check(1)"):
            if finding != "ok":
                raise Damaged(finding)

    def load(self) -> tuple[list[Entry], int, int]:
        """All entries, the revision, and the first revision that the history has. Raises Damaged."""
        entries = []
        for key, value, created, modified, checksum in self._connection.execute("SELECT * FROM entries"):
            if zlib.crc32(value, zlib.crc32(key)) != checksum:
                raise Damaged(f"the content of {key!r} is not what was written")
            entries.append(Entry(key.decode(), value, created, modified))
        row = self._connection.execute("SELECT max(revision), min(revision), count(*) FROM history").fetchone()
        newest, oldest, count = row[0] or 0, row[1] or 0, row[2]
        if (count and newest - oldest + 1 != count) or any(entry.modified > newest for entry in entries):
            raise Damaged("its history has gaps")
        return entries, newest, oldest

    def marks(self) -> list[Mark]:
        return [Mark(*row) for row in self._connection.execute("SELECT * FROM times ORDER BY revision")]

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def write(self, revision: int, operations: Sequence[Operation], wall: float) -> Changes:
        """Add one commit, made at `wall`, to the open transaction. Raises Conflict before it has written anything."""
        execute = self._connection.execute
        known: dict[str, Known] = {}

        def modified(key: str) -> int:
            row = execute("SELECT value, created, modified FROM entries WHERE key = ?", (key.encode(),)).fetchone()
            if row is None:
                return 0
            known[key] = row
            return int(row[2])

        changes = decide(operations, modified)
        for text, value in changes:
            key = text.encode()
            if value is None:
                execute("DELETE FROM entries WHERE key = ?", (key,))
                continue
            execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
                " value = excluded.value, modified = excluded.modified, checksum = excluded.checksum",
                (key, value, revision, revision, zlib.crc32(value, zlib.crc32(key))),
            )
        packed = pack(changes, known)
        execute("INSERT INTO history VALUES (?, ?, ?, ?)", (revision, packed, wall, zlib.crc32(packed)))
        return changes

    def leave(self, mark: Mark) -> None:
        """Add a mark to the open transaction."""
        self._connection.execute("INSERT INTO times VALUES (?, ?, ?)", (mark.revision, mark.wall, mark.ran))

    def forget(self, before: int) -> None:
        """Take the history below `before` away, in the open transaction; the last mark up to there stays."""
        self._connection.execute("DELETE FROM history WHERE revision < ?", (before,))
        last = "SELECT max(revision) FROM times WHERE revision <= ?"
        self._connection.execute(f"DELETE FROM times WHERE revision < ({last})", (before,))

    def finish(self) -> None:
        """Make the transaction durable."""
        self._connection.execute("COMMIT")

    def abandon(self) -> None:
        """Undo the open transaction, if there is one."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def history(self, after: int, limit: int) -> list[Commit]:
        """Commits above `after`, in order. May run beside the writer. Raises Unavailable where a row is damaged."""
        query = "SELECT revision, changes, checksum FROM history WHERE revision > ? ORDER BY revision LIMIT ?"
        commits = []
        for revision, changes, checksum in self._reader.execute(query, (after, limit)).fetchall():
            if checksum is not None and zlib.crc32(changes) != checksum:
                raise Unavailable(f"cannot read {self.path}: the history of revision {revision} is damaged")
            commits.append(unpack(revision, changes, checksum is not None))
        return commits

    def revision_at(self, wall: float) -> int:
        """The newest commit that the history has of that time or before; 0: none. May run beside the writer."""
        query = "SELECT revision FROM times WHERE wall <= ? ORDER BY revision DESC LIMIT 1"
        (mark,) = self._reader.execute(query, (wall,)).fetchone() or (0,)
        # Between two marks the clock never goes back; so what is later than a mark's time is beyond it.
        query = "SELECT min(revision) FROM times WHERE revision > ?"
        (following,) = self._reader.execute(query, (mark,)).fetchone()
        query = "SELECT max(revision) FROM history WHERE revision >= ? AND revision < ? AND time <= ?"
        (found,) = self._reader.execute(query, (mark, following or (1 << 62), wall)).fetchone()
        return int(found or 0)

    def time_at(self, revision: int) -> float:
        """When that commit was made; 0 where it is not there or of version 1. May run beside the writer."""
        row = self._reader.execute("SELECT time FROM history WHERE revision = ?", (revision,)).fetchone()
        return float(row[0] or 0) if row else 0.0

    def back_up(self) -> None:
        """Write a copy beside the file, whole or not at all; its own connection, so that nothing waits for it."""
        target = backup_of(self.path)
        half = target.with_name(target.name + ".new")
        half.unlink(missing_ok=True)
        connection = _connect(self.path)
        try:
            connection.execute("VACUUM INTO ?", (str(half),))
        finally:
            connection.close()
        os.chmod(half, 0o600)
        synchronise(half)
        os.replace(half, target)
        synchronise(target.parent)

    def shrink(self) -> None:
        """Write the file anew without its free pages; but for those that it keeps."""
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.keep_reserve()

    def close(self) -> None:
        self._reader.close()
        self._connection.close()


def synchronise(path: Path) -> None:
    """fsync of a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_LIMIT, isolation_level=None, check_same_thread=False)


def _create(path: Path, first: int) -> None:
    """A new file, whole or not at all. Its revisions begin above `first`."""
    half = path.with_name(path.name + ".new")
    half.unlink(missing_ok=True)
    connection = _connect(half)
    try:
        connection.executescript(SCHEMA)
        if first:
            nothing = pack([], {})
            connection.execute("INSERT INTO history VALUES (?, ?, ?, ?)", (first, nothing, None, zlib.crc32(nothing)))
    finally:
        connection.close()
    os.chmod(half, 0o600)
    synchronise(half)
    os.replace(half, path)
    synchronise(path.parent)


def _check_header(path: Path) -> int:
    """The page size, from the first bytes (sqlite.org/fileformat2.html, section 1.3), checked before SQLite touches
    the file. Raises Damaged."""
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(HEADER):
        raise Damaged("it does not begin as a SQLite file")
    version, application = struct.unpack_from(">I4xI", header, 60)
    if application != APPLICATION:
        raise Damaged("it is not a state file of Boxship")
    if version not in (1, VERSION):
        raise Damaged(f"its version is {version}, not {VERSION}")
    (page_size,) = struct.unpack_from(">H", header, 16)
    return 65536 if page_size == 1 else int(page_size)
