"""Containers joined to networks: attach, detach, connect, disconnect, rename.

Each change is one pass: decide and take what is needed in memory, write the record (so that a crash can be taken back),
act in the kernel, answer. A step that fails gives back everything that the steps before it took.
"""

import asyncio
import logging
import secrets
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from boxship.errors import Conflict, Denied, Invalid, NotFound
from boxship.network import attaching, files, rules
from boxship.network.catalog import Catalog, NetworkState
from boxship.network.directory import Directory
from boxship.network.drain import Drain
from boxship.network.hostfiles import HostFiles
from boxship.network.kernel import Kernel, RulesBroken, start_resolver
from boxship.network.model import AttachmentRecord, EndpointRecord, Network
from boxship.network.pool import NamespacePool, Ready, enter
from boxship.network.ports import Reservations
from boxship.network.resolver import Resolver
from boxship.spec.attachment import Attachment
from boxship.spec.container import EndpointRequest, PortRequest
from boxship.store import Delete, Put, Store
from boxship.sys import sockets

log = logging.getLogger(__name__)

VETH_RANDOM_BYTES = 4


class Attachments:
    """The containers' places in the network, by container id."""

    def __init__(
        self,
        *,
        store: Store,
        kernel: Kernel,
        catalog: Catalog,
        pool: NamespacePool,
        resolver: Resolver,
        directory: Directory,
        drain: Drain,
        host: HostFiles,
        default_host_address: str,
        veth_prefix: str,
    ) -> None:
        self._store = store
        self._kernel = kernel
        self._catalog = catalog
        self._pool = pool
        self._resolver = resolver
        self._directory = directory
        self._drain = drain
        self._host = host
        self._default_host_address = default_host_address
        self._veth_prefix = veth_prefix
        self.reservations = Reservations()
        self.records: dict[str, AttachmentRecord] = {}
        self.mtu = 0  # the uplink's, read at start

    # reading

    def view(self, container_id: str) -> Attachment:
        record = self.records.get(container_id)
        if record is None:
            raise NotFound(f"container {container_id} is not attached to any network")
        return attaching.view(
            record,
            host=self._host.config,
            host_resolv_conf=self._host.resolv_conf,
            host_hosts="" if record.namespace else self._host.hosts,
            host_gateway=self._catalog.default_gateway,
        )

    def leaving(self) -> set[str]:
        """Interfaces that the kernel is removing."""
        return self._drain.interfaces

    # changing

    async def attach(
        self, record: AttachmentRecord, requests: Sequence[EndpointRequest], ports: Sequence[PortRequest]
    ) -> Attachment:
        """Give a container its place: the record comes without namespace, endpoints and ports, which are made here."""
        states = [self._catalog.find(request.network) for request in requests]
        self._check(states, requests)
        for text in record.extra_hosts:
            files.parse_extra_host(text, self._catalog.default_gateway)
        if any(state.network.driver == "host" for state in states):
            return await self._attach_to_host(record, states, requests)
        ready: Ready | None = None
        try:
            record = await self._take_addresses(record, states, requests)
            record = self._take_ports(record, ports)
            ready = await self._pool.take()
            record = msgspec.structs.replace(record, namespace=str(ready.path))
            if any(state.network.resolves for state in states):
                record = msgspec.structs.replace(record, resolver_ports=sockets.choose_resolver_ports())
            self.records[record.container_id] = record
            opened = await self._make(ready, record)
        except BaseException:
            await self._give_back(record, ready)
            raise
        ready.close()
        self._directory.put(record, [state.network for state in states])
        if opened:
            await self._resolver.serve(record, opened)
        return self.view(record.container_id)

    async def _make(self, ready: Ready, record: AttachmentRecord) -> sockets.ResolverSockets | None:
        """Write the record, make the interfaces and open the resolver, all at once. The record need not come first: a
        namespace, an interface or a rule that no record knows is swept at the next start."""

        async def open_resolver() -> sockets.ResolverSockets | None:
            if not record.resolver_ports[0]:
                return None
            return await asyncio.to_thread(start_resolver, ready.descriptor, record.resolver_ports)

        written, plugged, opened = await asyncio.gather(
            self._write(record),
            self._plug(ready, record, record.endpoints, {}),
            open_resolver(),
            return_exceptions=True,
        )
        failures = [result for result in (written, plugged, opened) if isinstance(result, BaseException)]
        if failures:
            if isinstance(opened, sockets.ResolverSockets):
                opened.close()
            raise failures[0]
        assert not isinstance(opened, BaseException)
        return opened

    def _check(self, states: Sequence[NetworkState], requests: Sequence[EndpointRequest]) -> None:
        for state, request in zip(states, requests, strict=True):
            if state.network.spec.config_only:
                raise Denied(f"cannot attach to {state.network.name}: it is a configuration-only network")
            attaching.check_request(request, state.network)
        if len({state.network.id for state in states}) < len(states):
            raise Invalid("cannot attach to the same network twice")
        drivers = {state.network.driver for state in states}
        if len(states) > 1 and "host" in drivers:
            raise Invalid(
                "container sharing network namespace with another container or host cannot be connected to any"
                " other network"
            )
        if len(states) > 1 and "null" in drivers:
            raise Invalid(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode"
            )

    async def _attach_to_host(
        self, record: AttachmentRecord, states: Sequence[NetworkState], requests: Sequence[EndpointRequest]
    ) -> Attachment:
        record = await self._take_addresses(record, states, requests)
        self.records[record.container_id] = record
        await self._write(record)
        return self.view(record.container_id)

    async def _take_addresses(
        self, record: AttachmentRecord, states: Sequence[NetworkState], requests: Sequence[EndpointRequest]
    ) -> AttachmentRecord:
        for state, request in zip(states, requests, strict=True):
            try:
                item = await self._new_endpoint(record, state, request)
            except BaseException:
                self._release_endpoints(record)
                raise
            record = msgspec.structs.replace(record, endpoints=(*record.endpoints, item))
        return record

    async def _new_endpoint(
        self, record: AttachmentRecord, state: NetworkState, request: EndpointRequest
    ) -> EndpointRecord:
        """An endpoint with its address taken, and counted as a user of its network."""
        address, prefix = "", 0
        if state.allocator:
            if request.ipv4_address:
                await self._drain.wait(state.network.id, request.ipv4_address)
            address, prefix = state.allocator.take(request.ipv4_address), state.allocator.prefix
        veth = self._veth_prefix + secrets.token_hex(VETH_RANDOM_BYTES)
        try:
            item = attaching.new_endpoint(state.network, request, record, address=address, prefix=prefix, veth=veth)
        except BaseException:
            if state.allocator:
                state.allocator.give_back(address)
            raise
        state.endpoints[record.container_id] = (record.name, item)
        return item

    def _take_ports(self, record: AttachmentRecord, ports: Sequence[PortRequest]) -> AttachmentRecord:
        chosen = attaching.way_out(record)
        if not ports or chosen is None:
            return record
        state = self._catalog.by_id(chosen.endpoint.network_id)
        bridge = state.network.bridge if state else None
        address = (bridge.host_address if bridge else "") or self._default_host_address
        whose = f"{record.name} ({chosen.endpoint.endpoint_id})"
        try:
            self.reservations.reserve(record.container_id, ports, address, whose)
        except BaseException:
            self._release_endpoints(record)
            raise
        return msgspec.structs.replace(record, ports=self.reservations.held(record.container_id))

    async def _write(self, record: AttachmentRecord) -> None:
        await self._store.commit(Put(f"endpoints/{record.container_id}", msgspec.json.encode(record)))

    async def _plug(
        self,
        ready: Ready,
        record: AttachmentRecord,
        items: Sequence[EndpointRecord],
        present: dict[str, dict[str, str]],
    ) -> None:
        """Make interfaces, default route and rules of a record; `present` are its rule elements until now."""
        plugs = []
        for item in items:
            state = self._catalog.by_id(item.endpoint.network_id)
            if state and state.network.bridge:
                plugs.append(attaching.plug(state.network, item, self._catalog.mtu(state.network, self.mtu)))
        chosen = attaching.way_out(record)
        gateway = chosen.endpoint.gateway if chosen else ""
        wanted = attaching.port_elements(record)
        if not plugs and present == wanted:
            return
        try:
            await self._kernel.run(self._kernel.plug, ready, plugs, gateway, present, wanted)
        except RulesBroken as error:
            await self.repair_rules(error)
            await self._kernel.run(self._kernel.plug, ready, plugs, gateway, {}, {})

    def elements(self, without: Collection[str] = ()) -> dict[str, dict[str, str]]:
        """All rule elements that there must be, without those of some containers."""
        records = [record for key, record in self.records.items() if key not in without]
        return rules.join(self._catalog.elements(), *(attaching.port_elements(record) for record in records))

    async def repair_rules(self, error: Exception) -> None:
        """Somebody else changed our table, or flushed the machine's rules: have everything again."""
        log.warning("the packet rules are put right again: %s", error)
        await self._kernel.run(self._kernel.prepare_host)
        present = await self._kernel.run(self._kernel.elements)
        await self._kernel.run(self._kernel.change_rules, present, self.elements())

    async def _change_rules(self, present: rules.Elements, wanted: rules.Elements) -> None:
        """Change elements; the records say already what is wanted in all."""
        try:
            if present != wanted:
                await self._kernel.run(self._kernel.change_rules, present, wanted)
        except RulesBroken as error:
            await self.repair_rules(error)

    def _release_endpoints(self, record: AttachmentRecord) -> None:
        """Give the addresses back at once: no interface has them."""
        for item in record.endpoints:
            self._forget_endpoint(record.container_id, item)
            state = self._catalog.by_id(item.endpoint.network_id)
            if state and state.allocator:
                state.allocator.give_back(item.endpoint.ipv4_address)

    def _forget_endpoint(self, container_id: str, item: EndpointRecord) -> None:
        state = self._catalog.by_id(item.endpoint.network_id)
        if state:
            state.endpoints.pop(container_id, None)

    async def _give_back(self, record: AttachmentRecord, ready: Ready | None) -> None:
        """Undo an attach that failed; interfaces and rules are gone already or go with the namespace."""
        self.records.pop(record.container_id, None)
        self.reservations.release(record.container_id)
        self._release_endpoints(record)
        if ready:
            ready.close()
            await self._pool.remove(ready.path)
        await self._store.commit(Delete(f"endpoints/{record.container_id}"))

    async def detach(self, container_id: str, *, rules_are_gone: bool = False) -> None:
        """Take a container out of the network. Its addresses are given back once its interfaces are gone. The record
        goes last, so that what is left after a crash is found."""
        record = self.records.pop(container_id, None)
        if record is None:
            return
        self._resolver.stop(container_id)
        self._directory.forget(container_id)
        if not rules_are_gone:
            await self._change_rules(attaching.port_elements(record), {})
        self.reservations.release(container_id)
        for item in record.endpoints:
            self._forget_endpoint(container_id, item)
            self._drain.add(self._catalog.by_id(item.endpoint.network_id), item)
        if record.namespace:
            await self._pool.remove(Path(record.namespace))
        await self._store.commit(Delete(f"endpoints/{container_id}"))

    async def connect(self, container_id: str, request: EndpointRequest) -> Attachment:
        """Join a running container to one more network."""
        record = self._record(container_id)
        state = self._catalog.find(request.network)
        before = [self._catalog.find(item.endpoint.network_id) for item in record.endpoints]
        if any(other is state for other in before):
            raise Denied(f"endpoint with name {record.name} already exists in network {state.network.name}")
        if state.network.driver == "host":
            raise Invalid("cannot connect container to host network - container must be created in host network mode")
        earlier = [EndpointRequest(other.network.id) for other in before]
        self._check([*before, state], [*earlier, request])
        item = await self._new_endpoint(record, state, request)
        changed = msgspec.structs.replace(record, endpoints=(*record.endpoints, item))
        try:
            await self._change(record, changed, item)
        except BaseException:
            self._release_endpoints(msgspec.structs.replace(record, endpoints=(item,)))
            raise
        return self.view(container_id)

    async def _change(self, record: AttachmentRecord, changed: AttachmentRecord, item: EndpointRecord) -> None:
        """Carry out a live connect; what it wrote is written back where the kernel refuses."""
        ready = await asyncio.to_thread(enter, Path(record.namespace))
        opened: sockets.ResolverSockets | None = None
        try:
            if not record.resolver_ports[0] and self._resolves(changed):
                opened = await asyncio.to_thread(start_resolver, ready.descriptor)
                ports = (opened.datagram_port, opened.stream_port)
                changed = msgspec.structs.replace(changed, resolver_ports=ports)
            self.records[record.container_id] = changed
            await self._write(changed)
            await self._plug(ready, changed, [item], attaching.port_elements(record))
        except BaseException:
            if opened:
                opened.close()
            self.records[record.container_id] = record
            await self._write(record)
            raise
        finally:
            ready.close()
        self._directory.put(changed, self._networks(changed))
        self._resolver.update(changed)
        if opened:
            await self._resolver.serve(changed, opened)

    def _resolves(self, record: AttachmentRecord) -> bool:
        return any(network.resolves for network in self._networks(record))

    def _networks(self, record: AttachmentRecord) -> list[Network]:
        found = (self._catalog.by_id(item.endpoint.network_id) for item in record.endpoints)
        return [state.network for state in found if state]

    def _record(self, container_id: str) -> AttachmentRecord:
        record = self.records.get(container_id)
        if record is None:
            raise Conflict(f"container {container_id} is not running")
        return record

    async def disconnect(self, container_id: str, network_id: str) -> Attachment:
        """Take a running container off a network."""
        record = self._record(container_id)
        state = self._catalog.find(network_id)
        gone = [item for item in record.endpoints if item.endpoint.network_id == state.network.id]
        if not gone:
            raise Conflict(f"container {container_id} is not connected to network {state.network.name}")
        if state.network.driver == "host":
            raise Invalid("container cannot be disconnected from host network or connected to host network")
        kept = tuple(item for item in record.endpoints if item not in gone)
        changed = msgspec.structs.replace(record, endpoints=kept)
        await self._write(changed)
        self.records[container_id] = changed
        self._directory.put(changed, self._networks(changed))
        self._resolver.update(changed)
        self._forget_endpoint(container_id, gone[0])
        await self._unplug(record, changed, gone[0])
        self._drain.add(state, gone[0])
        return self.view(container_id)

    async def _unplug(self, record: AttachmentRecord, changed: AttachmentRecord, item: EndpointRecord) -> None:
        """Carry out a live disconnect: the interface, the default route, and the published ports' way in."""
        await self._drain.remove_now(item)
        chosen = attaching.way_out(changed)
        gateway = chosen.endpoint.gateway if chosen else ""
        before, after = attaching.port_elements(record), attaching.port_elements(changed)
        await self._change_rules(before, after)
        if attaching.way_out(record) == item and gateway:
            ready = await asyncio.to_thread(enter, Path(record.namespace))
            try:
                await self._kernel.run(self._kernel.route_by, ready, gateway)
            finally:
                ready.close()

    async def rename(self, container_id: str, name: str) -> None:
        """A container has a new name, which others find it by from now on."""
        record = self.records.get(container_id)
        if record is None:
            return
        items = []
        for item in record.endpoints:
            names = item.endpoint.dns_names
            if names:
                names = attaching.dns_names(container_id, name, item.endpoint.aliases, record.hostname)
            endpoint = msgspec.structs.replace(item.endpoint, dns_names=names)
            items.append(msgspec.structs.replace(item, endpoint=endpoint))
        changed = msgspec.structs.replace(record, name=name, endpoints=tuple(items))
        await self._write(changed)
        self.records[container_id] = changed
        for item in items:
            state = self._catalog.by_id(item.endpoint.network_id)
            if state:
                state.endpoints[container_id] = (name, item)
        self._directory.put(changed, self._networks(changed))
