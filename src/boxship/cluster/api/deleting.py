"""DELETE of one object and of a collection.

A deletion is one compare-and-swap: of the object's key, with whatever goes with it. A collection is deleted object by
object, so other requests go on meanwhile, and what others delete first is no error.
"""

import asyncio

import msgspec

from boxship.cluster.api.attempts import Attempts
from boxship.cluster.api.catalog import Catalog, Definition
from boxship.cluster.api.commits import Commits
from boxship.cluster.api.deletions import ANSWERED, Fate, check_preconditions, decide
from boxship.cluster.api.drafts import Draft, Steps
from boxship.cluster.api.listing import Lister, Page, list_kind, list_metadata
from boxship.cluster.api.request import Answer, Request, View
from boxship.cluster.api.selection import Facts, Selection
from boxship.cluster.api.storage import Storage, decode, place_of
from boxship.cluster.api.views import Views, to_json
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure, not_found
from boxship.cluster.objects.resource import Resource
from boxship.errors import Unsupported
from boxship.store import Entry

SLICE = 20  # objects of a collection that are deleted side by side


class Deleting:
    """Answers `delete` and `deletecollection`."""

    def __init__(
        self,
        storage: Storage,
        catalog: Catalog,
        views: Views,
        facts: Facts,
        lister: Lister,
        steps: Steps,
        commits: Commits,
        attempts: Attempts,
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._views = views
        self._facts = facts
        self._lister = lister
        self._steps = steps
        self._commits = commits
        self._attempts = attempts

    async def delete(self, request: Request) -> Answer:
        if request.options.ignore_store_read_error:
            raise Unsupported("unsupported: ignoreStoreReadErrorWithClusterBreakingPotential")
        definition = self._catalog.definition(request.resource)
        _warn(request, definition)
        entry, gone = await self.delete_object(request, definition)
        asked = request.options.propagation
        if gone and request.resource.qualified not in ANSWERED:
            return Answer(200, _success(request.resource, request.name, decode(entry.value, entry.modified)))
        shown = await self._views.item(definition, View(), entry)
        return Answer(202 if not gone and asked in ("Foreground", "Background") else 200, shown)

    async def delete_collection(self, request: Request) -> Answer:
        definition = self._catalog.definition(request.resource)
        _warn(request, definition)
        selection = Selection(definition, request.options, self._facts)
        page = await self._lister.page(request, selection)
        gone: list[bytes] = []
        for start in range(0, len(page.entries), SLICE):
            part = page.entries[start : start + SLICE]
            answers = await asyncio.gather(
                *(self._delete_listed(request, definition, entry) for entry in part), return_exceptions=True
            )
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
                if answer is not None:
                    gone.append(answer)
        kind, version = list_kind(request.resource, "whole")
        head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
            kind.encode(),
            version.encode(),
            list_metadata(Page(page.revision, ())),
        )
        return Answer(200, b"%b%b]}" % (head, b",".join(gone)))

    async def _delete_listed(self, request: Request, definition: Definition, entry: Entry) -> bytes | None:
        namespace, name = place_of(request.resource, entry.key)
        single = msgspec.structs.replace(request, name=name, namespace=namespace)
        try:
            deleted, _ = await self.delete_object(single, definition)
        except Failure as failure:
            if failure.code == 404:
                return None
            raise
        return await self._views.item(definition, View(), deleted)

    async def delete_object(self, request: Request, definition: Definition) -> tuple[Entry, bool]:
        """Delete; what is answered, and whether it is gone."""
        resource = definition.resource

        async def attempt(entry: Entry | None) -> tuple[Entry, bool]:
            if entry is None:
                raise not_found(resource, request.name)
            return await self._delete(request, definition, entry)

        return await self._attempts.make(resource, request.namespace, request.name, attempt)

    async def _delete(self, request: Request, definition: Definition, entry: Entry) -> tuple[Entry, bool]:
        """One try on one state. Raises Lost."""
        old = await self._views.versioned(definition, decode(entry.value, entry.modified), definition.working)
        check_preconditions(definition.resource, request.name, request.options, old)
        draft = Draft(request, definition, request.name, old, old, entry)
        await self._steps.admit_deletion(draft)
        outcome = decide(definition.resource, definition.rules, old, request.options, self._steps.now())
        if outcome.fate is Fate.PENDING:
            return entry, False
        draft.new = outcome.object
        if outcome.fate is Fate.MARKED:
            return await self._commits.put(draft), False
        extra = await self._commits.allot(definition, None, old)
        await self._commits.delete(draft, extra)
        value = await self._views.stored(definition, outcome.object)
        return Entry(entry.key, value, entry.created, entry.modified), True


def _warn(request: Request, definition: Definition) -> None:
    if definition.rules.warning_of_orphans and not request.options.propagation:
        request.warn.append(definition.rules.warning_of_orphans)


def _success(resource: Resource, name: str, object: Object) -> bytes:
    """What a deletion answers where nothing is left."""
    details = {"name": name, "group": resource.group, "kind": resource.plural, "uid": object["metadata"].get("uid")}
    return to_json(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {key: value for key, value in details.items() if value},
        }
    )
