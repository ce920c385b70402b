"""CREATE, UPDATE, PATCH and apply of whole objects and of the subresources that are part of the object.

Who loses a race looks again, as long as the client did not name the version that it wanted to change (`attempts`). What
would change nothing is not written, and keeps its version.
"""

import random
from collections.abc import Awaitable, Callable, Sequence

from boxship.cluster.api import documents, patching
from boxship.cluster.api.attempts import ATTEMPTS, Attempts
from boxship.cluster.api.catalog import Catalog, Definition
from boxship.cluster.api.checks import same
from boxship.cluster.api.commits import Commits, Lost
from boxship.cluster.api.drafts import Draft, Steps, Way, check_version, manager_of, whole
from boxship.cluster.api.reading import Reading
from boxship.cluster.api.request import Answer, Request
from boxship.cluster.api.storage import Storage, decode
from boxship.cluster.api.views import Views
from boxship.cluster.objects import Object, apply
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Failure, Unreadable, already_exists, conflict, not_found
from boxship.cluster.objects.media_types import APPLY_PATCH
from boxship.cluster.objects.times import stamp
from boxship.store import Entry, Operation

NAME_ATTEMPTS = 8  # times that a name is generated
NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
NAME_RANDOM = 5
NAME_BASE_LIMIT = 63 - NAME_RANDOM  # characters

Build = Callable[[Object | None], Awaitable[Object]]  # from what is there (working version) to what is wanted
_random = random.SystemRandom()


