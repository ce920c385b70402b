"""How a service is reached: its networks with names and addresses in them, and its ports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from boxship.compose.model import Project, Service
from boxship.compose.parts import ServiceNetwork
from boxship.errors import Invalid

Body = dict[str, Any]
Containers = Mapping[str, tuple[tuple[str, str], ...]]
INTERFACE_OPTION = "com.docker.network.endpoint.ifname"
ALONE = ("host", "none", "bridge", "default")


def joined(service: Service) -> list[tuple[str, ServiceNetwork]]:
    """The service's networks by their key, in the order in which they are joined: the highest priority first."""
    found = [(key, settings or ServiceNetwork()) for key, settings in service.networks.items()]
    return sorted(found, key=lambda pair: (-pair[1].priority, pair[0]))


def network_mode(project: Project, service: Service, identities: Mapping[str, list[str]]) -> str:
    kind, colon, name = service.network_mode.partition(":")
    if kind == "service" and colon:
        known = identities.get(name)
        if not known:
            raise Invalid(f"cannot create {service.name}: network_mode: service {name} has no container")
        return f"container:{known[0]}"
    if service.network_mode:
        return service.network_mode
    networks = joined(service)
    return network_name(project, service, networks[0][0]) if networks else "none"


def network_name(project: Project, service: Service, key: str) -> str:
    if key not in project.networks:
        raise Invalid(f"cannot create {service.name}: undefined network {key}")
    return project.networks[key].name


def endpoints(
    project: Project, service: Service, container: str, containers: Containers, *, aliases: bool = True
) -> dict[str, Body]:
    """EndpointsConfig: every network at once, so that nothing is missing when the container starts."""
    if service.network_mode:
        return {}
    found: dict[str, Body] = {}
    for index, (key, settings) in enumerate(joined(service)):
        body = endpoint(service, settings, container, containers, aliases=aliases)
        if index == 0 and service.mac_address and not body.get("MacAddress"):
            body["MacAddress"] = service.mac_address
        found[network_name(project, service, key)] = body
    return found


def endpoint(
    service: Service, settings: ServiceNetwork, container: str, containers: Containers, *, aliases: bool = True
) -> Body:
    """How the container is in one network."""
    names = [container, *((service.name, *settings.aliases) if aliases else ())]
    body: Body = {"Aliases": list(dict.fromkeys(names)), "Links": links(service, containers) or None}
    addresses: Body = {}
    if settings.ipv4_address:
        addresses["IPv4Address"] = settings.ipv4_address
    if settings.ipv6_address:
        addresses["IPv6Address"] = settings.ipv6_address
    if settings.link_local_ips:
        addresses["LinkLocalIPs"] = list(settings.link_local_ips)
    if addresses:
        body["IPAMConfig"] = addresses
    if settings.mac_address:
        body["MacAddress"] = settings.mac_address
    if settings.gw_priority:
        body["GwPriority"] = settings.gw_priority
    options = dict(settings.driver_opts)
    if settings.interface_name:
        options[INTERFACE_OPTION] = settings.interface_name
    if options:
        body["DriverOpts"] = options
    return body


def links(service: Service, containers: Containers) -> list[str]:
    """Older names for other services' containers: "CONTAINER:NAME"."""
    found: list[str] = []
    for text in service.links:
        name, _, alias = text.partition(":")
        for number, (_, container) in enumerate(containers.get(name, ()), 1):
            found += [f"{container}:{alias or name}", f"{container}:{name}-{number}", f"{container}:{container}"]
    for text in service.external_links:
        container, _, alias = text.partition(":")
        found.append(f"{container}:{alias or container}")
    return list(dict.fromkeys(found))


def exposed_ports(service: Service) -> dict[str, Body]:
    found = [word if "/" in word else f"{word}/tcp" for word in service.expose]
    found += [f"{port.target}/{port.protocol or 'tcp'}" for port in service.ports]
    return {port: {} for port in dict.fromkeys(found)}


def port_bindings(service: Service) -> dict[str, list[Body]]:
    found: dict[str, list[Body]] = {}
    for port in service.ports:
        bindings = found.setdefault(f"{port.target}/{port.protocol or 'tcp'}", [])
        bindings.append({"HostIp": port.host_ip, "HostPort": port.published})
    return found
