"""The networks themselves: made, found and removed, in the store and, by `bridges`, in the kernel."""

import asyncio
import logging
import secrets
import time

import msgspec

from boxship.errors import BoxshipError, Conflict, Denied, Invalid, NotFound
from boxship.network import addresses, options, rules
from boxship.network.bridges import Bridges
from boxship.network.kernel import Kernel
from boxship.network.model import PREDEFINED, BridgeOptions, EndpointRecord, Network, Settings
from boxship.spec.container import NetworkSpec, Subnet
from boxship.store import Delete, Put, Store

log = logging.getLogger(__name__)

_Subnets = list[addresses.IPv4Network]  # named here, because the class below has a method `list`


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
        self._settings = settings
        self._states: dict[str, NetworkState] = {}
        self._changing = asyncio.Lock()
        self.bridges = Bridges(kernel, instance, settings)

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

    @property
    def default_gateway(self) -> str:
        """The host's address on the default bridge."""
        return next((state.network.gateway for state in self._states.values() if state.network.name == "bridge"), "")

    # making and removing

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
        async with self.bridges.locked():
            for state in self.states():
                try:
                    await self.bridges.ensure(await self._settle(state))
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
        if not await self.bridges.is_displaced(network):
            return network
        spec = msgspec.structs.replace(network.spec, subnets=())
        chosen = await self.bridges.choose(spec, self._own_subnets())
        network = msgspec.structs.replace(network, spec=msgspec.structs.replace(spec, subnets=(chosen,)))
        await self._store.commit(Put(f"networks/{network.id}", msgspec.json.encode(network)))
        self._states[network.id] = NetworkState(network)
        return network

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
        async with self.bridges.locked():
            fixed = any(subnet.subnet for subnet in spec.subnets)
            if network.predefined:
                mtu = await self.bridges.mtu_now(network)
                spec = msgspec.structs.replace(spec, options=options.predefined_options(bridge, mtu))
            spec = msgspec.structs.replace(spec, subnets=(await self.bridges.choose(spec, self._own_subnets()),))
            network = msgspec.structs.replace(network, fixed=fixed, spec=spec)
            await self._put(network)
            try:
                await self.bridges.ensure(network)
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

    def _own_subnets(self) -> _Subnets:
        return [addresses.parse_subnet(state.network.subnet) for state in self._states.values() if state.network.bridge]

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
        await self.bridges.remove(network)
