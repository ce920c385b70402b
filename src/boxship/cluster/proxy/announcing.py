"""Which node answers for a load balancer's address that lies in the nodes' own segment: one of the ready ones, chosen
by all of them alike, and the next one when it is gone. Without such addresses nothing but services is followed."""

import asyncio
import logging
from collections import Counter
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.proxy.electing import Balanced, Candidate, Elections
from boxship.cluster.proxy.facts import Key, is_ipv4, service_facts, slice_facts
from boxship.cluster.reconcile.cache import Cache, run_all
from boxship.cluster.reconcile.following import Source
from boxship.errors import BoxshipError
from boxship.network.cluster import ClusterNetwork

log = logging.getLogger(__name__)

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
OUR_CLASSES = ("", "boxship.io/pool")
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds
SLICE = 100  # looks at a node before others have their turn


def candidate(node: Object) -> Candidate:
    status = node.get("status") or {}
    addresses = [item["address"] for item in status.get("addresses") or () if item.get("type") == "InternalIP"]
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions") or ())
    excluded = EXCLUDED in (node["metadata"].get("labels") or {})
    return Candidate(next((address for address in addresses if is_ipv4(address)), ""), ready and not excluded)


def balanced(service: Object) -> Balanced | None:
    if service.get("spec", {}).get("loadBalancerClass", "") not in OUR_CLASSES:
        return None
    facts = service_facts(service)
    return Balanced(facts.balanced, facts.external_local) if facts and facts.balanced else None


def ready_on(item: Object) -> tuple[Key, Counter[str]] | None:
    """What is kept of an EndpointSlice: its service, and how many of its ready endpoints each node has."""
    found = slice_facts(item)
    if found is None:
        return None
    return found.service, Counter(endpoint.node for endpoint in found.endpoints if endpoint.ready)


class Announcer:
    """Of one node."""

    def __init__(self, client: Source, network: ClusterNetwork, node: str) -> None:
        self._network = network
        self._node = node
        self._services = Cache(client, "v1/services", keep=balanced)
        self._nodes = Cache(client, "v1/nodes", keep=candidate)
        self._slices = Cache(client, "discovery.k8s.io/v1/endpointslices", keep=ready_on)
        self._elections = Elections(node)
        self._news = asyncio.Event()
        self._first = asyncio.Event()

    async def run(self) -> None:
        """Without end."""
        self._services.subscribe(self._service_told)
        self._nodes.subscribe(self._node_told)
        self._slices.subscribe(self._slice_told)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._services.run())
            await self._services.ready()
            if not self._first.is_set():
                await self._settle()
                await self._first.wait()
            await run_all(tasks, (self._nodes, self._slices))
            tasks.create_task(self._follow_machine())
            while True:
                await self._settle()
                await self._news.wait()

    async def _settle(self) -> None:
        """Answer for what is ours now; tried until it is done."""
        pause = FIRST_PAUSE
        while True:
            self._news.clear()
            try:
                segments = await self._network.announcements.segments() if self._first.is_set() else []
                self._elections.put_segments(segments)
                for count, _ in enumerate(self._elections.steps(), 1):
                    if count % SLICE == 0:
                        await asyncio.sleep(0)
                await self._network.announcements.lead(self._elections.own)
            except BoxshipError as error:
                log.error("cannot answer for load balancers' addresses: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                return

    async def _follow_machine(self) -> None:
        async for _ in self._network.changes():
            self._news.set()

    def _service_told(self, key: Key, old: Balanced | None, new: Balanced | None) -> None:
        if old != new:
            self._elections.put_service(key, new)
            self._first.set()
            self._news.set()

    def _slice_told(self, key: Key, old: Any, new: Any) -> None:
        for found, before in ((old, True), (new, False)) if old != new else ():
            if found is None:
                continue
            service, ready = found
            nobody: Counter[str] = Counter()
            if self._elections.put_endpoints(service, *((ready, nobody) if before else (nobody, ready))):
                self._news.set()

    def _node_told(self, key: Key, old: Candidate | None, new: Candidate | None) -> None:
        if old != new:
            self._elections.put_node(key[1], new)
            self._news.set()
