"""A service with its endpoints → the frontends that the network has to hold for it, pure."""

from collections.abc import Collection, Iterable

import msgspec

from boxship.cluster.proxy.choosing import Chosen, Place, choose
from boxship.cluster.proxy.facts import EndpointFacts, Key, ServiceFacts, ServicePort, SliceFacts
from boxship.network.services_rules import Frontend


class Decision(msgspec.Struct, frozen=True):
    """Frontends, and how many of the service's endpoints are on this node."""

    frontends: tuple[Frontend, ...]
    local: int = 0


def endpoints_of(slices: Iterable[SliceFacts], port: ServicePort) -> list[tuple[EndpointFacts, int]]:
    """Who answers a service's port, and at which port; each address once, ready before others."""
    found: dict[tuple[str, int], EndpointFacts] = {}
    for item in slices:
        number = item.ports.get((port.name, port.protocol))
        for endpoint in item.endpoints if number else ():
            assert number is not None, "the loop is empty without"
            known = found.get((endpoint.address, number))
            if known is None or (endpoint.ready and not known.ready):
                found[endpoint.address, number] = endpoint
    return [(endpoint, number) for (_, number), endpoint in sorted(found.items(), key=lambda item: item[0])]


def decide(key: Key, service: ServiceFacts, slices: Collection[SliceFacts], place: Place) -> Decision:
    """What has to stand for a service on this node. An external address of the cluster's own subnets does not count:
    with it one could take the place of other people's services, of their pods, and of the cluster's DNS."""
    service = msgspec.structs.replace(
        service, external=tuple(address for address in service.external if not place.is_inside(address))
    )
    frontends: list[Frontend] = []
    local: set[str] = set()
    for port in service.ports:
        endpoints = endpoints_of(slices, port)
        chosen = choose([endpoint for endpoint, _ in endpoints], place)
        numbers = {id(endpoint): number for endpoint, number in endpoints}
        frontends += _of_port(key, service, port, chosen, numbers)
        local.update(item.address for item in chosen.local if item.ready)
    return Decision(tuple(frontends), len(local))


def _of_port(
    key: Key, service: ServiceFacts, port: ServicePort, chosen: Chosen, numbers: dict[int, int]
) -> list[Frontend]:
    def targets(endpoints: Iterable[EndpointFacts]) -> tuple[str, ...]:
        return tuple(f"{item.address} . {numbers[id(item)]}" for item in endpoints)

    everywhere, local = targets(chosen.everywhere), targets(chosen.local)
    affinity = f"{key[0]}/{key[1]}/{port.name}" if service.affinity_seconds else ""

    def frontend(address: str, number: int, *, inner: bool) -> Frontend:
        near = service.internal_local if inner else service.external_local
        return Frontend(
            address=address,
            protocol=port.protocol,
            port=number,
            targets=local if inner and near else everywhere,
            near=local if near and not inner else None,
            closed="drop" if near and chosen.exist else "reject",
            affinity=affinity,
            affinity_seconds=service.affinity_seconds,
        )

    found = [frontend(address, port.port, inner=True) for address in service.addresses]
    found += [frontend(address, port.port, inner=False) for address in service.external]
    for address in service.balanced:
        item = frontend(address, port.port, inner=False)
        found.append(msgspec.structs.replace(item, sources=service.sources))
    if port.node_port:
        found.append(frontend("", port.node_port, inner=False))
    return found
