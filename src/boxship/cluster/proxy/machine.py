"""What runs on this machine, as those see it who lead its network: the API is late, and forgets what goes on."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from boxship.cluster.proxy.walls import Key, PodFacts


class Machine(Protocol):
    """Its pods, by uid."""

    def address_of(self, uid: str) -> str:
        """Which address a pod has; "": none."""

    def runs(self, uid: str) -> bool:
        """Whether a process of a pod may still run, with an address or without."""

    def pods(self) -> Iterable[tuple[Key, PodFacts]]:
        """All that have addresses, with the labels that they began with; the names of their ports are not known."""

    def ends(self) -> AsyncIterator[None]:
        """One each time that a container or a pod may have ended."""


class NoMachine:
    """Runs nothing."""

    def address_of(self, uid: str) -> str:
        return ""

    def runs(self, uid: str) -> bool:
        return False

    def pods(self) -> Iterable[tuple[Key, PodFacts]]:
        return ()

    async def ends(self) -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield
