"""Pods that wait for a job to count them, but whose job is gone, is over, or is no longer theirs: the finalizer comes
off, or they would stay for ever."""

from boxship.cluster.access import Client
from boxship.cluster.controllers.workloads.family import Family
from boxship.cluster.controllers.workloads.jobs import ending
from boxship.cluster.controllers.workloads.jobs.controller import CONTROLLER, let_go
from boxship.cluster.controllers.workloads.jobs.counting import FINALIZER
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again


class Leftovers:
    """A part of the job controller, acting as its account, with a queue of pods."""

    name = "job-controller-leftovers"
    workers = 2

    def __init__(self, client: Client, jobs: Cache, family: Family) -> None:
        pods = family.cache
        self._client = client
        self._jobs = jobs
        self._family = family
        self._pods = pods
        self.caches = (jobs, pods)
        self.queue: Queue[Key] = Queue()
        pods.subscribe(self._pod_changed)
        jobs.subscribe(self._job_changed)

    async def reconcile(self, key: Key) -> Again | None:
        pod: Pod | None = self._pods.get(key)
        if pod is None or FINALIZER not in pod.finalizers or self._is_awaited(pod):
            return None
        await let_go(self._client, pod)
        return None

    def _is_awaited(self, pod: Pod) -> bool:
        owner = pod.controller
        if owner is None:
            return not pod.is_done and not pod.deleted  # a job may adopt it
        job = self._jobs.get((pod.namespace, owner.name)) if owner.kind == "Job" else None
        if job is None or job["metadata"]["uid"] != owner.uid:
            return False
        return job["spec"].get("managedBy") not in (None, CONTROLLER) or not ending.is_finished(job)

    def _pod_changed(self, key: Key, old: Pod | None, new: Pod | None) -> None:
        if new is not None and FINALIZER in new.finalizers and not self._is_awaited(new):
            self.queue.add(key)

    def _job_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is not None and not ending.is_finished(new):
            return
        if new is not None and old is not None and ending.is_finished(old):
            return
        uid = (new or old or {}).get("metadata", {}).get("uid")
        for pod in self._family.children(uid or ""):
            if FINALIZER in pod.finalizers:
                self.queue.add(pod.key)
