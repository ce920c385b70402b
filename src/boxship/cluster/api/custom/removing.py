"""The end of a custom kind: its objects are deleted as anybody would delete them, finalizers and all; when the last one
is gone, so is the definition.

Level-triggered: whoever starts again finds the definition with its finalizer, and goes on with what is left.
"""

import asyncio
import contextlib
from collections.abc import Callable

from boxship.cluster.access import Client
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.clock import Clock
from boxship.cluster.api.custom.names import put
from boxship.cluster.api.storage import ROOT, Storage, place_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.kinds.apiextensions import CLEANUP
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.times import stamp
from boxship.store import Delete

DEFINITIONS = "apiextensions.k8s.io/v1/customresourcedefinitions"
FIRST_WAIT, LONGEST_WAIT = 0.05, 2.0  # seconds between two looks at what is left
PAGE = 200  # objects that are deleted in a row

Current = Callable[[str], Object | None]  # a definition as it is now


class Remover:
    """Takes kinds away, one call per definition."""

    def __init__(self, storage: Storage, catalog: Catalog, client: Client, clock: Clock, current: Current) -> None:
        self._storage = storage
        self._catalog = catalog
        self._client = client
        self._clock = clock
        self._current = current

    async def remove(self, name: str) -> None:
        """Until the definition is gone, or no longer ends."""
        wait = FIRST_WAIT
        await self._tell(name, "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
        while True:
            definition = self._current(name)
            if definition is None or not ends(definition):
                return
            if not await self._delete_some(definition):
                await self._tell(name, "False", "InstanceDeletionCompleted", "removed all instances")
                await self._release(name)
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _delete_some(self, definition: Object) -> bool:
        """Delete what is not being deleted yet; whether anything was left."""
        spec = definition["spec"]
        prefix = f"{ROOT}{spec['group']}/{spec['names']['plural']}/"
        page = await self._storage.list(prefix, limit=PAGE)
        resource = self._resource(spec)
        for entry in page.entries:
            if resource is None:  # no version is served: nobody else can see the object any more
                await self._storage.store.commit(Delete(entry.key))
                continue
            namespace, name = place_of(resource, entry.key)
            with contextlib.suppress(Failure):
                await self._client.delete(resource.path, namespace, name, propagation="Background")
        return bool(page.entries)

    def _resource(self, spec: Object) -> Resource | None:
        for version in spec["versions"]:
            found = self._catalog.find(spec["group"], version["name"], spec["names"]["plural"])
            if found is not None and found.custom:
                return found
        return None

    async def _tell(self, name: str, status: str, reason: str, message: str) -> None:
        with contextlib.suppress(Failure):
            definition = await self._client.get(DEFINITIONS, "", name)
            conditions = definition.setdefault("status", {}).setdefault("conditions", [])
            put(conditions, "Terminating", status, reason, message, stamp(self._clock.now()))
            await self._client.update(DEFINITIONS, definition, subresource="status")

    async def _release(self, name: str) -> None:
        with contextlib.suppress(Failure):
            definition = await self._client.get(DEFINITIONS, "", name)
            metadata = definition["metadata"]
            metadata["finalizers"] = [each for each in metadata.get("finalizers") or () if each != CLEANUP]
            await self._client.update(DEFINITIONS, definition)


def ends(definition: Object) -> bool:
    """Whether the objects of a definition have to go now."""
    metadata = definition["metadata"]
    return bool(metadata.get("deletionTimestamp")) and CLEANUP in (metadata.get("finalizers") or ())
