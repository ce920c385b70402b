"""Network policies in the kernel: a table of packet rules that is there only while a policy concerns a pod of this
machine. It outlives the process; the next life replaces what it holds in one transaction."""

import logging
from collections.abc import Sequence

from boxship.errors import Internal
from boxship.network import policies_rules as rules
from boxship.network.cluster_kernel import ClusterKernel
from boxship.network.policies_rules import Shape, State

log = logging.getLogger(__name__)


class PolicyTable:
    """The policies of one instance. One change at a time (the caller sees to that)."""

    def __init__(self, kernel: ClusterKernel, instance: str, own: Sequence[str]) -> None:
        self._kernel = kernel
        self._table = rules.policies_table(instance)
        self._own = own
        self._present: Shape | None = None  # None: what is there is unknown

    async def lead(self, state: State) -> None:
        """Have exactly this in force on return."""
        await self._kernel.run(self._lead, state)

    async def restore(self) -> None:
        """Have what stood there again where somebody took the table away."""
        await self._kernel.run(self._restore)

    def _restore(self) -> None:
        if self._present is not None and self._present.chains and not self._kernel.has_table(self._table):
            log.warning("somebody removed the rules of network policies: they are put into place again")
            self._kernel.nftables.run(rules.replace(self._table, self._present))

    async def remove(self) -> None:
        """The machine leaves the cluster: nothing stays."""
        await self.lead(State())

    def _lead(self, state: State) -> None:
        if state.is_empty:
            if self._present is None or self._present.chains:
                self._kernel.remove_table(self._table)
            self._present = Shape({}, {}, {})
            return
        wanted = rules.shape(state, self._own)
        present, self._present = self._present, None
        if present is not None and present.chains:
            try:
                self._kernel.nftables.run(rules.change(self._table, present, wanted))
                self._present = wanted
                return
            except Internal as error:
                log.warning("the rules of network policies are put right again: %s", error)
        self._kernel.nftables.run(rules.replace(self._table, wanted))
        self._present = wanted
