"""The ways to the pods of other nodes: routes to each node's block, straight where the node is on a segment of ours,
through a VXLAN tunnel otherwise. Pods keep their addresses either way.

What has to be is decided from values (`plan`); the kernel is led there by its difference from what is. Only what is
ours is touched: routes of our own protocol number, entries of our own tunnel.
"""

import contextlib
import ipaddress
from collections.abc import Collection, Sequence

import msgspec

from boxship.network.addresses import hardware_address
from boxship.network.cluster_kernel import ClusterKernel
from boxship.network.fence import Fence
from boxship.sys import namespace, netlink, tunnels
from boxship.sys.tunnels import Neighbour

PROTOCOL = 98  # marks our routes
TUNNEL_PORT, TUNNEL_NETWORK = 8472, 45253
TUNNEL_BYTES = 50  # what VXLAN over IPv4 adds to a packet


class Node(msgspec.Struct, frozen=True, order=True):
    """Another node: its pods' block and its own address."""

    block: str
    address: str


class Way(msgspec.Struct, frozen=True):
    """A route to a block: by an interface of ours through the node itself, or (index 0) by the tunnel, whose far end
    is at `gateway`."""

    block: str
    gateway: str
    index: int = 0


class Plan(msgspec.Struct, frozen=True):
    """All ways, and the tunnel's entries: what is at which hardware address, and behind which machine."""

    ways: tuple[Way, ...]
    entries: frozenset[Neighbour] = frozenset()


def far_end(block: str) -> str:
    """A tunnel end's address: the block's first, which no pod has and no bridge."""
    return str(ipaddress.IPv4Network(block).network_address)


def plan(nodes: Sequence[Node], addresses: Sequence[netlink.Address], tunnel: str) -> Plan:
    """`addresses` are this machine's on interfaces that lead to other machines. `tunnel`: "auto", "always", "never"."""
    segments = [
        (ipaddress.IPv4Network(f"{item.address}/{item.prefix}", strict=False), item.index)
        for item in addresses
        if item.prefix < 32
    ]
    ways, entries = [], set()
    for node in sorted(set(nodes)):
        address = ipaddress.IPv4Address(node.address)
        index = next((index for segment, index in segments if address in segment), 0)
        if index and tunnel != "always":
            ways.append(Way(node.block, node.address, index))
        elif tunnel != "never":
            end = far_end(node.block)
            mac = hardware_address(end)
            ways.append(Way(node.block, end))
            entries |= {Neighbour(mac, end, False), Neighbour(mac, node.address, True)}
    return Plan(tuple(ways), frozenset(entries))


class PodRoutes:
    """The ways of one instance. `gateway` is its pods' gateway, which the machine's own packets to pods come from."""

    def __init__(
        self, kernel: ClusterKernel, name: str, block: str, gateway: str, *, tunnel: str, fence: Fence | None = None
    ) -> None:
        self._kernel = kernel
        self._name = name  # the tunnel's interface
        self._block = block
        self._gateway = gateway
        self._tunnel = tunnel
        self._fence = fence
        self.others = 0  # nodes, as last told

    async def lead(self, nodes: Sequence[Node], own: str) -> None:
        """Have ways to exactly these nodes; `own` is this node's address, from which its tunnel leaves."""
        self.others = len(nodes)
        await self._kernel.run(self._lead, nodes, own)

    async def remove(self) -> None:
        """The node leaves the cluster."""
        await self._kernel.run(self._lead, (), "")

    def _lead(self, nodes: Sequence[Node], own: str) -> None:
        route = self._kernel.route
        links = {link.index: link for link in route.links()}
        others = {index for index, link in links.items() if link.name not in ("lo", self._name)}
        here = [item for item in route.addresses() if item.index in others]
        wanted = plan(nodes, here, self._tunnel)
        self._remove_routes({way.block for way in wanted.ways})
        self._set_routes([way for way in wanted.ways if way.index], 0)  # whatever becomes of the tunnel
        if self._fence is not None:  # before anything comes by the tunnel
            ends = {node.address for node in nodes} | {own}
            self._fence.lead(ends - {""} if wanted.entries else (), TUNNEL_PORT)
        tunnel = self._have_tunnel(links, here, own) if wanted.entries else 0
        if tunnel:
            present = tunnels.neighbours(route, tunnel)
            messages = [tunnels.remove_neighbour(tunnel, entry) for entry in present - wanted.entries]
            self._try(messages)
            messages = [tunnels.set_neighbour(tunnel, entry) for entry in sorted(wanted.entries - present)]
            route.apply(*messages) if messages else None
            self._set_routes([way for way in wanted.ways if not way.index], tunnel)
        for name in {links[way.index].name if way.index else self._name for way in wanted.ways}:
            namespace.write_setting(f"ipv4/conf/{name}/route_localnet", "1")  # node ports of 127.0.0.1 lead there, too
        if not wanted.entries and any(link.name == self._name for link in links.values()):
            self._try([netlink.remove_link(self._name)])

    def _own_routes(self) -> dict[str, netlink.Route]:
        found = [item for item in self._kernel.route.routes() if item.protocol == PROTOCOL]
        return {f"{item.destination}/{item.prefix}": item for item in found}

    def _remove_routes(self, wanted: Collection[str]) -> None:
        """Those to all blocks but these."""
        present = self._own_routes()
        self._try([netlink.remove_route(block, item.index) for block, item in present.items() if block not in wanted])

    def _set_routes(self, ways: Sequence[Way], tunnel: int) -> None:
        route = self._kernel.route
        present = self._own_routes()
        for way in ways:
            index = way.index or tunnel
            found = present.get(way.block)
            if found and (found.gateway, found.index, found.source) == (way.gateway, index, self._gateway):
                continue
            route.apply(
                netlink.set_route(way.block, index, gateway=way.gateway, source=self._gateway, protocol=PROTOCOL)
            )

    def _have_tunnel(self, links: dict[int, netlink.Link], here: Sequence[netlink.Address], own: str) -> int:
        """The index of our tunnel's end, which leaves from `own`; 0 while the machine does not have that address."""
        uplink = next((links[item.index] for item in here if item.address == own), None)
        if uplink is None:
            return 0
        route = self._kernel.route
        mtu = uplink.mtu - TUNNEL_BYTES
        alias = f"boxship tunnel from {own}, {mtu} bytes"
        found = route.link(self._name)
        if found and found.alias == alias:
            return found.index
        if found:
            route.apply(netlink.remove_link(self._name))
        route.apply(
            tunnels.add_vxlan(
                self._name,
                network=TUNNEL_NETWORK,
                port=TUNNEL_PORT,
                local=own,
                mac=hardware_address(far_end(self._block)),
                mtu=mtu,
            ),
            netlink.set_alias(self._name, alias),
        )
        index = route.index(self._name)
        route.apply(netlink.add_address(index, far_end(self._block), 32))  # what is masqueraded into it comes from here
        return index

    def _try(self, messages: Sequence[netlink.Message]) -> None:
        """What is gone already is fine."""
        if messages:
            with contextlib.suppress(OSError):
                self._kernel.route.apply(*messages)
