"""The networks themselves: made, found and removed, in the store and as bridges of the kernel.

Several daemons share a machine's address space, so subnets are chosen under a lock file of the whole machine, and held
until the bridge carries them for everybody to see.
"""

import asyncio
import contextlib
import fcntl
import ipaddress
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from boxship.errors import BoxshipError, Conflict, Denied, Invalid, NotFound, Unavailable
from boxship.network import addresses, files, options, rules
from boxship.network.kernel import BridgePlan, Kernel
from boxship.network.model import PREDEFINED, BridgeOptions, EndpointRecord, Network, Settings
from boxship.spec.container import NetworkSpec, Subnet
from boxship.store import Delete, Put, Store
from boxship.sys import netlink

log = logging.getLogger(__name__)

_Subnets = list[addresses.IPv4Network]  # named here, because the class below has a method `list`

LOCK_SECONDS = 30
LOCK_POLL_SECONDS = 0.01


class NetworkState:
    """A network with what changes while it is used: its addresses, and its endpoints by container."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.endpoints: dict[str, tuple[str, EndpointRecord]] = {}  # container -> its name, endpoint
        self.allocator = addresses.Allocator(network.spec.subnets[0]) if network.bridge else None


class Catalog:
    """All networks of the instance."""

    def __init__(self, store: Store, kernel: Kernel, instance: str, settings: Settings) -> None:
        self._store = store
        self._kernel = kernel
        self._instance = instance
        self._settings = settings
        self._states: dict[str, NetworkState] = {}
        self._changing = asyncio.Lock()

    # finding

    def states(self) -> list[NetworkState]:
        return list(self._states.values())

    def list(self) -> list[Network]:
        return [state.network for state in self._states.values()]

    def by_id(self, network_id: str) -> NetworkState | None:
        return self._states.get(network_id)

    def find(self, reference: str) -> NetworkState:
        """A network by its id, its name or the start of its id, in this order."""
        if reference in self._states:
            return self._states[reference]
        by_name = [state for state in self._states.values() if state.network.name == reference]
        if by_name:
            return by_name[0]
        found = [state for key, state in self._states.items() if reference and key.startswith(reference)]
        if len(found) > 1:
            raise Invalid(f"network {reference} is ambiguous ({len(found)} matches found based on ID prefix)")
        if not found:
            raise NotFound(f"network {reference} not found")
        return found[0]

    def elements(self) -> dict[str, dict[str, str]]:
        """The rule elements of all networks."""
        return rules.join(*(rules.network_elements(state.network) for state in self._states.values()))

    def mtu(self, network: Network, uplink: int) -> int:
        return (network.bridge.mtu if network.bridge else 0) or self._settings.mtu or uplink

    @property
    def default_gateway(self) -> str:
        """The host's address on the default bridge."""
        return next((state.network.gateway for state in self._states.values() if state.network.name == "bridge"), "")

    # making and removing

    def alias(self, network_id: str) -> str:
        """What a bridge of ours says about itself."""
        return f"boxship:{self._instance}:{network_id}"

    async def load(self) -> None:
        """Read the networks from the store, and make the predefined ones where they are missing."""
        snapshot = await self._store.list("networks/")
        for entry in snapshot.entries:
            network = msgspec.json.decode(entry.value, type=Network)
            self._states[network.id] = NetworkState(network)
        known = {state.network.name for state in self._states.values()}
        subnet = self._settings.bridge_subnet
        for name, driver in (("bridge", "bridge"), ("host", "host"), ("none", "null")):
            if name not in known:
                subnets = (Subnet(subnet=subnet),) if name == "bridge" and subnet else ()
                await self._make(NetworkSpec(name=name, driver=driver, subnets=subnets))
        self._check_default_bridge(subnet)

    def _check_default_bridge(self, wanted: str) -> None:
        """Raises Conflict where the default bridge was made with another subnet than is asked for now."""
        found = self.find("bridge").network.subnet
        if wanted and addresses.parse_subnet(wanted) != addresses.parse_subnet(found):
            raise Conflict(f"cannot use bridge-subnet {wanted}: the default bridge of this data root has {found}")

    async def ensure_bridges(self) -> None:
        """Have every bridge that a network needs; called at each start. One that can't be had is told and left out, so
        that the daemon starts; the default bridge must be had."""
        async with self._addresses_locked():
            for state in self.states():
                try:
                    await self._ensure_bridge(await self._settle(state))
                except BoxshipError as error:
                    if state.network.predefined:
                        raise
                    log.error("network %s can't be used: %s", state.network.name, error)

    async def _settle(self, state: NetworkState) -> Network:
        """A network whose bridge is gone, as after a reboot, takes another subnet where its own, which nobody asked
        for by name, is somebody else's by now."""
        network = state.network
        if network.bridge is None or network.fixed or state.endpoints:
            return network
        links, present, routes = await self._kernel.run(self._kernel.used_subnets)
        subnet = addresses.parse_subnet(network.subnet)
        if any(link.name == network.bridge.bridge for link in links):
            return network
        if not any(subnet.overlaps(other) for other in self._used(present, routes)):
            return network
        spec = msgspec.structs.replace(network.spec, subnets=())
        chosen = await self._subnet(spec)
        network = msgspec.structs.replace(network, spec=msgspec.structs.replace(spec, subnets=(chosen,)))
        await self._store.commit(Put(f"networks/{network.id}", msgspec.json.encode(network)))
        self._states[network.id] = NetworkState(network)
        return network

    async def _ensure_bridge(self, network: Network) -> None:
        if network.bridge is None:
            return
        uplink = await self._kernel.run(self._kernel.uplink_mtu)
        plan = BridgePlan(
            name=network.bridge.bridge,
            alias=self.alias(network.id),
            address=network.gateway,
            prefix=addresses.parse_subnet(network.subnet).prefixlen,
            mtu=self.mtu(network, uplink),
        )
        await self._kernel.run(self._kernel.make_bridge, plan)

    async def create(self, spec: NetworkSpec) -> Network:
        """Make a network; it is usable when this returns."""
        if spec.name in PREDEFINED:
            raise Denied(f"operation is not permitted on predefined {spec.name} network")
        options.check_spec(spec)
        if spec.driver != "bridge" and not spec.config_only:
            raise Denied(f'only one instance of "{spec.driver}" network is allowed')
        async with self._changing:
            if any(state.network.name == spec.name for state in self._states.values()):
                raise Conflict(f"network with name {spec.name} already exists")
            return await self._make(self._resolve_config(spec))

    def _resolve_config(self, spec: NetworkSpec) -> NetworkSpec:
        """Take the settings of the configuration-only network that a request refers to."""
        if not spec.config_from:
            return spec
        source = self.find(spec.config_from).network
        if not source.spec.config_only:
            raise Invalid(f"network {source.name} is not a configuration-only network")
        if spec.subnets or spec.options or spec.internal or spec.config_only:
            raise Invalid("user-specified configurations are not supported if the network depends on a configuration")
        return msgspec.structs.replace(
            source.spec,
            name=spec.name,
            driver=spec.driver,
            attachable=spec.attachable,
            config_only=False,
            config_from=source.name,
            labels={**source.spec.labels, **spec.labels},
        )

    async def _make(self, spec: NetworkSpec) -> Network:
        network_id = secrets.token_hex(32)
        bridged = spec.driver == "bridge" and not spec.config_only
        bridge = self._bridge_options(network_id, spec) if bridged else None
        network = Network(
            id=network_id, name=spec.name, created_at=time.time_ns(), driver=spec.driver, spec=spec, bridge=bridge
        )
        if bridge is None:
            await self._put(network)
            return network
        async with self._addresses_locked():
            fixed = any(subnet.subnet for subnet in spec.subnets)
            if network.predefined:
                mtu = self.mtu(network, await self._kernel.run(self._kernel.uplink_mtu))
                spec = msgspec.structs.replace(spec, options=options.predefined_options(bridge, mtu))
            spec = msgspec.structs.replace(spec, subnets=(await self._subnet(spec),))
            network = msgspec.structs.replace(network, fixed=fixed, spec=spec)
            await self._put(network)
            try:
                await self._ensure_bridge(network)
                await self._kernel.run(self._kernel.change_rules, {}, rules.network_elements(network))
            except BaseException:
                await self._drop(network)
                raise
        return network

    def _bridge_options(self, network_id: str, spec: NetworkSpec) -> BridgeOptions:
        found = options.parse_bridge(network_id, spec.options)
        for state in self._states.values():
            if state.network.bridge and state.network.bridge.bridge == found.bridge:
                other = state.network.name
                raise Denied(f"cannot create network {spec.name}: bridge {found.bridge} belongs to {other}")
        return found

    async def _subnet(self, spec: NetworkSpec) -> Subnet:
        own = [addresses.parse_subnet(state.network.subnet) for state in self._states.values() if state.network.bridge]
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

    def _used(self, present: Sequence[netlink.Address], routes: Sequence[netlink.Route]) -> _Subnets:
        """What the machine uses: its addresses, its routes, and its nameservers, which containers ask."""
        used = [_network(item.address, item.prefix) for item in present]
        used += [_network(route.destination, route.prefix) for route in routes if route.prefix]
        nameservers = files.parse_resolv_conf(_read(self._settings.resolv_conf)).nameservers
        return used + [_network(address, 32) for address in nameservers if ":" not in address]

    async def remove(self, reference: str) -> Network:
        """Remove a network that nobody uses. The store comes first: what is left of it after a crash is swept."""
        async with self._changing:
            state = self.find(reference)
            network = state.network
            if network.predefined:
                raise Denied(f"{network.name} is a pre-defined network and cannot be removed")
            if state.endpoints:
                users = ", ".join(
                    f'name:"{name}" id:"{item.endpoint.endpoint_id[:12]}"' for name, item in state.endpoints.values()
                )
                raise Denied(f"error while removing network: network {network.name} has active endpoints ({users})")
            if any(other.spec.config_from == network.name for other in self.list()):
                raise Denied(f'configuration network "{network.name}" is in use')
            await self._drop(network)
            return network

    async def _put(self, network: Network) -> None:
        self._states[network.id] = NetworkState(network)
        try:
            await self._store.commit(
                Put(f"networks/{network.id}", msgspec.json.encode(network), expected=0),
                Put(f"network-names/{network.name}", network.id.encode(), expected=0),
            )
        except BaseException:
            del self._states[network.id]
            raise

    async def _drop(self, network: Network) -> None:
        self._states.pop(network.id, None)
        await self._store.commit(Delete(f"networks/{network.id}"), Delete(f"network-names/{network.name}"))
        await self.remove_bridge(network)

    async def remove_bridge(self, network: Network) -> None:
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
        await self._kernel.run(self._kernel.remove_interface, network.bridge.bridge)

    @contextlib.asynccontextmanager
    async def _addresses_locked(self) -> AsyncIterator[None]:
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
