"""Addresses that this machine answers for to its neighbours though it does not have them: a load balancer's, whose
packets are led to pods before anybody looks for a way.

The kernel answers for an address (proxy ARP) when it has a route to it by another interface; the routes, which have a
protocol number of their own, are also how ours are known after a restart.
"""

import contextlib
import ipaddress
from collections.abc import Iterable

from boxship.network.cluster_kernel import ClusterKernel
from boxship.sys import namespace, netlink, sockets, tunnels

PROTOCOL = 97  # marks our routes


class Announcements:
    """Of one instance. The routes lead to the pods' `bridge`, where nobody is whom the packets' rules do not know."""

    def __init__(self, kernel: ClusterKernel, bridge: str, gateway: str) -> None:
        self._kernel = kernel
        self._bridge = bridge
        self._gateway = gateway

    async def segments(self) -> list[ipaddress.IPv4Network]:
        """The subnets of this machine's interfaces, but the bridge's own."""
        return await self._kernel.run(self._segments)

    async def lead(self, addresses: Iterable[str]) -> None:
        """Answer for exactly these, each on the interface in whose subnet it lies."""
        await self._kernel.run(self._lead, frozenset(addresses))

    async def remove(self) -> None:
        """The node leaves the cluster."""
        await self.lead(())

    def _places(self) -> list[tuple[ipaddress.IPv4Network, netlink.Link]]:
        route = self._kernel.route
        links = {link.index: link for link in route.links() if link.name not in ("lo", self._bridge)}
        return [
            (ipaddress.IPv4Network(f"{item.address}/{item.prefix}", strict=False), links[item.index])
            for item in route.addresses()
            if item.index in links and item.prefix < 32
        ]

    def _segments(self) -> list[ipaddress.IPv4Network]:
        return [subnet for subnet, _ in self._places()]

    def _lead(self, wanted: frozenset[str]) -> None:
        route = self._kernel.route
        bridge = route.link(self._bridge)
        present = {item.destination: item for item in route.routes() if item.protocol == PROTOCOL}
        places = self._places()
        for address in present.keys() - wanted:
            for link in self._links(address, places):
                with contextlib.suppress(OSError):  # gone already
                    route.apply(tunnels.remove_proxy(link.index, address))
            route.apply(netlink.remove_route(f"{address}/32", present[address].index))
        for address in sorted(wanted):
            for link in self._links(address, places) if bridge else ():
                namespace.write_setting(f"ipv4/neigh/{link.name}/proxy_delay", "0")
                assert bridge is not None, "the loop is empty without"
                self._answer(address, link, bridge, fresh=address not in present)

    def _answer(self, address: str, link: netlink.Link, bridge: netlink.Link, *, fresh: bool) -> None:
        route = self._kernel.route
        way = netlink.set_route(f"{address}/32", bridge.index, source=self._gateway, protocol=PROTOCOL)
        route.apply(*([way] if fresh else []), tunnels.set_proxy(link.index, address))
        if fresh:
            sockets.announce_address(None, link.name, link.mac_address, address)

    def _links(self, address: str, places: list[tuple[ipaddress.IPv4Network, netlink.Link]]) -> list[netlink.Link]:
        return [link for subnet, link in places if ipaddress.IPv4Address(address) in subnet][:1]
