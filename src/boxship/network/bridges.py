"""Bridges of the kernel, and the subnets that they carry.

Several daemons share a machine's address space, so subnets are chosen under a lock file of the whole machine, and held
until the bridge carries them for everybody to see. What is no bridge of ours is never touched.
"""

import asyncio
import contextlib
import fcntl
import ipaddress
import os
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from boxship.errors import Unavailable
from boxship.network import addresses, files, rules
from boxship.network.kernel import BridgePlan, Kernel
from boxship.network.model import Network, Settings
from boxship.spec.container import NetworkSpec, Subnet
from boxship.sys import netlink

LOCK_SECONDS = 30
LOCK_POLL_SECONDS = 0.01


class Bridges:
    """The bridges of one instance."""

    def __init__(self, kernel: Kernel, instance: str, settings: Settings) -> None:
        self._kernel = kernel
        self._instance = instance
        self._settings = settings

    def alias(self, network_id: str) -> str:
        """What a bridge of ours says about itself."""
        return f"boxship:{self._instance}:{network_id}"

    def mtu(self, network: Network, uplink: int) -> int:
        return (network.bridge.mtu if network.bridge else 0) or self._settings.mtu or uplink

    async def mtu_now(self, network: Network) -> int:
        """Where the network and the settings name none, that of the machine's way out."""
        return self.mtu(network, await self._kernel.run(self._kernel.uplink_mtu))

    async def ensure(self, network: Network) -> None:
        """Have the network's bridge, if it needs one."""
        if network.bridge is None:
            return
        plan = BridgePlan(
            name=network.bridge.bridge,
            alias=self.alias(network.id),
            address=network.gateway,
            prefix=addresses.parse_subnet(network.subnet).prefixlen,
            mtu=await self.mtu_now(network),
            routed=bool(network.bridge.routed),
        )
        await self._kernel.run(self._kernel.make_bridge, plan)

    async def remove(self, network: Network) -> None:
        """Take a network's bridge and rule elements out of the kernel."""
        if network.bridge is None:
            return
        present = await self._kernel.run(self._kernel.elements)
        mine = rules.network_elements(network)
        held = {
            name: {key: value for key, value in elements.items() if key in present.get(name, {})}
            for name, elements in mine.items()
        }
        await self._kernel.run(self._kernel.change_rules, held, {})
        await self._kernel.run(self._kernel.remove_bridge, network.bridge.bridge)

    async def is_displaced(self, network: Network) -> bool:
        """Whether the network's bridge is gone, as after a reboot, and its subnet is somebody else's by now."""
        assert network.bridge is not None
        links, present, routes = await self._kernel.run(self._kernel.used_subnets)
        if any(link.name == network.bridge.bridge for link in links):
            return False
        subnet = addresses.parse_subnet(network.subnet)
        return any(subnet.overlaps(other) for other in self._used(present, routes))

    async def choose(self, spec: NetworkSpec, own: Sequence[addresses.IPv4Network]) -> Subnet:
        """The subnet that is asked for, or one that nobody has; `own` are those of our other networks. Under the lock.
        Raises Invalid, Denied, Exhausted."""
        links, present, routes = await self._kernel.run(self._kernel.used_subnets)
        bridges = {link.index: link for link in links if link.kind == "bridge"}
        if spec.subnets and spec.subnets[0].subnet:
            checked = addresses.check_subnet(spec.subnets[0])
            others = [
                _network(item.address, item.prefix)
                for item in present
                if item.index in bridges and not bridges[item.index].alias.startswith(self.alias(""))
            ]
            addresses.check_overlap(addresses.parse_subnet(checked.subnet), [*own, *others])
            return checked
        chosen = addresses.choose_subnet(self._settings.pools, [*own, *self._used(present, routes)])
        return msgspec.structs.replace(chosen, reserved=spec.subnets[0].reserved) if spec.subnets else chosen

    def _used(self, present: Sequence[netlink.Address], routes: Sequence[netlink.Route]) -> list[addresses.IPv4Network]:
        """What the machine uses: its addresses, its routes, and its nameservers, which containers ask."""
        used = [_network(item.address, item.prefix) for item in present]
        used += [_network(route.destination, route.prefix) for route in routes if route.prefix]
        nameservers = files.parse_resolv_conf(_read(self._settings.resolv_conf)).nameservers
        return used + [_network(address, 32) for address in nameservers if ":" not in address]

    @contextlib.asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Hold the machine-wide lock under which subnets are chosen."""
        path = self._settings.address_lock
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise Unavailable(f"cannot lock {path}: another daemon has held it too long") from None
                    await asyncio.sleep(LOCK_POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)


def _network(address: str, prefix: int) -> addresses.IPv4Network:
    return ipaddress.IPv4Network(f"{address}/{prefix}", strict=False)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
