"""A few keys of the engine's store for the node agent, which knows no store."""

from collections.abc import Mapping

from boxship.store import Delete, Put, Store


class StoreShelf:
    """Implements the agent's Shelf: all keys lie below `prefix`."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    async def read(self) -> Mapping[str, bytes]:
        found = await self._store.list(self._prefix)
        return {entry.key.removeprefix(self._prefix): entry.value for entry in found.entries}

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        await self._store.commit(
            *(
                Put(self._prefix + key, value) if value is not None else Delete(self._prefix + key)
                for key, value in changes.items()
            )
        )
