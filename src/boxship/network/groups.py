"""Service groups, pure: which members of a group get what is new, and what the packet rules are for that.

Members publish the same host ports, answer to the same names, and may have one virtual address. Only the best of them
get new connections; those that exist stay where they are, because connection tracking remembers them.
It must never learn why a member stands as it does: that is the engine's knowledge.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence

from boxship.network import rules
from boxship.network.model import AttachmentRecord, VirtualAddress
from boxship.spec.container import PublishedPort

Targets = dict[str, str]  # container -> where its share goes, as the rules write it


class Standing(enum.IntEnum):
    """How a member stands; the members that stand best get what is new."""

    LEAVING = 0  # it does not run yet, or it is being stopped: nothing new comes to it
    PAUSED = 1
    RUNNING = 2
    READY = 3


Standings = Mapping[str, Standing]  # by container; who is not named is LEAVING


def standing_of(standings: Standings, container_id: str) -> Standing:
    return standings.get(container_id, Standing.LEAVING)


def is_led_to(record: AttachmentRecord) -> bool:
    """Whether packet rules lead to a group's member; most members have names alone."""
    return bool(record.group and (record.ports or record.virtual_name))


def best(members: Iterable[str], standings: Standings) -> set[str]:
    """Those of the members that stand best, whatever that is: the ready ones, else those that run, and so on."""
    known = {member: standing_of(standings, member) for member in members}
    top = max(known.values(), default=Standing.LEAVING)
    return {member for member, standing in known.items() if standing is top}


def serving(targets: Targets, standings: Standings) -> list[str]:
    """Where new connections go, in a stable order; a member that is leaving gets none, even where it is the last."""
    chosen = best(targets, standings)
    live = (member for member in sorted(chosen) if standing_of(standings, member) is not Standing.LEAVING)
    return list(dict.fromkeys(targets[member] for member in live))


def port_elements(members: Sequence[tuple[AttachmentRecord, str]], standings: Standings) -> dict[str, dict[str, str]]:
    """The rule elements of the members' published ports; each member comes with the address that its ports lead to."""
    shared: dict[PublishedPort, Targets] = {}
    for record, address in members:
        for port in record.ports:
            key = PublishedPort(0, port.protocol, port.host_address, port.host_port)
            shared.setdefault(key, {})[record.container_id] = f"{address} . {port.container_port}"
    found: dict[str, dict[str, str]] = {}
    for port, targets in shared.items():
        found = rules.join(found, rules.balanced_port(port, serving(targets, standings)))
    return found


def virtual_elements(
    virtual: VirtualAddress, bridge: str, records: Iterable[AttachmentRecord], standings: Standings
) -> dict[str, dict[str, str]]:
    """The rule elements of a virtual address: it leads to the best members on its network."""
    targets = {
        record.container_id: item.endpoint.ipv4_address
        for record in records
        if record.group == virtual.group and record.virtual_name == virtual.name
        for item in record.endpoints
        if item.endpoint.network_id == virtual.network_id
    }
    return rules.virtual_address(virtual.address, bridge, serving(targets, standings))
