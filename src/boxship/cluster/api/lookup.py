"""What is stored now, for those inside the API that look at other objects: admission, authorisation, companions.

Objects are decoded once per revision and shared: nobody may change them. There is no admission and no authorisation
here, and it never writes.
"""

from collections.abc import Sequence

from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.storage import Storage, decode, prefix_of
from boxship.cluster.objects import Object
from boxship.store import Entry

DECODED_BYTES = 1 << 20  # of stored values that are kept decoded, which takes ten times as much


class StoredObjects:
    """Implements admission.Lookup; objects are in their storage version."""

    def __init__(self, storage: Storage, catalog: Catalog) -> None:
        self._storage = storage
        self._catalog = catalog
        self._decoded: dict[str, tuple[int, Object, int]] = {}
        self._bytes = 0

    async def get(self, resource: str, namespace: str, name: str) -> Object | None:
        found = self._catalog.at(resource)
        if found is None:
            return None
        place = namespace if found.namespaced else ""
        # A look at the copy that may be a moment behind costs nobody a question; what is not there may be new.
        entry = await self._storage.get(found, place, name, fresh=False)
        if entry is None:
            entry = await self._storage.get(found, place, name)
        return self._object(entry) if entry is not None else None

    async def list(self, resource: str, namespace: str = "") -> Sequence[Object]:
        found = self._catalog.at(resource)
        if found is None:
            return ()
        snapshot = await self._storage.list(prefix_of(found, namespace), fresh=False)
        return [self._object(self._storage.opened(entry)) for entry in snapshot.entries]

    def _object(self, entry: Entry) -> Object:
        known = self._decoded.get(entry.key)
        if known is not None:
            if known[0] == entry.modified:
                return known[1]
            del self._decoded[entry.key]
            self._bytes -= known[2]
        object, size = decode(entry.value, entry.modified), len(entry.value)
        self._decoded[entry.key] = (entry.modified, object, size)
        self._bytes += size
        while self._bytes > DECODED_BYTES:
            oldest = next(iter(self._decoded))
            self._bytes -= self._decoded.pop(oldest)[2]
        return object
