"""CronJob at work."""

from collections.abc import Sequence

from boxship.cluster.access import Client
from boxship.cluster.controllers.workloads.crons import deciding, schedules
from boxship.cluster.controllers.workloads.family import Family, owner_of
from boxship.cluster.controllers.workloads.times import Now, stamp
from boxship.cluster.controllers.workloads.writing import Newest, is_namespace_ending, same_status
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again
from boxship.errors import BoxshipError, Invalid

RESOURCE, JOBS = "batch/v1/cronjobs", "batch/v1/jobs"
LONGEST_SLEEP = 300.0  # seconds: a clock that jumps forward is seen after that at the latest
FORBIDDEN = "Not starting job because prior execution is running and concurrency policy is Forbid"


class CronJobs:
    name = "cronjob-controller"
    workers = 5

    def __init__(self, client: Client, crons: Cache, jobs: Family, events: Events, now: Now) -> None:
        self._client = client
        self._crons = crons
        self._jobs = jobs
        self._events = events
        self._now = now
        self._newest = Newest()
        self.caches = (crons, jobs.cache)
        self.queue: Queue[Key] = Queue()
        crons.subscribe(self._cron_changed)
        jobs.cache.subscribe(self._job_changed)

    async def reconcile(self, key: Key) -> Again | None:
        cron = self._newest.of(key, self._crons.get(key))
        if cron is None:
            return None
        jobs = self._jobs.children(cron["metadata"]["uid"])
        seen = deciding.look(cron, await self._known(cron, jobs))
        for event in seen.events:
            self._events.tell(cron, *event)
        await self._clean(cron, jobs)
        cron = await self._write(cron, seen.status)
        if cron["metadata"].get("deletionTimestamp") or cron["spec"].get("suspend"):
            return None
        try:
            schedule = schedules.parse(cron["spec"].get("schedule") or "", cron["spec"].get("timeZone") or "")
            due = deciding.due(cron, schedule, self._now())
        except Invalid as error:
            text = f'unparseable schedule: "{cron["spec"].get("schedule")}" : {error}'
            self._events.tell(cron, "Warning", "UnparseableSchedule", text)
            return None
        if due.time:
            await self._run(cron, jobs, due)
        following = schedule.next(self._now())
        return Again(min(following - self._now() + 0.1, LONGEST_SLEEP)) if following is not None else None

    async def _known(self, cron: Object, jobs: Sequence[Object]) -> list[Object]:
        """The jobs, with active ones that the cache has not yet."""
        names = {job["metadata"]["name"] for job in jobs}
        found = list(jobs)
        for one in (cron.get("status") or {}).get("active") or ():
            if one["name"] not in names:
                try:
                    job = await self._client.get(JOBS, cron["metadata"]["namespace"], one["name"])
                except Failure as failure:
                    if failure.reason != "NotFound":
                        raise
                    continue
                owner = owner_of(job)
                if owner is not None and owner.uid == cron["metadata"]["uid"]:
                    found.append(job)
        return found

    async def _run(self, cron: Object, jobs: Sequence[Object], due: deciding.Due) -> None:
        if due.missed > deciding.MANY:
            self._events.tell(cron, "Warning", "TooManyMissedTimes", deciding.TOO_MANY)
        if deciding.is_too_late(cron, due.time, self._now()):
            text = f"Missed scheduled time to start a job: {stamp(due.time)}"
            self._events.tell(cron, "Warning", "MissSchedule", text)
            return
        status = cron.get("status") or {}
        name = deciding.job_name(cron, due.time)
        active = list(status.get("active") or ())
        if status.get("lastScheduleTime") == stamp(due.time) or any(one["name"] == name for one in active):
            return
        policy = cron["spec"].get("concurrencyPolicy")
        if policy == "Forbid" and active:
            self._events.tell(cron, "Normal", "JobAlreadyActive", FORBIDDEN)
            return
        if policy == "Replace":
            for one in active:
                await self._delete(cron, one["name"], one["uid"])
            active = []
        job = await self._create(cron, due.time)
        if job is None:
            return
        if deciding.is_running(job):
            active.append(deciding.job_reference(job))
        await self._write(cron, {**status, "active": active, "lastScheduleTime": stamp(due.time)})

    async def _create(self, cron: Object, time: float) -> Object | None:
        """None: the namespace ends."""
        wanted = deciding.make_job(cron, time)
        namespace, name = wanted["metadata"]["namespace"], wanted["metadata"]["name"]
        try:
            job = await self._client.create(JOBS, namespace, wanted)
        except BoxshipError as error:
            if is_namespace_ending(error):
                return None
            if isinstance(error, Failure) and error.reason == "AlreadyExists":
                job = await self._client.get(JOBS, namespace, name)
                owner = owner_of(job)
                if owner is not None and owner.uid == cron["metadata"]["uid"]:
                    return job  # we made it, and were ended before we could write it down
            self._events.tell(cron, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        self._events.tell(cron, "Normal", "SuccessfulCreate", f"Created job {name}")
        return job

    async def _delete(self, cron: Object, name: str, uid: str) -> None:
        try:
            await self._client.delete(JOBS, cron["metadata"]["namespace"], name, uid=uid, propagation="Background")
        except Failure as failure:
            if failure.reason in ("NotFound", "Conflict"):
                return
            self._events.tell(cron, "Warning", "FailedDelete", f"Deleted job: {failure}")
            raise
        self._events.tell(cron, "Normal", "SuccessfulDelete", f"Deleted job {name}")

    async def _clean(self, cron: Object, jobs: Sequence[Object]) -> None:
        for job in deciding.outdated(cron, jobs):
            await self._delete(cron, job["metadata"]["name"], job["metadata"]["uid"])

    async def _write(self, cron: Object, status: Object) -> Object:
        """Only to the version that it was decided on: a run that was written down must not be forgotten."""
        if same_status(cron.get("status") or {}, status):
            return cron
        written = await self._client.update(RESOURCE, {**cron, "status": status}, subresource="status")
        return self._newest.wrote(written)

    def _cron_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        self.queue.add(key)

    def _job_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        for job in (old, new):
            owner = owner_of(job) if job is not None else None
            if owner is not None and owner.kind == "CronJob":
                self.queue.add((key[0], owner.name))
