"""Watches over nodes. Each renews its lease; who is silent for too long is written down as unknown, its pods as not
ready; taints say what a node is no place for. All follows from the node as it is and from when we last heard of it:
by our own clock, so that neither a node's clock nor a sleep of ours makes anybody silent.
"""

import asyncio
import functools
from collections.abc import Callable, Iterable, Sequence

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.controllers.conditions import condition, write_condition
from boxship.cluster.controllers.nodes.facts import LEASE_NAMESPACE, RESOURCE, Node
from boxship.cluster.controllers.nodes.health import (
    Limits,
    driving_out,
    is_driven_out,
    quiet_for,
    same_taints,
    taints_of,
    unknown_conditions,
)
from boxship.cluster.controllers.nodes.residents import Residents
from boxship.cluster.controllers.nodes.zones import Rates, Zones
from boxship.cluster.controllers.workloads.pods import RESOURCE as PODS
from boxship.cluster.controllers.workloads.pods import Pod, facts_of
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.controllers.workloads.writing import together
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again
from boxship.errors import BoxshipError

BEAT_SECONDS = 5.0
MARGIN_SECONDS = 0.01  # beyond a limit, so that it is surely reached


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


class Settings(msgspec.Struct, frozen=True):
    limits: Limits = Limits()
    rates: Rates = Rates()


