"""StatefulSet at work."""

import functools
from collections.abc import Mapping, Sequence

from boxship.cluster.access import Client
from boxship.cluster.controllers.workloads import revisions
from boxship.cluster.controllers.workloads.claiming import claim
from boxship.cluster.controllers.workloads.expecting import Expectations
from boxship.cluster.controllers.workloads.family import Family, Parents
from boxship.cluster.controllers.workloads.pods import RESOURCE as PODS
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.controllers.workloads.replicas.deciding import selector_of
from boxship.cluster.controllers.workloads.stateful import deciding, identity
from boxship.cluster.controllers.workloads.stateful.claims import Claims
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.controllers.workloads.writing import (
    Newest,
    in_batches,
    is_namespace_ending,
    together,
    write_status,
)
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again
from boxship.errors import BoxshipError

RESOURCE = "apps/v1/statefulsets"
HASH_LABEL = "controller.kubernetes.io/hash"  # on revisions
CLAIM_PAUSE = 0.5  # seconds, while a claim goes


class StatefulSets:
    name = "statefulset-controller"
    workers = 5

    def __init__(
        self,
        client: Client,
        owners: Cache,
        history: Family,
        pods: Family,
        claims: Claims,
        events: Events,
        now: Now,
    ) -> None:
        self._client = client
        self._owners = owners
        self._history = history
        self._pods = pods
        self._claims = claims
        self._events = events
        self._now = now
        self._newest = Newest()
        self._expected = Expectations(pods.cache, now)
        self.caches = (owners, history.cache, pods.cache, claims.cache)
        self.queue: Queue[Key] = Queue()
        parents = Parents("StatefulSet", owners, selector_of, self.queue.add)
        pods.cache.subscribe(parents.child_changed)

    async def reconcile(self, key: Key) -> Again | None:
        stateful = self._newest.of(key, self._owners.get(key))
        if stateful is None:
            self._expected.forget(key)
            return None
        selector = selector_of(stateful)
        if selector.everything:
            return None
        waits = self._expected.remaining(key)  # before the pods are looked at, or they may be too old
        found: list[Pod] = await claim(
            self._client,
            RESOURCE,
            PODS,
            stateful,
            selector,
            self._pods,
            adoptable=lambda pod: identity.ordinal_of(stateful, pod) >= 0,
        )
        pods = {identity.ordinal_of(stateful, pod): pod for pod in found if identity.ordinal_of(stateful, pod) >= 0}
        history = await claim(self._client, RESOURCE, revisions.RESOURCE, stateful, selector, self._history)
        settled = await revisions.settle(self._client, stateful, history, HASH_LABEL)
        if settled.wanted is None:
            await self._count_collision(stateful, settled.collisions)
            return None
        return await self._settle(key, stateful, pods, settled, waits)

    async def _settle(
        self, key: Key, stateful: Object, pods: Mapping[int, Pod], settled: revisions.Settled, waits: float
    ) -> Again | None:
        assert settled.wanted is not None
        update = settled.wanted["metadata"]["name"]
        by_name = {one["metadata"]["name"]: one for one in settled.all}
        known = (stateful.get("status") or {}).get("currentRevision") or update
        current = known if known in by_name else update
        now = self._now()
        failure, blocked = None, False
        if not stateful["metadata"].get("deletionTimestamp"):
            await self._keep(stateful, pods)
        if not waits:
            plan = deciding.plan(stateful, current, update, pods, now)
            failure, blocked = await self._create(key, stateful, by_name, plan.create)
            if failure is None:
                failure = await self._delete(key, stateful, plan.delete)
        status = deciding.status_of(stateful, current, update, settled.collisions, list(pods.values()), now)
        written = await write_status(self._client, RESOURCE, stateful, status)
        if written is not None:
            self._newest.wrote(written)
        if failure is not None:
            raise failure
        await self._clean(stateful, pods, settled, status)
        look = deciding.next_look(stateful, list(pods.values()), now)
        again = [one for one in (look, waits, CLAIM_PAUSE if blocked else 0.0) if one]
        return Again(min(again)) if again else None

    async def _create(
        self, key: Key, stateful: Object, by_name: Mapping[str, Object], new: Sequence[deciding.New]
    ) -> tuple[BoxshipError | None, bool]:
        """The first failure, and whether a pod waits for a claim to go."""
        blocked = []

        async def create(index: int) -> None:
            ordinal, revision = new[index].ordinal, new[index].revision
            if not await self._claims.provide(stateful, ordinal):
                blocked.append(ordinal)
                return
            template = revisions.template_of(by_name[revision])
            name = identity.pod_name(stateful, ordinal)
            where = f"create Pod {name} in StatefulSet {stateful['metadata']['name']}"
            try:
                made = await self._client.create(PODS, key[0], identity.make_pod(stateful, template, revision, ordinal))
            except BoxshipError as error:
                exists = isinstance(error, Failure) and error.reason == "AlreadyExists"
                if not exists and not is_namespace_ending(error):
                    self._events.tell(stateful, "Warning", "FailedCreate", f"{where} failed error: {error}")
                raise
            self._expected.created(key, made["metadata"]["uid"])
            self._events.tell(stateful, "Normal", "SuccessfulCreate", f"{where} successful")

        with self._expected.creating():
            _, failure = await in_batches(len(new), create)
        return (None if failure is not None and is_namespace_ending(failure) else failure), bool(blocked)

    async def _delete(self, key: Key, stateful: Object, pods: Sequence[Pod]) -> BoxshipError | None:
        async def delete(pod: Pod) -> None:
            where = f"delete Pod {pod.name} in StatefulSet {stateful['metadata']['name']}"
            self._expected.deleting(key, pod.uid)
            try:
                await self._client.delete(PODS, pod.namespace, pod.name, uid=pod.uid)
            except BoxshipError as error:
                self._expected.not_deleted(pod.uid)
                if isinstance(error, Failure) and error.reason in ("NotFound", "Conflict"):
                    return
                self._events.tell(stateful, "Warning", "FailedDelete", f"{where} failed error: {error}")
                raise
            self._events.tell(stateful, "Normal", "SuccessfulDelete", f"{where} successful")

        failures = await together([functools.partial(delete, pod) for pod in pods])
        return failures[0] if failures else None

    async def _keep(self, stateful: Object, pods: Mapping[int, Pod]) -> None:
        """Labels and claims as they should be: before anything is deleted, since claims may go with a pod."""
        for ordinal, pod in pods.items():
            await self._claims.keep(stateful, pod, ordinal)
            if pod.phase == "Pending" and not pod.deleted:
                await self._claims.provide(stateful, ordinal)  # it waits for one that was taken away
            labels = identity.missing_labels(stateful, pod, ordinal)
            if labels and not pod.deleted:
                patch = {"metadata": {"uid": pod.uid, "resourceVersion": pod.version, "labels": labels}}
                await self._client.patch(PODS, pod.namespace, pod.name, patch)

    async def _count_collision(self, stateful: Object, collisions: int | None) -> None:
        status = {"replicas": 0, **(stateful.get("status") or {}), "collisionCount": collisions}
        written = await self._client.update(RESOURCE, {**stateful, "status": status}, subresource="status")
        self._newest.wrote(written)

    async def _clean(
        self, stateful: Object, pods: Mapping[int, Pod], settled: revisions.Settled, status: Object
    ) -> None:
        limit = stateful["spec"].get("revisionHistoryLimit")
        if limit is None:
            return
        live = {pod.labels.get(revisions.HASH, "") for pod in pods.values()}
        live |= {status["currentRevision"], status["updateRevision"]}
        await revisions.clean(self._client, revisions.outdated(settled.all, live, limit))
