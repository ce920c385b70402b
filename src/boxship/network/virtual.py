"""Virtual addresses: one address of a network that stands for a group under a name, as long as the group has a member.

The record comes first, then the address on the bridge, where the host answers for it; `recover` makes the bridges agree
with the records again. Which members it leads to is decided by `groups`.
"""

import asyncio
import hashlib
import ipaddress
from collections.abc import Collection, Iterable

import msgspec

from boxship.network.addresses import parse_subnet
from boxship.network.catalog import Catalog, NetworkState
from boxship.network.directory import Directory
from boxship.network.kernel import Kernel
from boxship.network.model import VirtualAddress
from boxship.store import Delete, Put, Store

PREFIX = "virtual-addresses/"


def key_of(virtual: VirtualAddress) -> str:
    """Its key in the store; names and groups may hold any character."""
    digest = hashlib.sha256(f"{virtual.group}\0{virtual.name}".encode()).hexdigest()
    return f"{PREFIX}{virtual.network_id}/{digest[:32]}"


class VirtualAddresses:
    """All virtual addresses of the instance."""

    def __init__(self, store: Store, kernel: Kernel, catalog: Catalog, directory: Directory) -> None:
        self._store = store
        self._kernel = kernel
        self._catalog = catalog
        self._directory = directory
        self._known: dict[str, VirtualAddress] = {}
        self._changing = asyncio.Lock()

    @property
    def all(self) -> Collection[VirtualAddress]:
        return self._known.values()

    async def load(self) -> None:
        """Read the records; those of networks that are gone go too."""
        for entry in (await self._store.list(PREFIX)).entries:
            virtual = msgspec.json.decode(entry.value, type=VirtualAddress)
            state = self._catalog.by_id(virtual.network_id)
            if state is None or state.allocator is None:
                await self._store.commit(Delete(entry.key))
                continue
            state.allocator.restore(virtual.address, last=False)
            self._remember(virtual)

    def _remember(self, virtual: VirtualAddress) -> None:
        self._known[key_of(virtual)] = virtual
        self._directory.put_virtual(virtual)

    async def ensure(self, states: Iterable[NetworkState], group: str, name: str) -> bool:
        """Have an address for the group's name in each of the networks that resolve names; whether one is new."""
        if not name:
            return False
        made = False
        async with self._changing:
            for state in states:
                network = state.network
                if not network.resolves or state.allocator is None:
                    continue
                virtual = VirtualAddress(network.id, group, name, "")
                if key_of(virtual) in self._known:
                    continue
                virtual = msgspec.structs.replace(virtual, address=state.allocator.take_highest())
                try:
                    await self._store.commit(Put(key_of(virtual), msgspec.json.encode(virtual)))
                except BaseException:
                    state.allocator.give_back(virtual.address)
                    raise
                self._remember(virtual)
                await self._apply([network.id])
                made = True
        return made

    async def keep_only(self, wanted: Collection[tuple[str, str]]) -> bool:
        """Give back the addresses of (group, name) pairs that are not wanted any longer; whether there were any."""
        return await self._forget([item for item in self._known.values() if (item.group, item.name) not in wanted])

    async def forget_network(self, network_id: str) -> bool:
        """A network is gone, and with its bridge its addresses."""
        return await self._forget([item for item in self._known.values() if item.network_id == network_id])

    async def _forget(self, gone: list[VirtualAddress]) -> bool:
        if not gone:
            return False
        async with self._changing:
            for virtual in gone:
                if self._known.pop(key_of(virtual), None) is not None:
                    self._directory.forget_virtual(virtual)
            await self._store.commit(*(Delete(key_of(virtual)) for virtual in gone))
            await self._apply({virtual.network_id for virtual in gone})
            for virtual in gone:
                state = self._catalog.by_id(virtual.network_id)
                if state and state.allocator:
                    state.allocator.give_back(virtual.address)
        return True

    async def recover(self) -> None:
        """Make every bridge's addresses those of the records: after a crash, and after a reboot, where a network may
        have got another subnet."""
        await self._forget([item for item in self._known.values() if not self._is_inside(item)])
        async with self._changing:
            await self._apply([state.network.id for state in self._catalog.states()])

    async def audit(self) -> list[str]:
        """Differences between the records and the bridges, as sentences."""
        problems = []
        for state in self._catalog.states():
            if state.network.bridge is None:
                continue
            bridge = state.network.bridge.bridge
            held = await self._kernel.run(self._kernel.virtual_addresses, bridge)
            wanted = {item.address for item in self._known.values() if item.network_id == state.network.id}
            problems += [f"virtual address {address} is not on {bridge}" for address in sorted(wanted - held)]
            problems += [f"address {address} of {bridge} stands for nobody" for address in sorted(held - wanted)]
            free = wanted - (state.allocator.taken if state.allocator else frozenset())
            problems += [f"virtual address {address} counts as free" for address in sorted(free)]
        stored = {entry.key for entry in (await self._store.list(PREFIX)).entries}
        if stored != self._known.keys():
            problems.append(f"the store's virtual addresses differ from those in memory: {sorted(stored)}")
        return problems

    def _is_inside(self, virtual: VirtualAddress) -> bool:
        state = self._catalog.by_id(virtual.network_id)
        return state is not None and ipaddress.IPv4Address(virtual.address) in parse_subnet(state.network.subnet)

    async def _apply(self, network_ids: Iterable[str]) -> None:
        bridges: dict[str, list[str]] = {}
        for network_id in network_ids:
            state = self._catalog.by_id(network_id)
            if state and state.network.bridge:
                mine = [item.address for item in self._known.values() if item.network_id == network_id]
                bridges[state.network.bridge.bridge] = mine
        await self._kernel.run(self._kernel.add_virtual_addresses, bridges)
