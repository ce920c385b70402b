"""After a restart: what the store says and what the kernel has are made the same again, without cutting a connection.

Containers that live keep everything; what misses is put back. What belonged to others of ours is taken away. What is
not ours (told by the veths' prefix, the bridges' alias and our own folder and table) is never touched.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from boxship.errors import BoxshipError
from boxship.network import attaching, rules
from boxship.network.attachments import Attachments
from boxship.network.catalog import Catalog, NetworkState
from boxship.network.directory import Directory
from boxship.network.drain import Drain
from boxship.network.groups import Standing
from boxship.network.kernel import Kernel, remove_interfaces, resume_resolver
from boxship.network.model import AttachmentRecord, EndpointRecord
from boxship.network.places import Places
from boxship.network.pool import NamespacePool, enter
from boxship.network.resolver import Resolver
from boxship.network.ruleset import Ruleset
from boxship.network.virtual import VirtualAddresses
from boxship.store import Store
from boxship.sys import namespace, netlink

log = logging.getLogger(__name__)


class Recovery:
    """Compares the store with the kernel, and puts the kernel right."""

    def __init__(
        self,
        *,
        store: Store,
        kernel: Kernel,
        catalog: Catalog,
        places: Places,
        ruleset: Ruleset,
        attachments: Attachments,
        drain: Drain,
        pool: NamespacePool,
        resolver: Resolver,
        directory: Directory,
        virtual: VirtualAddresses,
        folder: Path,
        veth_prefix: str,
    ) -> None:
        self._store = store
        self._kernel = kernel
        self._catalog = catalog
        self._places = places
        self._ruleset = ruleset
        self._attachments = attachments
        self._drain = drain
        self._pool = pool
        self._resolver = resolver
        self._directory = directory
        self._virtual = virtual
        self._folder = folder
        self._veth_prefix = veth_prefix

    async def load(self) -> None:
        """Read the records of all containers and count their addresses as taken."""
        snapshot = await self._store.list("endpoints/")
        for entry in snapshot.entries:
            record = msgspec.json.decode(entry.value, type=AttachmentRecord)
            self._places.restore(record)
        await self._virtual.load()

    async def recover(
        self, live: Collection[str], processes: Mapping[str, int], standings: Mapping[str, Standing]
    ) -> None:
        """Take back what belongs to containers that do not live, and put back what those that live miss."""
        self._places.standings.update(standings)
        await self._virtual.recover()
        dead = [key for key in self._places.records if key not in live]
        await self._ruleset.reconcile(without=dead)
        for container_id in dead:
            await self._attachments.detach(container_id, rules_are_gone=True)
        links = {link.name: link for link in await self._kernel.run(self._links)}
        for record in list(self._places.records.values()):
            try:
                await self._restore(record, links, processes.get(record.container_id, 0))
            except (BoxshipError, OSError) as error:
                log.error("cannot restore the network of container %s: %s", record.container_id[:12], error)
        await self._sweep()

    def _links(self) -> list[netlink.Link]:
        return self._kernel.route.links()

    async def _restore(self, record: AttachmentRecord, links: Mapping[str, netlink.Link], pid: int) -> None:
        lost = self._places.reservations.restore(record.container_id, record.ports, record.group)
        for port in lost:
            log.warning("host port %s/%s was taken while the daemon was away", port.host_port, port.protocol)
        if not record.namespace:
            return
        path = Path(record.namespace)
        if not namespace.exists(path):
            if not pid:
                raise BoxshipError(f"cannot find network namespace {path}")
            await asyncio.to_thread(namespace.keep, path, f"/proc/{pid}/ns/net")
        missing = [item for item in record.endpoints if item.veth and item.veth not in links]
        missing = [item for item in missing if self._bridged(item)]
        if missing:
            await self._plug_again(record, missing)
        self._directory.put(record, self._places.networks(record))
        if record.resolver_ports[0] and record.container_id not in self._resolver.served:
            opened = await asyncio.to_thread(resume_resolver, path, record.resolver_ports)
            await self._resolver.serve(record, opened)

    def _state(self, item: EndpointRecord) -> NetworkState | None:
        return self._catalog.by_id(item.endpoint.network_id)

    def _bridged(self, item: EndpointRecord) -> bool:
        state = self._state(item)
        return bool(state and state.network.bridge)

    async def _plug_again(self, record: AttachmentRecord, missing: list[EndpointRecord]) -> None:
        ready = await asyncio.to_thread(enter, Path(record.namespace))
        try:
            present = attaching.own_elements(record)  # the rules are right already
            await self._attachments.plug(ready, record, missing, present)
        finally:
            ready.close()

    async def _sweep(self) -> None:
        """Remove the interfaces, bridges and namespaces of ours that no record knows."""
        strays = await self._strays()
        await asyncio.to_thread(remove_interfaces, strays.interfaces)
        for path in strays.namespaces:
            if path not in self._pool.taken:
                await asyncio.to_thread(namespace.remove, path)

    async def _strays(self) -> "Strays":
        records = self._places.records.values()
        veths = {item.veth for record in records for item in record.endpoints}
        leaving = self._drain.interfaces
        bridges = {network.bridge.bridge for network in self._catalog.list() if network.bridge}
        found = []
        for link in await self._kernel.run(self._links):
            if link.kind == "veth" and link.name.startswith(self._veth_prefix):
                found += [link.name] if link.name not in veths | leaving else []
            elif link.kind == "bridge" and link.alias.startswith(self._catalog.bridges.alias("")):
                found += [link.name] if link.name not in bridges else []
        kept = {Path(record.namespace) for record in records if record.namespace} | self._pool.paths
        files = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
        return Strays(found, [path for path in files if path not in kept])

    async def audit(self) -> list[str]:
        """Every difference between the store and the kernel, as sentences; empty when all is well."""
        problems = []
        wanted, present = self._places.elements(), await self._kernel.run(self._kernel.elements)
        if text := rules.change("TABLE", present, wanted):
            problems.append(f"the rules differ: {text.strip()}")
        links = {link.name: link for link in await self._kernel.run(self._links)}
        for network in self._catalog.list():
            if network.bridge and network.bridge.bridge not in links:
                problems.append(f"network {network.name} has no bridge {network.bridge.bridge}")
        stored = {entry.key for entry in (await self._store.list("endpoints/")).entries}
        records = self._places.records
        if stored != {f"endpoints/{key}" for key in records}:
            problems.append(f"the store's endpoints differ from those in memory: {sorted(stored)}")
        for record in records.values():
            problems += self._audit_record(record, links)
        problems += await self._virtual.audit()
        strays = await self._strays()
        problems += [f"interface {name} belongs to nobody" for name in strays.interfaces]
        problems += [f"namespace {path} belongs to nobody" for path in strays.namespaces]
        return problems

    def _audit_record(self, record: AttachmentRecord, links: Mapping[str, netlink.Link]) -> list[str]:
        name, problems = record.name, []
        if record.namespace and not namespace.exists(Path(record.namespace)):
            problems.append(f"container {name} has no namespace at {record.namespace}")
        for item in record.endpoints:
            state = self._state(item)
            if state is None or record.container_id not in state.endpoints:
                problems.append(f"container {name} is on network {item.endpoint.network_name}, which does not know it")
            elif state.allocator and item.endpoint.ipv4_address not in state.allocator.taken:
                problems.append(f"address {item.endpoint.ipv4_address} of container {name} counts as free")
            if self._bridged(item) and item.veth not in links:
                problems.append(f"container {name} has no interface {item.veth}")
        if set(record.ports) != set(self._places.reservations.held(record.container_id)):
            problems.append(f"container {name}: the host ports held differ from those published")
        if bool(record.resolver_ports[0]) != (record.container_id in self._resolver.served):
            problems.append(f"container {name}: its resolver does not run as recorded")
        return problems


class Strays(msgspec.Struct, frozen=True):
    """What is ours by its marks, and in no record."""

    interfaces: list[str]
    namespaces: list[Path]
