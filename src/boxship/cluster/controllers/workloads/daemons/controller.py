"""DaemonSet at work."""

from collections import defaultdict
from collections.abc import Sequence

from boxship.cluster.access import Client
from boxship.cluster.controllers.workloads import revisions
from boxship.cluster.controllers.workloads.claiming import claim
from boxship.cluster.controllers.workloads.daemons import deciding, places
from boxship.cluster.controllers.workloads.expecting import Expectations
from boxship.cluster.controllers.workloads.family import Family, Parents
from boxship.cluster.controllers.workloads.pods import RESOURCE as PODS
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.controllers.workloads.replicas.deciding import next_look, selector_of
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.controllers.workloads.working import PodWork
from boxship.cluster.controllers.workloads.writing import Newest, write_status
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again
from boxship.errors import BoxshipError

RESOURCE = "apps/v1/daemonsets"
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 900.0  # seconds between pods that fail on one node


class Failing:
    """How long failed pods stay before they are replaced, for each node: longer each time. Only this is in memory
    alone: forgotten, it merely begins anew."""

    def __init__(self) -> None:
        self._until: dict[tuple[Key, str], tuple[float, float]] = {}  # pause, until when

    def pauses(self, key: Key) -> dict[str, float]:
        return {node: until for (owner, node), (_, until) in self._until.items() if owner == key}

    def replaced(self, key: Key, node: str, now: float) -> None:
        pause, until = self._until.get((key, node), (FIRST_PAUSE / 2, now))
        pause = FIRST_PAUSE if now - until > 2 * LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
        self._until[(key, node)] = (pause, now + pause)

    def forget(self, key: Key) -> None:
        for place in [place for place in self._until if place[0] == key]:
            del self._until[place]


class DaemonSets:
    name = "daemon-set-controller"
    workers = 2

    def __init__(
        self, client: Client, owners: Cache, history: Family, pods: Family, nodes: Cache, events: Events, now: Now
    ) -> None:
        self._client = client
        self._owners = owners
        self._history = history
        self._pods = pods
        self._nodes = nodes
        self._events = events
        self._now = now
        self._newest = Newest()
        self._failing = Failing()
        self._work = PodWork(client, Expectations(pods.cache, now), events, pods.cache)
        self.caches = (owners, history.cache, pods.cache, nodes)
        self.queue: Queue[Key] = Queue()
        parents = Parents("DaemonSet", owners, selector_of, self.queue.add)
        pods.cache.subscribe(parents.child_changed)
        nodes.subscribe(self._node_changed)

    async def reconcile(self, key: Key) -> Again | None:
        daemons = self._newest.of(key, self._owners.get(key))
        if daemons is None:
            self._work.forget(key)
            self._failing.forget(key)
            return None
        selector = selector_of(daemons)
        if selector.everything:
            text = "This daemon set is selecting all pods. A non-empty selector is required."
            self._events.tell(daemons, "Warning", "SelectingAll", text)
            return None
        waits = await self._work.waits(key, daemons, selector)  # before the pods are looked at, or they may be too old
        found: list[Pod] = await claim(self._client, RESOURCE, PODS, daemons, selector, self._pods)
        if daemons["metadata"].get("deletionTimestamp"):
            return None
        history = await claim(self._client, RESOURCE, revisions.RESOURCE, daemons, selector, self._history)
        settled = await revisions.settle(self._client, daemons, history, revisions.HASH)
        if settled.wanted is None:
            status = {**(daemons.get("status") or {}), "collisionCount": settled.collisions}
            self._newest.wrote(await self._client.update(RESOURCE, {**daemons, "status": status}, subresource="status"))
            return None
        return await self._settle(key, daemons, found, settled, waits)

    async def _settle(
        self, key: Key, daemons: Object, found: Sequence[Pod], settled: revisions.Settled, waits: float
    ) -> Again | None:
        assert settled.wanted is not None
        revision = settled.wanted["metadata"]["labels"][revisions.HASH]
        now = self._now()
        where = {name: places.place(daemons, node) for (_, name), node in self._nodes.items()}
        pods = by_node(found)
        failure, again = None, 0.0
        if not waits:
            plan = deciding.place_pods(daemons, where, pods, revision, now, self._failing.pauses(key))
            again = plan.again
            failure = await self._carry_out(key, daemons, plan, revision)
            if failure is None and not plan.create and not plan.delete:
                step = deciding.update(daemons, where, pods, revision, now)
                failure = await self._carry_out(key, daemons, step, revision)
        status = deciding.status_of(daemons, where, pods, revision, settled.collisions, now)
        written = await write_status(self._client, RESOURCE, daemons, status)
        if written is not None:
            self._newest.wrote(written)
        if failure is not None:
            raise failure
        await self._clean(daemons, found, settled, revision)
        look = next_look(daemons, [pod for pod in found if pod.is_active], now)
        soonest = [one for one in (again, waits, look) if one]
        return Again(min(soonest)) if soonest else None

    async def _carry_out(self, key: Key, daemons: Object, plan: deciding.Plan, revision: str) -> BoxshipError | None:
        for event in plan.events:
            self._events.tell(daemons, *event)
        for pod in plan.delete:
            if pod.phase == "Failed":
                self._failing.replaced(key, pod.target, self._now())
        failure = await self._work.delete(key, daemons, plan.delete)
        if failure is None and plan.create:
            made = [places.make_pod(daemons, node, revision) for node in plan.create]
            failure = await self._work.create(key, daemons, made)
        return failure

    async def _clean(self, daemons: Object, pods: Sequence[Pod], settled: revisions.Settled, revision: str) -> None:
        limit = daemons["spec"].get("revisionHistoryLimit")
        if limit is None:
            return
        hashes = {pod.labels.get(revisions.HASH) for pod in pods} | {revision}
        live = {
            one["metadata"]["name"]
            for one in settled.all
            if (one["metadata"].get("labels") or {}).get(revisions.HASH) in hashes
        }
        # The live ones count towards the limit, but for the newest.
        await revisions.clean(self._client, revisions.outdated(settled.all, live, max(limit - len(live) + 1, 0)))

    def _node_changed(self, key: Key, old: places.Node | None, new: places.Node | None) -> None:
        if old != new:  # the state of a node changes often, what matters of it here seldom
            for owner, _ in self._owners.items():
                self.queue.add(owner)


def by_node(pods: Sequence[Pod]) -> dict[str, list[Pod]]:
    found: dict[str, list[Pod]] = defaultdict(list)
    for pod in pods:
        if pod.target:
            found[pod.target].append(pod)
    return dict(found)
