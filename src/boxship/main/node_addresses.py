"""The node's addresses: its own, its block of pod addresses from the API, and the network that pods join.

The network is one of the engine's, named "pods": its bridge has the block's first address, and the address of the
cluster's DNS, at which each node answers itself.
"""

import asyncio
import contextlib
import ipaddress
from urllib.parse import urlsplit

from boxship.cluster.access import Client
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.engine import Engine
from boxship.errors import BoxshipError, Conflict, NotFound
from boxship.main.node_record import NodeRecord, taint_of
from boxship.main.rooms import Rooms
from boxship.network.cluster import ClusterNetwork, Site, pods_network
from boxship.network.model import Network
from boxship.transport.client import is_loopback
from boxship.transport.listen import outgoing_address

NETWORK, LABEL = "pods", "boxship.cluster"
NODES = "v1/nodes"


def is_local(record: NodeRecord) -> bool:
    """Whether the control plane is reached on this machine alone: then so is the node."""
    return is_loopback(urlsplit(record.server).hostname or "")


def own_address(record: NodeRecord) -> str:
    """The node's own: what was said, or what its packets to the API carry; "" where there is no way out."""
    host = "" if is_local(record) else urlsplit(record.server).hostname or ""
    return record.address or (outgoing_address(host) if host else outgoing_address())


async def first_block(client: Client, record: NodeRecord) -> str:
    """The block that the cluster gives this node, which is made known where it is not yet. Waits for it."""
    made: Object = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": record.node, "labels": {**record.labels, "kubernetes.io/hostname": record.node}},
        "spec": {"taints": [taint_of(text) for text in record.taints]},
    }
    with contextlib.suppress(Failure):  # it is there, or the list below says what is wrong
        await client.create(NODES, "", made)
    listing = await client.list(NODES, fields=f"metadata.name={record.node}")
    for node in listing.items:
        if block := block_of(node):
            return block
    async for event in client.watch(NODES, version=listing.version, fields=f"metadata.name={record.node}"):
        if event.type in ("ADDED", "MODIFIED") and (block := block_of(event.object)):
            return block
    raise NotFound(f"cannot find the node {record.node}")


def block_of(node: Object) -> str:
    return str((node.get("spec") or {}).get("podCIDR") or "")


def is_ours(network: Network) -> bool:
    """Whether a network was made for pods: people may have one of the same name."""
    return LABEL in network.spec.labels


def site_of(record: NodeRecord) -> Site:
    return Site(record.pods, record.services, (record.dns,) if record.dns else ())


class Addresses:
    """The pods' network."""

    def __init__(self, engine: Engine, rooms: Rooms, record: NodeRecord) -> None:
        self._engine = engine
        self._rooms = rooms
        self._record = record
        self.site = site_of(record)

    @property
    def gateway(self) -> str:
        return str(ipaddress.ip_network(self._record.pod_cidr)[1])

    async def prepare(self) -> ClusterNetwork:
        """The network is there, with our block, and its bridge answers at the DNS's address."""
        block = self._record.pod_cidr
        for known in self._engine.networks.list():
            if known.name == NETWORK and not is_ours(known):
                raise Conflict(f"cannot run pods: somebody else has a network of the name {NETWORK}; remove it")
            if known.name == NETWORK and known.subnet != block:
                await self._clear_network()
        try:
            found = self._engine.networks.get(NETWORK)
        except NotFound:
            spec = await asyncio.to_thread(pods_network, NETWORK, block, self.site, labels={LABEL: self._record.server})
            found = await self._engine.networks.create(spec)
        network = ClusterNetwork(self._rooms.instance, found, self.site)
        try:
            await network.open()
        except BaseException:
            await network.close()
            raise
        return network

    async def _clear_network(self) -> None:
        from boxship.main.node_clearing import clear_pods

        await clear_pods(self._engine)
        await self._engine.networks.remove(NETWORK)

    async def moved(self, client: Client) -> str:
        """Our block, as soon as the cluster says another one than ours. What cannot be asked now is asked later."""
        name, version = self._record.node, ""
        while True:
            try:
                listing = await client.list(NODES, fields=f"metadata.name={name}")
                version = listing.version
                blocks = [block_of(node) for node in listing.items]
                if blocks and blocks[0] not in ("", self._record.pod_cidr):
                    return blocks[0]
                async for event in client.watch(NODES, version=version, fields=f"metadata.name={name}"):
                    block = block_of(event.object) if event.type in ("ADDED", "MODIFIED") else ""
                    if block not in ("", self._record.pod_cidr):
                        return block
            except BoxshipError:
                await asyncio.sleep(5.0)
