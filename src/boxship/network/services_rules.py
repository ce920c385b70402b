"""The packet rules of a cluster's services, pure: what stands in the kernel for one frontend, and the text that leads
from some frontends to others.

A frontend is an address and port (or a port of every address of this machine) that leads to targets. All frontends of
the same number of targets share a chain: it draws a number, and a map leads from frontend and number to the target. So
a packet's way is the same length for ten thousand services as for one, and a change is a few elements of maps. Only
services with session affinity have chains of their own.

Nothing here touches the kernel, and nothing reads what is there: the first text of a life replaces everything in one
transaction, which packets never see half done.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from boxship.network.rules import table_name

Key = tuple[str, str, int]  # address ("": every one of this machine), protocol, port

MARK = "0x00004000"  # on a connection's first packet: a service led it
UNMARKED = "0xffffbfff"
TRANSPORTS = "meta l4proto { tcp, udp, sctp }"


class Frontend(msgspec.Struct, frozen=True, gc=False):
    """Where a service is asked for, and who answers: `targets` are "address . port".

    With `near`, who comes from outside the cluster goes to these only; none of them drops it. `closed` is what happens
    where nobody answers: "reject" or "drop". `affinity` names what a client sticks to for `affinity_seconds`, one name
    for all frontends of a service's port. `sources` are the only subnets that may ask; None: all."""

    address: str
    protocol: str
    port: int
    targets: tuple[str, ...] = ()
    near: tuple[str, ...] | None = None
    closed: str = "reject"
    affinity: str = ""
    affinity_seconds: int = 0
    sources: tuple[str, ...] | None = None

    @property
    def key(self) -> Key:
        return self.address, self.protocol, self.port

    @property
    def place(self) -> str:
        """As an element of a map."""
        address = f"{self.address} . " if self.address else ""
        return f"{address}{self.protocol} . {self.port}"


class Surroundings(msgspec.Struct, frozen=True):
    """What the rules must know of the machine: the pods' bridge, all pods' subnets, the services' subnets, the
    addresses of this machine's own pods, and service addresses at which this machine answers itself."""

    bridge: str
    inside: tuple[str, ...]
    reserved: tuple[str, ...]
    own: tuple[str, ...]


class Parts(msgspec.Struct):
    """What stands in the kernel for a frontend: elements by (set, key), chains and sets by name."""

    elements: dict[tuple[str, str], str]
    chains: dict[str, tuple[str, ...]]
    sets: dict[str, str]


SETS = {
    "addresses": "map {name} {{ type ipv4_addr . inet_proto . inet_service : verdict; }}",
    "ports": "map {name} {{ type inet_proto . inet_service : verdict; }}",
    "address_targets": "map {name} {{ type ipv4_addr . inet_proto . inet_service . classid"
    " : ipv4_addr . inet_service; }}",
    "port_targets": "map {name} {{ type inet_proto . inet_service . classid : ipv4_addr . inet_service; }}",
    "address_near": "map {name} {{ type ipv4_addr . inet_proto . inet_service . classid : ipv4_addr . inet_service; }}",
    "port_near": "map {name} {{ type inet_proto . inet_service . classid : ipv4_addr . inet_service; }}",
    "closed_addresses": "map {name} {{ type ipv4_addr . inet_proto . inet_service : verdict; }}",
    "closed_ports": "map {name} {{ type inet_proto . inet_service : verdict; }}",
    "fenced": "set {name} {{ type ipv4_addr . inet_proto . inet_service; }}",
    "allowed": "set {name} {{ type ipv4_addr . inet_proto . inet_service . ipv4_addr; flags interval; }}",
    "inside": "set {name} {{ type ipv4_addr; flags interval; }}",
    "reserved": "set {name} {{ type ipv4_addr; flags interval; }}",
    "hairpin": "set {name} {{ type ipv4_addr . ipv4_addr; }}",
    "own_bridge": "set {name} {{ type ifname; }}",
}
ADDRESS, PORT = "ip daddr . meta l4proto . th dport", "meta l4proto . th dport"
LEAD = f"""{ADDRESS} vmap @addresses
        fib daddr type local {PORT} vmap @ports"""
