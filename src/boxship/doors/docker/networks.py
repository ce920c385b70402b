"""Networks: list, create, inspect, connect, disconnect, remove, prune."""

from typing import Any

from boxship.doors.docker.bodies import EndpointBody, Go, named
from boxship.doors.docker.call import Call, Version, no_content, reply, rfc3339
from boxship.doors.docker.create_body import endpoint_request
from boxship.doors.docker.decoding import Ignored
from boxship.doors.docker.filters import Filters, parse_filters
from boxship.doors.docker.router import Route
from boxship.engine.clock import SystemClock
from boxship.engine.values import Network
from boxship.errors import BoxshipError, Invalid, Unsupported
from boxship.spec.container import NetworkSpec, Subnet
from boxship.transport.exchange import Reply

LIST_FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")
PRUNE_FILTERS = ("label", "label!", "until")
CLOCK = SystemClock()


class IpamConfigBody(Go):
    subnet: str = ""
    ip_range: str = named("IPRange", "")
    gateway: str = ""
    auxiliary_addresses: dict[str, str] | None = None
    aux_address: dict[str, str] | None = None  # an older name


class IpamBody(Go):
    driver: str = ""
    config: list[IpamConfigBody] | None = None
    options: dict[str, str] | None = None


class ConfigFromBody(Go):
    network: str = ""


class NetworkBody(Go):
    name: str = ""
    check_duplicate: Ignored | None = None  # always so since API 1.44
    driver: str = ""
    scope: str = ""
    enable_ipv4: bool | None = named("EnableIPv4")
    enable_ipv6: bool | None = named("EnableIPv6")
    ipam: IpamBody | None = named("IPAM")
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: ConfigFromBody | None = None
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class ConnectBody(Go):
    container: str = ""
    endpoint_config: EndpointBody | None = None


class DisconnectBody(Go):
    container: str = ""
    force: bool = False


def network_spec(body: NetworkBody) -> NetworkSpec:
    """The spec of a network to be made. Raises Unsupported for what belongs to swarms."""
    if not body.name.strip():
        raise Invalid("network name cannot be empty")
    if body.scope not in ("", "local"):
        raise Unsupported(f"unsupported: Scope {body.scope}")
    if body.ingress:
        raise Unsupported("unsupported: Ingress")
    ipam = body.ipam or IpamBody()
    return NetworkSpec(
        name=body.name,
        driver=body.driver or "bridge",
        subnets=tuple(
            Subnet(
                subnet=part.subnet,
                ip_range=part.ip_range,
                gateway=part.gateway,
                reserved={**(part.aux_address or {}), **(part.auxiliary_addresses or {})},
            )
            for part in ipam.config or ()
        ),
        internal=body.internal,
        attachable=body.attachable,
        config_only=body.config_only,
        config_from=body.config_from.network if body.config_from else "",
        enable_ipv4=body.enable_ipv4 is not False,
        enable_ipv6=bool(body.enable_ipv6),
        options=body.options or {},
        labels=body.labels or {},
        ipam_driver=ipam.driver or "default",
        ipam_options=ipam.options or {},
    )


def network_json(network: Network, version: Version) -> dict[str, Any]:
    """A network without its containers, as in lists."""
    spec = network.spec
    config = []
    for subnet in spec.subnets:
        fields = {
            "Subnet": subnet.subnet,
            "IPRange": subnet.ip_range,
            "Gateway": subnet.gateway,
            "AuxiliaryAddresses": dict(subnet.reserved),
        }
        config.append({name: value for name, value in fields.items() if value})
    shown: dict[str, Any] = {
        "Name": network.name,
        "Id": network.id,
        "Created": rfc3339(network.created_at),
        "Scope": network.scope,
        "Driver": network.driver,
        "EnableIPv4": spec.enable_ipv4,
        "EnableIPv6": spec.enable_ipv6,
        "IPAM": {"Driver": spec.ipam_driver, "Options": dict(spec.ipam_options) or None, "Config": config},
        "Internal": spec.internal,
        "Attachable": spec.attachable,
        "Ingress": spec.ingress,
        "ConfigFrom": {"Network": spec.config_from},
        "ConfigOnly": spec.config_only,
        "Containers": {},
        "Options": dict(spec.options),
        "Labels": dict(spec.labels),
    }
    if version < (1, 47):
        del shown["EnableIPv4"]
    return shown


