"""What etcd holds, followed by one watch of every key: so reads cost nobody a question, and one watch serves thousands.

Every revision of etcd has at least one event, so the copy knows at any moment up to which revision it is whole; etcd's
own progress answers, which older releases send too early, are not needed. While etcd is away the copy stays as it
is; afterwards the watch goes on where it ended. Where that is compacted meanwhile, everything is read anew, and those
who watched are told that history is gone. A key that is no text is nobody's and is not seen.
"""

import asyncio
import contextlib
import heapq
import logging
from collections.abc import AsyncIterator

import msgspec

from boxship.errors import BoxshipError, Unavailable
from boxship.store import Change, Compacted, Entry
from boxship.store.etcd import messages
from boxship.store.etcd.connection import Connection, Gone
from boxship.store.feed import Commit, Feed
from boxship.store.tree import Tree

OWN = "/boxship/store/"  # keys below are the store's own, and not shown
FOREIGN = b"k8s\0"  # how the original's values begin
RECENT_LIMIT = 1024  # commits kept in memory for watchers
OLDER_LIMIT = 1000  # commits read from etcd's history at once; etcd sends as many at once
PAGE = 250  # entries in one answer
FOLLOW_SECONDS = 5.0  # within which what etcd has must have come to us
FIRST_PAUSE, LAST_PAUSE = 0.05, 1.0  # seconds between two attempts

log = logging.getLogger(__name__)

Pairs = list[tuple[str, bytes | None]]


class Mirror:
    """A Tree and a Feed of what etcd holds. `load`, then `follow` for as long as it is needed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.tree = Tree()
        self.own: dict[str, messages.KeyValue] = {}  # the store's own keys
        self.feed = Feed(0, 0, RECENT_LIMIT, self._older, OLDER_LIMIT)
        self.away: BoxshipError | None = None  # why the watch does not run at the moment
        self.broken: Unavailable | None = None  # why it never will again
        self._cluster = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._turn = 0

    # Loading.

    async def load(self) -> None:
        """Read everything, at one revision. Raises Unavailable."""
        entries: list[Entry] = []
        own: dict[str, messages.KeyValue] = {}
        header = await self._newest()
        try:
            async for page in pages(self._connection, messages.EVERY_KEY, messages.EVERY_KEY, header.revision):
                for found in page.entries:
                    key = text_of(found.key)
                    if key is not None and key.startswith(OWN):
                        own[key] = found
                    elif key is not None:
                        if found.value.startswith(FOREIGN):
                            raise Unavailable(
                                f"cannot use etcd: {key} is of another Kubernetes; take an etcd of its own"
                            )
                        entries.append(Entry(key, found.value, found.created, found.modified))
        except Gone as error:
            raise Unavailable(f"cannot read etcd: {error}") from error
        self._cluster = header.cluster
        self.own = own
        self.tree.replace(entries, header.revision)
        self.feed.reset(header.revision, 0)
        self._wake()

    async def _newest(self) -> messages.Header:
        """What etcd says of itself. Raises Unavailable."""
        request = messages.range_request(OWN.encode(), count_only=True)
        answer = await self._connection.ask("/etcdserverpb.KV/Range", request, messages.read_range, "read etcd")
        return answer.header

    # Following.

    async def follow(self) -> None:
        """Keep the copy as etcd is, until cancelled; ends where etcd's content is no longer what it was."""
        pause = FIRST_PAUSE
        while self.broken is None:
            before = self.tree.revision
            try:
                await self._check()
                await self._receive()
            except BoxshipError as error:
                if self.away is None:
                    log.warning("etcd at %s is away: %s", self._connection.endpoint, error)
                self.away = error
            pause = FIRST_PAUSE if self.tree.revision > before else min(pause * 2, LAST_PAUSE)
            if self.broken is None:
                await asyncio.sleep(pause)
        self._wake()

    async def _check(self) -> None:
        """Raises Unavailable for good where this is not the etcd, or not the content, that we knew."""
        header = await self._newest()
        if header.cluster != self._cluster or header.revision < self.tree.revision:
            why = "it is at an older revision" if header.cluster == self._cluster else "it is another cluster"
            self.broken = Unavailable(f"cannot go on with etcd: its content was replaced ({why}); start again")
            log.error("%s", self.broken)
            self.feed.close(self.broken)
            raise self.broken

    async def _receive(self) -> None:
        """One watch, until it ends. It begins with the revision that we have: after a compaction at the next one, etcd
        would send that without what it deleted. Raises Unavailable."""
        request = messages.watch_request(self.tree.revision)
        async with self._connection.stream("/etcdserverpb.Watch/Watch", request) as answers:
            gathered: list[messages.Event] = []
            async for watched in _until_created(answers):
                if watched.compacted:
                    await self._reload(watched.compacted)
                    return
                if watched.canceled:
                    raise Unavailable(f"cannot watch etcd: {watched.reason or 'it ended the watch'}")
                if self.away is not None:
                    log.warning("etcd is back, at %s", self._connection.endpoint)
                    self.away = None
                gathered += watched.events
                if not watched.fragment:
                    self._take(gathered)
                    gathered = []
        raise Unavailable("cannot watch etcd: it ended the watch")

    async def _reload(self, compacted: int) -> None:
        """The history between us and now is gone."""
        log.warning("etcd's history after revision %d is gone: reading everything anew", self.tree.revision)
        await self.load()
        self.feed.reset(self.tree.revision, compacted)

    def _take(self, events: list[messages.Event]) -> None:
        """Show whole commits to readers and watchers, in order."""
        for revision, changes, own in _commits(events):
            if revision <= self.tree.revision:
                continue
            for key, found in own:
                if found is None:
                    self.own.pop(key, None)
                else:
                    self.own[key] = found
            self.feed.publish(Commit(revision, self.tree.apply(revision, changes)))
        self._wake()

    # Waiting.

    async def reached(self, revision: int, seconds: float = FOLLOW_SECONDS) -> None:
        """Wait until the copy has the revision. Raises Unavailable where it does not come."""
        if self.tree.revision >= revision:
            return
        if self.broken is not None:
            raise self.broken
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turn += 1
        heapq.heappush(self._waiting, (revision, self._turn, future))
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            why = self.away or "its changes do not arrive"
            raise Unavailable(f"cannot read what etcd has at revision {revision}: {why}") from None

    def _wake(self) -> None:
        waiting = self._waiting
        while waiting and (waiting[0][0] <= self.tree.revision or self.broken is not None or waiting[0][2].done()):
            _, _, future = heapq.heappop(waiting)
            if not future.done():
                if self.broken is not None:
                    future.set_exception(self.broken)
                else:
                    future.set_result(None)

    # History.

    async def oldest(self) -> int:
        """The oldest revision that etcd can still be asked for; 1 where nothing was compacted yet."""
        request = messages.range_request(OWN.encode(), revision=1)
        try:
            await self._connection.ask("/etcdserverpb.KV/Range", request, messages.read_range, "read etcd")
        except Gone:
            async with self._connection.stream("/etcdserverpb.Watch/Watch", messages.watch_request(1)) as answers:
                async for watched in _until_created(answers):
                    if watched.compacted:
                        return watched.compacted
            raise Unavailable("cannot watch etcd: it ended the watch") from None
        return 1

    async def _older(self, after: int, limit: int) -> list[Commit]:
        """Commits from etcd's history, by a watch that begins in the past."""
        until = min(after + limit, self.tree.revision)
        commits: list[Commit] = []
        gathered: list[messages.Event] = []
        request = messages.watch_request(after, previous=True)
        async with self._connection.stream("/etcdserverpb.Watch/Watch", request) as answers:
            async for watched in _until_created(answers):
                if watched.compacted:
                    self.feed.forget(watched.compacted + 1)
                    raise Compacted(
                        f"cannot look back to revision {after}: the oldest revision that can be asked for is "
                        f"{watched.compacted}",
                        watched.compacted,
                    )
                gathered += watched.events
                if watched.fragment:
                    continue
                commits += _past_commits(gathered)
                gathered = []
                if commits and commits[-1].revision >= until:
                    return [commit for commit in commits if after < commit.revision <= until]
        raise Unavailable("cannot watch etcd: it ended the watch")


