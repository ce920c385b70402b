"""The packet rules, pure: which chains stand in our table, which elements its sets hold, and the text that gets there.

The chains are the same for every instance and every number of containers; all that changes are elements of sets and
maps, one transaction a change. Connections that exist are never cut: nothing is flushed but chains, and those are
filled again in the same transaction.

Only what several containers answer together has a chain of its own, with one rule that picks one of them for each new
connection. Among the elements it stands under "balances": the chain's name and its targets.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from boxship.network import binding
from boxship.network.model import Network
from boxship.spec.container import PublishedPort

Elements = Mapping[str, Mapping[str, str]]  # set name -> element -> value ("" in a plain set)

SETS = {
    "bridges": "set {name} {{ type ifname; }}",
    "internal": "set {name} {{ type ifname; }}",
    "connected": "set {name} {{ type ifname . ifname; }}",
    "subnets": "set {name} {{ type ipv4_addr; flags interval; }}",
    "masqueraded": "set {name} {{ type ipv4_addr; flags interval; }}",
    "routed": "set {name} {{ type ifname; }}",
    "direct": "set {name} {{ type ipv4_addr . ipv4_addr; flags interval; }}",
    "hairpin": "set {name} {{ type ipv4_addr . ipv4_addr; }}",
    "published": "map {name} {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}",
    "published_at": "map {name} {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}",
    "balanced": "map {name} {{ type inet_proto . inet_service : verdict; }}",
    "balanced_at": "map {name} {{ type ipv4_addr . inet_proto . inet_service : verdict; }}",
    "virtual": "map {name} {{ type ifname . ipv4_addr : verdict; }}",
    "virtual_addresses": "set {name} {{ type ipv4_addr; }}",
}
FAMILIES = {**dict.fromkeys(SETS, "ip"), binding.BOUND: binding.FAMILY}  # of the table that a set is in
BALANCES = "balances"
CHAINS = {
    # Nobody else may reach the host's loopback, which route_localnet would otherwise allow.
    "raw": """type filter hook prerouting priority raw; policy accept;
        iifname != "lo" ip daddr 127.0.0.0/8 drop
        iifname != "lo" ip saddr 127.0.0.0/8 drop""",
    "publish": """dnat ip to ip daddr . meta l4proto . th dport map @published_at
        dnat ip to meta l4proto . th dport map @published
        ip daddr . meta l4proto . th dport vmap @balanced_at
        meta l4proto . th dport vmap @balanced""",
    # A virtual address belongs to its own network: from elsewhere it leads nowhere. The host comes by "lo".
    "prerouting": """type nat hook prerouting priority dstnat; policy accept;
        iifname . ip daddr vmap @virtual
        fib daddr type local jump publish""",
    "output": """type nat hook output priority -100; policy accept;
        oifname . ip daddr vmap @virtual
        fib daddr type local jump publish""",
    # What asks for a virtual address that nobody serves must not meet the host's own servers.
    "refused": """ct state new meta l4proto tcp reject with tcp reset
        ct state new meta l4proto udp reject""",
    "refuse": """type filter hook input priority filter; policy accept;
        ip daddr @virtual_addresses jump refused""",
    # Containers go out under the host's address; the host's loopback and a container that asks for its own published
    # port come in under the bridge's, so that the answer passes here again. Routed ones keep their own address.
    "postrouting": """type nat hook postrouting priority srcnat; policy accept;
        ip saddr . ip daddr @hairpin ct status dnat masquerade
        ip saddr . ip daddr @direct accept
        ip saddr @masqueraded oifname != @bridges masquerade
        ip saddr 127.0.0.0/8 oifname @bridges masquerade
        ip saddr @subnets ip daddr @subnets ct status dnat masquerade""",
    # To a bridge comes: its own traffic, answers, and what was published. Nothing else, from outside or other bridges,
    # unless one of the two is routed.
    "towards": """iifname . oifname @connected accept
        iifname @internal drop
        oifname @internal drop
        iifname @routed accept
        oifname @routed accept
        ct state established,related accept
        ct status dnat accept
        drop""",
    "forward": """type filter hook forward priority filter; policy accept;
        oifname @bridges jump towards
        iifname @internal drop""",
}
GUARD = """type filter hook forward priority filter; policy accept;
        meta iifkind != "bridge" meta oifkind != "bridge" drop"""
RESOLVER_TABLE = "boxship"
PROTOCOLS = {"6": "tcp", "17": "udp", "132": "sctp"}
PROTOCOL_PLACES = {"published": 0, "published_at": 1, "balanced": 0, "balanced_at": 1}  # in the elements' keys
_BALANCE_NAME = re.compile(r"(tcp|udp|sctp)_\d+(_at_[\d.]+)?|virtual_[\d.]+")


def table_name(instance: str) -> str:
    return f"boxship_{re.sub(r'[^A-Za-z0-9_]', '_', instance)}"


def base(table: str, *, guard: bool) -> str:
    """Table, sets and chains, as one idempotent text: what is there stays, the chains get exactly these rules. With
    `guard`, a machine that forwards only because of us still forwards nothing that does not concern a bridge."""
    chains = {**CHAINS, "guard": GUARD} if guard else CHAINS
    lines = [f"add table ip {table}"]
    lines += [f"add {_declare(SETS[name], table, name)}" for name in SETS]
    lines += [f"add chain ip {table} {name}{_hook(text)}" for name, text in chains.items()]
    lines += [f"flush chain ip {table} {name}" for name in chains]
    for name, text in chains.items():
        lines += [f"add rule ip {table} {name} {rule.strip()}" for rule in text.splitlines() if "hook" not in rule]
    return "\n".join(lines) + "\n"


def _declare(template: str, table: str, name: str) -> str:
    return template.format(name=f"ip {table} {name}")


def _hook(text: str) -> str:
    first = text.splitlines()[0].strip()
    return f" {{ {first} }}" if "hook" in first else ""


def remove_table(table: str) -> str:
    return f"add table ip {table}\ndelete table ip {table}\n"


def network_elements(network: Network) -> dict[str, dict[str, str]]:
    """The elements that a bridge network needs."""
    options = network.bridge
    if options is None:
        return {}
    name = f'"{options.bridge}"'
    found = {"bridges": {name: ""}, "subnets": {network.subnet: ""}}
    if network.spec.internal:
        found["internal"] = {name: ""}
    elif options.masquerade:
        found["masqueraded"] = {network.subnet: ""}
    if options.routed:
        found["routed"] = {name: ""}
        found["direct"] = {f"{network.subnet} . {subnet}": "" for subnet in options.routed}
    if options.connected:
        found["connected"] = {f"{name} . {name}": ""}
    return found


def port_elements(ports: Iterable[PublishedPort], address: str) -> dict[str, dict[str, str]]:
    """The elements that send published ports to a container's address."""
    found: dict[str, dict[str, str]] = {}
    for port in ports:
        target = f"{address} . {port.container_port}"
        if port.host_address == "0.0.0.0":
            found.setdefault("published", {})[f"{port.protocol} . {port.host_port}"] = target
        else:
            key = f"{port.host_address} . {port.protocol} . {port.host_port}"
            found.setdefault("published_at", {})[key] = target
        found["hairpin"] = {f"{address} . {address}": ""}
    return found


