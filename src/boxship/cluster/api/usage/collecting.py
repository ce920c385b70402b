"""Asks the nodes' agents what is used: at once when somebody asks here, then about every ten seconds for as long as
somebody does. While nobody asks, nothing happens.

One node that does not answer is left out, and keeps nobody waiting for longer than its time.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from boxship.cluster.api.admission import Lookup
from boxship.cluster.api.connecting.places import Place, agent_of
from boxship.cluster.api.usage.samples import Sample, read_sample
from boxship.cluster.objects.failure import Failure
from boxship.errors import BoxshipError

log = logging.getLogger("boxship-control")

EVERY_SECONDS = 10.0
FRESH_SECONDS = 2.0  # an answer is not older
ASKED_SECONDS = 60.0  # so long after the last question it goes on
ANSWER_SECONDS = 5.0  # of one node
FIRST_PAUSE_SECONDS = 1.0  # between the first two looks
AT_ONCE = 50  # nodes
KEPT = 8  # looks
WINDOW_SECONDS = 10.0  # we like windows of at least so long
PATH = "/metrics/resource"

Fetch = Callable[[Place], Awaitable[str]]


class Look(msgspec.Struct, frozen=True):
    """All nodes' samples, taken at about the same time (of the monotonic clock)."""

    at: float
    nodes: Mapping[str, Sample]


class Collector:
    """Keep `run` running. `fetch` raises BoxshipError where a node does not answer."""

    def __init__(self, lookup: Lookup, fetch: Fetch) -> None:
        self._lookup = lookup
        self._fetch = fetch
        self._looks: deque[Look] = deque(maxlen=KEPT)
        self._asked = asyncio.Event()
        self._asked_at = 0.0
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Without end."""
        while True:
            await self._asked.wait()
            while time.monotonic() - self._asked_at < ASKED_SECONDS:
                await asyncio.sleep(EVERY_SECONDS)
                async with self._lock:
                    if not self._is_fresh(EVERY_SECONDS / 2):
                        await self._look()
            self._asked.clear()

    async def now(self) -> tuple[Look, list[Look]]:
        """The newest look, and earlier ones, those first that make a good window."""
        self._asked_at = time.monotonic()
        self._asked.set()
        async with self._lock:
            if not self._is_fresh(FRESH_SECONDS):
                await self._look()
            newest = self._looks[-1]
            if not [each for each in self._looks if newest.at - each.at <= ASKED_SECONDS * 2][:-1]:
                self._looks.clear()
                self._looks.append(newest)
                await asyncio.sleep(FIRST_PAUSE_SECONDS)
                await self._look()
        newest = self._looks[-1]
        olders = [each for each in self._looks if each is not newest]
        long_enough = [each for each in reversed(olders) if newest.at - each.at >= WINDOW_SECONDS]
        return newest, [*long_enough, *(each for each in olders if each not in long_enough)]

    def _is_fresh(self, seconds: float) -> bool:
        return bool(self._looks) and time.monotonic() - self._looks[-1].at < seconds

    async def _look(self) -> None:
        slots = asyncio.Semaphore(AT_ONCE)
        began = time.monotonic()

        async def one(name: str, place: Place) -> tuple[str, Sample | None]:
            async with slots:
                try:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        return name, read_sample(await self._fetch(place), time.time_ns())
                except (BoxshipError, TimeoutError) as error:
                    log.debug("node %s does not tell what it uses: %s", name, error)
                    return name, None

        asking = []
        for node in await self._lookup.list("v1/nodes"):
            name = node["metadata"]["name"]
            try:
                host, port = agent_of(node)
            except Failure:
                continue
            asking.append(one(name, Place(host, port, PATH, secure=True, node=name)))
        found = {name: sample for name, sample in await asyncio.gather(*asking) if sample is not None}
        self._looks.append(Look(began, found))
