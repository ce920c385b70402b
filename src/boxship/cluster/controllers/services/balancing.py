"""Which addresses the load balancers have: from a pool, each its own; or, without a pool, those of the nodes, where
each port can be had once. Pure.

Who has an address keeps it; the older one wins. Source: documentation "Service" (type LoadBalancer, ipMode,
loadBalancerClass), "well-known labels" (exclude-from-external-load-balancers).
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.kept_ports import AGENT_PORT, ALWAYS, Socket, agent_port, kept_ports, not_free
from boxship.cluster.reconcile.cache import Key

OUR_CLASSES = ("", "boxship.io/pool", "boxship.io/nodes")
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
INGRESS_PORTS = frozenset({("TCP", 80), ("TCP", 443)})
LARGEST_POOL = 65536  # addresses


class Node(msgspec.Struct, frozen=True):
    """`address` is where others reach it; "": nobody balances to it. `agent` is its agent's port."""

    address: str
    agent: int = AGENT_PORT


class Pool(msgspec.Struct, frozen=True):
    """First and last address, as numbers."""

    first: int
    last: int

    def __contains__(self, address: str) -> bool:
        try:
            return self.first <= int(ipaddress.IPv4Address(address)) <= self.last
        except ValueError:
            return False

    @property
    def addresses(self) -> Iterable[str]:
        return (str(ipaddress.IPv4Address(number)) for number in range(self.first, self.last + 1))


class Balancer(msgspec.Struct, frozen=True):
    """One Service of type LoadBalancer that is ours. `ports` are pairs of protocol and number."""

    key: Key
    created: str
    has: tuple[str, ...]
    asked: str
    ports: frozenset[tuple[str, int]]


class Verdict(msgspec.Struct, frozen=True):
    """`why` it has none."""

    addresses: tuple[str, ...] = ()
    why: str = ""


def parse_pool(text: str) -> Pool | None:
    """ "10.0.0.0/24", "10.0.0.5-10.0.0.9", ""; raises ValueError with what is wrong."""
    if not text:
        return None
    first, dash, last = text.partition("-")
    if dash:
        pool = Pool(int(ipaddress.IPv4Address(first.strip())), int(ipaddress.IPv4Address(last.strip())))
    else:
        network = ipaddress.IPv4Network(text)
        inner = network.num_addresses > 2
        pool = Pool(int(network.network_address) + inner, int(network.broadcast_address) - inner)
    if not 0 <= pool.last - pool.first < LARGEST_POOL:
        raise ValueError(f"a pool has 1 to {LARGEST_POOL} addresses")
    return pool


def balancer_of(service: Object | None) -> Balancer | None:
    """None: it is none, or somebody else's."""
    spec = (service or {}).get("spec") or {}
    if service is None or spec.get("type") != "LoadBalancer" or service["metadata"].get("deletionTimestamp"):
        return None
    if (spec.get("loadBalancerClass") or "") not in OUR_CLASSES:
        return None
    metadata = service["metadata"]
    points = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    ports = frozenset((one.get("protocol") or "TCP", int(one["port"])) for one in spec.get("ports") or ())
    return Balancer(
        (metadata.get("namespace", ""), metadata["name"]),
        metadata.get("creationTimestamp", ""),
        tuple(one["ip"] for one in points if one.get("ip")),
        spec.get("loadBalancerIP") or "",
        ports,
    )


def node_of(node: Object) -> Node:
    """What others reach it by: its external address, else the internal one."""
    labels, status = node["metadata"].get("labels") or {}, node.get("status") or {}
    ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in status.get("conditions") or ())
    agent = agent_port(node)
    if EXCLUDED in labels or not ready:
        return Node("", agent)
    listed = status.get("addresses") or ()
    for kind in ("ExternalIP", "InternalIP"):
        for one in listed:
            if one.get("type") == kind and ":" not in (one.get("address") or ":"):
                return Node(one["address"], agent)
    return Node("", agent)


def from_pool(wanted: Balancer, others: Iterable[Balancer], pool: Pool) -> Verdict:
    """What it has stays its own unless it asks for another one."""
    taken = {address for other in others if other.key != wanted.key for address in other.has}
    if wanted.asked:
        if wanted.asked not in pool:
            return Verdict(why=f"the address {wanted.asked} that it asks for is not in the pool")
        if wanted.asked in taken:
            return Verdict(why=f"the address {wanted.asked} that it asks for is taken")
        return Verdict((wanted.asked,))
    known = [address for address in wanted.has if address in pool and address not in taken]
    if known:
        return Verdict((known[0],))
    free = next((address for address in pool.addresses if address not in taken), "")
    return Verdict((free,)) if free else Verdict(why="the pool has no free address")


def from_nodes(
    wanted: Balancer,
    others: Iterable[Balancer],
    nodes: Sequence[Node],
    *,
    with_ingress: bool = False,
    kept: frozenset[Socket] = ALWAYS,
) -> Verdict:
    """The addresses of all nodes, unless another one has a port of it: who is there already, else who is older. Where
    there are Ingresses, their ports are taken, too. `kept` are the cluster's own."""
    if wanted.asked:
        return Verdict(why=f"the address {wanted.asked} that it asks for is not in a pool: there is none")
    if wrong := not_free(wanted.ports, kept):
        protocol, port = wrong[0]
        return Verdict(why=f"{protocol} port {port} of the nodes is the cluster's own")
    if with_ingress and not wanted.has and wanted.ports & INGRESS_PORTS:
        protocol, port = min(wanted.ports & INGRESS_PORTS)
        return Verdict(why=f"{protocol} port {port} of the nodes belongs to Ingress")
    for other in sorted(others, key=_seniority):
        if other.key == wanted.key or not other.ports & wanted.ports:
            continue
        if _seniority(other) < _seniority(wanted):
            protocol, port = min(other.ports & wanted.ports)
            return Verdict(why=f"{protocol} port {port} of the nodes belongs to {'/'.join(other.key)}")
    addresses = node_addresses(nodes)
    return Verdict(addresses) if addresses else Verdict(why="no node is ready")


def kept_of(nodes: Iterable[Node], kubernetes: Object | None) -> frozenset[Socket]:
    """The ports of nodes that are the cluster's own."""
    return kept_ports((node.agent for node in nodes), kubernetes)


def node_addresses(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(sorted({node.address for node in nodes if node.address}, key=ipaddress.IPv4Address))


def _seniority(balancer: Balancer) -> tuple[bool, str, Key]:
    return not balancer.has, balancer.created, balancer.key


def status_of(verdict: Verdict) -> Mapping[str, object]:
    """The new status.loadBalancer."""
    if not verdict.addresses:
        return {}
    return {"ingress": [{"ip": address, "ipMode": "VIP"} for address in verdict.addresses]}
