"""The store of one machine: SQLite in WAL mode. What `commit` acknowledged survives kill -9 and power loss.

Reads come from a Tree in memory that holds exactly what is durable. Writes go through one thread (`writer`); its
results come back to the loop, where the Tree, the watchers and the callers learn of them in this order. A damaged file
is refused with the name of its backup; it is never replaced silently.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from boxship.errors import Exhausted, Unavailable
from boxship.store import Change, Compacted, Entry, Operation, Snapshot
from boxship.store.database import Damaged, Database, refusal, translate
from boxship.store.feed import Commit, Feed
from boxship.store.past import Past
from boxship.store.status import Status
from boxship.store.tree import Tree, validate
from boxship.store.writer import Compaction, Job, Keeping, Writer

HISTORY_LIMIT = 10_000  # commits that watchers can look back on
RECENT_LIMIT = 256  # commits kept in memory for watchers

Commits = list[Commit]
Found = TypeVar("Found")


class SqliteStore:
    """Implements Store. Made by `open`; belongs to the loop that opened it."""

    def __init__(self, database: Database, lock: int) -> None:
        entries, revision, oldest = database.load()
        self._database = database
        self._lock = lock
        self._tree = Tree(entries, revision)
        self._feed = Feed(revision, max(oldest - 1, 0), RECENT_LIMIT, self._older)
        self._past = Past(self._tree, self._feed)
        self._reading = threading.Lock()
        self._oldest = oldest
        self._writer: Writer | None = None
        self._backup: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        history_limit: int | None = HISTORY_LIMIT,
        history_seconds: float | None = None,
        backup: bool = True,
        reserve: bool = False,
        first: int = 0,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> "SqliteStore":
        """Open or create the file. History beyond `history_limit` commits, or older than `history_seconds`, is taken
        away (None: no such limit); with `reserve` the file keeps some megabytes for itself, so that commits go on for a
        while on a full disk. A new file's revisions begin above `first`. `wall` and `monotonic` are its clocks. Raises
        Unavailable where the file is damaged (the message names the newest backup) or another process has it; Exhausted
        on a full disk."""
        store = await asyncio.to_thread(cls._open, path, reserve, first)
        keeping = Keeping(history_limit, history_seconds, wall, monotonic)
        revision = store._tree.revision
        store._writer = Writer(store._database, revision, store._oldest, keeping, store._written, store._compacted)
        if backup:
            store._backup = asyncio.create_task(store._back_up())
        return store

    @classmethod
    def _open(cls, path: Path, reserve: bool, first: int) -> "SqliteStore":
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = _lock(path)
        except OSError as error:
            raise _refused(error, path) from error
        try:
            try:
                database = Database(path, reserve=reserve, first=first)
                try:
                    return cls(database, lock)
                except BaseException:
                    database.close()
                    raise
            except Damaged as error:
                raise refusal(path, error) from error
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                    raise refusal(path, error) from error
                raise translate(error, path) from error
            except OSError as error:
                raise _refused(error, path) from error
        except BaseException:
            os.close(lock)
            raise

    async def get(self, key: str, *, fresh: bool = True) -> Entry | None:
        return self._tree.get(key)

    async def list(self, prefix: str, *, after: str = "", limit: int = 0, at: int = 0, fresh: bool = True) -> Snapshot:
        if at:
            return await self._past.list(prefix, after, limit, at)
        return self._tree.list(prefix, after, limit)

    async def pick(self, keys: Iterable[str], *, fresh: bool = True) -> Snapshot:
        return self._tree.pick(keys)

    def past(self, prefix: str, *, after: int, until: int) -> AsyncIterator[Change]:
        return self._past.changes(prefix, after, until)

    async def revision(self) -> int:
        return self._tree.revision

    async def revision_at(self, time: float) -> int:
        found = await self._read(lambda: self._database.revision_at(time))
        if not found and self._feed.oldest:
            raise Compacted(f"cannot look back to {time}: that history is gone", self._feed.oldest)
        return found

    async def time_at(self, revision: int) -> float:
        self._feed.demand(revision)
        return await self._read(lambda: self._database.time_at(revision))

    async def commit(self, *operations: Operation) -> int:
        validate(operations)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._running().submit(Job(operations, future))
        return await future

    def watch(self, prefix: str, *, after: int) -> AsyncIterator[Change]:
        return self._feed.follow(prefix, after)

    async def compact(self, before: int) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running().submit(Compaction(before, future))
        await future

    async def status(self) -> Status:
        entries, content = self._tree.size()
        path = self._database.path
        size = sum(file.stat().st_size for file in (path, path.with_name(path.name + "-wal")) if file.exists())
        return Status("sqlite", str(path), self._tree.revision, self._feed.oldest, entries, content, size)

    async def shrink(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running().submit(Compaction(0, future, shrink=True))
        await future

    async def close(self) -> None:
        """Write what waits and close the file; watchers end with Unavailable. Safe to call twice."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if self._backup is not None:
            await self._backup
        await asyncio.to_thread(writer.stop)
        await asyncio.sleep(0)  # the last report is in the loop's queue before us
        self._feed.close()
        await asyncio.to_thread(self._close_database)
        os.close(self._lock)

    def _close_database(self) -> None:
        with self._reading:
            self._database.close()

    def _running(self) -> Writer:
        if self._writer is None:
            raise Unavailable(f"cannot commit: {self._database.path} is closed")
        return self._writer

    def _written(self, jobs: Sequence[Job], oldest: int) -> None:
        """A group is durable: show it to readers and watchers, then answer the callers, all in order."""
        for job in jobs:
            if job.error is None:
                self._feed.publish(Commit(job.revision, self._tree.apply(job.revision, job.changes)))
        self._feed.forget(oldest)
        for job in jobs:
            if not job.future.done():
                if job.error is None:
                    job.future.set_result(job.revision)
                else:
                    job.future.set_exception(job.error)

    def _compacted(self, request: Compaction) -> None:
        if request.error is None:
            self._feed.forget(request.before)
        if request.future is not None and not request.future.done():
            if request.error is None:
                request.future.set_result(None)
            else:
                request.future.set_exception(request.error)

    async def _older(self, after: int, limit: int) -> Commits:
        return await self._read(lambda: self._database.history(after, limit))

    async def _read(self, question: Callable[[], Found]) -> Found:
        """Ask the file, beside the writer."""

        def read() -> Found:
            with self._reading:
                return question()

        try:
            return await asyncio.to_thread(read)
        except sqlite3.Error as error:
            raise translate(error, self._database.path) from error

    async def _back_up(self) -> None:
        # A backup that cannot be written (disk full) leaves the last one in place; the store itself works on.
        with contextlib.suppress(sqlite3.Error, OSError):
            await asyncio.to_thread(self._database.back_up)


def _refused(error: OSError, path: Path) -> Exhausted | Unavailable:
    kind = Exhausted if error.errno == errno.ENOSPC else Unavailable
    return kind(f"cannot open {path}: {error.strerror}")


def _lock(path: Path) -> int:
    """Keep other processes away from the file as long as the descriptor is open."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise Unavailable(f"cannot open {path}: another process has it open") from error
    return descriptor