CLOSED = f"ct state new {ADDRESS} vmap @closed_addresses"
CHAINS = {
    # Docker's published ports come first: who has one already keeps it.
    "prerouting": f"type nat hook prerouting priority -99; policy accept;\n{LEAD}",
    "output": f"type nat hook output priority -99; policy accept;\n{LEAD}",
    # A pod that asks for itself, and whoever is no pod and is led to another machine, must get the answer by here.
    "leaving": f"""meta mark set meta mark & {UNMARKED}
        ip saddr . ip daddr @hairpin masquerade
        ip saddr @inside return
        oifname @own_bridge return
        masquerade""",
    "postrouting": f"""type nat hook postrouting priority 99; policy accept;
        meta mark & {MARK} != 0 jump leaving""",
    "refused": """meta l4proto tcp reject with tcp reset
        reject""",
    "fences": f"""type filter hook prerouting priority -110; policy accept;
        ct state new {ADDRESS} @fenced {ADDRESS} . ip saddr != @allowed drop""",
    "forwarded": f"""type filter hook forward priority filter; policy accept;
        {CLOSED}
        ct state new ip daddr @reserved goto refused""",
    "received": f"""type filter hook input priority filter; policy accept;
        {CLOSED}
        ct state new fib daddr type local {PORT} vmap @closed_ports""",
    # The nameserver's address is our own: while nobody answers there (the daemon starts anew) who asks shall wait and
    # ask again, not be refused.
    "sending": f"""type filter hook output priority filter; policy accept;
        ip saddr @reserved icmp type destination-unreachable drop
        {CLOSED}
        ct state new oifname != "lo" ip daddr @reserved goto refused""",
}


def services_table(instance: str) -> str:
    return f"{table_name(instance)}_services"


def _digest(*words: object) -> str:
    return hashlib.sha256("\0".join(map(str, words)).encode()).hexdigest()[:16]


def _spread(frontend: Frontend, targets: Sequence[str], name: str, parts: Parts) -> str:
    """The chain that leads to one of the targets, whose places in the map `name` are filled too."""
    if frontend.affinity:
        return _stick(frontend, targets, parts)
    what, kind = (ADDRESS, "address") if frontend.address else (PORT, "port")
    chain = f"{kind}_{name}_{len(targets)}"
    parts.chains[chain] = (
        f"{TRANSPORTS} meta mark set meta mark | {MARK} meta priority set numgen random mod {len(targets)}"
        f" dnat ip to {what} . meta priority map @{kind}_{name}",
    )
    place = frontend.place
    for number, target in enumerate(targets):
        parts.elements[f"{kind}_{name}", f"{place} . 0:{number:x}"] = target
    return chain


def _stick(frontend: Frontend, targets: Sequence[str], parts: Parts) -> str:
    """The chain that leads a client where it was led before, or else to one of the targets."""
    seconds = frontend.affinity_seconds
    rules, choices = [], []
    for number, target in enumerate(targets):
        name = _digest(frontend.affinity, seconds, frontend.protocol, target)
        led_to = f"dnat ip to {target.replace(' . ', ':')}"
        clients, chain = f"clients_{name}", f"to_{name}"
        parts.sets[clients] = f"type ipv4_addr; size 65535; flags dynamic,timeout; timeout {seconds}s;"
        parts.chains[chain] = (
            f"update @{clients} {{ ip saddr }}",
            f"meta l4proto {frontend.protocol} meta mark set meta mark | {MARK} {led_to}",
        )
        rules.append(f"ip saddr @{clients} goto {chain}")
        choices.append(f"{number} : goto {chain}")
    rules.append(f"numgen random mod {len(targets)} vmap {{ {', '.join(choices)} }}")
    chain = f"stick_{_digest(frontend.affinity, seconds, frontend.protocol, *targets)}"
    parts.chains[chain] = tuple(rules)
    return chain