async def pages(
    connection: Connection, start: bytes, end: bytes, revision: int, limit: int = 0, *, count_only: bool = False
) -> AsyncIterator[messages.Range]:
    """A range at one revision, in answers that don't keep the loop; at most `limit` entries (0: all). The first answer
    has the count of all, the others 0. Raises Gone."""
    left, first = limit, True
    while True:
        size = min(left, PAGE) if limit else PAGE
        request = messages.range_request(start, end, limit=size, revision=revision, count_only=count_only)
        page = await connection.ask("/etcdserverpb.KV/Range", request, messages.read_range, "read etcd")
        yield page if first else msgspec.structs.replace(page, count=0)
        left -= len(page.entries)
        if not page.more or not page.entries or (limit and left <= 0):
            return
        start, first = page.entries[-1].key + b"\0", False


def text_of(key: bytes) -> str | None:
    with contextlib.suppress(UnicodeDecodeError):
        return key.decode()
    return None


async def _until_created(answers: AsyncIterator[bytes]) -> AsyncIterator[messages.Watched]:
    """The answers of a watch, the first of which must come soon. Raises Unavailable."""
    try:
        async with asyncio.timeout(FOLLOW_SECONDS):
            first = await anext(answers)
        yield messages.read_watched(first)
        async for answer in answers:
            yield messages.read_watched(answer)
    except TimeoutError:
        raise Unavailable("cannot watch etcd: it does not answer") from None
    except StopAsyncIteration:
        raise Unavailable("cannot watch etcd: it ended the watch") from None
    except ValueError as error:
        raise Unavailable(f"cannot watch etcd: its answer makes no sense: {error}") from error


Own = list[tuple[str, messages.KeyValue | None]]


def _commits(events: list[messages.Event]) -> list[tuple[int, Pairs, Own]]:
    """The events of whole revisions as commits: of what is shown, and of the store's own keys."""
    found: list[tuple[int, Pairs, Own]] = []
    for event in events:
        now = event.now
        if not found or found[-1][0] != now.modified:
            found.append((now.modified, [], []))
        key = text_of(now.key)
        if key is None:
            continue
        if key.startswith(OWN):
            found[-1][2].append((key, None if event.deleted else now))
        else:
            found[-1][1].append((key, None if event.deleted else now.value))
    return found


def _past_commits(events: list[messages.Event]) -> list[Commit]:
    """The same of history, where what was before comes from etcd."""
    commits: list[Commit] = []
    changes: dict[int, list[Change]] = {}
    whole: dict[int, bool] = {}
    for event in events:
        now, before = event.now, event.before
        made = changes.setdefault(now.modified, [])
        key = text_of(now.key)
        if key is None or key.startswith(OWN):
            continue
        # etcd leaves out what was before where it has compacted that meanwhile.
        whole[now.modified] = whole.get(now.modified, True) and (before is not None or now.version == 1)
        previous = Entry(key, before.value, before.created, before.modified) if before else None
        made.append(Change(now.modified, key, None if event.deleted else now.value, previous))
    commits += (Commit(revision, tuple(made), whole.get(revision, True)) for revision, made in changes.items())
    return commits
