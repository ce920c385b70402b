"""Which node answers for a load balancer's address that lies in the nodes' own segment: one of the ready ones, chosen
by all of them alike, and the next one when it is gone. Without such addresses nothing but services is followed."""

import asyncio
import hashlib
import ipaddress
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.proxy.facts import Key, is_ipv4, service_facts, slice_facts
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.following import Source
from boxship.errors import BoxshipError
from boxship.network.cluster import ClusterNetwork

log = logging.getLogger(__name__)

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
OUR_CLASSES = ("", "boxship.io/pool")
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds


class Candidate(msgspec.Struct, frozen=True):
    """A node's own address, and whether it may answer for others."""

    address: str
    ready: bool


class Balanced(msgspec.Struct, frozen=True):
    """A load balancer's addresses; `local`: only a node with endpoints of its own is of use."""

    addresses: tuple[str, ...]
    local: bool


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


def elected(
    address: str,
    segments: Sequence[ipaddress.IPv4Network],
    nodes: Mapping[str, Candidate],
    local: Iterable[str] | None = None,
) -> str:
    """The node that answers for an address, among those that are ready, share a segment of ours with it and, with
    `local`, are named there; "" where it is nobody's, or some node's own."""
    segment = next((found for found in segments if ipaddress.IPv4Address(address) in found), None)
    if segment is None or any(node.address == address for node in nodes.values()):
        return ""
    names = [
        name
        for name, node in nodes.items()
        if node.ready
        and node.address
        and ipaddress.IPv4Address(node.address) in segment
        and (local is None or name in set(local))
    ]
    return max(names, key=lambda name: hashlib.sha256(f"{address}\0{name}".encode()).digest(), default="")


class Announcer:
    """Of one node."""

    def __init__(self, client: Source, network: ClusterNetwork, node: str) -> None:
        self._network = network
        self._node = node
        self._services = Cache(client, "v1/services", keep=balanced)
        self._nodes = Cache(client, "v1/nodes", keep=candidate)
        self._slices = Cache(client, "discovery.k8s.io/v1/endpointslices", keep=slice_facts)
        self._news = asyncio.Event()
        self._first = asyncio.Event()

    async def run(self) -> None:
        """Without end."""
        self._services.subscribe(self._service_told)
        self._nodes.subscribe(self._told)
        self._slices.subscribe(self._slice_told)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._services.run())
            await self._services.ready()
            if not self._first.is_set():
                await self._settle()
                await self._first.wait()
            for cache in (self._nodes, self._slices):
                tasks.create_task(cache.run())
            for cache in (self._nodes, self._slices):
                await cache.ready()
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
                await self._network.announcements.lead(self._own(segments))
            except BoxshipError as error:
                log.error("cannot answer for load balancers' addresses: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                return

    def _own(self, segments: Sequence[ipaddress.IPv4Network]) -> set[str]:
        nodes = {name: found for (_, name), found in self._nodes.items()}
        own = set()
        for key, service in self._services.items():
            if service is None:
                continue
            local = self._with_endpoints(key) if service.local else None
            own |= {item for item in service.addresses if elected(item, segments, nodes, local) == self._node}
        return own

    def _with_endpoints(self, key: Key) -> set[str]:
        return {
            endpoint.node
            for _, found in self._slices.items()
            if found is not None and found.service == key
            for endpoint in found.endpoints
            if endpoint.ready
        }

    async def _follow_machine(self) -> None:
        async for _ in self._network.changes():
            self._news.set()

    def _service_told(self, key: Key, old: Any, new: Any) -> None:
        if old != new:
            self._first.set()
            self._news.set()

    def _slice_told(self, key: Key, old: Any, new: Any) -> None:
        found = new or old
        if old != new and found is not None and (service := self._services.get(found.service)) and service.local:
            self._news.set()

    def _told(self, key: Key, old: Any, new: Any) -> None:
        if old != new:
            self._news.set()
