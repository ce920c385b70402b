"""Pods speak under their own addresses alone, pure: the rules for what comes out of their interfaces.

A default capability lets a pod write packets by hand, and policies, source ranges and other pods' neighbour tables
believe what stands in them. So each interface on a routed network is bound to one hardware and one IPv4 address, in
ARP too; everything else, IPv6 and other protocols as well, goes no further than the port of the bridge. An interface
that nobody has bound can send nothing: its name tells that it must be. Containers on other networks are not bound:
users give theirs further addresses.
"""

from boxship.network.model import AttachmentRecord

BOUND = "bound"  # a set's name
MARK = "p"  # what follows the instance's own beginning in the names of such interfaces
FAMILY = "bridge"
SET = "set {name} {{ type ifname . ether_addr . ipv4_addr; }}"
RULES = (
    'iifname != "{beginning}*" accept',
    "ip daddr >= 224.0.0.0 drop",  # to everybody: neighbours on the bridge, whom no rule for addresses would know
    "iifname . ether saddr . ip saddr @bound accept",
    "ether type != arp drop",
    "iifname . ether saddr . arp saddr ip != @bound drop",
    "iifname . arp saddr ether . arp saddr ip @bound accept",
    "drop",
)


def beginning(veth_prefix: str) -> str:
    """How the names of the interfaces begin that have to be bound."""
    return veth_prefix + MARK


def base(table: str, veth_prefix: str) -> str:
    """Table, set and chain, as one idempotent text: what is bound already stays."""
    chain = f"{FAMILY} {table} leaving"
    lines = [
        f"add table {FAMILY} {table}",
        f"add {SET.format(name=f'{FAMILY} {table} {BOUND}')}",
        f"add chain {chain} {{ type filter hook prerouting priority -300; policy accept; }}",
        f"flush chain {chain}",
    ]
    lines += [f"add rule {chain} {rule.format(beginning=beginning(veth_prefix))}" for rule in RULES]
    return "\n".join(lines) + "\n"


def remove(table: str) -> str:
    return f"add table {FAMILY} {table}\ndelete table {FAMILY} {table}\n"


def elements(record: AttachmentRecord) -> dict[str, dict[str, str]]:
    """The elements that bind a container's interfaces."""
    found = [item for item in record.endpoints if item.bound]
    if not found:
        return {}
    return {
        BOUND: {f'"{item.veth}" . {item.endpoint.mac_address} . {item.endpoint.ipv4_address}': "" for item in found}
    }
