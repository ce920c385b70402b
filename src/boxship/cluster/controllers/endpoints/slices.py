"""The EndpointSlice controller: one key is one Service; its slices become what its pods are now."""

from collections import defaultdict
from collections.abc import Iterator

from boxship.cluster.access import Client
from boxship.cluster.controllers.endpoints.backends import Backend, Pods, Selectors, affected, selector_of
from boxship.cluster.controllers.endpoints.slicing import MANAGED_BY, OURS, SERVICE_NAME, Plan, form_of, groups_of, plan
from boxship.cluster.controllers.endpoints.written import Pace, Written
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.controllers.workloads.writing import is_namespace_ending, together
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again
from boxship.errors import BoxshipError

RESOURCE = "discovery.k8s.io/v1/endpointslices"
TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
ALL: Key = ("", "")  # every service: however many nodes changed, once
PAUSE = 0.02  # seconds at least between two writes for one service


class SlicesOf:
    """The slices of each service, for one who manages them."""

    def __init__(self, cache: Cache, manager: str) -> None:
        self._cache = cache
        self._manager = manager
        self._keys: dict[Key, dict[Key, None]] = defaultdict(dict)
        cache.subscribe(self._changed)

    def of(self, service: Key) -> list[Object]:
        return [self._cache.get(key) for key in self._keys.get(service, ())]

    def services(self, key: Key, *slices: Object | None) -> Iterator[Key]:
        for slice in slices:
            labels = (slice["metadata"].get("labels") or {}) if slice is not None else {}
            if labels.get(MANAGED_BY) == self._manager and labels.get(SERVICE_NAME):
                yield key[0], labels[SERVICE_NAME]

    def _changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        for service in self.services(key, old):
            self._keys[service].pop(key, None)
            if not self._keys[service]:
                del self._keys[service]
        for service in self.services(key, new):
            self._keys[service][key] = None


class SliceWriter:
    """Carries out plans: first what adds and changes, then what takes away."""

    def __init__(self, client: Client, written: Written) -> None:
        self._client = client
        self._written = written

    async def carry_out(self, service: Key, plan: Plan) -> None:
        """Raises the first failure, after everything was tried."""

        async def create(slice: Object) -> None:
            self._written.wrote(service, await self._client.create(RESOURCE, service[0], slice))

        async def update(slice: Object) -> None:
            self._written.wrote(service, await self._client.update(RESOURCE, slice))

        async def delete(slice: Object) -> None:
            metadata = slice["metadata"]
            try:
                await self._client.delete(RESOURCE, service[0], metadata["name"], uid=metadata["uid"])
            except Failure as failure:
                if failure.reason != "NotFound":
                    raise
            self._written.deleted(service, slice)

        failures: list[BoxshipError] = []
        for act, slices in ((create, plan.create), (update, plan.update), (delete, plan.delete)):
            if slices and not failures:
                failures += await together([lambda act=act, one=one: act(one) for one in slices])  # type: ignore[misc]
        if failures:
            raise failures[0]


class EndpointSlices:
    name = "endpointslice-controller"
    workers = 4

    def __init__(
        self,
        client: Client,
        services: Cache,
        pods: Cache,
        zones: Cache,
        slices: Cache,
        members: Pods,
        selectors: Selectors,
        events: Events,
        now: Now,
    ) -> None:
        """`zones`: nodes, of which the zone is kept. `members` and `selectors` are subscribed already."""
        self._services = services
        self._zones = zones
        self._members = members
        self._selectors = selectors
        self._events = events
        self._written = Written(now)
        self._writer = SliceWriter(client, self._written)
        self._slices = SlicesOf(slices, OURS)
        self._pace = Pace(PAUSE)
        self._told: set[Key] = set()
        self.caches = (services, pods, zones, slices)
        self.queue: Queue[Key] = Queue()
        services.subscribe(lambda key, old, new: self.queue.add(key))
        pods.subscribe(self._pod_changed)
        zones.subscribe(self._zone_changed)
        slices.subscribe(self._slice_changed)

    async def reconcile(self, key: Key) -> Again | None:
        if key == ALL:
            for one, _ in list(self._services.items()):
                self.queue.add(one)
            return None
        service = self._services.get(key)
        selector = selector_of(service)
        if service is None or not selector:
            self._pace.forget(key)
            self._told.discard(key)
            return None
        early = self._pace.early(key)
        if early:
            return Again(early)
        self._complain(key, service)
        pods = self._members.selected(key[0], selector)
        groups = groups_of(service, pods, self._zone)
        todo = plan(form_of(service), groups, self._written.over(key, self._slices.of(key)))
        if todo == Plan():
            return None
        begun = self._pace.begins(key)
        try:
            await self._writer.carry_out(key, todo)
            self._pace.wrote(key, begun)
        except BoxshipError as error:
            if is_namespace_ending(error):
                return None
            if not isinstance(error, Failure) or error.reason not in ("Conflict", "NotFound", "AlreadyExists"):
                why = f"Error updating Endpoint Slices for Service {key[0]}/{key[1]}: {error}"
                self._events.tell(service, "Warning", "FailedToUpdateEndpointSlices", why)
            raise
        return None

    def _complain(self, key: Key, service: Object) -> None:
        """Once: what is not supported is not done in silence."""
        annotations = service["metadata"].get("annotations") or {}
        if annotations.get(TOPOLOGY_MODE, "").lower() not in ("auto", "preferzone"):
            self._told.discard(key)
            return
        if key in self._told:
            return
        self._told.add(key)
        why = f"unsupported: {TOPOLOGY_MODE}; spec.trafficDistribution is acted upon"
        self._events.tell(service, "Warning", "TopologyAwareHintsDisabled", why)

    def _pod_changed(self, key: Key, old: Backend | None, new: Backend | None) -> None:
        """Who takes requests now, or does not any more, is what others wait for."""
        urgent = (old is not None and old.takes) != (new is not None and new.takes)
        for service in affected(self._selectors, key, old, new):
            if urgent:
                self._pace.hurry(service)
            self.queue.add(service)

    def _zone_changed(self, key: Key, old: str | None, new: str | None) -> None:
        if (old or "") != (new or ""):
            self.queue.add(ALL)

    def _slice_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        news = self._written.seen(key, old, new)
        for service in {*self._slices.services(key, old, new)} if news else ():
            self.queue.add(service)

    def _zone(self, node: str) -> str:
        return str(self._zones.get(("", node)) or "")
