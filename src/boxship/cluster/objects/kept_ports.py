"""Ports of the nodes' own addresses that no Service may take: whoever got one of them would have cut all others off.

Node ports are each Service's own, so they count as well.

Rules for Services stand before a machine's own listeners, so this has to hold for every way in which a Service can get
such an address: as a load balancer without a pool, and by `externalIPs`. Pure.
"""

from collections.abc import Iterable

from boxship.cluster.objects import Object

Socket = tuple[str, int]  # TCP or UDP, and the port

AGENT_PORT = 10250
NODE_PORTS = range(30000, 32768)
# SSH, etcd, the API, agents, and the network between nodes.
ALWAYS: frozenset[Socket] = frozenset(
    {("TCP", 22), ("TCP", 2379), ("TCP", 2380), ("TCP", 6443), ("TCP", AGENT_PORT), ("UDP", 8472)}
)


def agent_port(node: Object) -> int:
    """Where the node's agent listens, as its status says."""
    endpoints = (node.get("status") or {}).get("daemonEndpoints") or {}
    return int((endpoints.get("kubeletEndpoint") or {}).get("Port") or AGENT_PORT)


def kept_ports(agents: Iterable[int], kubernetes: Object | None) -> frozenset[Socket]:
    """All of them: `agents` are the agents' ports, `kubernetes` the API's own Service."""
    listed = ((kubernetes or {}).get("spec") or {}).get("ports") or ()
    api = (port.get("targetPort") for port in listed)
    return ALWAYS | {("TCP", port) for port in (*agents, *api) if isinstance(port, int)}


def not_free(sockets: Iterable[Socket], kept: frozenset[Socket]) -> list[Socket]:
    """Those of them that are not to be had."""
    return sorted(socket for socket in sockets if socket in kept or socket[1] in NODE_PORTS)


def sockets_of(service: Object) -> frozenset[Socket]:
    """The ports that a Service answers at."""
    ports = (service.get("spec") or {}).get("ports") or ()
    return frozenset((port.get("protocol") or "TCP", int(port["port"])) for port in ports if port.get("port"))