def balanced_port(port: PublishedPort, targets: Sequence[str]) -> dict[str, dict[str, str]]:
    """The elements that spread a host port's new connections over targets ("address . port"); none for no target."""
    everywhere = port.host_address == "0.0.0.0"
    key = f"{port.protocol} . {port.host_port}"
    key = key if everywhere else f"{port.host_address} . {key}"
    suffix = "" if everywhere else "_at"
    if len(targets) < 2:
        return {f"published{suffix}": {key: targets[0]}} if targets else {}
    chain = f"{port.protocol}_{port.host_port}" + ("" if everywhere else f"_at_{port.host_address}")
    return {f"balanced{suffix}": {key: f"goto {chain}"}, BALANCES: {chain: ", ".join(targets)}}


def virtual_address(address: str, bridge: str, targets: Sequence[str]) -> dict[str, dict[str, str]]:
    """The elements of an address that stands for others of its network, on all ports of TCP and UDP."""
    found = {"virtual_addresses": {address: ""}}
    if targets:
        chain = f"virtual_{address}"
        found["virtual"] = {f'"{name}" . {address}': f"goto {chain}" for name in (bridge, "lo")}
        found[BALANCES] = {chain: ", ".join(targets)}
    return found


def _balance(chain: str, targets: str) -> str:
    """The one rule of a chain that balances."""
    choices = targets.split(", ")
    protocol = "{ tcp, udp }" if chain.startswith("virtual_") else chain.partition("_")[0]
    spread = ", ".join(f"{number} : {target}" for number, target in enumerate(choices))
    return f"meta l4proto {protocol} dnat ip to numgen random mod {len(choices)} map {{ {spread} }}"