def parts_of(frontend: Frontend) -> Parts:
    """What stands in the kernel for a frontend."""
    parts = Parts({}, {}, {})
    kind = "addresses" if frontend.address else "ports"
    place, near = frontend.place, frontend.near
    if frontend.targets:
        chain = _spread(frontend, frontend.targets, "targets", parts)
        if near is not None:
            rules = [f"ip saddr @inside goto {chain}", f"fib saddr type local goto {chain}"]
            other = _spread(frontend, near, "near", parts) if near else ""
            rules += [f"goto {other}"] if near else []
            chain = f"near_{_digest(chain, other)}"
            parts.chains[chain] = tuple(rules)
        parts.elements[kind, place] = f"goto {chain}"
    if not frontend.targets or (near is not None and not near):
        verdict = "drop" if frontend.closed == "drop" or frontend.targets else "goto refused"
        parts.elements[f"closed_{kind}", place] = verdict
    if frontend.sources is not None and frontend.address:
        parts.elements["fenced", place] = ""
        for source in frontend.sources:
            parts.elements["allowed", f"{place} . {source}"] = ""
    return parts


def in_place(old: Sequence[str], new: Iterable[str]) -> tuple[str, ...]:
    """The new targets in an order in which as many as possible stay where they were."""
    wanted = dict.fromkeys(new)
    result = [target if target in wanted else "" for target in old[: len(wanted)]]
    kept = set(result)
    fresh = iter([target for target in wanted if target not in kept])
    result = [target or next(fresh) for target in result]
    return (*result, *fresh)


def arranged(old: Frontend | None, new: Frontend) -> Frontend:
    """The new frontend with its targets in the places of the old one's, so that little changes."""
    if old is None:
        return new
    near = new.near if new.near is None else in_place(old.near or (), new.near)
    return msgspec.structs.replace(new, targets=in_place(old.targets, new.targets), near=near)


class Shared:
    """The chains and sets that several frontends use together, and how many do."""

    def __init__(self) -> None:
        self.chains: dict[str, tuple[str, ...]] = {}
        self.sets: dict[str, str] = {}
        self.users: Counter[str] = Counter()

    def count(self, parts: Parts, step: int) -> None:
        self.chains |= parts.chains
        self.sets |= parts.sets
        for name in (*parts.chains, *parts.sets):
            self.users[name] += step

    def take_unused(self) -> tuple[list[str], list[str]]:
        """The chains and the sets that nobody uses any longer; they are forgotten here."""
        names = [name for name, count in self.users.items() if count <= 0]
        chains = [name for name in names if self.chains.pop(name, None) is not None]
        sets = [name for name in names if self.sets.pop(name, None) is not None]
        for name in names:
            del self.users[name]
        return chains, sets


def change(table: str, shared: Shared, old: Iterable[Frontend], new: Iterable[Frontend]) -> str:
    """The commands that lead from some frontends to others; "" where nothing changes."""
    known = set(shared.users)
    before, after = [parts_of(item) for item in old], [parts_of(item) for item in new]
    for parts in after:
        shared.count(parts, 1)
    for parts in before:
        shared.count(parts, -1)
    dead_chains, dead_sets = shared.take_unused()
    fresh = set(shared.users) - known
    lines = _declare(table, {name: shared.sets[name] for name in fresh & shared.sets.keys()}, fresh, shared)
    present = {place: value for parts in before for place, value in parts.elements.items()}
    wanted = {place: value for parts in after for place, value in parts.elements.items()}
    gone = [place for place, value in present.items() if wanted.get(place) != value]
    added = {place: value for place, value in wanted.items() if present.get(place) != value}
    lines += _by_set(table, "delete", dict.fromkeys(gone, "")) + _by_set(table, "add", added)
    existing = [name for name in dead_chains if name in known]
    lines += [f"flush chain ip {table} {name}" for name in existing]
    lines += [f"delete chain ip {table} {name}" for name in existing]
    lines += [f"delete set ip {table} {name}" for name in dead_sets if name in known]
    return "\n".join(lines) + "\n" if lines else ""


def _declare(table: str, sets: Mapping[str, str], names: Iterable[str], shared: Shared) -> list[str]:
    chains = [name for name in names if name in shared.chains]
    lines = [f"add set ip {table} {name} {{ {text} }}" for name, text in sets.items()]
    lines += [f"add chain ip {table} {name}" for name in chains]
    lines += [f"flush chain ip {table} {name}" for name in chains]
    lines += [f"add rule ip {table} {name} {rule}" for name in chains for rule in shared.chains[name]]
    return lines


