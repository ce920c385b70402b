"""Deletes pods whose node has taints that drive them out: at once, or when the time for which they tolerate these is
over. The time counts from when this controller first saw both, so that after a restart a node has its time again.
"""

import asyncio
from collections.abc import Callable, Sequence

from boxship.cluster.access import Client
from boxship.cluster.controllers.conditions import DISRUPTION, condition, has, write_condition
from boxship.cluster.controllers.nodes.facts import Node
from boxship.cluster.controllers.nodes.lifecycle import about
from boxship.cluster.controllers.nodes.residents import Residents
from boxship.cluster.controllers.workloads.pods import RESOURCE, Pod, TimedToleration
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.tolerations import covers, taint_of
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again

REASON, MESSAGE = "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def driving(node: Node | None) -> tuple[Object, ...]:
    """Its taints that drive pods out."""
    return tuple(taint for taint in node.taints if taint.get("effect") == "NoExecute") if node is not None else ()


def tolerated_for(tolerations: Sequence[TimedToleration], taints: Sequence[Object]) -> float | None:
    """Seconds for which a pod stays on a node with these taints; None: for ever. One toleration of a taint is enough;
    of all tolerations that any of them needs, the shortest counts."""
    used: list[TimedToleration] = []
    for taint in taints:
        found = [one for one in tolerations if covers(one, taint_of(taint))]
        if not found:
            return 0.0
        used += found
    seconds = [max(one.seconds, 0) for one in used if one.seconds is not None]
    return float(min(seconds)) if seconds else None


class TaintEviction:
    """`nodes` keeps facts.Node."""

    name = "taint-eviction-controller"
    workers = 8

    def __init__(
        self,
        client: Client,
        nodes: Cache,
        residents: Residents,
        events: Events,
        now: Now,
        clock: Callable[[], float] = _loop_time,
    ) -> None:
        self.caches: Sequence[Cache] = (nodes, residents.pods)
        self.queue: Queue[Key] = Queue()
        self._client = client
        self._nodes = nodes
        self._residents = residents
        self._events = events
        self._now = now
        self._clock = clock
        self._since: dict[Key, tuple[str, float]] = {}  # pods that are to go: uid, when that was seen
        nodes.subscribe(self._node_changed)
        residents.pods.subscribe(self._pod_changed)

    async def reconcile(self, key: Key) -> Again | None:
        pod: Pod | None = self._residents.pods.get(key)
        if pod is None or pod.deleted or not pod.node:
            self._since.pop(key, None)
            return None
        taints = driving(self._nodes.get(("", pod.node)))
        seconds = tolerated_for(pod.tolerations, taints) if taints else None
        if seconds is None:
            if self._since.pop(key, None) is not None:
                self._events.tell(
                    about(pod), "Normal", "TaintManagerEviction", f"Cancelling deletion of Pod {key[0]}/{key[1]}"
                )
            return None
        uid, since = self._since.get(key, ("", 0.0))
        if uid != pod.uid:
            since = self._clock()
            self._since[key] = (pod.uid, since)
        left = since + seconds - self._clock()
        if left > 0:
            return Again(left + 0.01)
        await self._delete(pod)
        self._since.pop(key, None)
        return None

    async def _delete(self, pod: Pod) -> None:
        where = f"Marking for deletion Pod {pod.namespace}/{pod.name}"
        self._events.tell(about(pod), "Normal", "TaintManagerEviction", where)
        try:
            if not has(pod, DISRUPTION):
                await write_condition(self._client, pod, condition(DISRUPTION, "True", self._now(), REASON, MESSAGE))
            await self._client.delete(RESOURCE, pod.namespace, pod.name, uid=pod.uid)
        except Failure as failure:
            if failure.reason != "NotFound":
                raise

    def _node_changed(self, key: Key, old: Node | None, new: Node | None) -> None:
        if new is not None and driving(old) != driving(new):
            for pod in self._residents.keys(new.name):
                self.queue.add(pod)

    def _pod_changed(self, key: Key, old: Pod | None, new: Pod | None) -> None:
        if new is None or new.deleted:
            self._since.pop(key, None)
            return
        news = old is None or old.node != new.node or old.tolerations is not new.tolerations
        if new.node and news and (key in self._since or driving(self._nodes.get(("", new.node)))):
            self.queue.add(key)
