"""Where a container is put in the network: which networks it joins and which ports it publishes. Pure."""

import msgspec

from boxship.engine.model import Container
from boxship.errors import Invalid
from boxship.runtime.limits import MINIMUM_MEMORY
from boxship.spec.container import ContainerSpec, EndpointRequest, PortRequest

PORT_LIMIT = 65_535
PROTOCOLS = ("tcp", "udp", "sctp")
CONTAINER, POD = "container:", "pod:"  # how modes begin that name whose namespace is joined


def joins(spec: ContainerSpec) -> tuple[EndpointRequest, ...]:
    """The networks to join; () for "none", "host" and the namespace of a pod or another container. The mode's own is
    the first: the container's links and its hardware address are meant there."""
    mode = "bridge" if spec.network_mode in ("", "default") else spec.network_mode
    joined = not spec.endpoints_only
    if spec.network_disabled or mode == "host" or is_shared(mode) or (mode == "none" and joined):
        return ()
    requested = {request.network: request for request in spec.endpoints}
    first = requested.pop(mode, None) or requested.pop(spec.network_mode, None)
    if first is None and not joined:
        return spec.endpoints
    first = first or EndpointRequest(network=mode)
    links = (*first.links, *(link for link in spec.links if joined and link not in first.links))
    first = msgspec.structs.replace(first, links=links, mac_address=first.mac_address or spec.mac_address)
    return (first, *requested.values())


def is_shared(mode: str) -> bool:
    """Whether a mode stands for a namespace that a pod or another container has."""
    return mode.startswith((CONTAINER, POD))


def ports_wanted(container: Container) -> tuple[PortRequest, ...]:
    """The ports to publish: those asked for and, with publish-all, every exposed one that wasn't."""
    spec = container.spec
    if not spec.publish_all:
        return spec.ports
    asked = {(port.container_port, port.protocol) for port in spec.ports}
    exposed = (parse_port(text) for text in container.exposed_ports)
    return (*spec.ports, *(PortRequest(*port) for port in exposed if port not in asked))


def least_memory(spec: ContainerSpec) -> int:
    """The smallest limit of memory that may be asked for, in bytes: Docker's, and none in a pod."""
    return 1 if spec.network_mode.startswith(POD) else MINIMUM_MEMORY


def parse_port(text: str) -> tuple[int, str]:
    """(80, "tcp") of "80/tcp" or "80". Raises Invalid."""
    number, _, protocol = text.partition("/")
    protocol = (protocol or "tcp").lower()
    if not number.isascii() or not number.isdecimal() or not 0 < int(number) <= PORT_LIMIT:
        raise Invalid(f"invalid port specification: {text}")
    if protocol not in PROTOCOLS:
        raise Invalid(f"invalid proto: {protocol}")
    return int(number), protocol
