"""Job at work. Order of a turn: look, count, create or delete pods, write the status, and only then take finalizers off
the pods that the written status knows."""

import functools
from collections.abc import Sequence

from boxship.cluster.access import Client
from boxship.cluster.controllers.workloads.claiming import claim
from boxship.cluster.controllers.workloads.expecting import Expectations
from boxship.cluster.controllers.workloads.family import Family, Parents
from boxship.cluster.controllers.workloads.jobs import counting, deciding, ending
from boxship.cluster.controllers.workloads.jobs.counting import FINALIZER, Counts
from boxship.cluster.controllers.workloads.jobs.ending import Ending
from boxship.cluster.controllers.workloads.pods import RESOURCE as PODS
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.controllers.workloads.replicas.deciding import selector_of
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.controllers.workloads.working import PodWork, take_off
from boxship.cluster.controllers.workloads.writing import Newest, same_status, together
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again
from boxship.errors import BoxshipError

RESOURCE = "batch/v1/jobs"
CONTROLLER = "kubernetes.io/job-controller"


class Jobs:
    name = "job-controller"
    workers = 5

    def __init__(self, client: Client, jobs: Cache, pods: Family, events: Events, now: Now) -> None:
        self._client = client
        self._jobs = jobs
        self._pods = pods
        self._events = events
        self._now = now
        self._newest = Newest()
        self._work = PodWork(client, Expectations(pods.cache, now), events, pods.cache)
        self.caches = (jobs, pods.cache)
        self.queue: Queue[Key] = Queue()
        parents = Parents("Job", jobs, selector_of, self.queue.add)
        pods.cache.subscribe(parents.child_changed)

    async def reconcile(self, key: Key) -> Again | None:
        job = self._newest.of(key, self._jobs.get(key))
        if job is None:
            self._work.forget(key)
            return None
        if job["spec"].get("managedBy") not in (None, CONTROLLER):
            return None
        if ending.is_finished(job):
            self._work.forget(key)
            return None
        selector = selector_of(job)
        waits = await self._work.waits(key, job, selector)  # before the pods are looked at, or they may be too old
        pods: list[Pod] = await claim(self._client, RESOURCE, PODS, job, selector, self._pods, finalizer=FINALIZER)
        return await self._settle(key, job, pods, waits)

    async def _settle(self, key: Key, job: Object, pods: Sequence[Pod], waits: float) -> Again | None:
        now = self._now()
        deleted = bool(job["metadata"].get("deletionTimestamp"))
        counts = counting.count(job, pods, finishing=deleted or ending.begun(job) is not None)
        end = ending.decide(job, counts, now)
        failure, created, plan = None, 0, deciding.Plan()
        if not deleted and (not waits or end is not None):
            plan = deciding.plan(job, pods, counts, end, now)
            failure = await self._delete(key, job, plan)
            if failure is None and plan.create:
                created, failure = await self._create(key, job, plan.create)
        gone = {pod.uid for pod in plan.delete} if failure is None else set()
        left = [pod for pod in counts.active if pod.uid not in gone]
        now_is = deciding.Running(
            active=len(left) + created,
            ready=sum(pod.ready for pod in left),
            terminating=counts.ending + sum(bool(pod.node) for pod in counts.active if pod.uid in gone),
            settled=not gone and not waits,
        )
        job = await self._write(job, deciding.status_of(job, counts, end, now_is, now))
        await self._release(counts.release)
        if failure is not None:
            raise failure
        return self._later(job, end, plan, waits)

    def _later(self, job: Object, end: Ending | None, plan: deciding.Plan, waits: float) -> Again | None:
        left = ending.time_left(job, self._now()) if end is None else None
        soonest = min((one for one in (plan.again, left or 0.0, waits) if one > 0), default=0.0)
        return Again(soonest + 0.02) if soonest else None

    async def _create(self, key: Key, job: Object, new: Sequence[deciding.New]) -> tuple[int, BoxshipError | None]:
        failure = await self._work.create(key, job, [deciding.make_pod(job, one) for one in new])
        return (len(new) if failure is None else 0), failure

    async def _delete(self, key: Key, job: Object, plan: deciding.Plan) -> BoxshipError | None:
        if not plan.delete:
            return None
        return await self._work.delete(key, job, plan.delete, release=FINALIZER if plan.release else "")

    async def _write(self, job: Object, status: Object) -> Object:
        """Only to the version that all of this was decided on: a status that is older must not be counted on."""
        known = job.get("status") or {}
        if same_status(known, status):
            return job
        written = self._newest.wrote(
            await self._client.update(RESOURCE, {**job, "status": status}, subresource="status")
        )
        self._tell(known, written)
        return written

    def _tell(self, known: Object, job: Object) -> None:
        status = job["status"]
        for kind in (ending.COMPLETE, ending.FAILED, deciding.SUSPENDED):
            has = counting.true(status, kind)
            if has is not None and counting.true(known, kind) is None:
                if kind == ending.COMPLETE:
                    self._events.tell(job, "Normal", "Completed", "Job completed")
                elif kind == ending.FAILED:
                    self._events.tell(job, "Warning", has.get("reason", ""), has.get("message", ""))
                else:
                    self._events.tell(job, "Normal", "Suspended", "Job suspended")
        if counting.true(known, deciding.SUSPENDED) and not counting.true(status, deciding.SUSPENDED):
            self._events.tell(job, "Normal", "Resumed", "Job resumed")

    async def _release(self, pods: Sequence[Pod]) -> None:
        failures = await together([functools.partial(let_go, self._client, pod) for pod in pods])
        if failures:
            raise failures[0]


async def let_go(client: Client, pod: Pod) -> None:
    """Its finalizer comes off. A pod that changed meanwhile is seen again, and tried again then."""
    try:
        await take_off(client, pod, FINALIZER)
    except Failure as failure:
        if failure.reason not in ("NotFound", "Invalid", "Conflict"):
            raise


def counted(counts: Counts) -> int:
    """All pods that are known to have ended; for tests of what must never grow less."""
    return counts.succeeded + counts.failed + len(counts.uncounted_succeeded) + len(counts.uncounted_failed)
