"""Looks through all images that are here, a few at a time, so that thousands of them do not hold up the loop."""

import asyncio
from collections.abc import AsyncIterator, Collection

from boxship.images.catalog import Catalog
from boxship.images.model import Layer, Record
from boxship.spec import reference as references
from boxship.spec.reference import Reference

TURN = 256  # images looked at before others have a turn


async def records(catalog: Catalog) -> AsyncIterator[Record]:
    """The records of all images that people see."""
    for count, identifier in enumerate(catalog.identifiers()):
        if count % TURN == TURN - 1:
            await asyncio.sleep(0)
        if catalog.has(identifier):
            yield catalog.record(identifier)


async def layers_of(catalog: Catalog, chains: Collection[str]) -> dict[str, Layer]:
    """What is known of these unpacked layers, by chain id."""
    wanted = frozenset(chains)
    found: dict[str, Layer] = {}
    async for record in records(catalog):
        found.update({layer.chain_id: layer for layer in record.layers if layer.chain_id in wanted})
    return found


async def neighbours_of(catalog: Catalog, reference: Reference, blobs: Collection[str]) -> dict[str, list[str]]:
    """Other repositories of the same registry that have these blobs as far as we know: those with a digest that we
    pulled or pushed there."""
    wanted = frozenset(blobs)
    found: dict[str, dict[str, None]] = {}
    async for record in records(catalog):
        mine = [layer.blob for layer in record.layers if layer.blob in wanted]
        if not mine:
            continue
        for name in catalog.names(record.id):
            if "@" not in name:
                continue
            known = references.parse(name)
            if known.domain == reference.domain and known.path != reference.path:
                for blob in mine:
                    found.setdefault(blob, {})[known.path] = None
    return {blob: list(paths) for blob, paths in found.items()}
