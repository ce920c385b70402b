"""How a pod's end waits for its clients: until the kernel's table of services leads nobody new there, a while longer
for those who hear of it later than this node, and until the requests that are under way have their answers. Each wait
has an end: a pod whose clients stay goes all the same."""

import asyncio
from collections.abc import Sequence

from boxship.cluster.proxy.led import Led
from boxship.errors import BoxshipError
from boxship.network.networks import Networks
from boxship.sys import namespace

# Seconds that services may lead on to a pod that ends, within its grace: another control plane may take over meanwhile.
LONGEST_LEAD = 20.0
LONGEST_ANSWER = 1.0  # seconds for the connections that are open then
LEAST_MARGIN, LONGEST_MARGIN = 0.02, 0.25  # seconds for other nodes and proxies
LOOKS = (0.005, 0.05)  # seconds between looks at these: the first and the longest pause


class NodeTraffic:
    """Of this node's pods. Implements the agent's Traffic."""

    def __init__(self, led: Led, networks: Networks) -> None:
        self._led = led
        self._networks = networks

    async def left(self, uid: str, pids: Sequence[int], grace: float) -> None:
        clock = asyncio.get_running_loop().time
        begun = clock()
        try:
            async with asyncio.timeout(min(LONGEST_LEAD, grace / 2)):
                await self._led.known()
                if not self._led.leads_to(uid):
                    return
                await self._led.left(uid)
        except TimeoutError:
            return
        await asyncio.sleep(min(max(clock() - begun, LEAST_MARGIN), LONGEST_MARGIN))
        await self._answered(pids[:1], clock() + LONGEST_ANSWER)

    async def _answered(self, pids: Sequence[int], until: float) -> None:
        """Until no connection is open to a port at which the pod listens; its containers share one network. In the
        machine's own one nobody can tell whose they are."""
        pause, longest = LOOKS
        clock = asyncio.get_running_loop().time
        for pid in pids:
            if shares_network(pid):
                return
            try:
                while await self._networks.open_connections(pid, None) and clock() < until:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, longest)
            except BoxshipError:
                return


def shares_network(pid: int) -> bool:
    """Whether a process has this one's network, or has ended."""
    found = namespace.identity(f"/proc/{pid}/ns/net")
    return found in ((0, 0), namespace.identity("/proc/self/ns/net"))
