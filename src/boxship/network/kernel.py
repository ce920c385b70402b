"""The one thread that changes interfaces and rules of the host's namespace: what others decided is done here.

It keeps a netlink socket and an nftables context open. Everything is one function per step that the room takes, and
each either has its whole effect or takes back what it did.
"""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import msgspec

from boxship.errors import Conflict, Internal
from boxship.network import binding, rules
from boxship.network.addresses import hardware_address
from boxship.network.kernel_thread import KernelThread
from boxship.network.pool import Ready
from boxship.sys import conntrack, namespace, netlink, sockets
from boxship.sys.nftables import Nftables

DEFAULT_MTU = 1500
MISSING = 19  # ENODEV
BRIDGED_PACKETS_PASS_RULES = "bridge/bridge-nf-call-iptables"


class RulesBroken(Internal):
    """Our table does not hold what we put there."""


class Plug(msgspec.Struct, frozen=True):
    """One interface to make: the host's end `veth` on `bridge`, the container's end `interface` with its address."""

    veth: str
    bridge: str
    interface: str
    mac_address: str
    address: str
    prefix: int
    mtu: int
    isolated: bool = False
    announced: bool = False
    gateway: str = ""  # all that it sends to `routed` subnets goes here, its neighbours' on the same bridge too
    routed: tuple[str, ...] = ()


class BridgePlan(msgspec.Struct, frozen=True):
    """A bridge as it must be. The alias says whose it is."""

    name: str
    alias: str
    address: str
    prefix: int
    mtu: int
    routed: bool = False


