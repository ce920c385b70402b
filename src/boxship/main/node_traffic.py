"""How a pod's end waits for its clients: until the kernel's table of services leads nobody new there, a while longer
for those who hear of it later than this node, and until the requests that are under way have their answers. Each wait
has an end: a pod whose clients stay goes all the same."""

import asyncio
from collections.abc import Sequence

from boxship.cluster.proxy.led import Led
from boxship.errors import BoxshipError
from boxship.network.networks import Networks

LONGEST = (2.0, 1.0)  # seconds: that services may lead on to a pod that ends, and for connections that are open then
LEAST_MARGIN, LONGEST_MARGIN = 0.02, 0.25  # seconds for other nodes and proxies
LOOKS = (0.005, 0.05)  # seconds between looks at these: the first and the longest pause


class NodeTraffic:
    """Of this node's pods. Implements the agent's Traffic."""

    def __init__(self, led: Led, networks: Networks, longest: tuple[float, float] = LONGEST) -> None:
        self._led = led
        self._networks = networks
        self._longest_lead, self._longest_answer = longest

    async def left(self, uid: str, pids: Sequence[int]) -> None:
        if not self._led.leads_to(uid):
            return
        clock = asyncio.get_running_loop().time
        begun = clock()
        try:
            async with asyncio.timeout(self._longest_lead):
                await self._led.left(uid)
        except TimeoutError:
            return
        await asyncio.sleep(min(max(clock() - begun, LEAST_MARGIN), LONGEST_MARGIN))
        await self._answered(pids[:1], clock() + self._longest_answer)

    async def _answered(self, pids: Sequence[int], until: float) -> None:
        """Until no connection is open to a port at which the pod listens; its containers share one network."""
        pause, longest = LOOKS
        clock = asyncio.get_running_loop().time
        for pid in pids:
            try:
                while await self._networks.open_connections(pid, None) and clock() < until:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, longest)
            except BoxshipError:
                return
