"""The Kubernetes API behind authentication and authorisation: one request in, one answer or stream out.

Everybody goes this way, also controllers in this process. This file only says who answers what; it knows no HTTP.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from boxship.cluster.api.attempts import Attempts
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.clock import Clock
from boxship.cluster.api.commits import Commits
from boxship.cluster.api.deleting import Deleting
from boxship.cluster.api.drafts import Chain, Companion, PlainChain, Steps
from boxship.cluster.api.evictions import PodRequests
from boxship.cluster.api.indexing import Indexes
from boxship.cluster.api.listing import Lister
from boxship.cluster.api.lookup import StoredObjects
from boxship.cluster.api.parts_of_objects import ObjectParts
from boxship.cluster.api.reading import Reading
from boxship.cluster.api.request import Reply, Request
from boxship.cluster.api.selection import Facts
from boxship.cluster.api.special import Reviews, Special, Tokens
from boxship.cluster.api.storage import Storage
from boxship.cluster.api.views import Views
from boxship.cluster.api.watching import Hub, Watching
from boxship.cluster.api.writing import Writing
from boxship.cluster.objects.failure import Failure, internal, method_not_supported, of_error
from boxship.errors import BoxshipError, Timeout, Unavailable, Unsupported

log = logging.getLogger("boxship-control")

Handler = Callable[[Request], Awaitable[Reply]]


class Parts(msgspec.Struct, frozen=True):
    """What an Api is made of. `companions` is by the storage of a resource ("services/specs"), `computed` by its path:
    who answers for what is made for each request."""

    storage: Storage
    catalog: Catalog
    clock: Clock
    chain: Chain = PlainChain()
    companions: Mapping[str, Companion] = {}
    reviews: Reviews | None = None
    tokens: Tokens | None = None
    computed: Mapping[str, Handler] = {}


class Api:
    """Answers requests. `run` has to be awaited as long as there are watches."""

    def __init__(self, parts: Parts) -> None:
        self.catalog = parts.catalog
        storage, catalog = parts.storage, parts.catalog
        facts = Facts()
        views = Views(storage, parts.clock)
        indexes = Indexes(storage)
        self._hub = Hub(storage, indexes)
        steps = Steps(catalog, views, parts.clock, parts.chain)
        commits = Commits(storage, views, parts.companions)
        attempts = Attempts(storage)
        reading = Reading(storage, catalog, views)
        lister = Lister(storage, catalog, views, facts, indexes)
        writing = Writing(storage, catalog, views, reading, steps, commits, attempts)
        deleting = Deleting(storage, catalog, views, facts, lister, steps, commits, attempts)
        watching = Watching(storage, catalog, views, facts, lister, self._hub)
        self.lookup = StoredObjects(storage, catalog)
        self._special = Special(
            catalog,
            reading,
            steps,
            parts.chain,
            ObjectParts(catalog, views, reading, steps, writing),
            PodRequests(catalog, self.lookup, parts.chain, steps, writing, deleting),
            parts.reviews,
            parts.tokens,
            parts.computed,
        )
        self._handlers: Mapping[str, Handler] = {
            "get": reading.get,
            "list": lister.list,
            "watch": watching.watch,
            "create": writing.create,
            "update": writing.update,
            "patch": writing.patch,
            "delete": deleting.delete,
            "deletecollection": deleting.delete_collection,
        }

    async def run(self) -> None:
        """Follow the store, without end."""
        await self._hub.run()

    def end_watches(self) -> None:
        """All watches end, as at a shutdown; their clients come again."""
        self._hub.end_all()

    async def perform(self, request: Request) -> Reply:
        """Raises Failure, whatever goes wrong."""
        try:
            return await self._handler(request)(request)
        except Failure:
            raise
        except (Unavailable, Timeout, Unsupported) as error:
            raise of_error(error) from error
        except BoxshipError as error:  # of any other kind it is our mistake, whatever it says
            log.error("%s %s %s: %s", request.verb, request.resource.qualified, request.name, error)
            raise internal(str(error)) from error

    def _handler(self, request: Request) -> Handler:
        resource = request.resource
        if request.subresource:
            return self._special.handler(request)
        if request.verb not in resource.verbs:
            raise method_not_supported(resource, request.verb)
        if not resource.stored:
            return self._special.handler(request)
        handler = self._handlers.get(request.verb)
        if handler is None:
            raise method_not_supported(resource, request.verb)
        return handler
