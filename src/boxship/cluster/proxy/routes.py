"""Follows the nodes, and keeps the ways to their pods: a node that comes, goes, or gets another address is followed,
and so is this machine, when its own addresses or routes change."""

import asyncio
import logging
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.proxy.facts import is_ipv4, subnets
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.following import Source
from boxship.errors import BoxshipError
from boxship.network.cluster import ClusterNetwork
from boxship.network.routes import Node

log = logging.getLogger(__name__)

SETTLING_SECONDS = 0.05  # changes of the machine come in bursts
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0


def node_facts(node: Object) -> Node:
    """What is kept of a node; empty words are what is not known yet."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    blocks = spec.get("podCIDRs") or [spec.get("podCIDR") or ""]
    addresses = [item["address"] for item in status.get("addresses") or () if item.get("type") == "InternalIP"]
    return Node(
        block=next(iter(subnets(blocks)), ""),
        address=next((address for address in addresses if is_ipv4(address)), ""),
    )


class PodRoutes:
    """Of one node."""

    def __init__(self, client: Source, network: ClusterNetwork, node: str) -> None:
        self._network = network
        self._node = node
        self._nodes = Cache(client, "v1/nodes", keep=node_facts)
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Without end."""
        self._nodes.subscribe(self._told)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._nodes.run())
            tasks.create_task(self._follow_machine())
            await self._nodes.ready()
            await self._keep()

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        while True:
            self._news.clear()
            found = {name: node for (_, name), node in self._nodes.items()}
            own = found.pop(self._node, Node("", ""))
            others = [node for node in found.values() if node.block and node.address]
            try:
                await self._network.routes.lead(others, own.address)
                pause = FIRST_PAUSE
            except BoxshipError as error:
                log.error("the ways to other nodes' pods are not as they should be: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            await self._news.wait()

    async def _follow_machine(self) -> None:
        async for _ in self._network.changes():
            self._news.set()
            await asyncio.sleep(SETTLING_SECONDS)

    def _told(self, key: tuple[str, str], old: Any, new: Any) -> None:
        if old != new:
            self._news.set()