class Kernel(KernelThread):
    """Runs the steps below in its own thread, one after the other."""

    def __init__(self, table: str, veth_prefix: str) -> None:
        super().__init__("network")
        self._table = table
        self._veth_prefix = veth_prefix
        self._bridges: dict[str, int] = {}  # interface indices
        self._routed: set[str] = set()  # bridges whose containers speak under their own addresses alone

    # the host

    def prepare_host(self) -> None:
        """Turn on forwarding and put our table into place; what its sets hold already stays."""
        guard = namespace.read_setting("ipv4/ip_forward") == "0"
        if guard and not namespace.write_setting("ipv4/ip_forward", "1"):
            raise Internal("cannot turn on IPv4 forwarding: net.ipv4.ip_forward is read-only")
        if self.has_rules():
            guard = guard or rules.has_guard(self.nftables.query(f"list table ip {self._table}"))
        binds = binding.base(self._table, self._veth_prefix) if self._routed else ""
        self.nftables.run(rules.base(self._table, guard=guard) + binds)

    def has_rules(self) -> bool:
        """Whether our tables are there."""
        return self.has_table(self._table) and (not self._routed or self.has_table(self._table, binding.FAMILY))

    def elements(self) -> dict[str, dict[str, str]]:
        """What our tables' sets hold now."""
        listing = self.nftables.query(f"list table ip {self._table}")
        if self.has_table(self._table, binding.FAMILY):
            listing += self.nftables.query(f"list table {binding.FAMILY} {self._table}")
        return rules.read_elements(listing)

    def change_rules(self, present: rules.Elements, wanted: rules.Elements) -> None:
        """Lead the sets of our table from `present` to `wanted`. RulesBroken where they did not hold `present`."""
        try:
            self.nftables.run(rules.change(self._table, present, wanted))
        except Internal as error:
            raise RulesBroken(str(error)) from error
        for moved in rules.moved_flows(present, wanted):
            conntrack.forget_udp_flows(moved.port, moved.address, answered_by=moved.answered_by)

    def lead_rules(self, wanted: rules.Elements) -> None:
        """Lead the sets of our table to `wanted`, whatever they hold."""
        if not self._routed and self.has_table(
            self._table, binding.FAMILY
        ):  # of a network that went while we were away
            self.nftables.run(binding.remove(self._table))
        self.change_rules(self.elements(), wanted)

    def forget_unanswered(self, addresses: Sequence[str]) -> None:
        """Let connections that these addresses have not answered yet be led anew."""
        for address in addresses:
            conntrack.forget_unanswered(address)

    def remove_rules(self) -> None:
        self.nftables.run(rules.remove_table(self._table) + (binding.remove(self._table) if self._routed else ""))

    def uplink_mtu(self) -> int:
        """The MTU of the interface of the default route."""
        defaults = [route for route in self.route.routes() if route.prefix == 0 and route.index]
        if not defaults:
            return DEFAULT_MTU
        index = min(defaults, key=lambda route: route.metric).index
        return next((link.mtu for link in self.route.links() if link.index == index), DEFAULT_MTU)

    def used_subnets(self) -> tuple[list[netlink.Link], list[netlink.Address], list[netlink.Route]]:
        """The machine's interfaces, addresses and routes."""
        return self.route.links(), self.route.addresses(), self.route.routes()

    # bridges

    def make_bridge(self, plan: BridgePlan) -> bool:
        """Have the bridge as planned, whether it was there or not; True where it was made now."""
        found = self.route.link(plan.name)
        if found is not None and found.alias != plan.alias:
            raise Conflict(f"cannot create bridge {plan.name}: an interface of that name exists")
        if found is None:
            mac = hardware_address(plan.address)
            self.route.apply(
                netlink.add_bridge(plan.name, mac=mac, mtu=plan.mtu), netlink.set_alias(plan.name, plan.alias)
            )
        try:
            index = self.route.index(plan.name)
            folder = plan.name
            namespace.write_setting(f"ipv6/conf/{folder}/disable_ipv6", "1")
            namespace.write_setting(f"ipv4/conf/{folder}/route_localnet", "1")
            if plan.routed:  # neighbours have no shorter way. An interface's own word counts where "all" says no.
                namespace.write_setting(f"ipv4/conf/{folder}/send_redirects", "0")
                namespace.write_setting("ipv4/conf/all/send_redirects", "0")
                self.nftables.run(binding.base(self._table, self._veth_prefix))
                self._routed.add(plan.name)
            self.route.apply(netlink.set_up(index), netlink.add_address(index, plan.address, plan.prefix))
        except BaseException:
            if found is None:
                self.remove_bridge(plan.name)
            raise
        return found is None

    def remove_bridge(self, name: str) -> None:
        """Remove a bridge, with the rules that only bridges of its kind need; one that is gone is fine."""
        self.remove_interface(name)
        if name in self._routed:
            self._routed.discard(name)
            if not self._routed:
                self.nftables.run(binding.remove(self._table))

    def remove_interface(self, name: str) -> None:
        """Remove an interface of the host; one that is gone is fine."""
        try:
            self.route.apply(netlink.remove_link(name))
        except OSError as error:
            if error.errno != MISSING:
                raise

    # virtual addresses

    def add_virtual_addresses(self, bridges: Mapping[str, Collection[str]]) -> None:
        """Have these addresses on their bridges, and take every other one of the kind away. The neighbours are told."""
        present = self.route.addresses()
        for bridge, wanted in bridges.items():
            link = self.route.link(bridge)
            if link is None:
                continue
            held = _virtual(present, link.index)
            for address in sorted(held - set(wanted)):
                with contextlib.suppress(OSError):  # gone meanwhile
                    self.route.apply(netlink.remove_address(link.index, address, 32))
            for address in sorted(set(wanted) - held):
                self.route.apply(netlink.add_address(link.index, address, 32))
                sockets.announce_address(None, bridge, link.mac_address, address)

    def virtual_addresses(self, bridge: str) -> set[str]:
        """The virtual addresses that a bridge has."""
        link = self.route.link(bridge)
        index = link.index if link else 0
        return _virtual(self.route.addresses(), index)

    # containers

    def plug(
        self, ready: Ready, plugs: list[Plug], gateway: str, present: rules.Elements, wanted: rules.Elements
    ) -> None:
        """Make interfaces in a container's namespace, its default route by `gateway` ("" leaves it), and change the
        rules from `present` to `wanted`. All or nothing."""
        made: list[str] = []
        inside: list[netlink.Message] = []
        try:
            for plug in plugs:
                self._make_pair(ready, plug)
                made.append(plug.veth)
                index = ready.route.index(plug.interface)
                prefix = 32 if plug.gateway else plug.prefix
                inside += [netlink.add_address(index, plug.address, prefix), netlink.set_up(index)]
                if plug.gateway:
                    inside.append(netlink.set_route(f"{plug.gateway}/32", index))
                    inside += [netlink.set_route(subnet, index, gateway=plug.gateway) for subnet in plug.routed]
            if gateway:
                inside.append(netlink.set_default_route(0, gateway))
            ready.route.apply(*inside)
            self.change_rules(present, wanted)
        except BaseException:
            for name in made:
                with contextlib.suppress(OSError):
                    self.remove_interface(name)
            raise
        for plug in plugs:
            if plug.announced:
                sockets.announce_address(ready.descriptor, plug.interface, plug.mac_address, plug.address)

    def _make_pair(self, ready: Ready, plug: Plug) -> None:
        """The two ends of an interface. A bridge that is not what we remember is looked up again, once."""
        for known in (plug.bridge in self._bridges, False):
            if not known:
                self._bridges[plug.bridge] = self.route.index(plug.bridge)
            try:
                self.route.apply(*self._pair(ready, plug))
                return
            except OSError as error:
                if not isinstance(error, FileExistsError):  # then it is somebody else's
                    self.remove_interface(plug.veth)
                if not known:
                    raise

    def _pair(self, ready: Ready, plug: Plug) -> list[netlink.Message]:
        messages = [
            netlink.add_veth(
                plug.veth,
                peer=plug.interface,
                peer_namespace=ready.descriptor,
                peer_mac=plug.mac_address,
                mtu=plug.mtu,
                bridge=self._bridges[plug.bridge],
            )
        ]
        # Where bridged packets pass the rules too, a container reaches its own published port by the port it came from.
        hairpin = namespace.read_setting(BRIDGED_PACKETS_PASS_RULES) == "1"
        # Neighbours that must be routed can't pass the host by; where the rules see bridged packets they need not.
        isolated = plug.isolated or (bool(plug.gateway) and not hairpin)
        if hairpin or isolated:
            messages.append(netlink.set_port(plug.veth, isolated=isolated, hairpin=hairpin))
        return messages

    def route_by(self, ready: Ready, gateway: str) -> None:
        """Make `gateway` the namespace's default route; "" takes the route away."""
        if not gateway:
            with contextlib.suppress(OSError):
                ready.route.apply(netlink.remove_default_route())
            return
        ready.route.apply(netlink.set_default_route(0, gateway))

    def counters(self, veths: dict[str, str]) -> dict[str, tuple[int, ...]]:
        """The counters of the host's ends, by the name that the container's end has."""
        found = {interface: self.route.link(veth) for interface, veth in veths.items()}
        return {interface: link.counters for interface, link in found.items() if link and link.counters}


