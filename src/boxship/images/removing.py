"""Removing images: by name or id, by pruning, and when the last container is gone that kept one hidden.

A record is durably gone before its parts lose their claims; what then nobody needs is the collector's to take away.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from boxship.content import Garbage, layer_key
from boxship.images import deletion
from boxship.images.catalog import Catalog, keys_of
from boxship.images.lookup import find
from boxship.images.model import Image, Layers, Record, Removal
from boxship.images.occupancy import Occupancy, Uses
from boxship.spec import reference as references
from boxship.spec.image import ImageConfig

NAMES_AT_ONCE = 1000  # taken away by one commit


class Removing:
    """Works under the room's lock `changing`. `uses` are the containers that exist, or a function that tells them at
    the moment of the decision."""

    def __init__(
        self, layers: Layers, garbage: Garbage, catalog: Catalog, changing: asyncio.Lock, occupancy: Occupancy
    ) -> None:
        self._layers = layers
        self._garbage = garbage
        self._catalog = catalog
        self._changing = changing
        self._occupancy = occupancy

    async def remove(self, reference: str, *, force: bool = False, uses: Uses = ()) -> tuple[Removal, ...]:
        """Take a name away, and the image where it was the last; `uses` are the containers that exist. What nothing
        needs any more is gone when this returns. Raises NotFound or Conflict."""
        async with self._changing:
            identifier = find(self._catalog, reference)
            plan = deletion.plan(self._catalog, reference, identifier, force, self._occupancy.all_uses(uses))
            steps, keys = await self._carry_out(plan)
            hidden = await self.drop_hidden(uses)
        await self._garbage.settle((*keys, *hidden))
        return steps

    async def prune(
        self, wanted: Callable[[Image], bool], *, everything: bool = False, uses: Uses = ()
    ) -> tuple[tuple[Removal, ...], int]:
        """Remove images without a name (`everything`: also with one) that no container uses and `wanted` accepts;
        the steps, and the bytes of layers set free."""
        steps: list[Removal] = []
        keys: list[str] = []
        before = self._catalog.layers()
        images = [self._catalog.image(identifier) for identifier in self._catalog.identifiers()]
        for image in sorted(images, key=lambda image: image.created, reverse=True):
            if (image.references and not everything) or not wanted(image):
                continue
            async with self._changing:
                if not self._catalog.has(image.id) or self._catalog.image(image.id) != image:
                    continue
                plan = deletion.plan_prune(self._catalog, image.id, self._occupancy.all_uses(uses))
                if plan is None:
                    continue
                done, gone = await self._carry_out(plan)
            steps += done
            keys += gone
        async with self._changing:
            keys += await self.drop_hidden(uses)
        await self._garbage.settle(keys)
        freed = sum(layer.size for chain_id, layer in before.items() if not self._layers.has_layer(chain_id))
        return tuple(steps), freed

    async def collect(self, uses: Uses) -> None:
        """Free what was kept for containers only; to be called when one is gone."""
        if self._catalog.hidden():
            async with self._changing:
                await self.drop_hidden(uses)

    async def _carry_out(self, plan: deletion.Plan) -> tuple[tuple[Removal, ...], Sequence[str]]:
        """Make a plan durable; its steps, and the keys that may be free now."""
        record = self._catalog.record(plan.image)
        targets = [known.digest for name in plan.untag if (known := self._catalog.target(name))]
        steps = [Removal("Untagged", references.parse(name).familiar) for name in plan.untag]
        kept: tuple[Record, ImageConfig] | None = None
        if plan.hide:
            kept = msgspec.structs.replace(record, hidden=True), self._catalog.config(record.id)
        records = {plan.image: kept} if plan.delete else {}
        if plan.delete and not plan.hide:
            with self._occupancy.leaving(plan.image):
                await self._change(plan, records)
        else:
            await self._change(plan, records)
        if not plan.delete:
            return tuple(steps), targets
        steps.append(Removal("Deleted", record.id))
        chains = [layer.chain_id for layer in reversed(record.layers)]
        steps += [Removal("Deleted", chain_id) for chain_id in chains if not self._garbage.claims[layer_key(chain_id)]]
        return tuple(steps), [*targets, *keys_of(record)]

    async def _change(self, plan: deletion.Plan, records: Mapping[str, tuple[Record, ImageConfig] | None]) -> None:
        for start in range(0, len(plan.untag) - NAMES_AT_ONCE, NAMES_AT_ONCE):
            await self._catalog.change({}, dict.fromkeys(plan.untag[start : start + NAMES_AT_ONCE]))
        rest = [name for name in plan.untag if self._catalog.target(name)]
        await self._catalog.change(records, dict.fromkeys(rest))

    async def drop_hidden(self, uses: Uses) -> Sequence[str]:
        """Under the lock: forget images that were removed by force and that no container needs any more; the keys that
        may be free now."""
        keys: Sequence[str] = ()
        needed = {use.image_id for use in self._occupancy.all_uses(uses)}
        for identifier in self._catalog.hidden():
            if identifier not in needed:
                record = self._catalog.record(identifier)
                await self._catalog.change({identifier: None}, {})
                keys = (*keys, *keys_of(record))
        return keys
