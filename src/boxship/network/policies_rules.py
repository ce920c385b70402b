"""The packet rules of network policies, pure: what stands in the kernel for the pods of this machine that policies
select, and the text that leads from one state to another.

A pod that policies select for a direction is led, by a map, to a chain of its combination of policies: each may let the
packet pass, what none lets pass is dropped. Who may is said by sets of addresses, so a pod that comes or goes is an
element. Answers always pass; the packets of an open connection are looked at again each time, so a policy that
changes counts for it, too. The machine itself is never kept from its pods: its packets are not forwarded.
"""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from boxship.network.rules import table_name

INCOMING, OUTGOING = "incoming", "outgoing"


class Block(msgspec.Struct, frozen=True):
    """A subnet without some parts of it."""

    subnet: str
    without: tuple[str, ...] = ()


class Ports(msgspec.Struct, frozen=True):
    """Ports of one protocol; without a first one, all of them."""

    protocol: str  # tcp, udp or sctp
    first: int = 0
    last: int = 0


class Match(msgspec.Struct, frozen=True):
    """What one rule of a policy lets pass: from (or to) any of these groups and blocks, or anybody; to any of these
    ports and named sockets, or any."""

    anybody: bool = False
    groups: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    anything: bool = False
    ports: tuple[Ports, ...] = ()
    sockets: tuple[str, ...] = ()


class Wall(msgspec.Struct, frozen=True):
    """A policy for one direction."""

    name: str
    matches: tuple[Match, ...]


Walls = tuple[Wall, ...]


class Change(msgspec.Struct, frozen=True):
    """What is otherwise than before: for each direction, pod addresses with their walls (None: no policy is about it);
    and which addresses come to a group and which leave it, the same of sockets ("address . protocol . port"; None: it
    is forgotten). To say again what is so already does no harm."""

    incoming: Mapping[str, Walls | None] = {}
    outgoing: Mapping[str, Walls | None] = {}
    groups: Mapping[str, Mapping[str, bool] | None] = {}
    sockets: Mapping[str, Mapping[str, bool] | None] = {}

    @property
    def is_empty(self) -> bool:
        return not (self.incoming or self.outgoing or self.groups or self.sockets)


SETS = {
    INCOMING: "map {name} {{ type ipv4_addr : verdict; }}",
    OUTGOING: "map {name} {{ type ipv4_addr : verdict; }}",
    "itself": "set {name} {{ type ipv4_addr . ipv4_addr; }}",
}
PASSING = """ct direction reply accept
        ct state related accept
        ip saddr . ip daddr @itself accept"""
CHAINS = {
    "leaving": f"type filter hook forward priority -2; policy accept;\n{PASSING}\nip saddr vmap @{OUTGOING}",
    "coming": f"type filter hook forward priority -1; policy accept;\n{PASSING}\nip daddr vmap @{INCOMING}",
}
GROUPS, SOCKETS = "group_", "sockets_"  # how the names of sets begin
ADDRESS, SOCKET = "ipv4_addr", "ipv4_addr . inet_proto . inet_service"  # what they hold


def policies_table(instance: str) -> str:
    return f"{table_name(instance)}_policies"


def digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def group_name(name: str) -> str:
    return GROUPS + digest(name)


def socket_name(name: str) -> str:
    return SOCKETS + digest(name)


def type_of(name: str) -> str:
    """What a set holds."""
    return ADDRESS if name.startswith(GROUPS) else SOCKET


def _peers(match: Match, side: str) -> list[str]:
    """The conditions on the other end, each of them enough; "" is none."""
    if match.anybody:
        return [""]
    found = [f"ip {side} @{group_name(name)}" for name in match.groups]
    for block in match.blocks:
        without = f" ip {side} != {{ {', '.join(block.without)} }}" if block.without else ""
        found.append(f"ip {side} {block.subnet}{without}")
    return found


def _services(match: Match) -> list[str]:
    """The conditions on what is asked for, each of them enough."""
    if match.anything:
        return [""]
    found = []
    by_protocol: dict[str, list[str]] = {}
    for ports in match.ports:
        if not ports.first:
            found.append(f"meta l4proto {ports.protocol}")
        else:
            text = str(ports.first) if ports.last <= ports.first else f"{ports.first}-{ports.last}"
            by_protocol.setdefault(ports.protocol, []).append(text)
    for protocol, texts in by_protocol.items():
        found.append(f"meta l4proto {protocol} th dport {{ {', '.join(merged(texts))} }}")
    found += [f"ip daddr . meta l4proto . th dport @{socket_name(name)}" for name in match.sockets]
    return found


def merged(texts: Iterable[str]) -> list[str]:
    """Ranges of ports without overlaps, which the kernel does not take."""
    found: list[list[int]] = []
    for first, last in sorted((int(text.split("-")[0]), int(text.split("-")[-1])) for text in texts):
        if found and first <= found[-1][1] + 1:
            found[-1][1] = max(found[-1][1], last)
        else:
            found.append([first, last])
    return [f"{first}-{last}" if last > first else str(first) for first, last in found]


def wall_rules(wall: Wall, direction: str) -> tuple[str, ...]:
    side = "saddr" if direction == INCOMING else "daddr"
    rules = [
        " ".join(part for part in (peer, service, "accept") if part)
        for match in wall.matches
        for peer in _peers(match, side)
        for service in _services(match)
    ]
    return tuple(dict.fromkeys(rules))


def wall_name(wall: Wall, direction: str) -> str:
    return f"wall_{digest(direction, wall.name, *wall_rules(wall, direction))}"


def sets_of(wall: Wall) -> set[str]:
    """The sets that a wall's rules speak of."""
    found = {group_name(group) for match in wall.matches if not match.anybody for group in match.groups}
    return found | {socket_name(name) for match in wall.matches if not match.anything for name in match.sockets}


def elements(table: str, verb: str, name: str, found: Iterable[str]) -> list[str]:
    text = ", ".join(found)
    return [f"{verb} element ip {table} {name} {{ {text} }}"] if text else []


def frame(table: str) -> list[str]:
    """A table without any policy, in place of what is there."""
    lines = [f"add table ip {table}", f"delete table ip {table}", f"add table ip {table}"]
    lines += [f"add {text.format(name=f'ip {table} {name}')}" for name, text in SETS.items()]
    for name, text in CHAINS.items():
        first, *rules = (line.strip() for line in text.splitlines())
        lines.append(f"add chain ip {table} {name} {{ {first} }}")
        lines += [f"add rule ip {table} {name} {rule}" for rule in rules]
    return lines
