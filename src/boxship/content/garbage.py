"""Decides what lives: a blob or an unpacked layer that somebody claims or leases stays, the rest goes.

A claim is one use by a durable record: an image's, a repository's, a cached step's. Claims are counted in memory and
counted again at each start from the records themselves, so they cannot drift. A lease keeps what is being made
until a record claims it. What loses its last claim is queued, and one task removes it in small steps: nobody has to
stop for it, and space is free within moments. A key is a blob's digest, or `layer_key` of an unpacked layer.
"""

import asyncio
import copy
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from boxship.content.blobs import Content
from boxship.errors import BoxshipError

LAYER = "layer "
STEP = 64  # things removed at once
EXPIRY_SECONDS = 3600.0  # between two looks for what was begun and never finished

log = logging.getLogger(__name__)


def layer_key(chain_id: str) -> str:
    """The key of an unpacked layer."""
    return LAYER + chain_id


class LayerShelf(Protocol):
    """Where unpacked layers lie."""

    def layers(self) -> list[str]: ...

    async def remove_layer(self, chain_id: str) -> None: ...


class Lease:
    """What one operation keeps alive, by key."""

    def __init__(self, garbage: "Garbage") -> None:
        self._garbage = garbage
        self.keys: list[str] = []

    async def add(self, key: str) -> None:
        """Keep one more; waits for a removal of it that has begun, so look whether it is there only afterwards."""
        await self._garbage.removed(key)
        self._garbage.leases[key] += 1
        self.keys.append(key)


class Garbage:
    """Claims, leases and the queue of what may go. Belongs to the loop."""

    def __init__(self, content: Content, layers: LayerShelf) -> None:
        self._content = content
        self._layers = layers
        self.claims: Counter[str] = Counter()
        self.owners: dict[str, Counter[str]] = {}  # the claims of those that have a name
        self._own: Counter[str] = Counter()
        self.leases: Counter[str] = Counter()
        self._queue: deque[str] = deque()
        self._queued: set[str] = set()
        self._offered: dict[str, asyncio.Future[None]] = {}  # from the queue to the end of the removal
        self._removing: dict[str, asyncio.Future[None]] = {}
        self._departures: list[asyncio.Queue[str]] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def owned(self, name: str) -> "Garbage":
        """The same for one owner, whose claims are also known by its name: disk usage is explained by them."""
        view = copy.copy(self)  # all that it holds is shared
        view._own = self.owners.setdefault(name, Counter())
        return view

    def claim(self, keys: Iterable[str]) -> None:
        """Count one use of each; called in the same step of the loop in which their record shows, under a lease."""
        for key in keys:
            self.claims[key] += 1
            self._own[key] += 1

    def release(self, keys: Iterable[str]) -> None:
        """Take the uses back, after the record is gone; what nobody uses any more is queued."""
        for key in keys:
            count = self.claims[key] - 1
            assert count >= 0, key
            self._own[key] -= 1
            if self._own[key] <= 0:
                del self._own[key]
            if count:
                self.claims[key] = count
            else:
                del self.claims[key]
                self._offer(key)

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Lease]:
        """Keeps what is added until the end; what no record claims then is queued."""
        lease = Lease(self)
        try:
            yield lease
        finally:
            for key in reversed(lease.keys):  # a layer goes before the one that it stands on
                self.leases[key] -= 1
                if not self.leases[key]:
                    del self.leases[key]
                    self._offer(key)

    def is_going(self, key: str) -> bool:
        """Whether it waits to be removed, or is being removed."""
        return key in self._offered

    @property
    def waiting(self) -> int:
        """How many things wait to be removed."""
        return len(self._queue)

    async def removed(self, key: str) -> None:
        """Returns once no removal of the key is under way."""
        while (removing := self._removing.get(key)) is not None:
            await asyncio.shield(removing)

    def departures(self) -> asyncio.Queue[str]:
        """A queue that gets every key once it is removed: for records about things that are not theirs to keep."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._departures.append(queue)
        return queue

    async def sweep(self) -> None:
        """At start, after every owner has claimed what its records name: queue the rest."""
        for digest in await self._content.list():
            self._offer(digest)
        for chain_id in self._layers.layers():
            self._offer(layer_key(chain_id))

    async def settle(self, keys: Iterable[str] | None = None) -> None:
        """Returns once the queue is empty: everything that was without use is gone. With `keys`, once this is so of
        each of them, whatever others add meanwhile. Needs `run`."""
        if keys is None:
            await self._idle.wait()
            return
        for key in keys:
            while (offered := self._offered.get(key)) is not None:
                await asyncio.shield(offered)

    async def run(self) -> None:
        """The collector; one task for as long as the daemon lives, begun after `sweep`: before it some owners may not
        have claimed yet. A failure is logged, and the thing left for the next start."""
        while True:
            await self._wake.wait()
            while self._queue:
                keys = [self._queue.popleft() for _ in range(min(len(self._queue), STEP))]
                self._queued.difference_update(keys)
                await self._remove([key for key in keys if self._is_free(key)])
                for key in keys:
                    if key not in self._queued:  # else it was used and let go meanwhile
                        self._offered.pop(key).set_result(None)
            self._wake.clear()
            self._idle.set()

    async def expire(self) -> None:
        """Remove what was begun under a name and not continued, once an hour; one task for as long as the daemon
        lives."""
        while True:
            await asyncio.sleep(EXPIRY_SECONDS)
            await self._content.drop_old_partials()

    def _offer(self, key: str) -> None:
        if self._is_free(key) and key not in self._queued:
            self._queue.append(key)
            self._queued.add(key)
            if key not in self._offered:
                self._offered[key] = asyncio.get_running_loop().create_future()
            self._idle.clear()
            self._wake.set()

    def _is_free(self, key: str) -> bool:
        return not self.claims.get(key) and not self.leases.get(key)

    async def _remove(self, keys: Sequence[str]) -> None:
        """Remove what nobody uses. Whoever wants one of them meanwhile waits until that is over."""
        done = asyncio.get_running_loop().create_future()
        self._removing.update(dict.fromkeys(keys, done))
        try:
            chains = [key.removeprefix(LAYER) for key in keys if key.startswith(LAYER)]
            for chain_id in chains:
                await self._try(chain_id, self._layers.remove_layer(chain_id))
            blobs = [key for key in keys if not key.startswith(LAYER)]
            if blobs:
                await self._try(blobs[0], self._content.delete(*blobs))
        finally:
            for key in keys:
                del self._removing[key]
                for queue in self._departures:
                    queue.put_nowait(key)
            done.set_result(None)

    @staticmethod
    async def _try(what: str, removal: Awaitable[None]) -> None:
        try:
            await removal
        except (BoxshipError, OSError) as error:
            log.error("cannot remove %s: %s", what, error)
        except Exception:  # the border of a task: a mistake here must not end all collection
            log.exception("cannot remove %s", what)
