"""Network policies in the kernel: a table of packet rules that is there only while a policy concerns a pod of this
machine. It outlives the process; the next life replaces what it holds in one transaction."""

import logging
import time
from collections.abc import Sequence

from boxship.errors import Internal
from boxship.network import policies_rules as rules
from boxship.network.cluster_kernel import ClusterKernel
from boxship.network.policies_rules import Change
from boxship.network.policies_standing import Standing

log = logging.getLogger(__name__)


class PolicyTable:
    """The policies of one instance. One change at a time (the caller sees to that)."""

    def __init__(self, kernel: ClusterKernel, instance: str, own: Sequence[str]) -> None:
        self._kernel = kernel
        self._table = rules.policies_table(instance)
        self._own = own
        self._standing = Standing(own, _rest)
        self._there: bool | None = None  # None: what is there is unknown

    async def replace(self, everything: Change) -> None:
        """Have exactly this in force on return, whatever is there."""
        await self._kernel.run(self._replace, everything)

    async def change(self, change: Change) -> None:
        """Have this in force on return, besides what is. After a failure it is remembered, and comes with the next."""
        await self._kernel.run(self._change, change)

    async def stands(self) -> bool:
        """Whether this life or an earlier one left walls in force."""
        return await self._kernel.run(self._kernel.has_table, self._table)

    async def restore(self) -> None:
        """Have what stood there again where somebody took the table away."""
        await self._kernel.run(self._restore)

    async def remove(self) -> None:
        """The machine leaves the cluster: nothing stays."""
        await self.replace(Change())

    def _restore(self) -> None:
        if self._there and not self._kernel.has_table(self._table):
            log.warning("somebody removed the rules of network policies: they are put into place again")
            self._have_whole()

    def _replace(self, everything: Change) -> None:
        self._standing = Standing(self._own, _rest)
        self._standing.take(self._table, everything)
        self._have_whole()

    def _change(self, change: Change) -> None:
        text = self._standing.take(self._table, change)
        if not self._there or self._standing.is_empty:
            if self._there is None or self._there or not self._standing.is_empty:
                self._have_whole()
            return
        try:
            self._kernel.nftables.run(text)
        except Internal as error:
            log.warning("the rules of network policies are put right again: %s", error)
            self._have_whole()

    def _have_whole(self) -> None:
        """As one transaction."""
        self._there = None
        if self._standing.is_empty:
            self._kernel.remove_table(self._table)
            self._there = False
        else:
            self._kernel.nftables.run(self._standing.whole(self._table))
            self._there = True


def _rest() -> None:
    """Give the event loop its turn: this is the kernel's thread, and much text is made here."""
    time.sleep(0)
