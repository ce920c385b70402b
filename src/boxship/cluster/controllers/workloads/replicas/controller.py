"""ReplicaSet and ReplicationController at work: the same controller for both kinds."""

from collections.abc import Sequence

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.controllers.workloads.claiming import claim
from boxship.cluster.controllers.workloads.expecting import LONGEST, Expectations
from boxship.cluster.controllers.workloads.family import Family, Parents, owner_of
from boxship.cluster.controllers.workloads.making import pod_of
from boxship.cluster.controllers.workloads.pods import RESOURCE as PODS
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.controllers.workloads.replicas import deciding
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.controllers.workloads.working import PodWork
from boxship.cluster.controllers.workloads.writing import Newest, write_status
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again

PATIENCE = 1.0  # seconds


class Kind(msgspec.Struct, frozen=True):
    kind: str
    resource: str
    controller: str


REPLICA_SET = Kind("ReplicaSet", "apps/v1/replicasets", "replicaset-controller")
REPLICATION_CONTROLLER = Kind("ReplicationController", "v1/replicationcontrollers", "replication-controller")


class Replicas:
    workers = 5

    def __init__(
        self, kind: Kind, client: Client, owners: Cache, sets: Family | None, pods: Family, events: Events, now: Now
    ) -> None:
        """`sets`: the replica sets of each deployment, for siblings; None: there are none."""
        self.name = kind.controller
        self._kind = kind
        self._client = client
        self._owners = owners
        self._sets = sets
        self._pods = pods
        self._now = now
        self._newest = Newest()
        self._work = PodWork(client, Expectations(pods.cache, now), events, pods.cache)
        self.caches = (owners, pods.cache)
        self.queue: Queue[Key] = Queue()
        parents = Parents(kind.kind, owners, deciding.selector_of, self.queue.add)
        pods.cache.subscribe(parents.child_changed)

    async def reconcile(self, key: Key) -> Again | None:
        owner = self._newest.of(key, self._owners.get(key))
        if owner is None:
            self._work.forget(key)
            return None
        selector = deciding.selector_of(owner)
        if selector.everything:
            return None
        waits = await self._work.waits(key, owner, selector)  # before the pods are looked at, or they may be too old
        age = LONGEST - waits
        if waits and age < PATIENCE:
            return Again(PATIENCE - age)  # a burst is under way: its end is told, and looked at once
        pods: list[Pod] = await claim(self._client, self._kind.resource, PODS, owner, selector, self._pods)
        failure, surplus = None, False
        if not waits and not owner["metadata"].get("deletionTimestamp"):
            active = [pod for pod in pods if pod.is_active]
            plan = deciding.plan(owner, active, self._siblings(owner, active), self._now())
            surplus = bool(plan.delete)
            if surplus:
                failure = await self._work.delete(key, owner, plan.delete)
            elif plan.create:
                made = pod_of(owner["spec"]["template"], owner)
                failure = await self._work.create(key, owner, [made] * plan.create)
        now = self._now()
        status = deciding.status_of(owner, pods, str(failure or ""), surplus, now)
        written = await write_status(self._client, self._kind.resource, owner, status)
        if written is not None:
            self._newest.wrote(written)
        if failure is not None:
            raise failure
        waits = deciding.next_look(owner, [pod for pod in pods if pod.is_active], now) or waits
        return Again(waits) if waits else None

    def _siblings(self, owner: Object, active: Sequence[Pod]) -> list[Pod]:
        deployment = owner_of(owner)
        if self._sets is None or deployment is None:
            return list(active)
        found = []
        for one in self._sets.children(deployment.uid):
            found += [pod for pod in self._pods.children(one["metadata"]["uid"]) if pod.is_active]
        return found
