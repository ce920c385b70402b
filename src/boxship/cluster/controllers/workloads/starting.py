"""All controllers of workloads with their caches: one list."""

import time
from collections.abc import Awaitable, Callable

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.controllers.workloads.crons.controller import RESOURCE as CRONS
from boxship.cluster.controllers.workloads.crons.controller import CronJobs
from boxship.cluster.controllers.workloads.daemons import places
from boxship.cluster.controllers.workloads.daemons.controller import RESOURCE as DAEMONS
from boxship.cluster.controllers.workloads.daemons.controller import DaemonSets
from boxship.cluster.controllers.workloads.deployments.controller import Deployments
from boxship.cluster.controllers.workloads.family import Family
from boxship.cluster.controllers.workloads.jobs.ages import JobAges
from boxship.cluster.controllers.workloads.jobs.controller import RESOURCE as JOBS
from boxship.cluster.controllers.workloads.jobs.controller import Jobs
from boxship.cluster.controllers.workloads.jobs.leftovers import Leftovers
from boxship.cluster.controllers.workloads.pods import facts_of
from boxship.cluster.controllers.workloads.replicas.controller import REPLICA_SET, REPLICATION_CONTROLLER, Replicas
from boxship.cluster.controllers.workloads.revisions import RESOURCE as REVISIONS
from boxship.cluster.controllers.workloads.stateful import claims
from boxship.cluster.controllers.workloads.stateful.controller import RESOURCE as STATEFUL
from boxship.cluster.controllers.workloads.stateful.controller import StatefulSets
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.recording import Events, Recorder
from boxship.cluster.reconcile.runner import Controller


class Workloads(msgspec.Struct, frozen=True):
    """`pods`, with the cache of their facts, and `recorder` are for other controllers, too."""

    controllers: tuple[Controller, ...]
    parts: tuple[Callable[[], Awaitable[None]], ...]
    pods: Family
    recorder: Recorder


def make_workloads(client_of: Callable[[str], Client], own: Client, now: Now = time.time) -> Workloads:
    """`own` fills the caches; each controller writes as its own account."""
    recorder = Recorder(now)

    def voice(name: str) -> tuple[Client, Events]:
        client = client_of(name)
        return client, recorder.events_of(client, name)

    pods = Family(Cache(own, "v1/pods", keep=facts_of))
    deployments, sets = Cache(own, "apps/v1/deployments"), Family(Cache(own, REPLICA_SET.resource))
    replication = Cache(own, REPLICATION_CONTROLLER.resource)
    client, events = voice(REPLICA_SET.controller)
    replica_sets = Replicas(REPLICA_SET, client, sets.cache, sets, pods, events, now)
    client, events = voice(REPLICATION_CONTROLLER.controller)
    replication_controllers = Replicas(REPLICATION_CONTROLLER, client, replication, None, pods, events, now)
    client, events = voice(Deployments.name)
    controllers: list[Controller] = [
        Deployments(client, deployments, sets, pods, events, now),
        replica_sets,
        replication_controllers,
        *_make_jobs(voice, client_of, own, pods, now),
        *_make_with_history(voice, own, pods, now),
    ]
    return Workloads(tuple(controllers), (recorder.run,), pods, recorder)


def _make_jobs(
    voice: Callable[[str], tuple[Client, Events]],
    client_of: Callable[[str], Client],
    own: Client,
    pods: Family,
    now: Now,
) -> list[Controller]:
    jobs = Family(Cache(own, JOBS))
    client, events = voice(Jobs.name)
    controllers: list[Controller] = [Jobs(client, jobs.cache, pods, events, now)]
    controllers += [Leftovers(client, jobs.cache, pods), JobAges(client_of(JobAges.name), jobs.cache, now)]
    client, events = voice(CronJobs.name)
    return [*controllers, CronJobs(client, Cache(own, CRONS), jobs, events, now)]


def _make_with_history(
    voice: Callable[[str], tuple[Client, Events]], own: Client, pods: Family, now: Now
) -> list[Controller]:
    history = Family(Cache(own, REVISIONS))
    client, events = voice(StatefulSets.name)
    owned = claims.Claims(client, Cache(own, claims.RESOURCE, keep=claims.facts_of), events)
    stateful = StatefulSets(client, Cache(own, STATEFUL), history, pods, owned, events, now)
    client, events = voice(DaemonSets.name)
    nodes = Cache(own, "v1/nodes", keep=places.facts_of)
    return [stateful, DaemonSets(client, Cache(own, DAEMONS), history, pods, nodes, events, now)]
