"""The cluster's nameserver of one node: its names follow the API, its sockets answer."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from boxship.cluster.dns import facts
from boxship.cluster.dns.answering import Answerer, Neighbours, Upstream
from boxship.cluster.dns.facts import packed_address
from boxship.cluster.dns.zone import Zone
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.following import Source
from boxship.transport.name_server import NameServer
from boxship.transport.nameservers import Upstream as Nameservers

log = logging.getLogger(__name__)

DOMAIN = "cluster.local"
FIRST_ANSWER_SECONDS = 4.0  # that a question waits for the names to be known, after a start; clients wait for 5


class ClusterDns:
    """`places` are the addresses and ports to answer on; they need not be there yet. `nameservers` are those of the
    host, asked for at each question that is passed on."""

    def __init__(
        self,
        client: Source,
        nameservers: Callable[[], Sequence[str]],
        places: Sequence[tuple[str, int]] = (),
        *,
        domain: str = DOMAIN,
        neighbours: Neighbours | None = None,
        upstream: Upstream | None = None,
    ) -> None:
        own = [address for address, _ in places]
        self.zone = Zone(domain, [packed_address(address) for address in own])
        self._answerer = Answerer(self.zone, upstream or Nameservers(), nameservers, own, neighbours)
        self._services = Cache(client, "v1/services", keep=facts.service_of)
        self._slices = Cache(client, "discovery.k8s.io/v1/endpointslices", keep=facts.slice_of)
        self._namespaces = Cache(client, "v1/namespaces", keep=facts.is_there)
        self._services.subscribe(self._follow(self.zone.service_changed))
        self._slices.subscribe(self._follow(self.zone.slice_changed))
        self._namespaces.subscribe(self._follow(self.zone.namespace_changed))
        self._server = NameServer(self, places)

    async def run(self) -> None:
        """Answer without end."""
        async with asyncio.TaskGroup() as tasks:
            for cache in self._caches:
                tasks.create_task(cache.run())
            tasks.create_task(self._server.run())

    async def ready(self) -> None:
        """All names are known."""
        for cache in self._caches:
            await cache.ready()

    def owns(self, name: str) -> bool:
        """Whether a name is the cluster's to answer."""
        return self.zone.owns(tuple(name.split(".")))

    def at_once(self, data: bytes, *, stream: bool = False) -> bytes | None:
        """The answer where it needs nobody else; None: ask `answer`."""
        if not self._is_ready:
            return None
        found = self._answerer.at_once(data, stream=stream)
        return found if isinstance(found, bytes) else None

    async def answer(self, data: bytes, asker: str = "", *, stream: bool = False) -> bytes | None:
        """None: there is nothing to say to that."""
        failure = None if self._is_ready else self._answerer.failure(data)
        if failure is not None:
            try:
                async with asyncio.timeout(FIRST_ANSWER_SECONDS):
                    await self.ready()
            except TimeoutError:
                log.debug("a question of %s comes before the names are known", asker)
                return failure
        found = self._answerer.at_once(data, stream=stream)
        if found is None or isinstance(found, bytes):
            return found
        return await self._answerer.passed_on(found, data, stream=stream)

    @property
    def _caches(self) -> tuple[Cache, ...]:
        return self._services, self._slices, self._namespaces

    @property
    def _is_ready(self) -> bool:
        return all(cache.is_ready for cache in self._caches)

    def _follow(self, told: Callable[[Key, Any, Any], None]) -> Callable[[Key, Any, Any], None]:
        def changed(key: Key, old: Any, new: Any) -> None:
            if old != new:
                told(key, old, new)
                self._answerer.forget()

        return changed
