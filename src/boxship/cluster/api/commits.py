"""Commits: how an object's next state gets into the store, with what goes with it.

The store's compare-and-swap decides every race. Lost means that something has changed under the writer, who then looks
again; a client is told of it only where it named the version that it wanted to change.
"""

from collections.abc import Mapping, Sequence

from boxship.cluster.api.catalog import Definition
from boxship.cluster.api.drafts import Companion, Draft
from boxship.cluster.api.storage import Storage
from boxship.cluster.api.views import Views
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.errors import Conflict, Exhausted, Invalid
from boxship.store import Delete, Entry, Operation, Put


class Lost(Exception):
    """Another writer was faster. `companions`: not at the object itself."""

    def __init__(self, companions: bool = False) -> None:
        super().__init__("another writer was faster")
        self.companions = companions


class Commits:
    """Writes drafts. `companions` is by the storage of a resource."""

    def __init__(self, storage: Storage, views: Views, companions: Mapping[str, Companion]) -> None:
        self._storage = storage
        self._views = views
        self._companions = companions

    def has_companions(self, definition: Definition) -> bool:
        return definition.resource.storage in self._companions

    async def allot(self, definition: Definition, new: Object | None, old: Object | None) -> Sequence[Operation]:
        """What has to be written with the step from `old` to `new`."""
        companion = self._companions.get(definition.resource.storage)
        return await companion.allot(new, old) if companion is not None else ()

    async def put(self, draft: Draft, extra: Sequence[Operation] = ()) -> Entry:
        """Store the draft's object in the place of `draft.entry`. Raises Lost."""
        value = await self._views.stored(draft.definition, draft.new)
        entry = draft.entry
        if draft.request.options.dry_run:
            return Entry(draft.key, value, entry.created if entry else 0, entry.modified if entry else 0)
        sealed = self._storage.sealed(draft.request.resource, draft.key, value)
        put = Put(draft.key, sealed, expected=entry.modified if entry else 0)
        revision = await self._commit(put, extra)
        return Entry(draft.key, value, entry.created if entry else revision, revision)

    async def delete(self, draft: Draft, extra: Sequence[Operation] = ()) -> None:
        """Take the object away. Raises Lost."""
        assert draft.entry is not None
        if not draft.request.options.dry_run:
            await self._commit(Delete(draft.key, expected=draft.entry.modified), extra)

    async def _commit(self, own: Put | Delete, extra: Sequence[Operation]) -> int:
        try:
            return await self._storage.store.commit(own, *extra)
        except Conflict:
            entry = await self._storage.store.get(own.key)
            raise Lost(companions=(entry.modified if entry else 0) == own.expected) from None
        except Invalid as error:
            raise Failure(400, "BadRequest", str(error)) from error
        except Exhausted as error:
            raise Failure(507, "InsufficientStorage", str(error), retry_after=1) from error
