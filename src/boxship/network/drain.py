"""Interfaces on their way out: an address is given back only when no interface of a dying namespace answers for it.

The kernel takes a namespace apart by itself, many at once and in its own time; removing each interface by hand would
cost tens of milliseconds apiece. So we wait, and only remove what is still there after a while.
"""

import asyncio
import time

from boxship.network.background import Background
from boxship.network.catalog import NetworkState
from boxship.network.kernel import remove_interfaces
from boxship.network.model import EndpointRecord
from boxship.sys import namespace

FIRST_LOOK_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.1
PATIENCE_SECONDS = 1.0


class Drain:
    """The endpoints whose interfaces the kernel is still removing."""

    def __init__(self) -> None:
        self._leaving: dict[str, tuple[NetworkState, EndpointRecord, float]] = {}  # by the host's end
        self._background = Background()
        self._changed = asyncio.Condition()

    def __len__(self) -> int:
        return len(self._leaving)

    @property
    def interfaces(self) -> set[str]:
        return set(self._leaving)

    def add(self, state: NetworkState | None, item: EndpointRecord) -> None:
        """Give the endpoint's address back as soon as its interface is gone."""
        if state is None or state.allocator is None:
            return
        self._leaving[item.veth] = (state, item, time.monotonic())
        if not len(self._background):
            self._background.start(self._watch(), "drain of interfaces")

    async def _watch(self) -> None:
        pause = FIRST_LOOK_SECONDS
        while self._leaving:
            await asyncio.sleep(pause)
            gone = [veth for veth in self._leaving if not namespace.has_interface(veth)]
            for veth in gone:
                state, item, _ = self._leaving.pop(veth)
                if state.allocator:
                    state.allocator.give_back(item.endpoint.ipv4_address)
            pause = FIRST_LOOK_SECONDS if gone else min(pause * 2, LONGEST_PAUSE_SECONDS)
            start = time.monotonic() - PATIENCE_SECONDS
            late = [veth for veth, (_, _, since) in self._leaving.items() if since < start]
            if late:
                await asyncio.to_thread(remove_interfaces, late)
            async with self._changed:
                self._changed.notify_all()

    async def remove_now(self, item: EndpointRecord) -> None:
        """Remove an interface by hand, because its namespace lives on."""
        await asyncio.to_thread(remove_interfaces, [item.veth])

    async def wait(self, network_id: str, address: str) -> None:
        """Wait until nothing that leaves has this address any longer; returns at once where nothing has."""

        def free() -> bool:
            return not any(
                state.network.id == network_id and item.endpoint.ipv4_address == address
                for state, item, _ in self._leaving.values()
            )

        async with self._changed:
            await self._changed.wait_for(free)

    async def close(self) -> None:
        """Wait for what leaves, but not for long; the kernel finishes without us."""
        deadline = time.monotonic() + 2 * PATIENCE_SECONDS
        while self._leaving and time.monotonic() < deadline:
            await asyncio.sleep(FIRST_LOOK_SECONDS)
        await self._background.close()
