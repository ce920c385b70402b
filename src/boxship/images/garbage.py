"""Removes blobs and layers that no image needs, one at a time, so that the loop never stands still for long."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from boxship.content import Content
from boxship.images.catalog import Catalog
from boxship.images.holds import LAYER_KEY, Hold, Holds, layer_key
from boxship.images.model import Layers


class Collector:
    """Asks the catalog what is needed and the holds what is being made."""

    def __init__(self, content: Content, layers: Layers, catalog: Catalog) -> None:
        self.holds = Holds()
        self._content = content
        self._layers = layers
        self._catalog = catalog

    @asynccontextmanager
    async def making(self) -> AsyncIterator[Hold]:
        """A hold whose parts are removed again unless an image has them at the end."""
        keys: Sequence[str] = ()
        try:
            async with self.holds.open() as hold:
                keys = hold.keys
                yield hold
        finally:
            await asyncio.shield(self._tidy(keys))

    async def _tidy(self, keys: Sequence[str]) -> None:
        chains = [key.removeprefix(LAYER_KEY) for key in reversed(keys) if key.startswith(LAYER_KEY)]
        await self.collect([key for key in keys if not key.startswith(LAYER_KEY)], chains)

    async def collect(self, blobs: Iterable[str], chains: Iterable[str]) -> None:
        """Remove those of the layers and blobs that no image has and nobody holds."""
        for chain_id in dict.fromkeys(chains):
            await self.holds.remove_unless_held(
                layer_key(chain_id),
                partial(self._is_spare_layer, chain_id),
                partial(self._layers.remove_layer, chain_id),
            )
        for blob in dict.fromkeys(blobs):
            await self.holds.remove_unless_held(
                blob, partial(self._is_spare_blob, blob), partial(self._content.delete, blob)
            )

    def _is_spare_layer(self, chain_id: str) -> bool:
        return not self._catalog.chain_users[chain_id] and self._layers.has_layer(chain_id)

    def _is_spare_blob(self, blob: str) -> bool:
        return not self._catalog.blob_users[blob]

    async def sweep(self, blobs: Collection[str], chains: Collection[str]) -> None:
        """At start: remove everything except these."""
        for blob in await self._content.list():
            if blob not in blobs:
                await self._content.delete(blob)
        for chain_id in self._layers.layers():
            if chain_id not in chains:
                await self._layers.remove_layer(chain_id)
