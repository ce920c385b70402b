"""The store of several machines: etcd. What `commit` acknowledged is on the disks of most of etcd's members.

Reads come from a copy in memory (`mirror`). A fresh read first asks etcd for its newest revision, one question for all
who ask at the same time, and waits for the copy to have it. Each commit also writes the time under a key of the store's
own, so that a revision can be found by its time. The cluster's keys have etcd to themselves: several control planes may
stand on one etcd as one cluster, but nothing else should.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

from boxship.errors import BoxshipError, Exhausted, Invalid, Unavailable
from boxship.store import Change, Compacted, Entry, Operation, Snapshot
from boxship.store.etcd import messages
from boxship.store.etcd.connection import Connection, Gone, parse_endpoints
from boxship.store.etcd.keeping import Keeper
from boxship.store.etcd.mirror import OWN, Mirror, pages
from boxship.store.files import Files
from boxship.store.past import Past
from boxship.store.status import Status
from boxship.store.tree import LAST, decide, successor, validate

OPERATION_LIMIT = 127  # in one commit: etcd's default is 128, and one is ours
FIRST = 1  # etcd's revision before the first commit
SEEN_SECONDS = 1.0  # that a commit waits for its own copy to have it
CLOCK = f"{OWN}clock".encode()
RESTORING = f"{OWN}restoring"  # there while a restore is not finished
RANGE, TXN, COMPACT = "/etcdserverpb.KV/Range", "/etcdserverpb.KV/Txn", "/etcdserverpb.KV/Compact"


class EtcdStore:
    """Implements Store. Made by `open`; belongs to the loop that opened it."""

    def __init__(
        self, connection: Connection, mirror: Mirror, keeper: Keeper | None, wall: Callable[[], float]
    ) -> None:
        self._connection = connection
        self._mirror = mirror
        self._past = Past(mirror.tree, mirror.feed)
        self._wall = wall
        self._asking: asyncio.Task[int] | None = None
        self._asked_next: asyncio.Task[int] | None = None
        self._closed = False
        self.keeper = keeper
        self._tasks = [asyncio.create_task(mirror.follow())]
        if keeper is not None:
            self._tasks.append(asyncio.create_task(keeper.run()))

    @classmethod
    async def open(
        cls,
        endpoints: str,
        *,
        files: Files | None = None,
        history_seconds: float | None = None,
        unfinished: bool = False,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> "EtcdStore":
        """Connect to "http://HOST:PORT,…" and read everything. With `history_seconds` etcd's history is compacted by
        age (by one of those who have it open; without, somebody else has to). A store whose restore was not finished
        is refused, unless `unfinished`. Raises Unavailable, Invalid."""
        connection = Connection(parse_endpoints(endpoints), files or Files())
        mirror = Mirror(connection)
        try:
            await mirror.load()
            if RESTORING in mirror.own and not unfinished:
                raise Unavailable("cannot use etcd: a restore into it was not finished; restore again")
        except BaseException:
            await connection.close()
            raise
        keeper = Keeper(connection, mirror, history_seconds, monotonic) if history_seconds is not None else None
        return cls(connection, mirror, keeper, wall)

    @property
    def endpoint(self) -> str:
        """The one in use at the moment."""
        return self._connection.endpoint

    # Reading.

    async def get(self, key: str, *, fresh: bool = True) -> Entry | None:
        if fresh:
            await self._refresh()
        return self._mirror.tree.get(key)

    async def list(self, prefix: str, *, after: str = "", limit: int = 0, at: int = 0, fresh: bool = True) -> Snapshot:
        if at:
            return await self._list_at(prefix, after, limit, at)
        if fresh:
            await self._refresh()
        return self._mirror.tree.list(prefix, after, limit)

    async def pick(self, keys: Iterable[str], *, fresh: bool = True) -> Snapshot:
        if fresh:
            await self._refresh()
        return self._mirror.tree.pick(keys)

    async def _list_at(self, prefix: str, after: str, limit: int, at: int) -> Snapshot:
        mirror = self._mirror
        if at > mirror.tree.revision:
            await self._refresh()
        if at > mirror.tree.revision or mirror.feed.recalls(at):
            return await self._past.list(prefix, after, limit, at)
        if at < mirror.feed.oldest:
            raise _too_old(at, mirror.feed.oldest)
        entries: list[Entry] = []
        count = 0
        try:
            for start, end in _ranges(prefix, after):
                left = limit - len(entries) if limit else 0
                async for page in pages(self._connection, start, end, at, left, count_only=limit > 0 and not left):
                    count += page.count
                    entries += map(messages.entry_of, page.entries)
                    await asyncio.sleep(0)
        except Gone:
            raise _too_old(at, await mirror.oldest()) from None
        return Snapshot(at, tuple(entries), count - len(entries))

    def past(self, prefix: str, *, after: int, until: int) -> AsyncIterator[Change]:
        return self._changes(prefix, after, until)

    async def _changes(self, prefix: str, after: int, until: int) -> AsyncIterator[Change]:
        if until > self._mirror.tree.revision:
            await self._refresh()
        async for change in self._past.changes(prefix, max(after, FIRST), until):
            yield change

    async def revision(self) -> int:
        return await self._newest()

    async def revision_at(self, time: float) -> int:
        newest = await self._newest()
        oldest = await self._mirror.oldest()
        if await self._time_of(oldest) > time:
            if oldest > FIRST:
                raise Compacted(f"cannot look back to {time}: that history is gone", oldest)
            return FIRST
        # Where the clock jumped there may be several answers; each of them is one after which the time passed.
        while oldest < newest:
            middle = (oldest + newest + 1) // 2
            if await self._time_of(middle) <= time:
                oldest = middle
            else:
                newest = middle - 1
        return oldest

    async def time_at(self, revision: int) -> float:
        if revision > self._mirror.tree.revision:
            await self._refresh()
        self._mirror.feed.demand(revision)
        return await self._time_of(revision)

    async def _time_of(self, revision: int) -> float:
        """When the last commit up to the revision was made; 0 where none of ours was made yet."""
        request = messages.range_request(CLOCK, revision=revision)
        try:
            answer = await self._connection.ask(RANGE, request, messages.read_range, "read etcd")
        except Gone:
            raise _too_old(revision, await self._mirror.oldest()) from None
        with contextlib.suppress(ValueError):
            return float(answer.entries[0].value) if answer.entries else 0.0
        raise Unavailable(f"cannot read etcd: somebody has written {CLOCK.decode()}")

    # Writing.

    async def commit(self, *operations: Operation) -> int:
        validate(operations)
        _validate_further(operations)
        self._demand()
        clock = (CLOCK, b"%.6f" % self._wall())
        request = messages.commit_request(operations, (clock,))
        what = operations[0].key if len(operations) == 1 else f"{len(operations)} operations"
        try:
            answer = await self._connection.change(TXN, request, messages.read_transaction, f"commit {what}")
        except Gone as error:
            raise Unavailable(f"cannot commit {what}: {error}") from error
        if not answer.succeeded:
            there = {found.key.decode(): found.modified for found in answer.found}
            decide(operations, lambda key: there.get(key, 0))
            raise Unavailable(f"cannot commit {what}: etcd refused it without a reason")
        await self._see(answer.header.revision)
        return answer.header.revision

    async def _see(self, revision: int) -> None:
        """Give the copy a moment to have our own commit, so that who reads it without asking etcd finds that."""
        if self._mirror.away is None:
            try:
                await self._mirror.reached(revision, SEEN_SECONDS)
            except BoxshipError:
                return  # it is made all the same

    def watch(self, prefix: str, *, after: int) -> AsyncIterator[Change]:
        return self._mirror.feed.follow(prefix, max(after, FIRST))

    async def compact(self, before: int) -> None:
        oldest = min(before, await self._newest()) - 1
        if oldest <= max(self._mirror.feed.oldest, FIRST):
            return
        request = messages.compaction_request(oldest)
        with contextlib.suppress(Gone):  # it is, already
            await self._connection.change(COMPACT, request, bytes, "compact etcd's history")
        self._mirror.feed.forget(oldest + 1)

    async def restoring(self) -> bool:
        """Whether a restore into it was begun and not finished."""
        await self._refresh()
        return RESTORING in self._mirror.own

    async def mark_restoring(self, now: bool) -> None:
        """Begin or finish a restore: until it is finished nobody opens the store for anything else."""
        key = RESTORING.encode()
        changes = messages.exchange_request(b"", 0, [(key, b"1")] if now else [], [] if now else [key])
        await self._connection.change(TXN, changes, messages.read_transaction, "mark a restore in etcd")

    async def status(self) -> Status:
        await self._refresh()
        mirror = self._mirror
        entries, content = mirror.tree.size()
        members = await asyncio.gather(*(self._connection.member(index) for index in range(len(self._connection.urls))))
        oldest = await mirror.oldest()
        place = ",".join(self._connection.urls)
        return Status("etcd", place, mirror.tree.revision, oldest, entries, content, 0, tuple(members))

    async def shrink(self) -> None:
        for index in range(len(self._connection.urls)):
            await self._connection.defragment(index)

    async def close(self) -> None:
        """End the watch and all watchers. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        tasks = [*self._tasks, *(task for task in (self._asking, self._asked_next) if task is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._mirror.feed.close()
        await self._connection.close()

    # Freshness.

    async def _refresh(self) -> None:
        """Have everything that was acknowledged to anybody before now. Raises Unavailable."""
        await self._mirror.reached(await self._newest())

    async def _newest(self) -> int:
        """etcd's newest revision. An answer to a question that was put before we came may be too old; so who comes
        during one shares the next."""
        self._demand()
        if self._asked_next is None:
            self._asked_next = asyncio.create_task(self._ask(self._asking))
            self._asked_next.add_done_callback(_look)
        return await asyncio.shield(self._asked_next)

    async def _ask(self, before: "asyncio.Task[int] | None") -> int:
        if before is not None:
            await asyncio.wait([before])
        self._asking, self._asked_next = self._asked_next, None
        request = messages.range_request(CLOCK, count_only=True)
        try:
            answer = await self._connection.ask(RANGE, request, messages.read_range, "read etcd")
        finally:
            if self._asking is asyncio.current_task():
                self._asking = None
        return answer.header.revision

    def _demand(self) -> None:
        if self._closed:
            raise Unavailable("cannot use etcd: the store is closed")
        if self._mirror.broken is not None:
            raise self._mirror.broken


def _look(task: "asyncio.Task[int]") -> None:
    """Those who asked may all have left; the error is nobody's then."""
    if not task.cancelled():
        task.exception()


def _too_old(revision: int, oldest: int) -> Compacted:
    why = f"the oldest revision that can be asked for is {oldest}"
    return Compacted(f"cannot look back to revision {revision}: {why}", oldest)


def _ranges(prefix: str, after: str) -> Iterator[tuple[bytes, bytes]]:
    """From where to where etcd has the keys under `prefix` beyond `after`; the store's own are left out."""
    start = (after + "\0" if after >= prefix else prefix).encode() or messages.EVERY_KEY
    end = successor(prefix).encode() if prefix.strip(LAST) else messages.EVERY_KEY
    own, beyond = OWN.encode(), successor(OWN).encode()
    if start >= beyond or own >= end != messages.EVERY_KEY:
        yield start, end
        return
    if start < own:
        yield start, own
    if beyond < end or end == messages.EVERY_KEY:
        yield beyond, end


def _validate_further(operations: Sequence[Operation]) -> None:
    """Refuse what etcd cannot keep. Raises Invalid, Exhausted."""
    if len(operations) > OPERATION_LIMIT:
        count = f"{len(operations)} operations, at most {OPERATION_LIMIT} are allowed"
        raise Exhausted(f"cannot commit: {count} on etcd")
    for operation in operations:
        if operation.key.startswith(OWN):
            raise Invalid(f"cannot commit {operation.key}: keys below {OWN} are the store's own")
