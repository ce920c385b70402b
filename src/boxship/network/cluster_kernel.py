"""The thread that changes the machine's network for a cluster. It has a netlink socket and an nftables context of its
own, so that no container's start waits behind ten thousand services."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from boxship.errors import Internal
from boxship.sys import netlink
from boxship.sys.nftables import Nftables

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class ClusterKernel:
    """Runs what it is given in its thread, one after the other."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "cluster-network")
        self._route: netlink.RouteSocket | None = None
        self._nftables: Nftables | None = None

    async def run(
        self, step: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Errors of the kernel come as Internal."""

        def work() -> Result:
            try:
                return step(*args, **kwargs)
            except OSError as error:
                name = step.__name__.strip("_").replace("_", " ")
                raise Internal(f"cannot {name}: {error.strerror}") from error

        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    @property
    def route(self) -> netlink.RouteSocket:
        """In the thread only."""
        if self._route is None:
            self._route = netlink.RouteSocket()
        return self._route

    @property
    def nftables(self) -> Nftables:
        """In the thread only."""
        if self._nftables is None:
            self._nftables = Nftables()
        return self._nftables

    def has_table(self, name: str) -> bool:
        tables = self.nftables.query("list tables ip")
        return any(item.get("table", {}).get("name") == name for item in tables)

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

    async def close(self) -> None:
        def release() -> None:
            if self._route:
                self._route.close()
            if self._nftables:
                self._nftables.close()

        await asyncio.get_running_loop().run_in_executor(self._executor, release)
        self._executor.shutdown()
