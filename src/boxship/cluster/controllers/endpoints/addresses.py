"""The Endpoints controller: one key is one Service; the Endpoints object of its name becomes what its pods are now."""

from boxship.cluster.access import Client
from boxship.cluster.controllers.endpoints.backends import Backend, Pods, Selectors, affected, selector_of
from boxship.cluster.controllers.endpoints.subsets import MANAGED_BY, OURS, endpoints_of
from boxship.cluster.controllers.endpoints.written import Pace
from boxship.cluster.controllers.workloads.writing import Newest, is_namespace_ending
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again
from boxship.errors import BoxshipError

RESOURCE = "v1/endpoints"
PAUSE = 0.1  # seconds at least between two writes for one service: slices are what has to be quick


class EndpointsObjects:
    name = "endpoint-controller"
    workers = 2

    def __init__(
        self,
        client: Client,
        services: Cache,
        pods: Cache,
        endpoints: Cache,
        members: Pods,
        selectors: Selectors,
        events: Events,
    ) -> None:
        """`members` and `selectors` are subscribed already."""
        self._client = client
        self._services = services
        self._endpoints = endpoints
        self._members = members
        self._selectors = selectors
        self._events = events
        self._newest = Newest()
        self._pace = Pace(PAUSE)
        self.caches = (services, pods, endpoints)
        self.queue: Queue[Key] = Queue()
        services.subscribe(lambda key, old, new: self.queue.add(key))
        pods.subscribe(self._pod_changed)
        endpoints.subscribe(lambda key, old, new: self.queue.add(key))

    async def reconcile(self, key: Key) -> Again | None:
        service = self._services.get(key)
        current = self._newest.of(key, self._endpoints.get(key))
        if service is None:
            self._pace.forget(key)
            if current is not None and _is_ours(current):
                await self._delete(key, current)
            return None
        selector = selector_of(service)
        if not selector:
            return None
        wanted = endpoints_of(service, self._members.selected(key[0], selector), current)
        if wanted is None:
            return None
        early = self._pace.early(key)
        if early:
            return Again(early)
        begun = self._pace.begins(key)
        try:
            if current is None:
                self._newest.wrote(await self._client.create(RESOURCE, key[0], wanted))
            else:
                self._newest.wrote(await self._client.update(RESOURCE, wanted))
            self._pace.wrote(key, begun)
        except BoxshipError as error:
            if is_namespace_ending(error):
                return None
            if not isinstance(error, Failure) or error.reason not in ("Conflict", "NotFound", "AlreadyExists"):
                did = "create" if current is None else "update"
                why = f"Failed to {did} endpoint {key[0]}/{key[1]}: {error}"
                self._events.tell(service, "Warning", f"FailedTo{did.capitalize()}Endpoint", why)
            raise
        return None

    async def _delete(self, key: Key, current: Object) -> None:
        try:
            await self._client.delete(RESOURCE, key[0], key[1], uid=current["metadata"]["uid"])
        except Failure as failure:
            if failure.reason not in ("NotFound", "Conflict"):
                raise

    def _pod_changed(self, key: Key, old: Backend | None, new: Backend | None) -> None:
        for service in affected(self._selectors, key, old, new):
            self.queue.add(service)


def _is_ours(endpoints: Object) -> bool:
    return bool((endpoints["metadata"].get("labels") or {}).get(MANAGED_BY) == OURS)