def containers_json(call: Call, network: Network) -> dict[str, Any]:
    """The containers that are joined to a network now."""
    shown = {}
    for container_id, endpoint in call.engine.networks.endpoints(network.id).items():
        try:
            name = call.engine.containers.get(container_id).name
        except BoxshipError:  # removed just now
            continue
        address = f"{endpoint.ipv4_address}/{endpoint.ipv4_prefix}" if endpoint.ipv4_address else ""
        shown[container_id] = {
            "Name": name,
            "EndpointID": endpoint.endpoint_id,
            "MacAddress": endpoint.mac_address,
            "IPv4Address": address,
            "IPv6Address": "",
        }
    return shown


async def create(call: Call) -> Reply:
    network = await call.engine.networks.create(network_spec(await call.body(NetworkBody)))
    return reply({"Id": network.id, "Warning": ""}, 201)


async def inspect(call: Call) -> Reply:
    network = call.engine.networks.get(call.id)
    if call.text("scope") not in ("", network.scope):
        raise Invalid(f"network {call.id} is not of scope {call.text('scope')}")
    return reply({**network_json(network, call.version), "Containers": containers_json(call, network)})


async def listed(call: Call) -> Reply:
    filters = parse_filters(call.text("filters"), LIST_FILTERS)
    dangling = filters.flag("dangling")
    kinds = filters.one_of("type", ("builtin", "custom"))
    filters.one_of("scope", ("local", "global", "swarm"))
    found = [network for network in call.engine.networks.list() if matches(network, filters, kinds)]
    if dangling is not None:
        found = [
            network
            for network in found
            if dangling == (not network.predefined and not call.engine.networks.endpoints(network.id))
        ]
    shown = [network_json(network, call.version) for network in found]
    if not call.since(1, 28):
        shown = [
            {**entry, "Containers": containers_json(call, network)} for entry, network in zip(shown, found, strict=True)
        ]
    return reply(shown)


def matches(network: Network, filters: Filters, kinds: list[str]) -> bool:
    return (
        filters.exactly("driver", network.driver)
        and filters.like("id", network.id)
        and filters.like("name", network.name)
        and filters.exactly("scope", network.scope)
        and (not kinds or ("builtin" if network.predefined else "custom") in kinds)
        and filters.labels(network.spec.labels)
    )


async def connect(call: Call) -> Reply:
    body = await call.body(ConnectBody)
    request = endpoint_request(call.id, body.endpoint_config)
    await call.engine.networks.connect(call.id, body.container, request)
    return Reply(200)


async def disconnect(call: Call) -> Reply:
    body = await call.body(DisconnectBody)
    await call.engine.networks.disconnect(call.id, body.container, force=body.force)
    return Reply(200)


async def remove(call: Call) -> Reply:
    await call.engine.networks.remove(call.id)
    return no_content()


async def prune(call: Call) -> Reply:
    filters = parse_filters(call.text("filters"), PRUNE_FILTERS)
    until = filters.until(CLOCK)

    def keep(network: Network) -> bool:
        return not filters.labels(network.spec.labels) or bool(until and network.created_at > until)

    return reply({"NetworksDeleted": await call.engine.networks.prune(keep) or None})


ROUTES = (
    Route("GET", "/networks", listed, query=("filters",)),
    Route("GET", "/networks/", listed, query=("filters",)),
    Route("POST", "/networks/create", create),
    Route("POST", "/networks/prune", prune, query=("filters",), minimum=(1, 25)),
    Route("GET", "/networks/{id}", inspect, query=("verbose", "scope")),
    Route("DELETE", "/networks/{id}", remove),
    Route("POST", "/networks/{id}/connect", connect),
    Route("POST", "/networks/{id}/disconnect", disconnect),
)
