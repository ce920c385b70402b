"""A container's record as Docker shows it in `inspect` and in lists. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from boxship.doors.docker.call import Version, rfc3339
from boxship.doors.docker.host_json import container_config, host_config, network_mode
from boxship.doors.docker.texts import command_text, health_word, state_word, status_text
from boxship.engine.groups import Membership
from boxship.engine.model import ALIVE, Container, MountPoint, Phase
from boxship.spec.attachment import Endpoint
from boxship.spec.container import EndpointRequest

SECOND = 1_000_000_000  # nanoseconds
NO_ENDPOINT = EndpointRequest(network="")


def is_alive(container: Container) -> bool:
    return container.state.phase in ALIVE


def inspect_json(
    container: Container, version: Version, exec_ids: Sequence[str], sizes: tuple[int, int] | None = None
) -> dict[str, Any]:
    """The whole answer of `GET /containers/{id}/json`; `sizes` are (SizeRw, SizeRootFs) where asked for."""
    arguments = container.process.arguments
    shown: dict[str, Any] = {
        "Id": container.id,
        "Created": rfc3339(container.created_at),
        "Path": arguments[0] if arguments else "",
        "Args": list(arguments[1:]),
        "State": state_json(container),
        "Image": container.image_id,
        "ResolvConfPath": container.resolv_conf_path,
        "HostnamePath": container.hostname_path,
        "HostsPath": container.hosts_path,
        "LogPath": container.log_path,
        "Name": f"/{container.name}",
        "RestartCount": container.state.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": list(exec_ids) or None,
        "HostConfig": host_config(container, version),
        "GraphDriver": {"Name": "overlay2", "Data": None},
        "Mounts": [mount_point_json(point) for point in container.mounts if point.origin != "tmpfs"],
        "Config": container_config(container, version),
        "NetworkSettings": network_settings(container, version),
    }
    if sizes is not None:
        shown["SizeRw"], shown["SizeRootFs"] = sizes
    return shown


def group_json(membership: Membership) -> dict[str, Any]:
    """Boxship's own part of inspect: how a member of a service group stands."""
    return {
        "Name": membership.group,
        "Ready": membership.ready,
        "NotReady": membership.why,
        "Members": membership.members,
        "ReadyMembers": membership.ready_members,
        "Drain": membership.drain,
        "Drained": membership.drained,
        "VirtualAddress": membership.virtual_name,
        "VirtualAddresses": dict(membership.virtual_addresses),
    }


def state_json(container: Container) -> dict[str, Any]:
    """The State of inspect. A container that waits for its restart counts as running, as in Docker."""
    state = container.state
    word = state_word(container)
    alive = is_alive(container)
    shown: dict[str, Any] = {
        "Status": word,
        "Running": alive or state.phase is Phase.RESTARTING,
        "Paused": state.phase is Phase.PAUSED,
        "Restarting": state.phase is Phase.RESTARTING,
        "OOMKilled": state.oom_killed,
        "Dead": state.phase is Phase.DEAD,
        "Pid": state.process.pid if alive else 0,
        "ExitCode": 0 if alive else state.exit_code,
        "Error": state.error,
        "StartedAt": rfc3339(state.started_at),
        "FinishedAt": rfc3339(state.finished_at),
    }
    if state.health is not None:
        shown["Health"] = {
            "Status": health_word(container),
            "FailingStreak": state.health.failing_streak,
            "Log": [
                {
                    "Start": rfc3339(probe.start),
                    "End": rfc3339(probe.end),
                    "ExitCode": probe.exit_code,
                    "Output": probe.output,
                }
                for probe in state.health.probes
            ],
        }
    return shown


def mount_point_json(point: MountPoint) -> dict[str, Any]:
    """One entry of Mounts."""
    shown: dict[str, Any] = {"Type": point.kind}
    if point.name:
        shown["Name"] = point.name
    shown |= {"Source": "" if point.kind == "tmpfs" else point.source, "Destination": point.target}
    if point.kind == "volume":
        shown["Driver"] = point.driver or "local"
    return shown | {"Mode": point.mode, "RW": point.read_write, "Propagation": point.propagation}


def network_settings(container: Container, version: Version) -> dict[str, Any]:
    """The NetworkSettings of inspect. The flat fields are those of the default bridge."""
    networks = networks_json(container, version)
    first = networks.get("bridge", {})
    key = container.namespace if is_alive(container) else ""
    return {
        "Bridge": "",
        "SandboxID": container.id if key else "",
        "SandboxKey": key,
        "Ports": ports_map(container),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": first.get("EndpointID", ""),
        "Gateway": first.get("Gateway", ""),
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": first.get("IPAddress", ""),
        "IPPrefixLen": first.get("IPPrefixLen", 0),
        "IPv6Gateway": "",
        "MacAddress": first.get("MacAddress", ""),
        "Networks": networks,
    }


