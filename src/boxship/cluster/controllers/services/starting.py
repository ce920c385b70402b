"""The controllers of Services with their caches: one list."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from boxship.cluster.access import Client
from boxship.cluster.controllers.services.balancers import LoadBalancers
from boxship.cluster.controllers.services.balancing import Pool, node_of
from boxship.cluster.controllers.services.external import ExternalAddresses
from boxship.cluster.controllers.services.ingresses import RESOURCE as INGRESSES
from boxship.cluster.controllers.services.ingresses import Ingresses
from boxship.cluster.controllers.services.ranges import ADDRESSES, ServiceRanges
from boxship.cluster.controllers.services.ranges import RESOURCE as RANGES
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.recording import Recorder
from boxship.cluster.reconcile.runner import Controller
from boxship.pki.certificates import Issuer


def make_services(
    client_of: Callable[[str], Client],
    own: Client,
    services: Cache,
    recorder: Recorder,
    pool: Pool | None,
    issuer: Issuer,
    pods: str = "",
    now: Now = time.time,
) -> tuple[Controller, ...]:
    """`own` fills the caches, `services` is one of them; each controller writes as its own account. `pool`: of the load
    balancers; None: the nodes' own addresses. `pods`: the range of the pods' addresses."""
    client = client_of(LoadBalancers.name)
    events = recorder.events_of(client, LoadBalancers.name)
    nodes = Cache(own, "v1/nodes", keep=node_of)
    ingresses, classes = Cache(own, INGRESSES), Cache(own, "networking.k8s.io/v1/ingressclasses")
    balancers = LoadBalancers(client, services, nodes, ingresses, classes, pool, events)
    cidrs = Cache(own, RANGES)
    external = ExternalAddresses(services, cidrs, pods, events)
    client = client_of(ServiceRanges.name)
    events = recorder.events_of(client, ServiceRanges.name)
    addresses = Cache(own, ADDRESSES, keep=bool)
    ranges = ServiceRanges(client, cidrs, addresses, events, now)
    client = client_of(Ingresses.name)
    events = recorder.events_of(client, Ingresses.name)

    def clock() -> datetime:
        return datetime.fromtimestamp(now(), UTC)

    return balancers, external, ranges, Ingresses(client, ingresses, classes, nodes, issuer, events, clock)
