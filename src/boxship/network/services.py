"""A cluster's services in the kernel: a table of packet rules, led from frontend to frontend in small transactions.

The table outlives the process and goes on working; the next life replaces what it holds in one transaction. What
somebody else breaks is made whole again at the next change. It never decides who answers.
"""

import ipaddress
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from boxship.errors import Internal
from boxship.network import services_rules as rules
from boxship.network.cluster_kernel import ClusterKernel
from boxship.network.services_rules import Frontend, Key, Shared, Surroundings
from boxship.sys import conntrack

log = logging.getLogger(__name__)

TURN = 25  # frontends
BEGINNING_SECONDS = 0.4  # for the first answer of a connection; it is asked for again after a second
RESTS, LONGEST_REST_SECONDS = 9, 0.5  # after a look at all connections: how often its own time


class ServiceTable:
    """The frontends of one instance. One change at a time (the caller sees to that)."""

    def __init__(self, kernel: ClusterKernel, instance: str, around: Surroundings) -> None:
        self._kernel = kernel
        self._table = rules.services_table(instance)
        self._around = around
        self._frontends: dict[Key, Frontend] = {}
        self._shared = Shared()
        self._stands = False
        self._left = LeftBehind(self._addresses)

    def __len__(self) -> int:
        return len(self._frontends)

    @property
    def inside(self) -> tuple[ipaddress.IPv4Network, ...]:
        """The subnets of pods and services."""
        around = (*self._around.inside, *self._around.reserved)
        return tuple(ipaddress.IPv4Network(subnet, strict=False) for subnet in around)

    async def replace(self, frontends: Iterable[Frontend]) -> None:
        """Have exactly these, whatever is there."""
        await self._kernel.run(self._have, list(frontends))

    async def change(self, gone: Collection[Key], put: Iterable[Frontend]) -> None:
        """Take some frontends away and have some as they are given; in force on return."""
        await self._kernel.run(self._change, gone, list(put))

    async def reserve(self, subnets: Sequence[str]) -> None:
        """In these subnets services have their addresses; where there is none, who asks is refused."""
        await self._kernel.run(self._reserve, tuple(subnets))

    def _reserve(self, subnets: tuple[str, ...]) -> None:
        if subnets != self._around.reserved:
            self._around = msgspec.structs.replace(self._around, reserved=subnets)
            if self._stands:
                self._replace(self._frontends)

    async def restore(self) -> None:
        """Have what stood there again where somebody took the table away."""
        await self._kernel.run(self._restore)

    async def remove(self) -> None:
        """The machine leaves the cluster: nothing stays."""
        await self._kernel.run(self._remove)

    def _remove(self) -> None:
        self._frontends, self._stands = {}, False
        self._kernel.remove_table(self._table)

    def _restore(self) -> None:
        if self._stands and not self._kernel.has_table(self._table):
            log.warning("somebody removed the rules of services: they are put into place again")
            self._replace(self._frontends)

    def _have(self, frontends: list[Frontend]) -> None:
        self._replace({item.key: item for item in _politely(frontends)})

    def _replace(self, wanted: dict[Key, Frontend]) -> None:
        left = self._kernel.names(self._table)
        shared = Shared()
        text = rules.replace(self._table, shared, _politely(wanted.values()), self._around, left)
        self._kernel.nftables.run(text)
        self._frontends, self._shared, self._stands = wanted, shared, True
        if datagrams := rules.targets_of_datagrams(wanted.values()):
            conntrack.forget_astray(datagrams)

    def _change(self, gone: Collection[Key], put: list[Frontend]) -> None:
        new = {item.key: rules.arranged(self._frontends.get(item.key), item) for item in put}
        new = {key: item for key, item in new.items() if self._frontends.get(key) != item}
        touched = {*gone, *new}
        old = {key: self._frontends[key] for key in touched if key in self._frontends}
        text = rules.change(self._table, self._shared, old.values(), new.values())
        wanted = self._frontends | new
        for key in old.keys() - new.keys():
            del wanted[key]
        self._frontends = wanted  # as one step: who reads them in another thread misses none that stays
        try:
            self._kernel.nftables.run(text)
        except Internal as error:
            log.warning("the rules of services are put right again: %s", error)
            self._replace(self._frontends)
        self._forget(old, new.values())

    def _forget(self, old: dict[Key, Frontend], new: Collection[Frontend]) -> None:
        moved = rules.moved_flows(old.values(), new)
        if moved:
            conntrack.forget_led_flows([(item.address, item.port, item.target) for item in moved])
        self._left.add(rules.left_addresses(old.values(), new))

    def _addresses(self) -> set[str]:
        """Where anybody is led to over TCP, as told in another thread than changes are made in."""
        found = _politely(list(self._frontends.values()))
        return {target.partition(" ")[0] for item in found if item.protocol == "tcp" for target in item.targets}

    def close(self) -> None:
        """Blocks until what is under way is done."""
        self._left.close()


class LeftBehind:
    """Who still waits for an answer from where nobody is led any more asks again, and is led elsewhere. To find them
    the kernel looks at all connections of the machine: so beside the changes of rules, once for all that came
    meanwhile, and for a small part of the time.

    Never at once: a connection that just begins is unanswered too, and is on its way when its flow is forgotten. And
    nothing is forgotten of who is led to again, which `led` tells."""

    def __init__(self, led: Callable[[], set[str]]) -> None:
        self._led = led
        self._since: dict[str, float] = {}  # addresses, and when they were left
        self._busy = False
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._executor = ThreadPoolExecutor(1, "cluster-flows")

    def add(self, addresses: Collection[str]) -> None:
        with self._lock:
            self._since |= dict.fromkeys(addresses, time.monotonic())
            if self._busy or not self._since:
                return
            self._busy = True
        self._executor.submit(self._work)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._since or self._closed.is_set():
                    self._busy = False
                    return
                first = min(self._since.values())
            self._closed.wait(max(first + BEGINNING_SECONDS - time.monotonic(), 0))
            with self._lock:
                before = time.monotonic() - BEGINNING_SECONDS
                due = {address for address, since in self._since.items() if since <= before}
                for address in due:
                    del self._since[address]
            begun = time.monotonic()
            try:
                conntrack.forget_unanswered(*(due - self._led()))
            except (OSError, Internal) as error:
                log.warning("cannot lead waiting connections elsewhere: %s", error)
            except Exception:  # nobody looks at what becomes of this work, and the next one is not begun before its end
                log.exception("cannot lead waiting connections elsewhere")
            self._closed.wait(min(RESTS * (time.monotonic() - begun), LONGEST_REST_SECONDS))

    def close(self) -> None:
        self._closed.set()
        self._executor.shutdown()


def _politely(frontends: Iterable[Frontend]) -> Iterator[Frontend]:
    """Give the event loop its turn in between: ten thousand frontends are much text."""
    for count, frontend in enumerate(frontends):
        if count % TURN == 0:
            time.sleep(0)
        yield frontend