def join(*parts: Elements) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for part in parts:
        for name, elements in part.items():
            found.setdefault(name, {}).update(elements)
    return found


def change(table: str, present: Elements, wanted: Elements) -> str:
    """The commands that lead from `present` to `wanted`; "" where they are the same."""
    lines = []
    old_chains, new_chains = present.get(BALANCES, {}), wanted.get(BALANCES, {})
    for chain, targets in new_chains.items():
        if old_chains.get(chain) != targets:
            lines += [f"add chain ip {table} {chain}", f"flush chain ip {table} {chain}"]
            lines.append(f"add rule ip {table} {chain} {_balance(chain, targets)}")
    for name, family in FAMILIES.items():
        old, new = present.get(name, {}), wanted.get(name, {})
        gone = [key for key, value in old.items() if new.get(key) != value]
        added = [f"{key} : {value}" if value else key for key, value in new.items() if old.get(key) != value]
        if gone:
            lines.append(f"delete element {family} {table} {name} {{ {', '.join(gone)} }}")
        if added:
            lines.append(f"add element {family} {table} {name} {{ {', '.join(added)} }}")
    for chain in old_chains.keys() - new_chains.keys():
        lines += [f"flush chain ip {table} {chain}", f"delete chain ip {table} {chain}"]
    return "\n".join(lines) + "\n" if lines else ""


class Moved(msgspec.Struct, frozen=True, order=True):
    """UDP flows to a host port, or to all ports of an address, that lead elsewhere than before, unless one of the
    addresses in `answered_by` answers them."""

    port: int
    address: str
    answered_by: tuple[str, ...]


def moved_flows(present: Elements, wanted: Elements) -> list[Moved]:
    """The UDP flows that a change of the rules concerns."""
    before, after = _udp_targets(present), _udp_targets(wanted)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    kept: dict[tuple[int, str], set[str]] = {}
    for port, host in changed:  # flows are found by their port, whatever address they came to
        key = (port, "" if port else host)
        kept.setdefault(key, set()).update(
            *(targets for (other, where), targets in after.items() if other == port and (port or where == host))
        )
    return sorted(Moved(port, address, tuple(sorted(found))) for (port, address), found in kept.items())


def _udp_targets(elements: Elements) -> dict[tuple[int, str], frozenset[str]]:
    """Who answers over UDP: by port and the host's address ("" for all), and by (0, virtual address)."""
    found: dict[tuple[int, str], frozenset[str]] = {}
    for name in ("published", "published_at"):
        for key, target in elements.get(name, {}).items():
            *address, protocol, port = key.split(" . ")
            if protocol == "udp":
                found[int(port), "".join(address)] = frozenset({target.partition(" . ")[0]})
    for chain, text in elements.get(BALANCES, {}).items():
        targets = frozenset(target.partition(" . ")[0] for target in text.split(", "))
        kind, _, rest = chain.partition("_")
        number, _, address_at = rest.partition("_at_")
        if kind == "virtual":
            found[0, rest] = targets
        elif kind == "udp":
            found[int(number), address_at] = targets
    return found


