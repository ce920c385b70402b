"""GET of one object."""

from boxship.cluster.api import versions
from boxship.cluster.api.catalog import Catalog, Definition
from boxship.cluster.api.request import Answer, Request
from boxship.cluster.api.storage import Storage
from boxship.cluster.api.views import Views
from boxship.cluster.objects.failure import not_found
from boxship.store import Entry


class Reading:
    """Answers `get`."""

    def __init__(self, storage: Storage, catalog: Catalog, views: Views) -> None:
        self._storage = storage
        self._catalog = catalog
        self._views = views

    async def get(self, request: Request) -> Answer:
        definition = self._catalog.definition(request.resource)
        entry = await self.entry(request)
        return await self.answer(definition, request, entry)

    async def entry(self, request: Request) -> Entry:
        """What is stored. Raises Failure NotFound."""
        version = request.options.version
        if version not in ("", "0"):
            await versions.wait_until_known(self._storage.store, versions.number(version))
        entry = await self._storage.get(request.resource, request.namespace, request.name, fresh=version != "0")
        if entry is None:
            raise not_found(request.resource, request.name)
        return entry

    async def answer(self, definition: Definition, request: Request, entry: Entry, code: int = 200) -> Answer:
        """The entry as this request wants to see it."""
        shown = await self._views.item(definition, request.view, entry)
        if request.view.form == "table":
            shown = self._views.with_columns(definition, shown)
        return Answer(code, shown)
