"""The network room's door: networks, and containers' places in them. See `Networks`."""

import asyncio
import base64
import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from boxship.errors import Conflict, NotFound
from boxship.network import rules
from boxship.network.attachments import Attachments
from boxship.network.background import Background, Locks
from boxship.network.catalog import Catalog
from boxship.network.connections import count_open, listening, read_table
from boxship.network.directory import Directory
from boxship.network.drain import Drain
from boxship.network.elsewhere import Elsewhere, Neighbours
from boxship.network.files import FALLBACK_NAMESERVERS
from boxship.network.groups import Standing, standing_of
from boxship.network.hostfiles import HostFiles
from boxship.network.kernel import Kernel
from boxship.network.model import AttachmentRecord, Network, Settings
from boxship.network.places import Places
from boxship.network.pool import NamespacePool
from boxship.network.recovery import Recovery
from boxship.network.resolver import Resolver
from boxship.network.ruleset import Ruleset
from boxship.network.virtual import VirtualAddresses
from boxship.spec.attachment import Attachment, Endpoint
from boxship.spec.container import EndpointRequest, NetworkSpec, PortRequest
from boxship.store import Store
from boxship.transport.nameservers import Upstream
from boxship.waiting import to_the_end

COUNTERS = (
    "rx_packets",
    "tx_packets",
    "rx_bytes",
    "tx_bytes",
    "rx_errors",
    "tx_errors",
    "rx_dropped",
    "tx_dropped",
)


def veth_prefix(instance: str) -> str:
    """How the host's ends of an instance's interfaces begin: "bx", then five characters of the instance's own."""
    digest = hashlib.sha256(instance.encode()).digest()
    return "bx" + base64.b32encode(digest)[:5].decode().lower()


