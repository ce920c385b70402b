"""Which of this node's pods services lead new connections to, as the kernel has it: told after each change has taken
hold. So the end of a pod can wait until nobody comes to it any more. It decides nothing itself."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping

from boxship.cluster.proxy.facts import Key, SliceFacts


def pods_led_to(slices: Iterable[SliceFacts]) -> frozenset[str]:
    """The uids of this node's pods that a service leads to for good: one that is on its way out is nobody's choice any
    more, even where it still answers for want of another."""
    return frozenset(
        endpoint.pod
        for item in slices
        for endpoint in item.endpoints
        if endpoint.pod and endpoint.ready and not endpoint.terminating
    )


class Led:
    """Outlives those who tell it."""

    def __init__(self) -> None:
        self._pods: dict[Key, frozenset[str]] = {}  # by service
        self._services: Counter[str] = Counter()  # how many lead to a pod
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._known = asyncio.Event()

    async def known(self) -> None:
        """Wait until it was told of all services: what another life left in the kernel leads on until then."""
        await self._known.wait()

    def leads_to(self, pod: str) -> bool:
        return pod in self._services

    async def left(self, pod: str) -> None:
        """Wait until no service leads to it."""
        while self.leads_to(pod):
            future = asyncio.get_running_loop().create_future()
            waiting = self._waiting.setdefault(pod, [])
            waiting.append(future)
            try:
                await future
            finally:
                waiting.remove(future)
                if not waiting:
                    self._waiting.pop(pod, None)

    def told(self, changed: Mapping[Key, frozenset[str]]) -> None:
        """These services lead to these pods, and to no others, from now on."""
        before: set[str] = set()
        for service, pods in changed.items():
            known = self._pods.pop(service, frozenset())
            if pods:
                self._pods[service] = pods
            self._services.subtract(known - pods)
            self._services.update(pods - known)
            before |= known
        for pod in before:
            if self._services[pod] <= 0:
                del self._services[pod]
                for future in self._waiting.get(pod, ()):
                    if not future.done():
                        future.set_result(None)

    def told_all(self, pods: Mapping[Key, frozenset[str]]) -> None:
        """There are no other services."""
        self.told({**dict.fromkeys(self._pods, frozenset[str]()), **pods})
        self._known.set()
