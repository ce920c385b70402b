"""A thread that changes the machine's network, one step after the other, with a netlink socket and an nftables context
that stay open. What the steps are is its owners' business."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from boxship.errors import Internal
from boxship.sys import netlink
from boxship.sys.nftables import Nftables

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class KernelThread:
    """One thread, with the name that a listing of threads shows."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, name)
        self._route: netlink.RouteSocket | None = None
        self._nftables: Nftables | None = None

    async def run(
        self, step: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Run a step in the thread. Errors of the kernel come as Internal."""

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

    def has_table(self, name: str, family: str = "ip") -> bool:
        """Whether there is a table of that name; in the thread only."""
        tables = self.nftables.query(f"list tables {family}")
        return any(item.get("table", {}).get("name") == name for item in tables)

    async def close(self) -> None:
        """After the last step."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._release)
        self._executor.shutdown()

    def _release(self) -> None:
        if self._route:
            self._route.close()
        if self._nftables:
            self._nftables.close()
