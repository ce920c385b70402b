"""The containers' places as the daemon holds them in memory: records, addresses, host ports, users of networks.

Everything here is taken and given back at once, without waiting for the kernel or the store.
"""

import secrets
from collections.abc import Collection, Sequence

import msgspec

from boxship.errors import Conflict, NotFound
from boxship.network import attaching, binding, groups, rules
from boxship.network.catalog import Catalog, NetworkState
from boxship.network.drain import Drain
from boxship.network.model import AttachmentRecord, EndpointRecord, Network
from boxship.network.ports import Reservations
from boxship.network.virtual import VirtualAddresses
from boxship.spec.container import EndpointRequest, PortRequest

VETH_RANDOM_BYTES = 4


class Places:
    """Records by container id, and what they hold."""

    def __init__(
        self,
        catalog: Catalog,
        drain: Drain,
        virtual: VirtualAddresses,
        standings: dict[str, groups.Standing],
        *,
        default_host_address: str,
        veth_prefix: str,
    ) -> None:
        """`standings` are those of the group members by container; they are changed here and read by others."""
        self._catalog = catalog
        self._drain = drain
        self._virtual = virtual
        self.standings = standings
        self._default_host_address = default_host_address
        self._veth_prefix = veth_prefix
        self.reservations = Reservations()
        self.records: dict[str, AttachmentRecord] = {}

    def running(self, container_id: str) -> AttachmentRecord:
        record = self.records.get(container_id)
        if record is None:
            raise Conflict(f"container {container_id} is not running")
        return record

    def networks(self, record: AttachmentRecord) -> list[Network]:
        """The networks that a record's endpoints are on."""
        found = (self._catalog.by_id(item.endpoint.network_id) for item in record.endpoints)
        return [state.network for state in found if state]

    def elements(self, without: Collection[str] = ()) -> dict[str, dict[str, str]]:
        """All rule elements that there must be, without those of some containers."""
        records = [record for key, record in self.records.items() if key not in without]
        plain = (attaching.own_elements(record) for record in records)
        return rules.join(self._catalog.elements(), *plain, self.group_elements(without))

    def group_elements(self, without: Collection[str] = ()) -> dict[str, dict[str, str]]:
        """The rule elements of service groups: ports that several publish, and virtual addresses."""
        members = [record for key, record in self.records.items() if groups.is_led_to(record) and key not in without]
        ways = ((record, attaching.way_out(record)) for record in members)
        leading = [(record, way.endpoint.ipv4_address) for record, way in ways if way]
        parts = [groups.port_elements(leading, self.standings)]
        for virtual in self._virtual.all:
            state = self._catalog.by_id(virtual.network_id)
            if state and state.network.bridge:
                bridge = state.network.bridge.bridge
                parts.append(groups.virtual_elements(virtual, bridge, members, self.standings))
        return rules.join(*parts)

    def put(self, record: AttachmentRecord) -> None:
        """Hold a record as a container's present one, and its endpoints as users of their networks."""
        self.records[record.container_id] = record
        for item in record.endpoints:
            state = self._catalog.by_id(item.endpoint.network_id)
            if state:
                state.endpoints[record.container_id] = (record.name, item)

    def restore(self, record: AttachmentRecord) -> None:
        """Hold a record that the store kept, with its addresses."""
        self.put(record)
        for item in record.endpoints:
            state = self._catalog.by_id(item.endpoint.network_id)
            if state and state.allocator:
                state.allocator.restore(item.endpoint.ipv4_address)

    # taking

    async def take_endpoints(
        self, record: AttachmentRecord, states: Sequence[NetworkState], requests: Sequence[EndpointRequest]
    ) -> AttachmentRecord:
        """The record with an endpoint on each network, all or none."""
        before = record
        try:
            for state, request in zip(states, requests, strict=True):
                item = await self.take_endpoint(record, state, request)
                record = msgspec.structs.replace(record, endpoints=(*record.endpoints, item))
        except BaseException:
            self.release(record.container_id, record.endpoints[len(before.endpoints) :], plugged=False)
            raise
        return record

    async def take_endpoint(
        self, record: AttachmentRecord, state: NetworkState, request: EndpointRequest
    ) -> EndpointRecord:
        """An endpoint with its address taken, and counted as a user of its network. Waits where a container that had
        the wanted address is still on its way out."""
        if state.allocator and request.ipv4_address:
            await self._drain.wait(state.network.id, request.ipv4_address)
        if self._catalog.by_id(state.network.id) is not state:
            raise NotFound(f"network {request.network} not found")
        address, prefix = "", 0
        if state.allocator:
            address, prefix = state.allocator.take(request.ipv4_address), state.allocator.prefix
        veth = self._new_name(state.network)
        try:
            item = attaching.new_endpoint(state.network, request, record, address=address, prefix=prefix, veth=veth)
        except BaseException:
            if state.allocator:
                state.allocator.give_back(address)
            raise
        state.endpoints[record.container_id] = (record.name, item)
        return item

    def _new_name(self, network: Network) -> str:
        """Of an interface's end on the host."""
        digits = secrets.token_hex(VETH_RANDOM_BYTES)
        if network.bridge is not None and network.bridge.routed:
            return binding.beginning(self._veth_prefix) + digits[: -len(binding.MARK)]
        return self._veth_prefix + digits

    def take_ports(self, record: AttachmentRecord, ports: Sequence[PortRequest]) -> AttachmentRecord:
        """The record with its host ports, held against everybody; none where no network leads out."""
        chosen = attaching.way_out(record)
        if not ports or chosen is None:
            return record
        state = self._catalog.by_id(chosen.endpoint.network_id)
        bridge = state.network.bridge if state else None
        address = (bridge.host_address if bridge else "") or self._default_host_address
        whose = f"{record.name} ({chosen.endpoint.endpoint_id})"
        self.reservations.reserve(record.container_id, ports, address, whose, record.group)
        return msgspec.structs.replace(record, ports=self.reservations.held(record.container_id))

    # giving back

    def release(self, container_id: str, items: Sequence[EndpointRecord], *, plugged: bool) -> None:
        """Endpoints are no users of their networks any longer. Their addresses come back at once, or where they were
        `plugged`, as soon as the kernel has removed the interfaces."""
        for item in items:
            state = self._catalog.by_id(item.endpoint.network_id)
            if state is None:
                continue
            state.endpoints.pop(container_id, None)
            if plugged:
                self._drain.add(state, item)
            elif state.allocator:
                state.allocator.give_back(item.endpoint.ipv4_address)
