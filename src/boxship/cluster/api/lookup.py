"""What is stored now, for those inside the API that look at other objects: admission, authorisation, companions.

Objects are decoded once per revision and shared: nobody may change them. There is no admission and no authorisation
here, and it never writes.
"""

from collections.abc import Sequence

from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.storage import Storage, decode, prefix_of
from boxship.cluster.objects import Object
from boxship.store import Entry

DECODED_LIMIT = 2_000  # objects that are kept decoded


class StoredObjects:
    """Implements admission.Lookup; objects are in their storage version."""

    def __init__(self, storage: Storage, catalog: Catalog) -> None:
        self._storage = storage
        self._catalog = catalog
        self._decoded: dict[str, tuple[int, Object]] = {}

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
        if known is not None and known[0] == entry.modified:
            return known[1]
        object = decode(entry.value, entry.modified)
        if len(self._decoded) >= DECODED_LIMIT:
            for key in [key for key, _ in zip(self._decoded, range(DECODED_LIMIT // 4), strict=False)]:
                del self._decoded[key]
        self._decoded.pop(entry.key, None)
        self._decoded[entry.key] = (entry.modified, object)
        return object
