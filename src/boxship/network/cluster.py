"""A machine's part in a cluster's network: its pods' bridge, the ways to it, and the tables of rules.

The composition makes the pods' network from `pods_network`, then one `ClusterNetwork` over it; who follows the
cluster's objects is given its parts. All of it outlives the process; only `leave` takes it away.
"""

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec

from boxship.errors import Unsupported
from boxship.network.announcing import Announcements
from boxship.network.cluster_kernel import ClusterKernel
from boxship.network.fence import Fence
from boxship.network.kernel import DEFAULT_MTU
from boxship.network.model import Network
from boxship.network.networks import veth_prefix
from boxship.network.options import PREFIX, ROUTED
from boxship.network.policies import PolicyTable
from boxship.network.routes import TUNNEL_BYTES, PodRoutes
from boxship.network.services import ServiceTable
from boxship.network.services_rules import Surroundings
from boxship.spec.container import NetworkSpec, Subnet
from boxship.sys import netlink
from boxship.sys.nftables_news import RuleNews
from boxship.sys.tunnels import RouteNews

WIDEST_BLOCK = 20  # prefix length of a node's pods


class Site(msgspec.Struct, frozen=True):
    """The cluster's addresses as a node sees them: all pods' subnets, all services' subnets, and the service addresses
    at which each node answers itself (DNS)."""

    pods: tuple[str, ...] = ("10.244.0.0/16",)
    services: tuple[str, ...] = ("10.96.0.0/16",)
    answered: tuple[str, ...] = ("10.96.0.10",)


def uplink_mtu() -> int:
    """The MTU of the interface of the machine's default route."""
    route = netlink.RouteSocket()
    with contextlib.closing(route):
        defaults = [found for found in route.routes() if found.prefix == 0 and found.index]
        index = min(defaults, key=lambda found: found.metric).index if defaults else 0
        return next((link.mtu for link in route.links() if link.index == index), DEFAULT_MTU)


def pods_network(
    name: str, block: str, site: Site, *, mtu: int = 0, labels: dict[str, str] | None = None
) -> NetworkSpec:
    """The network of a node's pods, with the node's block, whose first address is the node's. `mtu` is the uplink's;
    0 finds it out."""
    mtu = mtu or uplink_mtu()
    if ipaddress.IPv4Network(block).prefixlen < WIDEST_BLOCK:
        raise Unsupported(f"unsupported: pod block {block} (wider than /{WIDEST_BLOCK})")
    options = {ROUTED: ",".join(site.pods), f"{PREFIX}driver.mtu": str(mtu - TUNNEL_BYTES)}
    return NetworkSpec(name=name, subnets=(Subnet(subnet=block),), options=options, labels=labels or {})


def _joined(subnets: Iterable[str]) -> tuple[str, ...]:
    """The same addresses without overlaps."""
    return tuple(map(str, ipaddress.collapse_addresses(ipaddress.IPv4Network(subnet) for subnet in subnets)))


class ClusterNetwork:
    """Of one instance, over its pods' network. `open` at each start; `close` leaves everything working. `tunnel` says
    which nodes are reached through VXLAN: "auto" (those on no segment of ours), "always" or "never"."""

    def __init__(self, instance: str, pods: Network, site: Site, *, tunnel: str = "auto") -> None:
        assert pods.bridge is not None, "pods have a bridge network"
        self._kernel = ClusterKernel()
        self._bridge = pods.bridge.bridge
        self._gateway = pods.gateway
        self._site = site
        block = ipaddress.IPv4Network(pods.subnet)
        around = Surroundings(
            bridge=self._bridge, inside=site.pods, reserved=_joined(site.services), own=tuple(map(str, block.hosts()))
        )
        self.services = ServiceTable(self._kernel, instance, around)
        self.announcements = Announcements(self._kernel, self._bridge, self._gateway)
        self.policies = PolicyTable(self._kernel, instance, around.own)
        self._fence = Fence(self._kernel, instance, self._bridge, pods.subnet, site.pods)
        self.routes = PodRoutes(
            self._kernel, f"{veth_prefix(instance)}-vx", pods.subnet, self._gateway, tunnel=tunnel, fence=self._fence
        )

    async def open(self) -> None:
        """Have the ways to services, and the addresses at which this node answers itself."""
        await self._kernel.run(self._have_ways)
        await self._kernel.run(self._fence.have)

    def _have_ways(self) -> None:
        route = self._kernel.route
        index = route.index(self._bridge)
        for address in self._site.answered:
            route.apply(netlink.add_address(index, address, 32))
        self._lead_to_services(_joined(self._site.services), keep=True)

    async def reserve(self, subnets: Iterable[str]) -> None:
        """Services have addresses in these subnets, too: who asks for one of them is led or refused here."""
        reserved = _joined((*self._site.services, *subnets))
        await self._kernel.run(self._lead_to_services, reserved)
        await self.services.reserve(reserved)

    def _lead_to_services(self, subnets: Sequence[str], *, keep: bool = False) -> None:
        """What is led nowhere is refused before it gets to the bridge."""
        route = self._kernel.route
        index = route.index(self._bridge)
        for subnet in subnets:
            route.apply(netlink.set_route(subnet, index, source=self._gateway))
        for item in () if keep else self._service_routes(index):
            if item not in subnets:
                route.apply(netlink.remove_route(item, index))

    def _service_routes(self, index: int) -> list[str]:
        """Those of ours that lead to services now: the bridge's own was made by the kernel."""
        found = [item for item in self._kernel.route.routes() if item.index == index and item.source == self._gateway]
        return [f"{item.destination}/{item.prefix}" for item in found if item.protocol == netlink.BOOT]

    async def changes(self) -> AsyncIterator[None]:
        """One each time that the machine's addresses or routes have changed, beginning with now."""
        with RouteNews() as news:
            while True:
                yield
                await news.changed()

    async def keep_rules(self) -> None:
        """Without end: have our tables again where somebody else took them away."""
        with RuleNews() as news:
            while True:
                await self.services.restore()
                await self.policies.restore()
                await self._kernel.run(self._fence.restore)
                await news.changed()

    async def close(self) -> None:
        await self._kernel.close()
        await asyncio.to_thread(self.services.close)

    async def leave(self) -> None:
        """The node leaves the cluster: nothing of it stays. The pods' network is its maker's to remove."""
        await self.services.remove()
        await self.announcements.remove()
        await self.policies.remove()
        await self.routes.remove()
        await self._kernel.run(self._fence.remove)
        await self._kernel.run(self._remove_ways)

    def _remove_ways(self) -> None:
        route = self._kernel.route
        link = route.link(self._bridge)
        if link is None:
            return
        messages = [netlink.remove_address(link.index, address, 32) for address in self._site.answered]
        messages += [netlink.remove_route(subnet, link.index) for subnet in self._service_routes(link.index)]
        with contextlib.suppress(OSError):  # gone already
            route.apply(*messages)
