"""Our table of packet rules in the kernel: changed by small steps, and made whole again where somebody broke it."""

import asyncio
import logging
from collections.abc import Collection

from boxship.network import rules
from boxship.network.kernel import Kernel, RulesBroken
from boxship.network.places import Places
from boxship.sys.nftables_news import RuleNews

log = logging.getLogger(__name__)


class Ruleset:
    """Leads the kernel's rules after what the catalog and the places hold."""

    def __init__(self, kernel: Kernel, places: Places) -> None:
        self._kernel = kernel
        self._places = places
        self._groups: rules.Elements = {}  # what the kernel holds for service groups
        self._settling = asyncio.Lock()

    async def change(self, present: rules.Elements, wanted: rules.Elements) -> None:
        """Change some elements; the places say already what is wanted in all."""
        try:
            if present != wanted:
                await self._kernel.run(self._kernel.change_rules, present, wanted)
        except RulesBroken as error:
            await self.repair(error)

    async def settle(self) -> None:
        """Lead the rules of service groups after what the places say now; returns when they are in force."""
        async with self._settling:
            present, self._groups = self._groups, self._places.group_elements()
            await self.change(present, self._groups)

    async def keep(self) -> None:
        """Without end: have our table again where somebody flushed the machine's rules."""
        with RuleNews() as news:
            while True:
                await news.changed()
                if not await self._kernel.run(self._kernel.has_rules):
                    await self.repair(RulesBroken("the table was removed"))

    async def repair(self, error: Exception) -> None:
        """Somebody else changed our table, or flushed the machine's rules: have everything again."""
        log.warning("the packet rules are put right again: %s", error)
        await self._kernel.run(self._kernel.prepare_host)
        await self.reconcile()

    async def reconcile(self, without: Collection[str] = ()) -> None:
        """Have exactly the elements that there must be, without those of some containers, whatever is there now. What
        is the same already is not touched."""
        self._groups = self._places.group_elements(without)
        await self._kernel.run(self._kernel.lead_rules, self._places.elements(without))
