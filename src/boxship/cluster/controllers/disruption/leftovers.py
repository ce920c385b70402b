"""A pod that bears the word that it is about to be disrupted, and was not deleted within two minutes, is rid of it."""

import asyncio
from collections.abc import Callable, Sequence

from boxship.cluster.access import Client
from boxship.cluster.controllers.conditions import DISRUPTION, condition, has, write_condition
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again

STALE_SECONDS = 120.0


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


class StaleDisruptions:
    """`pods` keeps workloads' facts. The time counts from when this controller first saw it."""

    name = "stale-disruption-controller"
    workers = 1

    def __init__(self, client: Client, pods: Cache, now: Now, clock: Callable[[], float] = _loop_time) -> None:
        self.caches: Sequence[Cache] = (pods,)
        self.queue: Queue[Key] = Queue()
        self._client = client
        self._pods = pods
        self._now = now
        self._clock = clock
        self._since: dict[Key, tuple[str, float]] = {}
        pods.subscribe(self._changed)

    async def reconcile(self, key: Key) -> Again | None:
        pod: Pod | None = self._pods.get(key)
        if pod is None or not pod.is_active or not has(pod, DISRUPTION):
            self._since.pop(key, None)
            return None
        uid, since = self._since.get(key, ("", 0.0))
        if uid != pod.uid:
            since = self._clock()
            self._since[key] = (pod.uid, since)
        left = since + STALE_SECONDS - self._clock()
        if left > 0:
            return Again(left + 0.01)
        try:
            await write_condition(self._client, pod, condition(DISRUPTION, "False", self._now()))
        except Failure as failure:
            if failure.reason != "NotFound":
                raise
        self._since.pop(key, None)
        return None

    def _changed(self, key: Key, old: Pod | None, new: Pod | None) -> None:
        if key in self._since or (new is not None and new.is_active and has(new, DISRUPTION)):
            self.queue.add(key)
