"""Jobs that are over go some time later, where they say so (`ttlSecondsAfterFinished`), with their pods."""

from boxship.cluster.access import Client
from boxship.cluster.controllers.workloads.jobs import ending
from boxship.cluster.controllers.workloads.jobs.controller import RESOURCE
from boxship.cluster.controllers.workloads.times import Now, seconds_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again


def time_left(job: Object | None, now: float) -> float | None:
    """Seconds until it goes; None: it stays."""
    if job is None or job["metadata"].get("deletionTimestamp"):
        return None
    life = job["spec"].get("ttlSecondsAfterFinished")
    if life is None or not ending.is_finished(job):
        return None
    ends = [one for one in job["status"]["conditions"] if one["type"] in (ending.COMPLETE, ending.FAILED)]
    finished = max(seconds_of(one.get("lastTransitionTime")) for one in ends if one["status"] == "True")
    return finished + float(life) - now


class JobAges:
    name = "ttl-after-finished-controller"
    workers = 2

    def __init__(self, client: Client, jobs: Cache, now: Now) -> None:
        self._client = client
        self._jobs = jobs
        self._now = now
        self.caches = (jobs,)
        self.queue: Queue[Key] = Queue()
        jobs.subscribe(self._changed)

    async def reconcile(self, key: Key) -> Again | None:
        left = time_left(self._jobs.get(key), self._now())
        if left is None:
            return None
        if left > 0:
            return Again(left + 0.01)
        try:
            job = await self._client.get(RESOURCE, *key)  # its time may just have been made longer
            if (again := time_left(job, self._now())) is None or again > 0:
                return None
            await self._client.delete(RESOURCE, *key, uid=job["metadata"]["uid"], propagation="Foreground")
        except Failure as failure:
            if failure.reason not in ("NotFound", "Conflict"):
                raise
        return None

    def _changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if time_left(new, 0.0) is not None:
            self.queue.add(key)