class NodeLifecycle:
    """`nodes` keeps facts.Node, `leases` keeps facts.renewal_of. `clock` never goes back."""

    name = "node-lifecycle-controller"
    workers = 8

    def __init__(
        self,
        client: Client,
        nodes: Cache,
        leases: Cache,
        residents: Residents,
        events: Events,
        now: Now,
        settings: Settings,
        clock: Callable[[], float] = _loop_time,
    ) -> None:
        self.caches: Sequence[Cache] = (nodes, leases, residents.pods)
        self.queue: Queue[Key] = Queue()
        self._client = client
        self._nodes = nodes
        self._residents = residents
        self._events = events
        self._now = now
        self._clock = clock
        self._limits = settings.limits
        self._zones = Zones(settings.rates, clock, self._disrupted)
        self._deaf = False
        self._heard: dict[Key, float] = {}  # by our clock
        self._fallen: set[Key] = set()  # were ready, and their pods are still said to be
        self._beat: float | None = None
        nodes.subscribe(self._changed)
        leases.subscribe(self._renewed)

    async def run(self) -> None:
        """Without end: a beat. Where it comes late, we were asleep ourselves: that time is nobody's silence."""
        self._beat = self._clock()
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            late = self._clock() - self._beat - BEAT_SECONDS
            if late > BEAT_SECONDS:
                for key in self._heard:
                    self._heard[key] += late
            self._beat = self._clock()

    async def reconcile(self, key: Key) -> Again | None:
        node: Node | None = self._nodes.get(key)
        if node is None:
            self._heard.pop(key, None)
            self._fallen.discard(key)
            return None
        if self._beat is None or self._clock() - self._beat > 2 * BEAT_SECONDS:
            return Again(0.1)  # we were asleep, and do not know yet for how long
        left = quiet_for(node, self._clock() - self._heard[key], self._limits)
        if left == 0.0 and node.ready != "Unknown":
            await self._write_unknown(node)
            return None  # what was written comes back as news
        wait = await self._write_taints(node, left)
        if key in self._fallen:
            await self._write_pods(node, await self._read_pods(node))
            self._fallen.discard(key)
        elif node.ready == "Unknown":
            await self._write_pods(node, self._residents.of(node.name))
        waits = [seconds for seconds in (wait, left if node.ready != "Unknown" else 0.0) if seconds]
        return Again(min(waits) + MARGIN_SECONDS) if waits else None

    async def _write_unknown(self, node: Node) -> None:
        known = await self._client.get(RESOURCE, "", node.name)
        if known["metadata"].get("resourceVersion") != node.version:
            return  # there is news on its way
        status = known.get("status") or {}
        created = known["metadata"].get("creationTimestamp", "")
        conditions = unknown_conditions(status.get("conditions") or (), created, self._now())
        await self._client.update(
            RESOURCE, {**known, "status": {**status, "conditions": conditions}}, subresource="status"
        )

    async def _write_taints(self, node: Node, left: float) -> float | None:
        """Seconds until the node may be emptied, where it has to wait for that: also until we missed it for long enough
        ourselves (`left`), as after a restart of everything some come back later than others."""
        wait: float | None = None
        emptied = False
        if driving_out(node) and not self._zones.is_deaf:
            emptied = is_driven_out(node)
            if not emptied:
                wait = left if node.ready == "Unknown" and left else self._zones.wait(node)
                emptied = wait == 0.0
        taints = taints_of(node, emptied, self._now())
        if not same_taints(taints, node.taints):
            metadata = {"uid": node.uid, "resourceVersion": node.version}
            await self._client.patch(RESOURCE, "", node.name, {"metadata": metadata, "spec": {"taints": [*taints]}})
        return wait

    async def _read_pods(self, node: Node) -> list[Pod]:
        """Its pods as they are: that one is ready may not have come to our cache yet, and nobody would ask again."""
        found = await self._client.list(PODS, fields=f"spec.nodeName={node.name}")
        pods = [facts_of(item) for item in found.items]
        return [pod for pod in pods if pod.node == node.name]

    async def _write_pods(self, node: Node, pods: Iterable[Pod]) -> None:
        """Its pods are not ready: whoever sends them something must know."""
        not_ready = condition("Ready", "False", self._now())

        async def write(pod: Pod) -> None:
            self._events.tell(about(pod), "Warning", "NodeNotReady", "Node is not ready")
            try:
                await write_condition(self._client, pod, not_ready)
            except Failure as failure:
                if failure.reason != "NotFound":
                    raise

        failures: list[BoxshipError] = await together([functools.partial(write, pod) for pod in pods if pod.ready])
        if failures:
            raise failures[0]

    def _changed(self, key: Key, old: Node | None, new: Node | None) -> None:
        is_live = self._nodes.is_ready
        if new is None:
            if old is not None and is_live:
                self._tell(old, "RemovingNode", f"Node {old.name} event: Removing Node {old.name} from Controller")
        elif old is None or old.uid != new.uid:
            self._heard[key] = self._clock()
            if is_live:
                self._tell(new, "RegisteredNode", f"Node {new.name} event: Registered Node {new.name} in Controller")
        else:
            if old.heartbeat != new.heartbeat and new.ready != "Unknown":
                self._heard[key] = self._clock()
            if old.ready == "True" != new.ready:
                self._fallen.add(key)
                self._tell(new, "NodeNotReady", f"Node {new.name} status is now: NodeNotReady")
        self._zones.see(old, new)
        self.queue.add(key)

    def _renewed(self, key: Key, old: str | None, new: str | None) -> None:
        place = ("", key[1])
        if key[0] == LEASE_NAMESPACE and new and place in self._heard:
            self._heard[place] = self._clock()

    def _disrupted(self) -> None:
        """Zones are more or less well than before: who waits may go on, or must not."""
        if self._deaf and not self._zones.is_deaf:
            for key in self._heard:  # we hear again: give the others time to be heard
                self._heard[key] = self._clock()
        self._deaf = self._zones.is_deaf
        for key, node in self._nodes.items():
            if node.ready != "True" or is_driven_out(node):
                self.queue.add(key)

    def _tell(self, node: Node, reason: str, message: str) -> None:
        self._events.tell(node.about, "Normal", reason, message)


def about(pod: Pod) -> dict[str, object]:
    """As events name it."""
    metadata = {"namespace": pod.namespace, "name": pod.name, "uid": pod.uid, "resourceVersion": pod.version}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
