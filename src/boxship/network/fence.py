"""Who may say that a packet comes from a pod: rules against packets that claim it from elsewhere.

A pod's own interface is bound to its address (`binding`). Here the rest is closed: nobody outside this machine and no
container of another network is one of our pods, a container is no pod of another node either, and only nodes put
packets into the tunnel, whose inner addresses nobody else checks. The table outlives the process, as the ways do.
"""

from collections.abc import Collection

from boxship.network.cluster_kernel import ClusterKernel
from boxship.network.rules import table_name

SOURCES = """iifname {{ "lo", "{bridge}" }} accept
        ip saddr {block} drop
        meta iifkind "bridge" ip saddr {{ {inside} }} fib saddr . iif oif missing drop"""
# What a pod sends leaves under its node's address: so it must not leave.
RECEIVED = "udp dport {port} ip saddr != @nodes drop"
FORWARDED = "udp dport {port} ip daddr @nodes drop"


def fence_table(instance: str) -> str:
    return f"{table_name(instance)}_fence"


def rules(table: str, bridge: str, block: str, inside: Collection[str], nodes: Collection[str], port: int) -> str:
    """Everything, as one transaction. `nodes` are the ends of the tunnel at `port`; none: there is no tunnel."""
    lines = [f"add table ip {table}", f"delete table ip {table}", f"add table ip {table}"]
    sources = SOURCES.format(bridge=bridge, block=block, inside=", ".join(inside))
    chains = {"sources": ("prerouting priority raw", sources)}
    if nodes:
        lines.append(f"add set ip {table} nodes {{ type ipv4_addr; elements = {{ {', '.join(sorted(nodes))} }}; }}")
        chains["received"] = "input priority -10", RECEIVED.format(port=port)
        chains["forwarded"] = "forward priority -10", FORWARDED.format(port=port)
    for name, (hook, text) in chains.items():
        lines.append(f"add chain ip {table} {name} {{ type filter hook {hook}; policy accept; }}")
        lines += [f"add rule ip {table} {name} {rule.strip()}" for rule in text.splitlines()]
    return "\n".join(lines) + "\n"


class Fence:
    """Of one instance, around its pods' `bridge` with their `block`; `inside` are the pods of all nodes. Everything
    happens in the kernel's thread."""

    def __init__(self, kernel: ClusterKernel, instance: str, bridge: str, block: str, inside: Collection[str]) -> None:
        self._kernel = kernel
        self._table = fence_table(instance)
        self._around = bridge, block, inside
        self._text = ""  # what stands; "" while that is unknown

    def have(self) -> None:
        """What stands may stay: a tunnel that outlived us is known only later."""
        if not self._kernel.has_table(self._table):
            self.lead((), 0)

    def lead(self, nodes: Collection[str], port: int) -> None:
        text = rules(self._table, *self._around, nodes, port)
        if text != self._text:
            self._kernel.nftables.run(text)
            self._text = text

    def restore(self) -> None:
        """Have what stood there again where somebody took the table away."""
        if self._text and not self._kernel.has_table(self._table):
            self._kernel.nftables.run(self._text)

    def remove(self) -> None:
        self._text = ""
        self._kernel.remove_table(self._table)