def networks_json(container: Container, version: Version) -> dict[str, dict[str, Any]]:
    """Networks by name: joined ones with their addresses, and while the container doesn't run the asked-for ones."""
    requests = {request.network: request for request in container.spec.endpoints}
    shown = {
        endpoint.network_name: endpoint_json(
            container,
            requests.get(endpoint.network_name) or requests.get(endpoint.network_id) or NO_ENDPOINT,
            endpoint if is_alive(container) else None,
            version,
            network_id=endpoint.network_id,
        )
        for endpoint in container.endpoints
    }
    if shown:
        return dict(sorted(shown.items()))
    mode = network_mode(container.spec)
    if mode.startswith("container:"):
        return {}
    wanted = requests if requests or container.spec.endpoints_only else {mode: EndpointRequest(network=mode)}
    if mode not in wanted and len(requests) > 0 and mode in ("none", "host"):
        wanted = {mode: EndpointRequest(network=mode)}
    return {name: endpoint_json(container, request, None, version) for name, request in sorted(wanted.items())}


def endpoint_json(
    container: Container, request: EndpointRequest, endpoint: Endpoint | None, version: Version, network_id: str = ""
) -> dict[str, Any]:
    """One endpoint. Before API 1.45 the short id is among the aliases; since then it is among the DNS names."""
    aliases = list(endpoint.aliases if endpoint else request.aliases)
    predefined = request.network in ("bridge", "host", "none") or (
        endpoint is not None and endpoint.network_name in ("bridge", "host", "none")
    )
    if version < (1, 45) and not predefined and container.id[:12] not in aliases:
        aliases.append(container.id[:12])
    ipam = {
        name: value
        for name, value in (("IPv4Address", request.ipv4_address), ("IPv6Address", request.ipv6_address))
        if value
    }
    shown: dict[str, Any] = {
        "IPAMConfig": ipam or None,
        "Links": list(request.links) or None,
        "Aliases": aliases or None,
        "MacAddress": endpoint.mac_address if endpoint else request.mac_address,
        "DriverOpts": dict(request.driver_options) or None,
        "GwPriority": request.gateway_priority,
        "NetworkID": endpoint.network_id if endpoint else network_id,
        "EndpointID": endpoint.endpoint_id if endpoint else "",
        "Gateway": endpoint.gateway if endpoint else "",
        "IPAddress": endpoint.ipv4_address if endpoint else "",
        "IPPrefixLen": endpoint.ipv4_prefix if endpoint else 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": list(endpoint.dns_names) or None if endpoint else None,
    }
    if version < (1, 44):
        del shown["DNSNames"]
    if version < (1, 48):
        del shown["GwPriority"]
    return shown


def ports_map(container: Container) -> dict[str, list[dict[str, str]] | None]:
    """NetworkSettings.Ports of a running container: published ones with their host side, exposed ones with null."""
    if not is_alive(container):
        return {}
    shown: dict[str, list[dict[str, str]] | None] = dict.fromkeys(sorted(container.exposed_ports))
    for port in container.ports:
        entry = {"HostIp": port.host_address or "0.0.0.0", "HostPort": str(port.host_port)}
        name = f"{port.container_port}/{port.protocol}"
        shown[name] = [*(shown.get(name) or ()), entry]
    return shown


def ports_list(container: Container) -> list[dict[str, Any]]:
    """Ports of a list entry."""
    if not is_alive(container):
        return []
    shown: list[dict[str, Any]] = [
        {
            "IP": port.host_address or "0.0.0.0",
            "PrivatePort": port.container_port,
            "PublicPort": port.host_port,
            "Type": port.protocol,
        }
        for port in container.ports
    ]
    published = {f"{port.container_port}/{port.protocol}" for port in container.ports}
    for text in container.exposed_ports:
        number, _, protocol = text.partition("/")
        if text not in published and number.isdecimal():
            shown.append({"PrivatePort": int(number), "Type": protocol or "tcp"})
    return shown


def summary_json(
    container: Container, version: Version, now: int, image: str, sizes: tuple[int, int] | None
) -> dict[str, Any]:
    """One entry of `GET /containers/json`. `image` is the name under which the image is known now, or its id."""
    shown: dict[str, Any] = {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": image,
        "ImageID": container.image_id,
        "Command": command_text(container),
        "Created": container.created_at // SECOND,
        "Ports": ports_list(container),
        "Labels": dict(container.labels),
        "State": state_word(container),
        "Status": status_text(container, now),
        "HostConfig": {"NetworkMode": network_mode(container.spec)},
        "NetworkSettings": {"Networks": networks_json(container, version)},
        "Mounts": [mount_point_json(point) for point in container.mounts if point.origin != "tmpfs"],
    }
    if container.spec.annotations and version >= (1, 46):
        shown["HostConfig"]["Annotations"] = dict(container.spec.annotations)
    if sizes is not None:
        size, whole = sizes
        if size:
            shown["SizeRw"] = size
        shown["SizeRootFs"] = whole
    return shown


def networks_of(container: Container) -> Iterable[str]:
    """Names and ids of the networks of a container, for filters."""
    for endpoint in container.endpoints:
        yield endpoint.network_name
        yield endpoint.network_id
    if not container.endpoints:
        if not container.spec.endpoints_only:
            yield network_mode(container.spec)
        yield from (request.network for request in container.spec.endpoints)