def _by_set(table: str, verb: str, elements: Mapping[tuple[str, str], str]) -> list[str]:
    sets: dict[str, list[str]] = {}
    for (name, key), value in elements.items():
        sets.setdefault(name, []).append(f"{key} : {value}" if value else key)
    return [f"{verb} element ip {table} {name} {{ {', '.join(found)} }}" for name, found in sets.items()]


def replace(
    table: str, shared: Shared, frontends: Iterable[Frontend], around: Surroundings, left: Mapping[str, Iterable[str]]
) -> str:
    """Everything anew, as one transaction. `left` are the chains and sets that stand there now, by kind; the sets of
    clients that stay keep what they hold."""
    elements = _site_elements(around)
    for frontend in frontends:
        parts = parts_of(frontend)
        shared.count(parts, 1)
        elements |= parts.elements
    lines = [f"add table ip {table}"]
    lines += [f"add {text.format(name=f'ip {table} {name}')}" for name, text in SETS.items()]
    lines += [f"flush {text.split()[0]} ip {table} {name}" for name, text in SETS.items()]
    for name, text in CHAINS.items():
        first = text.splitlines()[0].strip()
        lines.append(f"add chain ip {table} {name}" + (f" {{ {first} }}" if "hook" in first else ""))
        lines.append(f"flush chain ip {table} {name}")
    stale = [name for name in left.get("chain", ()) if name not in CHAINS and name not in shared.chains]
    lines += [f"flush chain ip {table} {name}" for name in stale]
    lines += _declare(table, shared.sets, shared.chains, shared)
    lines += [f"delete chain ip {table} {name}" for name in stale]
    for kind in ("set", "map"):
        names = [name for name in left.get(kind, ()) if name not in SETS and name not in shared.sets]
        lines += [f"delete {kind} ip {table} {name}" for name in names]
    for name, text in CHAINS.items():
        rules = [line.strip() for line in text.splitlines() if "hook" not in line]
        lines += [f"add rule ip {table} {name} {rule}" for rule in rules]
    return "\n".join(lines + _by_set(table, "add", elements)) + "\n"


def _site_elements(around: Surroundings) -> dict[tuple[str, str], str]:
    found = {("own_bridge", f'"{around.bridge}"'): ""} if around.bridge else {}
    found |= {("inside", subnet): "" for subnet in around.inside}
    found |= {("reserved", subnet): "" for subnet in around.reserved}
    return found | {("hairpin", f"{address} . {address}"): "" for address in around.own}


class Moved(msgspec.Struct, frozen=True, order=True):
    """UDP flows to a frontend that a target answered which is gone; "" is what nobody answered but this machine."""

    address: str
    port: int
    target: str


def moved_flows(old: Iterable[Frontend], new: Iterable[Frontend]) -> list[Moved]:
    """The tracked UDP flows that a change has to forget."""
    before, after = targets_of_datagrams(old), targets_of_datagrams(new)
    found = []
    for key, targets in before.items():
        found += [Moved(*key, target) for target in targets - after.get(key, frozenset())]
    found += [Moved(*key, "") for key, targets in after.items() if targets and not before.get(key)]
    return sorted(found)


def left_addresses(old: Iterable[Frontend], new: Iterable[Frontend]) -> set[str]:
    """Addresses to which a change leads no streams any more: whoever still waits for their first answer would wait for
    ever, as each further try goes the way of the first."""
    before, after = (
        {target.partition(" ")[0] for item in items if item.protocol == "tcp" for target in item.targets}
        for items in (old, new)
    )
    return before - after


def targets_of_datagrams(frontends: Iterable[Frontend]) -> dict[tuple[str, int], frozenset[str]]:
    """Who answers over UDP, by address and port."""
    return {
        (item.address, item.port): frozenset((*item.targets, *(item.near or ())))
        for item in frontends
        if item.protocol == "udp"
    }
