"""Our table of packet rules in the kernel: changed by small steps, and made whole again where somebody broke it."""

import logging

from boxship.network import rules
from boxship.network.kernel import Kernel, RulesBroken
from boxship.network.places import Places

log = logging.getLogger(__name__)


class Ruleset:
    """Leads the kernel's rules after what the catalog and the places hold."""

    def __init__(self, kernel: Kernel, places: Places) -> None:
        self._kernel = kernel
        self._places = places

    async def change(self, present: rules.Elements, wanted: rules.Elements) -> None:
        """Change some elements; the places say already what is wanted in all."""
        try:
            if present != wanted:
                await self._kernel.run(self._kernel.change_rules, present, wanted)
        except RulesBroken as error:
            await self.repair(error)

    async def repair(self, error: Exception) -> None:
        """Somebody else changed our table, or flushed the machine's rules: have everything again."""
        log.warning("the packet rules are put right again: %s", error)
        await self._kernel.run(self._kernel.prepare_host)
        await self.reconcile(self._places.elements())

    async def reconcile(self, wanted: rules.Elements) -> None:
        """Have exactly these elements, whatever is there now. What is the same already is not touched."""
        present = await self._kernel.run(self._kernel.elements)
        await self._kernel.run(self._kernel.change_rules, present, wanted)
