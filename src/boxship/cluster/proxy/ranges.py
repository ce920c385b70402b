"""Follows the ranges that services get their addresses from, so that this node leads or refuses who asks for one."""

import asyncio
import logging
from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.proxy.facts import subnets
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.following import Source
from boxship.errors import BoxshipError
from boxship.network.cluster import ClusterNetwork

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds


def ranges_of(item: Object) -> tuple[str, ...]:
    """A ServiceCIDR's IPv4 ranges."""
    return subnets(item.get("spec", {}).get("cidrs") or ())


class ServiceRanges:
    """Of one node. The ranges that it was told of at its start count anyway."""

    def __init__(self, client: Source, network: ClusterNetwork) -> None:
        self._network = network
        self._ranges = Cache(client, "networking.k8s.io/v1/servicecidrs", keep=ranges_of)
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Without end."""
        self._ranges.subscribe(self._told)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ranges.run())
            await self._ranges.ready()
            pause = FIRST_PAUSE
            while True:
                self._news.clear()
                try:
                    await self._network.reserve([subnet for _, found in self._ranges.items() for subnet in found])
                    pause = FIRST_PAUSE
                except BoxshipError as error:
                    log.error("the ways to services are not as they should be: %s", error)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                    continue
                await self._news.wait()

    def _told(self, key: tuple[str, str], old: Any, new: Any) -> None:
        if old != new:
            self._news.set()
