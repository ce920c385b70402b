"""The controllers of Services with their caches: one list."""

import time
from collections.abc import Callable

from boxship.cluster.access import Client
from boxship.cluster.controllers.services.balancers import LoadBalancers
from boxship.cluster.controllers.services.balancing import Pool, node_of
from boxship.cluster.controllers.services.ranges import ADDRESSES, ServiceRanges
from boxship.cluster.controllers.services.ranges import RESOURCE as RANGES
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.recording import Recorder
from boxship.cluster.reconcile.runner import Controller


def make_services(
    client_of: Callable[[str], Client],
    own: Client,
    services: Cache,
    recorder: Recorder,
    pool: Pool | None,
    now: Now = time.time,
) -> tuple[Controller, ...]:
    """`own` fills the caches, `services` is one of them; each controller writes as its own account. `pool`: of the load
    balancers; None: the nodes' own addresses."""
    client = client_of(LoadBalancers.name)
    events = recorder.events_of(client, LoadBalancers.name)
    balancers = LoadBalancers(client, services, Cache(own, "v1/nodes", keep=node_of), pool, events)
    client = client_of(ServiceRanges.name)
    events = recorder.events_of(client, ServiceRanges.name)
    addresses = Cache(own, ADDRESSES, keep=bool)
    return balancers, ServiceRanges(client, Cache(own, RANGES), addresses, events, now)
