"""Takes away pods that nobody else will: those of nodes that are no more (after a while, and after asking the API
itself), those that are to go and never had a node, those on nodes that an administrator has declared dead, and the
oldest finished ones where there are too many.

Only what cannot run any more is taken away, except under the taint `out-of-service`, which says just that.
"""

import asyncio
from collections.abc import Callable, Sequence

from boxship.cluster.access import Client
from boxship.cluster.controllers.conditions import DISRUPTION, condition, has, write_condition
from boxship.cluster.controllers.nodes.facts import RESOURCE as NODES
from boxship.cluster.controllers.nodes.facts import Node
from boxship.cluster.controllers.nodes.residents import Residents
from boxship.cluster.controllers.workloads.pods import RESOURCE, Pod
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again

FINISHED_LIMIT = 12_500
QUARANTINE_SECONDS = 40.0
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
REASON, MESSAGE = "DeletionByPodGC", "PodGC: node no longer exists"


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def is_out_of_service(node: Node) -> bool:
    return node.ready != "True" and any(taint.get("key") == OUT_OF_SERVICE for taint in node.taints)


class PodGarbage:
    """`nodes` keeps facts.Node."""

    name = "pod-garbage-collector"
    workers = 4

    def __init__(
        self,
        client: Client,
        nodes: Cache,
        residents: Residents,
        now: Now,
        limit: int = FINISHED_LIMIT,
        clock: Callable[[], float] = _loop_time,
    ) -> None:
        self.caches: Sequence[Cache] = (nodes, residents.pods)
        self.queue: Queue[Key] = Queue()
        self._client = client
        self._nodes = nodes
        self._pods = residents.pods
        self._residents = residents
        self._now = now
        self._limit = limit
        self._clock = clock
        self._gone: dict[str, float] = {}  # nodes that are not there, since when by our clock
        self._finished: dict[Key, None] = {}
        residents.pods.subscribe(self._pod_changed)
        nodes.subscribe(self._node_changed)

    async def reconcile(self, key: Key) -> Again | None:
        pod: Pod | None = self._pods.get(key)
        if pod is None:
            return None
        if not pod.node:
            if pod.deleted and not pod.finalizers:
                await self._take_away(pod)
            return None
        node: Node | None = self._nodes.get(("", pod.node))
        if node is None:
            return await self._orphan(pod)
        if pod.deleted and is_out_of_service(node):
            await self._take_away(pod)
        return None

    async def run(self) -> None:
        """Without end: what has no node since before we began; then the oldest of too many finished pods."""
        for cache in self.caches:
            await cache.ready()
        for node in self._residents.nodes():
            if self._nodes.get(("", node)) is None:
                for key in self._residents.keys(node):
                    self.queue.add(key)
        while self._limit:
            await asyncio.sleep(20.0)
            if len(self._finished) > self._limit:
                await self._sweep()

    async def _sweep(self) -> None:
        pods: list[Pod] = [pod for pod in map(self._pods.get, list(self._finished)) if pod and not pod.deleted]
        pods.sort(key=lambda pod: (pod.created, pod.name))
        for pod in pods[: len(pods) - self._limit]:
            try:
                await self._take_away(pod)
            except Failure as failure:
                if failure.reason != "Conflict":
                    return  # the next round tries again

    async def _orphan(self, pod: Pod) -> Again | None:
        since = self._gone.setdefault(pod.node, self._clock())
        left = since + QUARANTINE_SECONDS - self._clock()
        if left > 0:
            return Again(left + 0.01)
        try:
            await self._client.get(NODES, "", pod.node)
        except Failure as failure:
            if failure.reason != "NotFound":
                raise
        else:
            self._gone.pop(pod.node, None)
            return None  # our memory lags; the news of the node brings the pod back here
        await self._take_away(pod, disrupted=True)
        return None

    async def _take_away(self, pod: Pod, *, disrupted: bool = False) -> None:
        """It can write its end itself no more, so we do; then it goes without grace."""
        phase = "" if pod.is_done else "Failed"
        wanted = condition(DISRUPTION, "True", self._now(), REASON, MESSAGE) if disrupted else None
        if wanted is not None and (pod.is_done or has(pod, DISRUPTION)):
            wanted = None
        try:
            if phase or wanted:
                await write_condition(self._client, pod, wanted, phase)
            await self._client.delete(RESOURCE, pod.namespace, pod.name, uid=pod.uid, grace=0)
        except Failure as failure:
            if failure.reason != "NotFound":
                raise

    def _pod_changed(self, key: Key, old: Pod | None, new: Pod | None) -> None:
        if new is None:
            self._finished.pop(key, None)
            return
        if new.is_done:
            self._finished[key] = None
        if not new.node:
            if new.deleted:
                self.queue.add(key)
        elif self._nodes.is_ready:
            node: Node | None = self._nodes.get(("", new.node))
            if node is None or (new.deleted and is_out_of_service(node)):
                self.queue.add(key)

    def _node_changed(self, key: Key, old: Node | None, new: Node | None) -> None:
        if new is not None:
            self._gone.pop(key[1], None)
        if new is None or is_out_of_service(new):
            for pod in self._residents.keys(key[1]):
                self.queue.add(pod)