class Networks:
    """All networks of one instance. `start` makes it usable, `recover` finds again what lived on; both at each start.

    `run_root` holds the namespaces' files; `instance` is a name that no other daemon of the machine has.
    """

    def __init__(self, store: Store, run_root: Path, instance: str, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        prefix = veth_prefix(instance)
        self._kernel = Kernel(rules.table_name(instance), prefix)
        self._catalog = Catalog(store, self._kernel, instance, settings)
        self._pool = NamespacePool(run_root / "netns", settings.ready_namespaces)
        standings: dict[str, Standing] = {}
        self._directory = Directory(standings)
        self._virtual = VirtualAddresses(store, self._kernel, self._catalog, self._directory)
        host = HostFiles(settings)
        self.elsewhere = Elsewhere()
        self.neighbours = Neighbours(self._directory)
        self._host = host
        self._resolver = Resolver(self._directory, Upstream(), host, self.elsewhere)
        self._drain = Drain()
        self._locks = Locks()
        self._background = Background()
        self._places = Places(
            self._catalog,
            self._drain,
            self._virtual,
            standings,
            default_host_address=settings.default_host_address,
            veth_prefix=prefix,
        )
        self._ruleset = ruleset = Ruleset(self._kernel, self._places)
        self._attachments = Attachments(
            store=store,
            kernel=self._kernel,
            catalog=self._catalog,
            places=self._places,
            ruleset=ruleset,
            pool=self._pool,
            resolver=self._resolver,
            directory=self._directory,
            drain=self._drain,
            host=host,
            virtual=self._virtual,
        )
        self._recovery = Recovery(
            store=store,
            kernel=self._kernel,
            catalog=self._catalog,
            places=self._places,
            ruleset=ruleset,
            attachments=self._attachments,
            drain=self._drain,
            pool=self._pool,
            resolver=self._resolver,
            directory=self._directory,
            virtual=self._virtual,
            folder=run_root / "netns",
            veth_prefix=prefix,
        )

    def nameservers(self) -> Sequence[str]:
        """Those that questions of containers are passed on to."""
        return self._host.config.nameservers or FALLBACK_NAMESERVERS

    # life

    async def start(self) -> None:
        """Read the store, put bridges and rules into place, begin to make namespaces ready."""
        await self._kernel.run(self._kernel.prepare_host)
        await self._catalog.load()
        await self._recovery.load()
        self._attachments.mtu = await self._kernel.run(self._kernel.uplink_mtu)
        await self._catalog.ensure_bridges()
        self._pool.start()
        self._background.start(self._ruleset.keep(), "keeper of the packet rules")

    async def recover(
        self,
        live: Collection[str],
        processes: Mapping[str, int] | None = None,
        standings: Mapping[str, Standing] | None = None,
    ) -> None:
        """Take back what belongs to containers that are not in `live`; give those that are what they miss. `processes`
        (container → pid) lets a namespace be found whose file went away with a mount namespace; `standings` are those
        of group members."""
        await self._recovery.recover(live, processes or {}, standings or {})

    async def audit(self) -> list[str]:
        """Differences between the store and the kernel, as sentences. Empty when all is well."""
        return await self._recovery.audit()

    async def close(self) -> None:
        """Stop serving. With containers on, all of their network stays; without, nothing of it is left behind."""
        await self._background.close()
        await self._resolver.close()
        await self._pool.close()
        await self._drain.close()
        self._places.reservations.close()
        if not any(record.namespace for record in self._places.records.values()):
            for network in self._catalog.list():
                await self._catalog.bridges.remove(network)
            await self._kernel.run(self._kernel.remove_rules)
        await self._kernel.close()

    # networks

    async def create(self, spec: NetworkSpec) -> Network:
        return await to_the_end(self._catalog.create(spec))

    async def remove(self, reference: str) -> Network:
        return await to_the_end(self._remove(reference))

    async def _remove(self, reference: str) -> Network:
        network = await self._catalog.remove(reference)
        if await self._virtual.forget_network(network.id):
            await self._ruleset.settle()
        return network

    def get(self, reference: str) -> Network:
        """A network by id, name, or the start of its id. NotFound "network x not found"."""
        return self._catalog.find(reference).network

    def list(self) -> list[Network]:
        return self._catalog.list()

    def endpoints(self, network_id: str) -> dict[str, Endpoint]:
        """The running containers on a network, by id."""
        state = self._catalog.find(network_id)
        return {key: item.endpoint for key, (_, item) in state.endpoints.items()}

    # containers

    async def attach(
        self,
        container_id: str,
        name: str,
        *,
        requests: Sequence[EndpointRequest] = (),
        ports: Sequence[PortRequest] = (),
        hostname: str = "",
        domainname: str = "",
        dns: Sequence[str] = (),
        dns_search: Sequence[str] = (),
        dns_options: Sequence[str] = (),
        extra_hosts: Sequence[str] = (),
        group: str = "",
        virtual_name: str = "",
        resolver: bool = True,
        namespace: str = "",
    ) -> Attachment:
        """Give a starting container its place: the network "host" leaves it in the host's namespace, "none" (or no
        request) gives it one of its own with only a loopback. Conflict where it has a place already. A `group` shares
        host ports and names among its members, and with `virtual_name` one address; nothing comes to a member that way
        before `stand` says how it stands. Without `resolver` none runs for it, also where the network has names.
        `namespace` is a new one of the caller's making, by the path where it is kept, to be used instead of one of
        ours."""
        record = AttachmentRecord(
            container_id=container_id,
            name=name,
            hostname=hostname,
            domainname=domainname,
            dns=tuple(dns),
            dns_search=tuple(dns_search),
            dns_options=tuple(dns_options),
            extra_hosts=tuple(extra_hosts),
            group=group,
            virtual_name=virtual_name if group else "",
        )
        async with self._locks.hold(container_id):
            if container_id in self._places.records:
                raise Conflict(f"cannot attach container {name}: it is attached already")
            try:
                return await to_the_end(
                    self._attachments.attach(record, tuple(requests), tuple(ports), resolver, namespace)
                )
            except asyncio.CancelledError:
                await to_the_end(self._attachments.detach(container_id))
                raise

    def attachment(self, container_id: str) -> Attachment:
        """A container's place as it is now. NotFound where it has none."""
        return self._attachments.view(container_id)

    async def detach(self, container_id: str) -> None:
        """Take a container's place away; one that has none is fine."""
        async with self._locks.hold(container_id):
            await to_the_end(self._attachments.detach(container_id))

    async def connect(self, container_id: str, request: EndpointRequest) -> Attachment:
        async with self._locks.hold(container_id):
            return await to_the_end(self._attachments.connect(container_id, request))

    async def disconnect(self, container_id: str, network_id: str) -> Attachment:
        async with self._locks.hold(container_id):
            return await to_the_end(self._attachments.disconnect(container_id, network_id))

    async def rename(self, container_id: str, name: str) -> None:
        async with self._locks.hold(container_id):
            await to_the_end(self._attachments.rename(container_id, name))

    # service groups

    async def stand(self, container_id: str, standing: Standing) -> None:
        """How a group's member stands from now on; on return, new connections and names follow it."""
        async with self._locks.hold(container_id):
            await to_the_end(self._attachments.stand(container_id, standing))

    def standing(self, container_id: str) -> Standing:
        return standing_of(self._places.standings, container_id)

    def virtual_addresses(self, group: str, name: str) -> dict[str, str]:
        """The addresses that stand for a group under a name, by network id."""
        found = self._virtual.all
        return {item.network_id: item.address for item in found if (item.group, item.name) == (group, name)}

    async def forget_unanswered(self, container_id: str) -> None:
        """Connections that a member has not answered yet, for its queue was full, go to others from now on."""
        record = self._places.records.get(container_id)
        if record is not None:
            addresses = [item.endpoint.ipv4_address for item in record.endpoints if item.endpoint.ipv4_address]
            await self._kernel.run(self._kernel.forget_unanswered, addresses)

    async def open_connections(self, pid: int, ports: Collection[int] | None) -> int:
        """How many TCP connections to some ports (None: all at which it listens) the container of a process has with
        others."""
        return await asyncio.to_thread(lambda: count_open(read_table(pid), ports))

    async def listening(self, pid: int) -> frozenset[int]:
        """The TCP ports at which others reach the container of a process."""
        return await asyncio.to_thread(lambda: listening(read_table(pid)))

    async def keep_virtual(self, wanted: Collection[tuple[str, str]]) -> None:
        """Give back the virtual addresses of all (group, name) pairs that no container has any longer."""
        if await to_the_end(self._virtual.keep_only(wanted)):
            await self._ruleset.settle()

    async def traffic(self, container_ids: Collection[str]) -> dict[str, tuple[int, int]]:
        """Bytes that containers have received and sent, of many at once."""
        owners = {
            item.veth: container_id
            for container_id in container_ids
            if (record := self._places.records.get(container_id)) is not None
            for item in record.endpoints
            if item.veth
        }
        counters = await self._kernel.run(self._kernel.counters, {veth: veth for veth in owners})
        found = dict.fromkeys(owners.values(), (0, 0))
        for veth, values in counters.items():
            by_name = dict(zip(COUNTERS, values, strict=True))
            received, sent = found[owners[veth]]
            found[owners[veth]] = received + by_name["tx_bytes"], sent + by_name["rx_bytes"]
        return found

    async def statistics(self, container_id: str) -> dict[str, dict[str, int]]:
        """What went through a container's interfaces, by their names inside; as the container sees it."""
        record = self._places.records.get(container_id)
        if record is None:
            raise NotFound(f"container {container_id} is not attached to any network")
        veths = {item.endpoint.interface: item.veth for item in record.endpoints if item.veth}
        found = await self._kernel.run(self._kernel.counters, veths)
        result = {}
        for interface, counters in found.items():
            seen_by_host = dict(zip(COUNTERS, counters, strict=True))
            result[interface] = {_other_side(name): value for name, value in seen_by_host.items()}
        return result


def _other_side(name: str) -> str:
    """What the host's end receives, the container's end sent."""
    return ("tx" if name.startswith("rx") else "rx") + name[2:]
