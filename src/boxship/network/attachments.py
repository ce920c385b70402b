"""Containers joined to networks: attach, detach, connect, disconnect, rename.

Each change is one pass: take what is needed in memory, write the record and act in the kernel, answer. A step that
fails gives back everything that the steps before it took. What a crash leaves half done is found by the marks it
carries: a namespace, an interface or a rule that no record knows is swept at the next start.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from boxship.errors import BoxshipError, Conflict, Denied, Invalid, NotFound
from boxship.network import attaching, files, rules
from boxship.network.catalog import Catalog, NetworkState
from boxship.network.directory import Directory
from boxship.network.drain import Drain
from boxship.network.groups import Standing, is_led_to
from boxship.network.hostfiles import HostFiles
from boxship.network.kernel import Kernel, RulesBroken, start_resolver
from boxship.network.model import AttachmentRecord, EndpointRecord
from boxship.network.places import Places
from boxship.network.pool import NamespacePool, Ready, enter
from boxship.network.resolver import Resolver
from boxship.network.ruleset import Ruleset
from boxship.network.virtual import VirtualAddresses
from boxship.spec.attachment import Attachment
from boxship.spec.container import EndpointRequest, PortRequest
from boxship.store import Delete, Put, Store
from boxship.sys import sockets

log = logging.getLogger(__name__)


class Attachments:
    """Changes the containers' places, one change of a container at a time (the caller sees to that)."""

    def __init__(
        self,
        *,
        store: Store,
        kernel: Kernel,
        catalog: Catalog,
        places: Places,
        ruleset: Ruleset,
        pool: NamespacePool,
        resolver: Resolver,
        directory: Directory,
        drain: Drain,
        host: HostFiles,
        virtual: VirtualAddresses,
    ) -> None:
        self._store = store
        self._kernel = kernel
        self._catalog = catalog
        self._places = places
        self._ruleset = ruleset
        self._pool = pool
        self._resolver = resolver
        self._directory = directory
        self._drain = drain
        self._host = host
        self._virtual = virtual
        self.mtu = 0  # the uplink's, read at start

    def view(self, container_id: str) -> Attachment:
        """A container's place as the engine sees it."""
        record = self._places.records.get(container_id)
        if record is None:
            raise NotFound(f"container {container_id} is not attached to any network")
        return attaching.view(
            record,
            host=self._host.config,
            host_resolv_conf=self._host.resolv_conf,
            host_hosts="" if record.namespace else self._host.hosts,
            host_gateway=self._catalog.default_gateway,
        )

    # attach and detach

    async def attach(
        self,
        record: AttachmentRecord,
        requests: Sequence[EndpointRequest],
        ports: Sequence[PortRequest],
        resolver: bool = True,
        namespace: str = "",
    ) -> Attachment:
        """Give a container its place: the record comes without namespace, endpoints and ports, which are made here."""
        states = [self._catalog.find(request.network) for request in requests]
        networks = [state.network for state in states]
        attaching.check_requests(networks, requests)
        for text in record.extra_hosts:
            files.parse_extra_host(text, self._catalog.default_gateway)
        ready: Ready | None = None
        opened: sockets.ResolverSockets | None = None
        record = await self._places.take_endpoints(record, states, requests)
        try:
            if not any(network.driver == "host" for network in networks):
                record = self._places.take_ports(record, ports)
                ready = await self._pool.take(namespace)
                record = msgspec.structs.replace(record, namespace=str(ready.path))
                if resolver and any(network.resolves for network in networks):
                    record = msgspec.structs.replace(record, resolver_ports=sockets.choose_resolver_ports())
            self._places.put(record)
            await self._ensure_virtual(record, states)
            opened = await self._make(ready, record)
        except BaseException:
            await self._give_back(record, ready)
            raise
        if ready:
            ready.close()
        self._directory.put(record, networks)
        if opened:
            await self._resolver.serve(record, opened)
        return self.view(record.container_id)

    async def _make(self, ready: Ready | None, record: AttachmentRecord) -> sockets.ResolverSockets | None:
        """Write the record, make the interfaces and open the resolver, all at once."""

        async def open_resolver() -> sockets.ResolverSockets | None:
            if ready is None or not record.resolver_ports[0]:
                return None
            return await asyncio.to_thread(start_resolver, ready.descriptor, record.resolver_ports)

        written, plugged, opened = await asyncio.gather(
            self._write(record),
            self.plug(ready, record, record.endpoints, {}),
            open_resolver(),
            return_exceptions=True,
        )
        failures = [result for result in (written, plugged, opened) if isinstance(result, BaseException)]
        if failures and isinstance(opened, sockets.ResolverSockets):
            opened.close()
        if failures:
            raise failures[0]
        assert not isinstance(opened, BaseException), "it would be among the failures"
        return opened

    async def _write(self, record: AttachmentRecord) -> None:
        await self._store.commit(Put(f"endpoints/{record.container_id}", msgspec.json.encode(record)))

    async def plug(
        self, ready: Ready | None, record: AttachmentRecord, items: Sequence[EndpointRecord], present: rules.Elements
    ) -> None:
        """Make some of a record's interfaces, its default route and its rules; `present` are its rule elements until
        now."""
        plugs = []
        for item in items:
            state = self._catalog.by_id(item.endpoint.network_id)
            if state and state.network.bridge:
                plugs.append(attaching.plug(state.network, item, self._catalog.bridges.mtu(state.network, self.mtu)))
        chosen = attaching.way_out(record)
        gateway = chosen.endpoint.gateway if chosen else ""
        wanted = attaching.own_elements(record)
        if ready is None or not plugs:
            return
        try:
            await self._kernel.run(self._kernel.plug, ready, plugs, gateway, present, wanted)
        except RulesBroken as error:
            await self._ruleset.repair(error)
            await self._kernel.run(self._kernel.plug, ready, plugs, gateway, {}, {})

    async def _give_back(self, record: AttachmentRecord, ready: Ready | None) -> None:
        """Undo an attach that failed, however far it came. The interfaces go with the namespace."""
        self._places.records.pop(record.container_id, None)
        self._places.reservations.release(record.container_id)
        self._places.release(record.container_id, record.endpoints, plugged=bool(ready))
        if ready:
            ready.close()
            await self._pool.remove(ready.path)
        if record.ports or any(item.bound for item in record.endpoints):
            await self._ruleset.reconcile()
        await self._store.commit(Delete(f"endpoints/{record.container_id}"))

    async def detach(self, container_id: str, *, rules_are_gone: bool = False) -> None:
        """Take a container out of the network. Its addresses are given back once its interfaces are gone. The record
        goes last, so that what is left after a crash is found."""
        record = self._places.records.pop(container_id, None)
        if record is None:
            return
        self._resolver.stop(container_id)
        self._directory.forget(container_id)
        self._places.standings.pop(container_id, None)
        try:
            if not rules_are_gone and record.group:
                await self._ruleset.settle()
            if not rules_are_gone:
                await self._ruleset.change(attaching.own_elements(record), {})
        except BoxshipError as error:  # the container must go all the same
            log.error("cannot remove the packet rules of container %s: %s", record.name, error)
        self._places.reservations.release(container_id)
        self._places.release(container_id, record.endpoints, plugged=True)
        if record.namespace:
            await self._pool.remove(Path(record.namespace))
        await self._store.commit(Delete(f"endpoints/{container_id}"))

    # while a container runs

    async def connect(self, container_id: str, request: EndpointRequest) -> Attachment:
        """Join a running container to one more network."""
        record = self._places.running(container_id)
        state = self._catalog.find(request.network)
        before = self._places.networks(record)
        if any(network.id == state.network.id for network in before):
            raise Denied(f"endpoint with name {record.name} already exists in network {state.network.name}")
        if state.network.driver == "host":
            raise Invalid("cannot connect container to host network - container must be created in host network mode")
        earlier = [EndpointRequest(network.id) for network in before]
        attaching.check_requests([*before, state.network], [*earlier, request])
        item = await self._places.take_endpoint(record, state, request)
        changed = msgspec.structs.replace(record, endpoints=(*record.endpoints, item))
        try:
            await self._ensure_virtual(record, [state])
            await self._join(record, changed, item)
        except BaseException:
            self._places.release(container_id, [item], plugged=True)
            raise
        return self.view(container_id)

    async def _join(self, record: AttachmentRecord, changed: AttachmentRecord, item: EndpointRecord) -> None:
        """Carry out a live connect; the record is written back where the kernel refuses."""
        ready = await asyncio.to_thread(enter, Path(record.namespace))
        opened: sockets.ResolverSockets | None = None
        try:
            if not record.resolver_ports[0] and any(network.resolves for network in self._places.networks(changed)):
                opened = await asyncio.to_thread(start_resolver, ready.descriptor)
                ports = (opened.datagram_port, opened.stream_port)
                changed = msgspec.structs.replace(changed, resolver_ports=ports)
            self._places.put(changed)
            await self._write(changed)
            await self.plug(ready, changed, [item], attaching.own_elements(record))
        except BaseException:
            if opened:
                opened.close()
            self._places.put(record)
            await self._write(record)
            raise
        finally:
            ready.close()
        await self._settle(changed)
        self._directory.put(changed, self._places.networks(changed))
        self._resolver.update(changed)
        if opened:
            await self._resolver.serve(changed, opened)

    async def disconnect(self, container_id: str, network_id: str) -> Attachment:
        """Take a running container off a network."""
        record = self._places.running(container_id)
        network = self._catalog.find(network_id).network
        gone = [item for item in record.endpoints if item.endpoint.network_id == network.id]
        if not gone:
            raise Conflict(f"container {container_id} is not connected to network {network.name}")
        if network.driver == "host":
            raise Invalid("container cannot be disconnected from host network or connected to host network")
        kept = tuple(item for item in record.endpoints if item not in gone)
        changed = msgspec.structs.replace(record, endpoints=kept)
        await self._write(changed)
        self._places.put(changed)
        self._directory.put(changed, self._places.networks(changed))
        self._resolver.update(changed)
        try:
            await self._leave(record, changed, gone[0])
        finally:
            self._places.release(container_id, gone, plugged=True)
        return self.view(container_id)

    async def _leave(self, record: AttachmentRecord, changed: AttachmentRecord, item: EndpointRecord) -> None:
        """Carry out a live disconnect: the interface, the published ports' way in, the default route."""
        await self._settle(changed)
        await self._drain.remove_now(item)
        await self._ruleset.change(attaching.own_elements(record), attaching.own_elements(changed))
        chosen = attaching.way_out(changed)
        if attaching.way_out(record) != item or chosen is None:
            return
        ready = await asyncio.to_thread(enter, Path(record.namespace))
        try:
            await self._kernel.run(self._kernel.route_by, ready, chosen.endpoint.gateway)
        finally:
            ready.close()

    async def _ensure_virtual(self, record: AttachmentRecord, states: Sequence[NetworkState]) -> None:
        if await self._virtual.ensure(states, record.group, record.virtual_name):
            await self._ruleset.settle()  # until somebody serves, it refuses

    async def _settle(self, record: AttachmentRecord) -> None:
        """A group's member has other networks than before: what leads to it may change too."""
        if is_led_to(record):
            await self._ruleset.settle()

    async def stand(self, container_id: str, standing: Standing) -> None:
        """A group's member stands otherwise than before: names and rules follow, and are in force on return."""
        record = self._places.records.get(container_id)
        if record is None or not record.group or self._places.standings.get(container_id) is standing:
            return
        self._places.standings[container_id] = standing  # names follow this alone
        await self._settle(record)

    async def rename(self, container_id: str, name: str) -> None:
        """A container has a new name, which others find it by from now on."""
        record = self._places.records.get(container_id)
        if record is None:
            return
        changed = attaching.renamed(record, name)
        await self._write(changed)
        self._places.put(changed)
        self._directory.put(changed, self._places.networks(changed))
