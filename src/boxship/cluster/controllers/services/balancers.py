"""The controller that gives load balancers their addresses. One worker: two never get the same."""

from boxship.cluster.access import Client
from boxship.cluster.controllers.services.balancing import (
    Balancer,
    Node,
    Pool,
    Verdict,
    balancer_of,
    from_nodes,
    from_pool,
    kept_of,
    status_of,
)
from boxship.cluster.controllers.workloads.writing import Newest, write_status
from boxship.cluster.objects import Object
from boxship.cluster.objects.ingress.classes import is_ours, our_classes
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again

RESOURCE = "v1/services"
KUBERNETES: Key = ("default", "kubernetes")
ALL: Key = ("", "")  # every balancer: however many nodes changed, once


class LoadBalancers:
    name = "service-controller"
    workers = 1

    def __init__(
        self,
        client: Client,
        services: Cache,
        nodes: Cache,
        ingresses: Cache,
        classes: Cache,
        pool: Pool | None,
        events: Events,
    ) -> None:
        """`nodes` are kept as balancing.Node."""
        self._client = client
        self._services = services
        self._nodes = nodes
        self._pool = pool
        self._events = events
        self._newest = Newest()
        self._all: dict[Key, None] = {}
        self._ingresses = ingresses
        self._classes = classes
        self._with_ingress = False
        self.caches = (services, nodes, ingresses, classes)
        self.queue: Queue[Key] = Queue()
        services.subscribe(self._service_changed)
        nodes.subscribe(self._node_changed)
        for cache in (ingresses, classes):
            cache.subscribe(lambda key, old, new: self._ingress_changed())

    async def reconcile(self, key: Key) -> Again | None:
        if key == ALL:
            for one in list(self._all):
                self.queue.add(one)
            return None
        service = self._newest.of(key, self._services.get(key))
        wanted = balancer_of(service)
        if service is None or wanted is None:
            return None
        verdict = self._verdict(wanted)
        status = {**(service.get("status") or {}), "loadBalancer": status_of(verdict)}
        if verdict.addresses and not wanted.has:
            self._events.tell(service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer")
        if not verdict.addresses:
            self._events.tell(service, "Warning", "AllocationFailed", f"Cannot give it an address: {verdict.why}")
        written = await write_status(self._client, RESOURCE, service, status)
        if written is not None:
            self._newest.wrote(written)
            if verdict.addresses and not wanted.has:
                self._events.tell(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")
        return None

    def _verdict(self, wanted: Balancer) -> Verdict:
        others = [one for key in self._all if (one := balancer_of(self._newest.of(key, self._services.get(key))))]
        if self._pool is not None:
            return from_pool(wanted, others, self._pool)
        nodes = [node for _, node in self._nodes.items()]
        kept = kept_of(nodes, self._services.get(KUBERNETES))
        return from_nodes(wanted, others, nodes, with_ingress=self._has_ingress(), kept=kept)

    def _has_ingress(self) -> bool:
        ours = our_classes(one for _, one in self._classes.items())
        return any(is_ours(one, ours) for _, one in self._ingresses.items())

    def _ingress_changed(self) -> None:
        now = self._has_ingress()
        if now != self._with_ingress:
            self._with_ingress = now
            self._wake()

    def _service_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        was, now = balancer_of(old), balancer_of(new)
        if now is not None:
            self._all[key] = None
            if was != now:
                self.queue.add(key)
        elif self._all.pop(key, 0) is None or was is not None:
            self._wake()  # its addresses and ports are free

    def _node_changed(self, key: Key, old: Node | None, new: Node | None) -> None:
        if old != new and self._pool is None:
            self._wake()

    def _wake(self) -> None:
        self.queue.add(ALL)
