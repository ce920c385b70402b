"""Durable records about content: which name stands for which image, and what an image is made of.

This room keeps them and changes several at once; what is in them is the business of the room above.
"""

from collections.abc import Mapping, Sequence

from boxship.store import Delete, Operation, Put, Store

IMAGES = ("references/", "images/")
PREFIXES = (*IMAGES, "transfers/", "signatures/")


class References:
    """Records by key; each key begins with one of PREFIXES."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self, prefixes: Sequence[str] = IMAGES) -> dict[str, bytes]:
        """All records of those kinds."""
        found: dict[str, bytes] = {}
        for prefix in prefixes:
            found.update({entry.key: entry.value for entry in (await self._store.list(prefix)).entries})
        return found

    async def change(self, changes: Mapping[str, bytes | None]) -> None:
        """Write all of the records (None: take it away) or none; durable when this returns."""
        for key in changes:
            assert key.startswith(PREFIXES), key
        operations: list[Operation] = [
            Delete(key) if value is None else Put(key, value) for key, value in sorted(changes.items())
        ]
        await self._store.commit(*operations)