def read_elements(listing: Iterable[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """The elements in a listing of our table (libnftables-json)."""
    found: dict[str, dict[str, str]] = {}
    for item in listing:
        rule, chain = item.get("rule"), item.get("chain")
        if chain and _BALANCE_NAME.fullmatch(chain["name"]):
            found.setdefault(BALANCES, {}).setdefault(chain["name"], "")
        if rule and _BALANCE_NAME.fullmatch(rule["chain"]):
            chains = found.setdefault(BALANCES, {})
            chains[rule["chain"]] = chains.get(rule["chain"], "") + _targets(rule)
        described = item.get("set") or item.get("map")
        if not described or described["name"] not in FAMILIES:
            continue
        name = described["name"]
        for element in described.get("elem", ()):
            if item.get("map"):
                found.setdefault(name, {})[_words(element[0], name)] = _words(element[1], name)
            else:
                found.setdefault(name, {})[_words(element, name)] = ""
    return found


def _targets(rule: dict[str, Any]) -> str:
    """Where a rule of ours spreads to; "?" for any other rule, which is nothing that we want."""
    try:
        chosen = rule["expr"][-1]["dnat"]["addr"]["map"]["data"]["set"]
        return ", ".join(_words(target, "") for _, target in chosen)
    except (KeyError, IndexError, TypeError, ValueError):
        return "?"


def has_guard(listing: Iterable[dict[str, Any]]) -> bool:
    return any(item.get("chain", {}).get("name") == "guard" for item in listing)


def _words(value: Any, name: str) -> str:
    """One element of a listing in the form in which we write it."""
    if isinstance(value, dict) and "concat" in value:
        parts = [_words(part, name) for part in value["concat"]]
        if name in ("virtual", binding.BOUND):
            parts[0] = f'"{parts[0]}"'
        protocol = PROTOCOL_PLACES.get(name)
        if protocol is not None and len(parts) == protocol + 2:
            parts[protocol] = PROTOCOLS.get(parts[protocol], parts[protocol])
        return " . ".join(parts)
    if isinstance(value, dict) and "goto" in value:
        return f"goto {value['goto']['target']}"
    if isinstance(value, dict) and "prefix" in value:
        return f"{value['prefix']['addr']}/{value['prefix']['len']}"
    return f'"{value}"' if name in ("bridges", "internal", "connected", "routed") else str(value)


def resolver(datagram_port: int, stream_port: int, *, replace: bool = False) -> str:
    """Rules inside a container's namespace: port 53 of 127.0.0.11 is answered at our sockets. The ports are rewritten
    packet by packet, without connection tracking, so that nothing else in the namespace becomes slower, and port 53
    stays free for the container's own servers. Fails where the rules are there, unless they are to be replaced (which
    makes the kernel wait for tens of milliseconds)."""
    rewrites = [
        f"ip daddr 127.0.0.11 udp dport 53 udp dport set {datagram_port}",
        f"ip daddr 127.0.0.11 tcp dport 53 tcp dport set {stream_port}",
        f"ip saddr 127.0.0.11 udp sport {datagram_port} udp sport set 53",
        f"ip saddr 127.0.0.11 tcp sport {stream_port} tcp sport set 53",
    ]
    lines = [f"add table ip {RESOLVER_TABLE}", f"delete table ip {RESOLVER_TABLE}"] if replace else []
    lines.append(f"create table ip {RESOLVER_TABLE}")
    lines.append(f"add chain ip {RESOLVER_TABLE} output {{ type filter hook output priority raw; policy accept; }}")
    return "\n".join(lines + [f"add rule ip {RESOLVER_TABLE} output {rewrite}" for rewrite in rewrites]) + "\n"
