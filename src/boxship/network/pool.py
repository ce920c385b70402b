"""Ready network namespaces: making one takes about a millisecond, so some are made ahead of the containers.

A ready namespace has its loopback up, no IPv6 on interfaces to come, and a netlink socket open inside. It is bound to a
file of its own below the folder; what lies there and stands in no record is a left-over and is swept by `recovery`.
"""

import asyncio
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from boxship.network.background import Background
from boxship.sys import namespace, netlink
from boxship.waiting import in_thread

REFILL_DELAY_SECONDS = 0.02  # let the container that took one start first


class Ready(msgspec.Struct):
    """A namespace with what is needed to work in it; close it as soon as the container's interfaces are made."""

    path: Path
    descriptor: int
    route: netlink.RouteSocket

    def close(self) -> None:
        self.route.close()
        os.close(self.descriptor)


def make(path: Path) -> Ready:
    """A new namespace at `path`, ready for interfaces. Blocks for about a millisecond."""

    route = namespace.create(path, _prepare)
    return Ready(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC), route)


def adopt(path: Path, source: str) -> Ready:
    """The new namespace that is kept at `source`, kept at `path` too and made ready. Blocks as `make`."""
    namespace.keep(path, source)
    try:
        return Ready(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC), namespace.run_inside(path, _prepare))
    except BaseException:
        namespace.remove(path)
        raise


def _prepare() -> netlink.RouteSocket:
    """In the namespace that is to be made ready."""
    route = netlink.RouteSocket()
    route.apply(netlink.set_up(1))
    namespace.write_setting("ipv6/conf/default/disable_ipv6", "1")
    return route


def enter(path: Path) -> Ready:
    """The means to work in a namespace that a container uses already."""
    route = namespace.run_inside(path, netlink.RouteSocket)
    return Ready(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC), route)


class NamespacePool:
    """Keeps `size` namespaces ready, made one after the other in a thread of its own."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._size = size
        self._ready: list[Ready] = []
        self._making: set[Path] = set()
        self.taken: set[Path] = set()  # given out, and not let go yet
        self._background = Background()
        self._refilling = False
        self._executor = ThreadPoolExecutor(1, "namespaces")

    @property
    def paths(self) -> set[Path]:
        """Those that are ready or on the way."""
        return {ready.path for ready in self._ready} | self._making

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._refill(0)

    async def take(self, source: str = "") -> Ready:
        """A ready namespace, which belongs to the caller from now on; the one at `source` where one is given."""
        if source:
            path = self._folder / secrets.token_hex(8)
            self.taken.add(path)
            try:
                return await in_thread(adopt, path, source)
            except BaseException:
                self.taken.discard(path)
                raise
        while not self._ready:
            await self._add()
        found = self._ready.pop()
        self.taken.add(found.path)
        self._refill(REFILL_DELAY_SECONDS)
        return found

    async def remove(self, path: Path) -> None:
        """Let a namespace go that was taken, now or by an earlier daemon."""
        await asyncio.to_thread(namespace.remove, path)
        self.taken.discard(path)

    async def _add(self) -> None:
        """Make one more. The thread puts it away itself, so that none is lost when nobody waits any longer."""
        path = self._folder / secrets.token_hex(8)
        self._making.add(path)

        def work() -> None:
            try:
                self._ready.append(make(path))
            finally:
                self._making.discard(path)

        await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _refill(self, delay: float) -> None:
        if not self._refilling and len(self._ready) < self._size:
            self._refilling = True
            self._background.start(self._fill(delay), "refill of network namespaces")

    async def _fill(self, delay: float) -> None:
        try:
            await asyncio.sleep(delay)
            while len(self._ready) < self._size:
                await self._add()
        finally:
            self._refilling = False

    async def close(self) -> None:
        """Let all ready namespaces go."""
        await self._background.close()
        await asyncio.get_running_loop().run_in_executor(self._executor, self._close_all)
        self._executor.shutdown()

    def _close_all(self) -> None:
        while self._ready:
            ready = self._ready.pop()
            ready.close()
            namespace.remove(ready.path)
