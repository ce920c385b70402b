"""What happened, in order: kept in the store with the change it speaks of, and handed to everyone who listens.

An event that belongs to a stored change is written in the same commit, so after a crash there is neither a change
without its event nor an event without its change. The journal is a ring: it never grows beyond `JOURNAL_LIMIT`.
"""

import asyncio
import collections
from collections.abc import AsyncIterator, Iterable

import msgspec

from boxship.engine.clock import Clock
from boxship.engine.model import Event
from boxship.errors import Exhausted
from boxship.store import Delete, Operation, Put, Store

JOURNAL_LIMIT = 1024  # events kept
LISTENER_LIMIT = 8192  # events that one slow listener may lag behind
PREFIX = "events/"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


class Events:
    """The journal and its listeners."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._journal: collections.deque[tuple[str, Event]] = collections.deque()
        self._sequence = 0
        self._listeners: set[asyncio.Queue[Event | None]] = set()
        self._pending: set[asyncio.Task[None]] = set()
        self._expired: list[str] = []  # keys that left the ring; the next commit deletes them

    async def load(self) -> None:
        """Read the journal that an earlier run of the daemon left."""
        for entry in (await self._store.list(PREFIX)).entries:
            self._journal.append((entry.key, _decode(entry.value)))
            self._sequence = int(entry.key.removeprefix(PREFIX))

    def make(self, kind: str, action: str, actor: str, attributes: dict[str, str]) -> Event:
        """An event of this moment, not yet published."""
        return Event(kind=kind, action=action, actor=actor, attributes=attributes, time=self._clock.now())

    async def commit(self, *operations: Operation, events: Iterable[Event] = ()) -> None:
        """Store a change and what happened in one commit; listeners hear of it when it is durable."""
        entries = []
        for event in events:
            self._sequence += 1
            entries.append((f"{PREFIX}{self._sequence:016d}", event))
        expired, self._expired = self._expired, []
        await self._store.commit(
            *operations, *(Put(key, _encode(event)) for key, event in entries), *(Delete(key) for key in expired)
        )
        for key, event in entries:
            self._journal.append((key, event))
            self._tell(event)
        while len(self._journal) > JOURNAL_LIMIT:
            self._expired.append(self._journal.popleft()[0])

    def drop(self, key: str) -> None:
        """Delete a key of another part along with the next commit: for leftovers that nobody waits for."""
        self._expired.append(key)

    def publish(self, *events: Event) -> None:
        """Write to the store soon and tell the listeners then: for news that no stored change carries."""
        task = asyncio.ensure_future(self.commit(events=events))
        self._pending.add(task)
        task.add_done_callback(self._written)

    async def close(self) -> None:
        """Let what was published reach the store; end the listeners."""
        for queue in self._listeners:
            queue.put_nowait(None)
        await asyncio.gather(*self._pending, return_exceptions=True)

    def subscribe(self, *, since: int = 0, until: int = 0) -> AsyncIterator[Event]:
        """Events from `since` (0: from now on) to `until` (0: without end), times in nanoseconds since the epoch.

        Listening begins with this call, not with the first item taken.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        past = [event for _, event in self._journal if since and event.time >= since]
        self._listeners.add(queue)
        return self._follow(queue, past, until)

    async def _follow(self, queue: asyncio.Queue[Event | None], past: list[Event], until: int) -> AsyncIterator[Event]:
        try:
            for event in past:
                if until and event.time > until:
                    return
                yield event
            if past or until:  # what has happened already, but is still on its way into the journal
                await asyncio.gather(*self._pending, return_exceptions=True)
            while True:
                remaining = (until - self._clock.now()) / 1e9 if until else None
                if remaining is not None and remaining <= 0 and queue.empty():
                    return
                try:
                    event_or_end = await asyncio.wait_for(queue.get(), remaining)
                except TimeoutError:
                    return
                if event_or_end is None or (until and event_or_end.time > until):
                    return
                if queue.qsize() >= LISTENER_LIMIT:
                    raise Exhausted(f"cannot send events: the listener is more than {LISTENER_LIMIT} events behind")
                yield event_or_end
        finally:
            self._listeners.discard(queue)

    def _tell(self, event: Event) -> None:
        for queue in self._listeners:
            if queue.qsize() <= LISTENER_LIMIT:
                queue.put_nowait(event)

    def _written(self, task: "asyncio.Task[None]") -> None:
        self._pending.discard(task)
        if not task.cancelled():
            task.exception()  # a full disk loses history only; the change itself reports the error to its caller