def _virtual(present: Sequence[netlink.Address], index: int) -> set[str]:
    """The single addresses of a bridge inside its own subnet. Others are a cluster's, which a node answers itself."""
    mine = [item for item in present if item.index == index]
    subnets = [IPv4Network(f"{item.address}/{item.prefix}", strict=False) for item in mine if item.prefix < 32]
    found = [item.address for item in mine if item.prefix == 32]
    return {address for address in found if any(IPv4Address(address) in subnet for subnet in subnets)}


def start_resolver(path: Path | int, ports: tuple[int, int] = (0, 0)) -> sockets.ResolverSockets:
    """Open the resolver's sockets in a namespace, on these ports or on any, and lead port 53 of 127.0.0.11 to them.
    Blocks; enters by a thread."""

    def work() -> sockets.ResolverSockets:
        opened = sockets.open_resolver(*ports)
        context = Nftables()
        try:
            chosen = (opened.datagram_port, opened.stream_port)
            try:
                context.run(rules.resolver(*chosen))
            except Internal:  # rules of a resolver that was given up
                context.run(rules.resolver(*chosen, replace=True))
        except BaseException:
            opened.close()
            raise
        finally:
            context.close()
        return opened

    return namespace.run_inside(path, work)


def resume_resolver(path: Path, ports: tuple[int, int]) -> sockets.ResolverSockets:
    """Open the resolver's sockets again where the rules, which outlived the daemon, lead to."""

    def work() -> sockets.ResolverSockets:
        opened = sockets.open_resolver(*ports)
        context = Nftables()
        try:
            tables = context.query("list tables ip")
            if not any(item.get("table", {}).get("name") == rules.RESOLVER_TABLE for item in tables):
                context.run(rules.resolver(*ports))
        except BaseException:
            opened.close()
            raise
        finally:
            context.close()
        return opened

    return namespace.run_inside(path, work)


def remove_interfaces(names: list[str]) -> None:
    """Remove interfaces with a socket of one's own: it takes the kernel tens of milliseconds, so not in the thread that
    containers wait for."""
    route = netlink.RouteSocket()
    try:
        for name in names:
            with contextlib.suppress(OSError):
                route.apply(netlink.remove_link(name))
    finally:
        route.close()
