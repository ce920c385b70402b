"""Follows services and their endpoints, and keeps the kernel's table after them: one transaction for all that changed
while the one before was under way.

Truth is in the caches; the table is told everything at the beginning of a life, so that what changed meanwhile is put
right. A frontend that two services claim is the first one's (by namespace and name) until it gives it up.
"""

import asyncio
import functools
import logging
from collections.abc import Iterable
from typing import Any

from boxship.cluster.proxy.choosing import Place
from boxship.cluster.proxy.facts import Key, SliceFacts, service_facts, slice_facts
from boxship.cluster.proxy.frontends import Decision, decide
from boxship.cluster.proxy.health import HealthServers
from boxship.cluster.proxy.led import Led, pods_led_to
from boxship.cluster.reconcile.cache import Cache, run_all
from boxship.cluster.reconcile.following import Source
from boxship.errors import BoxshipError
from boxship.network.cluster import ClusterNetwork
from boxship.network.services_rules import Frontend
from boxship.network.services_rules import Key as FrontendKey

log = logging.getLogger(__name__)

SLICE = 10  # services before others have their turn
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds
ZONE = "topology.kubernetes.io/zone"


class Claims:
    """Who has which frontend. The first by name has it, the others wait."""

    def __init__(self) -> None:
        self._wanted: dict[Key, dict[FrontendKey, Frontend]] = {}
        self._claimants: dict[FrontendKey, set[Key]] = {}

    def put(self, service: Key, frontends: Iterable[Frontend]) -> set[FrontendKey]:
        """What a service wants from now on; the frontends that this concerns."""
        before = self._wanted.pop(service, {})
        after = {item.key: item for item in frontends}
        for key in before.keys() - after.keys():
            self._claimants[key].discard(service)
            if not self._claimants[key]:
                del self._claimants[key]
        for key in after:
            self._claimants.setdefault(key, set()).add(service)
        if after:
            self._wanted[service] = after
        return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}

    def get(self, key: FrontendKey) -> Frontend | None:
        """What stands there."""
        claimants = self._claimants.get(key)
        return self._wanted[min(claimants)][key] if claimants else None

    async def all(self) -> list[Frontend]:
        """Others have their turn meanwhile; who puts something then has to ask again."""
        found = []
        for count, key in enumerate(list(self._claimants), 1):
            item = self.get(key)
            found += [item] if item is not None else []
            if count % (SLICE * SLICE) == 0:
                await asyncio.sleep(0)
        return found


class ServiceProxy:
    """Of one node. `led` is told of what has taken hold."""

    def __init__(self, client: Source, network: ClusterNetwork, node: str, led: Led | None = None) -> None:
        self._led = led or Led()
        self._leads: dict[Key, frozenset[str]] = {}  # as it was decided
        self._network = network
        self._node = node
        self._zone = ""
        self._services = Cache(client, "v1/services", keep=service_facts)
        kept = functools.partial(slice_facts, node=node)
        self._slices = Cache(client, "discovery.k8s.io/v1/endpointslices", keep=kept)
        self._self = Cache(client, "v1/nodes", keep=_zone, fields=f"metadata.name={node}")
        self._by_service: dict[Key, dict[Key, SliceFacts]] = {}
        self._claims = Claims()
        self._dirty: set[Key] = set()
        self._news = asyncio.Event()
        self._health = HealthServers()

    async def run(self) -> None:
        """Without end."""
        self._services.subscribe(self._service_told)
        self._slices.subscribe(self._slice_told)
        self._self.subscribe(self._node_told)
        try:
            async with asyncio.TaskGroup() as tasks:
                await run_all(tasks, (self._services, self._slices, self._self))
                await self._keep()
        finally:
            await self._health.close()

    async def _keep(self) -> None:
        """Everything once, then what changes; after a failure everything again."""
        pause = FIRST_PAUSE
        whole = True
        while True:
            try:
                changed, leads = await self._decide()
                if whole:
                    await self._network.services.replace(await self._claims.all())
                    self._led.told_all(self._leads)
                else:
                    found = {key: self._claims.get(key) for key in changed}
                    put = [item for item in found.values() if item is not None]
                    await self._network.services.change([key for key in found if found[key] is None], put)
                    self._led.told(leads)
                whole, pause = False, FIRST_PAUSE
            except BoxshipError as error:
                log.error("services are not as they should be: %s", error)
                whole = True
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            await self._news.wait()

    async def _decide(self) -> tuple[set[FrontendKey], dict[Key, frozenset[str]]]:
        """The frontends that what changed meanwhile concerns, and whom the services that did lead to."""
        self._news.clear()
        dirty, self._dirty = self._dirty, set()
        place = Place(self._node, self._zone, self._network.services.inside)
        changed: set[FrontendKey] = set()
        for count, key in enumerate(dirty, 1):
            service = self._services.get(key)
            slices = self._by_service.get(key, {})
            decision = decide(key, service, slices.values(), place) if service else Decision(())
            changed |= self._claims.put(key, decision.frontends)
            self._leads[key] = pods_led_to(slices.values()) if service else frozenset()
            if not self._leads[key]:
                del self._leads[key]
            await self._health.put(key, service.health_port if service else 0, decision.local)
            if count % SLICE == 0:
                await asyncio.sleep(0)
        return changed, {key: self._leads.get(key, frozenset()) for key in dirty}

    def _touch(self, key: Key) -> None:
        self._dirty.add(key)
        self._news.set()

    def _service_told(self, key: Key, old: Any, new: Any) -> None:
        if old != new:
            self._touch(key)

    def _slice_told(self, key: Key, old: Any, new: Any) -> None:
        if old == new:
            return
        if old is not None:
            self._by_service.get(old.service, {}).pop(key, None)
            if not self._by_service.get(old.service):
                self._by_service.pop(old.service, None)
            self._touch(old.service)
        if new is not None:
            self._by_service.setdefault(new.service, {})[key] = new
            self._touch(new.service)

    def _node_told(self, key: Key, old: Any, new: Any) -> None:
        if new is not None and new != self._zone:
            self._zone = new
            for service, _ in self._services.items():
                self._touch(service)


def _zone(node: Any) -> str:
    return str(node["metadata"].get("labels", {}).get(ZONE, ""))
