"""The one thread that writes the SQLite file, with group commit.

All commits that wait when the thread is free become one SQLite transaction with one fsync. Each keeps its own
revision and its own Conflict. Where the whole group cannot be written (disk full), each of them is tried alone, so that
one large commit does not take the others with it.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from boxship.errors import BoxshipError, Exhausted, Internal, Unavailable
from boxship.store import Operation
from boxship.store.ages import Ages
from boxship.store.database import Changes, Database, translate

GROUP_LIMIT = 256  # commits in one transaction
RESERVE_STEP = 200  # commits between two looks at the file's own room
TRIM_STEP = 128  # commits of history taken away at once, at least
TRIM_LIMIT = 1024  # and at most
COMPACT_STEP = 2000  # commits of history that a compaction takes away before it lets others write
LOOK_SECONDS = 30.0  # between two looks at the history's age, where nothing is written


class Job:
    """One commit on its way: the caller's operations and future, then its revision and changes, or its error."""

    __slots__ = ("changes", "error", "future", "operations", "revision")

    def __init__(self, operations: Sequence[Operation], future: "asyncio.Future[int]") -> None:
        self.operations = operations
        self.future = future
        self.revision = 0
        self.changes: Changes = []
        self.error: BoxshipError | None = None


class Keeping(msgspec.Struct, frozen=True):
    """How much history is kept: at most `commits` of them, none that is older than `seconds`; None: no such limit."""

    commits: int | None
    seconds: float | None = None
    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class Compaction:
    """A request to forget history, and with `shrink` to give its space back to the disk; travels in the same queue as
    the commits. The writer's own have no future."""

    __slots__ = ("before", "error", "future", "shrink")

    def __init__(self, before: int, future: "asyncio.Future[None] | None", *, shrink: bool = False) -> None:
        self.before = before
        self.future = future
        self.shrink = shrink
        self.error: BoxshipError | None = None


class Writer:
    """Owns the thread. `report(jobs, oldest)` and `compacted(request)` are called in the loop, in the order of writing;
    `oldest` is the first revision that the history still has."""

    def __init__(
        self,
        database: Database,
        revision: int,
        oldest: int,
        keeping: Keeping,
        report: Callable[[list[Job], int], None],
        compacted: Callable[[Compaction], None],
    ) -> None:
        self._database = database
        self._revision = revision
        self._oldest = oldest
        self._keeping = keeping
        self._ages = Ages(database.marks(), keeping.monotonic())
        self._report = report
        self._compacted = compacted
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Job | Compaction | None] = queue.SimpleQueue()
        self._broken: Unavailable | None = None
        self._since_reserve = 0
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, item: Job | Compaction) -> None:
        self._queue.put(item)

    def stop(self) -> None:
        """Write what waits, then end the thread. Blocks; not for the loop's thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=None if self._keeping.seconds is None else LOOK_SECONDS)
            except queue.Empty:
                self._look()
                continue
            jobs: list[Job] = []
            while isinstance(item, Job):
                jobs.append(item)
                if len(jobs) == GROUP_LIMIT:
                    item = jobs[0]
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            if jobs:
                self._write_group(jobs)
                self._tell(self._report, jobs, self._oldest)
                self._keep_reserve(len(jobs))
            if isinstance(item, Compaction):
                if self._compact(item):
                    self._tell(self._compacted, item)
                else:
                    self._queue.put(item)  # the rest of a long way after those who wait
            elif item is None:
                return self._refuse_rest()

    def _refuse_rest(self) -> None:
        """What is left of a long compaction when the store is closed."""
        while not self._queue.empty():
            item = self._queue.get()
            if isinstance(item, Compaction):
                item.error = Unavailable("cannot compact: the store was closed meanwhile")
                self._tell(self._compacted, item)

    def _keep_reserve(self, count: int) -> None:
        """Look after the file's own room now and then, when nobody waits."""
        self._since_reserve += count
        if self._since_reserve >= RESERVE_STEP and self._broken is None and self._queue.empty():
            self._since_reserve = 0
            self._database.keep_reserve()

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            return  # the loop is closed; nobody waits any more

    def _write_group(self, jobs: list[Job]) -> None:
        error = self._try_group(jobs)
        if error is None:
            return
        for job in jobs:
            job.error = error if len(jobs) == 1 else self._try_group([job])

    def _try_group(self, jobs: list[Job]) -> BoxshipError | None:
        """Write the jobs in one transaction. An error returned means that none of them is written."""
        if self._broken is not None:
            return self._broken
        revision = self._revision
        oldest = self._oldest
        wall, monotonic = self._keeping.wall(), self._keeping.monotonic()
        mark = None
        try:
            self._database.begin()
            for job in jobs:
                job.error = None
                try:
                    job.changes = self._database.write(revision + 1, job.operations, wall)
                except BoxshipError as conflict:
                    job.error = conflict
                    continue
                revision += 1
                job.revision = revision
                oldest = oldest or revision
            if revision > self._revision and (mark := self._ages.mark(self._revision + 1, wall, monotonic)):
                self._database.leave(mark)
            kept = self._first_kept(revision, oldest, monotonic)
            if kept > oldest:
                self._database.forget(kept)
            self._database.finish()
        except sqlite3.Error as error:
            return self._failed(error)
        except Exception as error:
            self._database.abandon()
            return Internal(f"cannot commit: {error!r}")
        self._revision = revision
        self._forgot(kept)
        if mark is not None:
            self._ages.left(mark)
        return None

    def _first_kept(self, revision: int, oldest: int, monotonic: float) -> int:
        """The first revision that the history keeps from now on; a long way is gone in steps. The newest stays."""
        keeping = self._keeping
        first = oldest
        if keeping.commits is not None and revision - oldest + 1 > keeping.commits + TRIM_STEP:
            first = revision - keeping.commits + 1
        if keeping.seconds is not None:
            first = max(first, self._ages.first_within(keeping.seconds, monotonic))
        return min(first, oldest + TRIM_LIMIT, max(revision, oldest))

    def _forgot(self, before: int) -> None:
        if before > self._oldest:
            self._oldest = before
            self._ages.forget(before)

    def _look(self) -> None:
        """Forget what has become too old while nobody writes."""
        while self._broken is None and self._queue.empty():
            kept = self._first_kept(self._revision, self._oldest, self._keeping.monotonic())
            if kept <= self._oldest:
                return
            request = Compaction(kept, None)
            self._compact(request)
            if request.error is not None:
                return
            self._tell(self._compacted, request)

    def _compact(self, request: Compaction) -> bool:
        """Do it, or a part of it; whether it is done, or has failed."""
        request.before = min(request.before, self._revision)
        if self._broken is not None:
            request.error = self._broken
            return True
        step = min(request.before, self._oldest + COMPACT_STEP)
        try:
            if step > self._oldest:
                self._database.begin()
                self._database.forget(step)
                self._database.finish()
                self._forgot(step)
            if step < request.before:
                return False
            if request.shrink:
                self._database.shrink()
        except sqlite3.Error as error:
            request.error = self._failed(error)
        return True

    def _failed(self, error: sqlite3.Error) -> Exhausted | Unavailable:
        """After disk full everything is as before; after any other error nobody knows what is on the disk, so no
        further commit is accepted until the file has been opened, and so checked, again."""
        known = translate(error, self._database.path)
        try:
            self._database.abandon()
        except sqlite3.Error as second:
            known = translate(second, self._database.path)
        if isinstance(known, Unavailable):
            self._broken = known
        return known
