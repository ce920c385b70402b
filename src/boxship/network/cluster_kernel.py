"""The thread that changes the machine's network for a cluster, apart from the engine's: no container's start waits
behind ten thousand services."""

from boxship.network.kernel_thread import KernelThread


class ClusterKernel(KernelThread):
    """Runs what it is given, and knows tables."""

    def __init__(self) -> None:
        super().__init__("cluster-network")

    def names(self, table: str) -> dict[str, list[str]]:
        """What stands in a table: the names of its chains, sets and maps, by kind."""
        found: dict[str, list[str]] = {}
        if self.has_table(table):
            for item in self.nftables.query(f"list table ip {table}", terse=True):
                for kind in ("chain", "set", "map"):
                    if kind in item:
                        found.setdefault(kind, []).append(item[kind]["name"])
        return found

    def remove_table(self, name: str) -> None:
        self.nftables.run(f"add table ip {name}\ndelete table ip {name}\n")
