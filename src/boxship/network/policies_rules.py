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


class State(msgspec.Struct, frozen=True):
    """Everything: for each direction, pod addresses with their walls; groups of addresses and of sockets ("address .
    protocol . port") by name. What a name stands for changes in groups only; they are compared by identity first."""

    incoming: Mapping[str, tuple[Wall, ...]] = {}
    outgoing: Mapping[str, tuple[Wall, ...]] = {}
    groups: Mapping[str, frozenset[str]] = {}
    sockets: Mapping[str, frozenset[str]] = {}

    @property
    def is_empty(self) -> bool:
        return not self.incoming and not self.outgoing


class Shape(msgspec.Struct, frozen=True):
    """A state in the kernel's words: chains with their rules, sets with their elements, and the two maps."""

    chains: Mapping[str, tuple[str, ...]]
    sets: Mapping[str, tuple[str, frozenset[str]]]  # type, elements
    maps: Mapping[str, Mapping[str, str]]


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
ADDRESSES, SOCKETS = "ipv4_addr", "ipv4_addr . inet_proto . inet_service"


def policies_table(instance: str) -> str:
    return f"{table_name(instance)}_policies"


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def group_name(name: str) -> str:
    return f"group_{_digest(name)}"


def socket_name(name: str) -> str:
    return f"sockets_{_digest(name)}"


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


def shape(state: State, own: Iterable[str]) -> Shape:
    """What has to stand in the kernel; `own` are all addresses that pods of this machine may have."""
    chains: dict[str, tuple[str, ...]] = {}
    maps: dict[str, dict[str, str]] = {}
    used: set[str] = set()
    names: dict[tuple[str, tuple[Wall, ...]], str] = {}
    for direction, pods in ((INCOMING, state.incoming), (OUTGOING, state.outgoing)):
        elements = maps.setdefault(direction, {})
        for address, walls in pods.items():
            name = names.get((direction, walls))
            if name is None:
                name = names[direction, walls] = _add_walls(direction, walls, chains, used)
            elements[address] = f"goto {name}"
    maps["itself"] = {f"{address} . {address}": "" for address in own}
    groups = {group_name(name): (ADDRESSES, items) for name, items in state.groups.items()}
    sockets = {socket_name(name): (SOCKETS, items) for name, items in state.sockets.items()}
    sets = {name: found for name, found in {**groups, **sockets}.items() if name in used}
    return Shape(chains, sets, maps)


def _add_walls(direction: str, walls: tuple[Wall, ...], chains: dict[str, tuple[str, ...]], used: set[str]) -> str:
    """The chain of a combination of walls, with the chains and sets that it needs."""
    inner = []
    for wall in walls:
        rules = wall_rules(wall, direction)
        name = f"wall_{_digest(direction, wall.name, *rules)}"
        chains[name] = rules
        inner.append(name)
        for match in wall.matches:
            used.update(group_name(group) for group in match.groups if not match.anybody)
            used.update(socket_name(sockets) for sockets in match.sockets if not match.anything)
    name = f"walls_{_digest(direction, *inner)}"
    chains[name] = (*(f"jump {wall}" for wall in inner), "drop")
    return name


def replace(table: str, wanted: Shape) -> str:
    """Everything anew, as one transaction."""
    lines = [f"add table ip {table}", f"delete table ip {table}", f"add table ip {table}"]
    lines += [f"add {text.format(name=f'ip {table} {name}')}" for name, text in SETS.items()]
    lines += [f"add set ip {table} {name} {{ type {kind}; }}" for name, (kind, _) in wanted.sets.items()]
    lines += [f"add chain ip {table} {name}" for name in wanted.chains]
    for name, text in CHAINS.items():
        first, *rules = (line.strip() for line in text.splitlines())
        lines.append(f"add chain ip {table} {name} {{ {first} }}")
        lines += [f"add rule ip {table} {name} {rule}" for rule in rules]
    for name, (_, elements) in wanted.sets.items():
        lines += _elements(table, "add", name, sorted(elements))
    lines += [f"add rule ip {table} {name} {rule}" for name, found in wanted.chains.items() for rule in found]
    for name, pairs in wanted.maps.items():
        lines += _elements(table, "add", name, [f"{key} : {value}" if value else key for key, value in pairs.items()])
    return "\n".join(lines) + "\n"


def change(table: str, present: Shape, wanted: Shape) -> str:
    """The commands that lead from one shape to another; "" where they are the same. A chain's name says what is in it,
    so chains come and go but never change."""
    lines = []
    for name, (kind, elements) in wanted.sets.items():
        old = present.sets[name][1] if name in present.sets else frozenset()
        if name not in present.sets:
            lines.append(f"add set ip {table} {name} {{ type {kind}; }}")
        if old is not elements:
            lines += _elements(table, "delete", name, sorted(old - elements))
            lines += _elements(table, "add", name, sorted(elements - old))
    fresh = [name for name in wanted.chains if name not in present.chains]
    lines += [f"add chain ip {table} {name}" for name in fresh]
    lines += [f"add rule ip {table} {name} {rule}" for name in fresh for rule in wanted.chains[name]]
    for name, pairs in wanted.maps.items():
        before = present.maps.get(name, {})
        gone = [key for key, value in before.items() if pairs.get(key) != value]
        lines += _elements(table, "delete", name, gone)
        added = [f"{key} : {value}" if value else key for key, value in pairs.items() if before.get(key) != value]
        lines += _elements(table, "add", name, added)
    dead = [name for name in present.chains if name not in wanted.chains]
    lines += [f"flush chain ip {table} {name}" for name in dead]
    lines += [f"delete chain ip {table} {name}" for name in dead]
    lines += [f"delete set ip {table} {name}" for name in present.sets if name not in wanted.sets]
    return "\n".join(lines) + "\n" if lines else ""


def _elements(table: str, verb: str, name: str, elements: Iterable[str]) -> list[str]:
    text = ", ".join(elements)
    return [f"{verb} element ip {table} {name} {{ {text} }}"] if text else []
