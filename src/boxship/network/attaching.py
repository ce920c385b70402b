"""What a container's place in the network is made of, pure: from records and networks to plugs, files and elements."""

import secrets
from collections.abc import Iterable, Sequence

import msgspec

from boxship.errors import Denied, Invalid
from boxship.network import binding, files, rules
from boxship.network.addresses import hardware_address
from boxship.network.kernel import Plug
from boxship.network.model import AttachmentRecord, EndpointRecord, Network
from boxship.spec.attachment import Attachment, Endpoint
from boxship.spec.container import EndpointRequest


def check_request(request: EndpointRequest, network: Network) -> None:
    """Refuse what a container may not ask of this network, in Docker's words."""
    problems = []
    if request.ipv6_address:
        problems.append("unsupported: IPv6 address")
    if not network.resolves:
        if request.ipv4_address:
            problems.append("user specified IP address is supported on user defined networks only")
        if request.aliases:
            problems.append("network-scoped alias is supported only for containers in user defined networks")
    elif request.ipv4_address and not network.fixed:
        problems.append(
            "user specified IP address is supported only when connecting to networks with user configured subnets"
        )
    if request.driver_options:
        problems.append(f"unsupported: endpoint option {min(request.driver_options)}")
    if problems:
        raise Invalid("invalid endpoint settings:\n" + "\n".join(problems))
    if request.mac_address:
        check_mac(request.mac_address)


def check_requests(networks: Sequence[Network], requests: Sequence[EndpointRequest]) -> None:
    """Refuse what a container may not ask of these networks together, or of one of them."""
    for network, request in zip(networks, requests, strict=True):
        if network.spec.config_only:
            raise Denied(f"cannot attach to {network.name}: it is a configuration-only network")
        check_request(request, network)
    if len({network.id for network in networks}) < len(networks):
        raise Invalid("cannot attach to the same network twice")
    drivers = {network.driver for network in networks} if len(networks) > 1 else set()
    if "host" in drivers:
        raise Invalid(
            "container sharing network namespace with another container or host cannot be connected to any other"
            " network"
        )
    if "null" in drivers:
        raise Invalid(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode"
        )


def check_mac(text: str) -> str:
    """A unicast hardware address, in lower case with colons."""
    parts = text.replace("-", ":").lower().split(":")
    if len(parts) != 6 or any(len(part) != 2 or not set(part) <= set("0123456789abcdef") for part in parts):
        raise Invalid(f"invalid MAC address {text}")
    if int(parts[0], 16) & 1 or not any(int(part, 16) for part in parts):
        raise Invalid(f"invalid MAC address {text}: not a unicast address")
    return ":".join(parts)


def dns_names(container_id: str, name: str, aliases: Sequence[str], hostname: str) -> tuple[str, ...]:
    """What a container is called on a network that resolves names; the first is what an address is called."""
    names = (name, *aliases, container_id[:12], hostname)
    return tuple(dict.fromkeys(text for text in names if text))


def interface_name(network: Network, taken: Iterable[str]) -> str:
    """The first free interface name of a container: eth0, eth1, …"""
    prefix = network.bridge.interface_prefix if network.bridge else "eth"
    used = set(taken)
    return next(f"{prefix}{number}" for number in range(len(used) + 1) if f"{prefix}{number}" not in used)


def new_endpoint(
    network: Network, request: EndpointRequest, record: AttachmentRecord, *, address: str, prefix: int, veth: str
) -> EndpointRecord:
    """A container's endpoint on a bridge network (with an address) or on host or none (without)."""
    endpoint = Endpoint(network_id=network.id, network_name=network.name, endpoint_id=secrets.token_hex(32))
    if network.bridge is None:
        return EndpointRecord(endpoint)
    names: tuple[str, ...] = ()
    if network.resolves:
        names = dns_names(record.container_id, record.name, request.aliases, record.hostname)
    endpoint = msgspec.structs.replace(
        endpoint,
        interface=interface_name(network, (item.endpoint.interface for item in record.endpoints)),
        mac_address=check_mac(request.mac_address) if request.mac_address else hardware_address(address),
        ipv4_address=address,
        ipv4_prefix=prefix,
        gateway="" if network.spec.internal else network.gateway,
        aliases=request.aliases,
        dns_names=names,
    )
    announced = bool(request.mac_address or request.ipv4_address)
    bound = bool(network.bridge.routed)
    return EndpointRecord(endpoint, veth, request.links, request.gateway_priority, announced, bound)


