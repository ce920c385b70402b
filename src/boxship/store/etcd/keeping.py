"""etcd's history by age: one mark now and then under a key of the store's own, and a compaction of what is too old.

As in `ages`, time counts only while somebody has the store open, by a clock that does not jump. Of several who have it
open, whoever writes the next mark first counts for all; the others see it come.
"""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from boxship.errors import BoxshipError
from boxship.store.etcd import messages
from boxship.store.etcd.connection import Connection, Gone
from boxship.store.etcd.mirror import OWN, Mirror

STEPS = 48  # marks within the time that history is kept
SHORTEST, LONGEST = 0.2, 1800.0  # seconds between two marks
MARKS = f"{OWN}marks/"
NEWEST = f"{OWN}mark"


class Mark(msgspec.Struct, frozen=True):
    """At `revision` the store had been open for `ran` seconds."""

    revision: int
    ran: float


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Mark).decode


class Keeper:
    """Runs beside the Mirror, whose copy of the marks it reads."""

    def __init__(self, connection: Connection, mirror: Mirror, seconds: float, monotonic: Callable[[], float]) -> None:
        self._connection = connection
        self._mirror = mirror
        self._seconds = seconds
        self._monotonic = monotonic
        self._step = min(max(seconds / STEPS, SHORTEST), LONGEST)
        self._known = 0  # the revision of the newest mark that we have seen,
        self._since = monotonic()  # and when we saw it

    async def run(self) -> None:
        """Until cancelled. What etcd refuses now is tried again later."""
        while True:
            with contextlib.suppress(BoxshipError, Gone):
                await self.step()
            await asyncio.sleep(self._step / 4)

    async def step(self) -> None:
        """Leave a mark and forget what is too old, where it is time. Raises BoxshipError, Gone."""
        found = self._mirror.own.get(NEWEST)
        if found is not None and found.modified != self._known:
            self._known, self._since = found.modified, self._monotonic()  # somebody's, perhaps our own
            return
        now = self._monotonic()
        passed = now - self._since
        if found is not None and passed < self._step:
            return
        # What passed since the newest mark of before our time is not known, and is not counted.
        ran = (_decode(found.value).ran if found is not None else 0.0) + passed
        await self._mark(found, ran, now)

    async def _mark(self, found: messages.KeyValue | None, ran: float, now: float) -> None:
        mark = _encode(Mark(self._mirror.tree.revision, ran))
        marks = sorted(
            ((_decode(kept.value), key) for key, kept in self._mirror.own.items() if key.startswith(MARKS)),
            key=lambda pair: pair[0].revision,
        )
        old = [pair for pair in marks if pair[0].ran <= ran - self._seconds]
        puts = [(NEWEST.encode(), mark), (f"{MARKS}{self._mirror.tree.revision:020}".encode(), mark)]
        gone = [key.encode() for _, key in old[:100]]
        request = messages.exchange_request(NEWEST.encode(), found.modified if found else 0, puts, gone)
        answer = await self._connection.change(
            "/etcdserverpb.KV/Txn", request, messages.read_transaction, "mark the time in etcd"
        )
        if answer.succeeded:
            self._known, self._since = answer.header.revision, now
            if old:
                await self._forget(old[-1][0].revision)

    async def _forget(self, oldest: int) -> None:
        """The first revision that is kept is `oldest`."""
        request = messages.compaction_request(oldest)
        try:
            await self._connection.change("/etcdserverpb.KV/Compact", request, bytes, "compact etcd's history")
        except Gone:
            return
        self._mirror.feed.forget(oldest + 1)