class Writing:
    """Answers `create`, `update` and `patch`."""

    def __init__(
        self,
        storage: Storage,
        catalog: Catalog,
        views: Views,
        reading: Reading,
        steps: Steps,
        commits: Commits,
        attempts: Attempts,
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._views = views
        self._reading = reading
        self._steps = steps
        self._commits = commits
        self._attempts = attempts

    async def create(self, request: Request) -> Answer:
        definition = self._catalog.definition(request.resource)
        value, twice = self._sent(request)
        new = await self._steps.read(request, definition, value, twice)
        entry = await self.create_object(request, definition, new)
        return await self._reading.answer(definition, request, entry, 201)

    async def create_object(self, request: Request, definition: Definition, new: Object) -> Entry:
        """Create an object that has been read."""
        metadata = new["metadata"]
        if (metadata.get("resourceVersion") or "0") != "0":
            raise Failure(500, "", "resourceVersion should not be set on objects to be created")
        self._manage(request, definition, new, None)
        draft = Draft(request, definition, metadata.get("name") or "", new)
        await self._steps.admit(draft)
        return await self._put_new(draft)

    async def _put_new(self, draft: Draft) -> Entry:
        """From admission to commit, with other names or addresses where those are taken."""
        definition = draft.definition
        draft.name = draft.name or draft.new["metadata"].get("name") or ""
        base = "" if draft.name else draft.new["metadata"].get("generateName") or ""
        admitted = copied(draft.new) if self._commits.has_companions(definition) else draft.new
        generated = 0
        for _ in range(ATTEMPTS):
            if base:
                draft.name = _generated(base)
            draft.new = copied(admitted) if admitted is not draft.new else admitted
            extra = await self._commits.allot(definition, draft.new, None)
            self._steps.prepare_create(draft)
            self._steps.validate_create(draft)
            await self._steps.validate_admission(draft)
            self._steps.warn(draft)
            if draft.request.options.dry_run and await self._exists(draft):
                raise already_exists(definition.resource, draft.name)
            try:
                return await self._commits.put(draft, extra)
            except Lost as lost:
                generated += 1
                if not lost.companions and (not base or generated >= NAME_ATTEMPTS):
                    raise await self._taken(draft) from None
        raise conflict(definition.resource, draft.name)

    async def update(self, request: Request, way: Way | None = None) -> Answer:
        definition = self._catalog.definition(request.resource)
        value, twice = self._sent(request)
        sent = await self._steps.read(request, definition, value, twice)

        async def build(old: Object | None) -> Object:
            made: Object = copied(sent)
            return made

        creates = definition.rules.create_on_update and not request.subresource
        entry, code = await self.change(request, definition, build, way or whole(definition), creates)
        return await self._reading.answer(definition, request, entry, code)

    async def patch(self, request: Request, way: Way | None = None) -> Answer:
        assert request.body is not None
        definition = self._catalog.definition(request.resource)
        way = way or whole(definition)
        if request.body.media_type == APPLY_PATCH:
            return await self._apply(request, definition, way)
        patch, twice = patching.read(request, definition.request_type)

        async def build(old: Object | None) -> Object:
            assert old is not None
            live = await self._views.versioned(definition, old, request.resource.api_version)
            try:
                return await self._steps.read(request, definition, patch.on(live), twice)
            except Unreadable as unreadable:
                raise patch.refusal(unreadable.why) from None

        entry, code = await self.change(request, definition, build, way)
        return await self._reading.answer(definition, request, entry, code)

    async def _apply(self, request: Request, definition: Definition, way: Way) -> Answer:
        value, twice = patching.read_applied(request)
        apply.check_applied(value, definition.request_type)
        applied = await self._steps.read(request, definition, value, twice, defaults=False)
        entry, code = await self._merge(request, definition, applied, way)
        return await self._reading.answer(definition, request, entry, code)

    async def apply_object(self, request: Request, definition: Definition, applied: Object, way: Way) -> Entry:
        """Server-side apply of what a subresource stands for."""
        return (await self._merge(request, definition, applied, way))[0]

    async def _merge(self, request: Request, definition: Definition, applied: Object, way: Way) -> tuple[Entry, int]:
        async def build(old: Object | None) -> Object:
            merged = apply.apply(
                old,
                applied,
                definition.type,
                manager=request.options.field_manager,
                api_version=definition.working,
                subresource=request.subresource,
                force=request.options.force,
                now=stamp(self._steps.now()),
                ignored=apply.ignored_fields(request.resource, request.subresource, applied),
            )
            made: Object = copied(merged)
            self._steps.finish(definition, made)
            return made

        creates = not request.subresource
        return await self.change(request, definition, build, way, creates=creates, managed=True)

    async def change(
        self,
        request: Request,
        definition: Definition,
        build: Build,
        way: Way,
        creates: bool = False,
        managed: bool = False,
        admitted: bool = True,
    ) -> tuple[Entry, int]:
        """Bring what is there to what `build` makes of it; the new state, and 201 if there was none. `managed`: `build`
        kept the managed fields itself; not `admitted`: the admission has seen what this comes from."""

        async def attempt(entry: Entry | None) -> tuple[Entry, int]:
            if entry is None:
                return await self._change_nothing(request, definition, build, creates, managed), 201
            return await self._change(request, definition, build, way, entry, managed, admitted), 200

        return await self._attempts.make(request.resource, request.namespace, request.name, attempt)

    async def _change_nothing(
        self, request: Request, definition: Definition, build: Build, creates: bool, managed: bool
    ) -> Entry:
        """A change of what is not there: a create, where that is allowed."""
        if not creates:
            raise not_found(definition.resource, request.name)
        new = await build(None)
        metadata = new["metadata"]
        if metadata.get("uid"):
            why = f"uid mismatch: the provided object specified uid {metadata['uid']}, and no existing object was found"
            raise conflict(definition.resource, request.name, why)
        if metadata.pop("resourceVersion", None):
            raise not_found(definition.resource, request.name)
        if not managed:
            self._manage(request, definition, new, None)
        draft = Draft(request, definition, request.name, new)
        await self._steps.admit(draft)
        try:
            return await self._put_new(draft)
        except Failure as failure:
            if failure.reason == "AlreadyExists":
                raise Lost() from None
            raise

    async def _change(
        self,
        request: Request,
        definition: Definition,
        build: Build,
        way: Way,
        entry: Entry,
        managed: bool,
        admitted: bool,
    ) -> Entry:
        """One try on one state. Raises Lost."""
        old = await self._views.versioned(definition, decode(entry.value, entry.modified), definition.working)
        new = await build(old)
        draft = Draft(request, definition, request.name, new, old, entry)
        check_version(draft)
        if not managed:
            self._manage(request, definition, new, old)
        if admitted:
            await self._steps.admit(draft)
        extra: Sequence[Operation] = ()
        if way.counts:
            extra = await self._commits.allot(definition, draft.new, old)
        self._steps.prepare_update(draft, way)
        self._steps.validate_update(draft, way)
        if admitted:
            await self._steps.validate_admission(draft)
        self._steps.warn(draft)
        if _is_over(draft, old):
            return await self._finish(draft)
        if same(draft.new, old):
            return entry
        return await self._commits.put(draft, extra)

    async def _finish(self, draft: Draft) -> Entry:
        """The last finalizer of an object that is being deleted has gone."""
        value = await self._views.stored(draft.definition, draft.new)
        extra = await self._commits.allot(draft.definition, None, draft.old)
        await self._commits.delete(draft, extra)
        assert draft.entry is not None
        return Entry(draft.key, value, draft.entry.created, draft.entry.modified)

    def _sent(self, request: Request) -> tuple[Object, Sequence[str]]:
        assert request.body is not None
        resource = request.resource
        return documents.read_object(
            request.body, self._catalog.schemas, (resource.group, resource.version, resource.kind)
        )

    def _manage(self, request: Request, definition: Definition, new: Object, old: Object | None) -> None:
        apply.update_managed(
            old,
            new,
            definition.type,
            manager=manager_of(request),
            api_version=definition.working,
            subresource=request.subresource,
            now=stamp(self._steps.now()),
            ignored=apply.ignored_fields(request.resource, request.subresource, new),
        )

    async def _taken(self, draft: Draft) -> Failure:
        """What to say of a name that somebody has."""
        resource = draft.definition.resource
        failure = already_exists(resource, draft.name)
        entry = await self._storage.get(resource, draft.request.namespace, draft.name)
        if entry is None or not decode(entry.value, entry.modified)["metadata"].get("deletionTimestamp"):
            return failure
        text = f"object is being deleted: {failure}"
        return Failure(409, failure.reason, text, name=failure.name, group=failure.group, kind=failure.kind)

    async def _exists(self, draft: Draft) -> bool:
        return await self._storage.store.get(draft.key) is not None


def _generated(base: str) -> str:
    return base[:NAME_BASE_LIMIT] + "".join(_random.choices(NAME_LETTERS, k=NAME_RANDOM))


def _is_over(draft: Draft, old: Object) -> bool:
    """Whether an object that is being deleted waits for nobody any more."""
    new = draft.new
    metadata, before = new["metadata"], old["metadata"]
    if not before.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if draft.definition.resource.qualified == "namespaces" and new.get("spec", {}).get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds")