def renamed(record: AttachmentRecord, name: str) -> AttachmentRecord:
    """A record under a new name of its container, with the names that others find it by."""
    items = []
    for item in record.endpoints:
        endpoint = item.endpoint
        if endpoint.dns_names:
            names = dns_names(record.container_id, name, endpoint.aliases, record.hostname)
            endpoint = msgspec.structs.replace(endpoint, dns_names=names)
        items.append(msgspec.structs.replace(item, endpoint=endpoint))
    return msgspec.structs.replace(record, name=name, endpoints=tuple(items))


def plug(network: Network, item: EndpointRecord, mtu: int) -> Plug:
    assert network.bridge is not None, "only bridge networks have interfaces"
    endpoint = item.endpoint
    return Plug(
        veth=item.veth,
        bridge=network.bridge.bridge,
        interface=endpoint.interface,
        mac_address=endpoint.mac_address,
        address=endpoint.ipv4_address,
        prefix=endpoint.ipv4_prefix,
        mtu=mtu,
        isolated=not network.bridge.connected,
        gateway=network.gateway if network.bridge.routed else "",
        routed=network.bridge.routed,
        announced=item.announced,
    )


def way_out(record: AttachmentRecord) -> EndpointRecord | None:
    """The endpoint that a container's default route and published ports go by: the highest gateway priority, then the
    first network by name; None without a network that leads out."""
    leading = [item for item in record.endpoints if item.endpoint.gateway]
    return min(leading, key=lambda item: (-item.gateway_priority, item.endpoint.network_name), default=None)


def own_elements(record: AttachmentRecord) -> dict[str, dict[str, str]]:
    """The rule elements of a container alone: what its interfaces are bound to, and its published ports, where it has a
    way out. The ports of a group's member depend on the others, and are made elsewhere."""
    bound = binding.elements(record)
    chosen = way_out(record) if not record.group else None
    return {**bound, **rules.port_elements(record.ports, chosen.endpoint.ipv4_address)} if chosen else bound


def view(
    record: AttachmentRecord,
    *,
    host: files.ResolverConfig,
    host_resolv_conf: str,
    host_hosts: str,
    host_gateway: str,
) -> Attachment:
    """What the engine sees of a record, with the texts of the container's files."""
    config = files.merge(host, record.dns, record.dns_search, record.dns_options)
    on_host = bool(record.endpoints) and not record.namespace
    own = record.dns or record.dns_search or record.dns_options
    if on_host and not own:
        resolv_conf = host_resolv_conf
    elif on_host:
        lines = [f"nameserver {address}" for address in config.nameservers]
        lines += [f"search {' '.join(config.search)}"] if config.search else []
        lines += [f"options {' '.join(config.options)}"] if config.options else []
        resolv_conf = "\n".join(lines) + "\n"
    else:
        resolv_conf = files.resolv_conf(config, own_resolver=bool(record.resolver_ports[0]))
    return Attachment(
        namespace=record.namespace,
        endpoints=tuple(item.endpoint for item in record.endpoints),
        ports=record.ports if way_out(record) else (),
        resolv_conf=resolv_conf,
        hosts=files.hosts(
            addresses=[item.endpoint.ipv4_address for item in record.endpoints if item.endpoint.ipv4_address],
            hostname=record.hostname,
            domainname=record.domainname,
            extra=[files.parse_extra_host(text, host_gateway) for text in record.extra_hosts],
            start=host_hosts if on_host else "",
        ),
    )
