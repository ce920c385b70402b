"""Which addresses a Service may take by `externalIPs`: those that no node needs, or, where an administrator wants it
so, none at all.

Everything in the cluster that goes to such an address is led to the Service's pods, whoever made it (CVE-2020-8554).
Source: kubernetes.io, "Admission Controllers Reference", DenyServiceExternalIPs.
"""

from boxship.cluster.api.admission import Attributes, Lookup
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import forbidden
from boxship.cluster.objects.kept_ports import agent_port, kept_ports, not_free, sockets_of

SERVICES, NODES = "v1/services", "v1/nodes"
DENIED = "Use of external IPs is denied by admission control"


class DenyServiceExternalIPs:
    """No Service gets an external address that it does not have yet. Implements Plugin."""

    name = "DenyServiceExternalIPs"

    async def admit(self, attributes: Attributes) -> None:
        return None

    async def validate(self, attributes: Attributes) -> None:
        if _concerns(attributes) and not _addresses(attributes.object) <= _addresses(attributes.old):
            raise forbidden(attributes.request.resource, attributes.name, DENIED)


class NodesOwnPorts:
    """No Service takes what nodes and the API are reached at. Implements Plugin; the original has no such one."""

    name = "NodesOwnPorts"

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def admit(self, attributes: Attributes) -> None:
        return None

    async def validate(self, attributes: Attributes) -> None:
        service, old = attributes.object or {}, attributes.old or {}
        addresses, ports = _addresses(service), sockets_of(service)
        if not _concerns(attributes) or not addresses:
            return
        if addresses <= _addresses(old) and ports <= sockets_of(old):
            return
        nodes = await self._lookup.list(NODES)
        taken = sorted(address for node in nodes for address in addresses_of(node) if address in addresses)
        if not taken:
            return
        kept = kept_ports(map(agent_port, nodes), await self._lookup.get(SERVICES, "default", "kubernetes"))
        if wrong := not_free(ports, kept):
            protocol, port = wrong[0]
            why = f"spec.externalIPs: {taken[0]} is a node's address, whose {protocol} port {port} is the cluster's own"
            raise forbidden(attributes.request.resource, attributes.name, why)


def addresses_of(node: Object) -> list[str]:
    return [str(each.get("address")) for each in (node.get("status") or {}).get("addresses") or ()]


def _concerns(attributes: Attributes) -> bool:
    request = attributes.request
    written = attributes.operation in ("CREATE", "UPDATE") and not request.subresource
    return written and request.resource.path == SERVICES and attributes.object is not None


def _addresses(service: Object | None) -> set[str]:
    return set(((service or {}).get("spec") or {}).get("externalIPs") or ())
