"""The node agent: one worker for each pod that the API binds to this node, the node's own status, and what is left over
from pods that are gone.

It must keep no truth: what the API and the runtime say is what counts, so that it may be killed at any moment.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.node.eviction.collecting import Limits
from boxship.cluster.node.eviction.keeping import Evictor
from boxship.cluster.node.eviction.pressure import HELD_SECONDS, THRESHOLDS, Threshold
from boxship.cluster.node.images import Images
from boxship.cluster.node.life import admitting
from boxship.cluster.node.life.admitting import Taken
from boxship.cluster.node.life.starting import Asks, Gate, NoGate, NoTraffic, Tools, Traffic, settle
from boxship.cluster.node.life.values import Ending, Room
from boxship.cluster.node.life.worker import PodWorker
from boxship.cluster.node.planning import Planner, PodVolumes
from boxship.cluster.node.probes.asking import Asker
from boxship.cluster.node.pulled import PullRecords, Verification
from boxship.cluster.node.runtime import Runtime
from boxship.cluster.node.static import Manifests
from boxship.cluster.node.static_keeping import StaticPods
from boxship.cluster.node.status.facts import NodeFacts
from boxship.cluster.node.status.reporting import Reporter
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.recording import Recorder
from boxship.errors import BoxshipError
from boxship.waiting.together import together

log = logging.getLogger(__name__)

COMPONENT = "kubelet"  # whose events these are, for those who filter by it
TROUBLE_SECONDS = 1.0
EVENTS_RATE, EVENTS_BURST = 50.0, 50  # a second, and at once


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`static_folder`: pods whose manifests lie there run without the API; "" for none."""

    static_folder: str = ""
    thresholds: tuple[Threshold, ...] = THRESHOLDS
    images: Limits = Limits()
    verification: Verification = Verification()
    watches_node: bool = True  # else its own Node is only looked at from time to time
    held: float = HELD_SECONDS


class NodeAgent:
    """For one node. Also what the agent's server asks of pods: `find` and `all`."""

    def __init__(
        self,
        client: Client,
        runtime: Runtime,
        planner: Planner,
        volumes: PodVolumes,
        facts: NodeFacts,
        *,
        clock: Callable[[], float] = time.time,
        asks: Asks | None = None,
        options: Options | None = None,
        pace: Callable[[], float] = time.perf_counter,
        traffic: Traffic | None = None,
        gate: Gate | None = None,
        pulled: PullRecords | None = None,
    ) -> None:
        self._runtime = runtime
        self._volumes = volumes
        self._options = options or Options()
        self._recorder = Recorder(clock, rate=EVENTS_RATE, burst=EVENTS_BURST)
        self._asker = Asker(runtime)
        self._images = Images(client, runtime, pulled, self._options.verification)
        events = self._recorder.events_of(client, COMPONENT, facts.name)
        self._tools = Tools(
            client,
            runtime,
            planner,
            volumes,
            self._images,
            asks or self._asker,
            events,
            facts,
            clock,
            self._room,
            traffic or NoTraffic(),
            gate or NoGate(),
        )
        self._pods = Cache(client, "v1/pods", fields=f"spec.nodeName={facts.name}", pace=pace)
        watching = pace if self._options.watches_node else None
        self._reporter = Reporter(client, runtime, facts, clock, self._pressures, events, watching)
        self._workers: dict[str, PodWorker] = {}
        self._evictor = Evictor(
            self._tools,
            self._workers,
            self._options.thresholds,
            self._options.images,
            self._reporter.look,
            lambda: self.node,
            self._options.held,
        )
        folder = self._options.static_folder
        manifests = Manifests(folder, facts.name) if folder else None
        self._statics = StaticPods(client, manifests, self._workers, self._begin_static, self._pods)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._doubted: dict[str, Object] = {}  # pods that may have to be refused

    def find(self, namespace: str, name: str) -> Object | None:
        """A pod that is here, with its status as it is known here. One that was deleted by force may still be ending
        while another of its name runs: that one is meant."""
        found = None
        for worker in self._workers.values():
            metadata = worker.pod["metadata"]
            if (metadata.get("namespace"), metadata["name"]) == (namespace, name):
                found = worker.pod
                if not worker.is_lost:
                    return found
        return found

    def all(self) -> Sequence[Object]:
        return [worker.pod for worker in self._workers.values()]

    async def ready(self) -> None:
        """Wait until all pods of the node are known."""
        await self._pods.ready()

    @property
    def node(self) -> Object:
        """Our Node as it was last read; empty before it is registered."""
        return self._reporter.node

    async def run(self) -> None:
        """Without end. What runs goes on running when this ends."""
        try:
            await together(
                (
                    self._recorder.run(),
                    self._listen(),
                    self._evictor.run(),
                    self._statics.run(self._tools.now, lambda: self.node),
                    self._follow(),
                )
            )
        finally:
            await settle(list(self._tasks.values()))
            await self._images.close()
            await self._asker.close()

    async def _follow(self) -> None:
        """What the API has to say; static pods run without it."""
        await self._reporter.register()  # whether a pod is welcome depends on the node
        self._pods.subscribe(self._told)
        await together((self._reporter.run(), self._pods.run(), self._take_leftovers()))

    def _room(self, uid: str) -> Room:
        """For a pod that wants other resources, beside all the others that are here."""
        return admitting.room_for((self.node.get("status") or {}).get("allocatable") or {}, self._others(uid))

    def _others(self, uid: str) -> list[Taken]:
        """What the other pods take."""
        found = (worker.taken for key, worker in self._workers.items() if key != uid)
        return [taken for taken in found if taken is not None]

    def _refusal(self, pod: Object) -> Ending | None:
        """Of a pod that the node sees for the first time."""
        if (pod.get("status") or {}).get("startTime") or pod["metadata"].get("deletionTimestamp") or not self.node:
            return None
        return admitting.refusal_of(pod, self.node, self._others(pod["metadata"]["uid"]), self._tools.now())

    async def _look_again(self, uid: str) -> None:
        """Before a pod is refused: the node may have changed since it was read."""
        while uid in self._doubted:
            try:
                await self._reporter.read()
                break
            except BoxshipError as error:
                log.warning("cannot read our node: %s", error)
                await asyncio.sleep(TROUBLE_SECONDS)
        pod = self._doubted.pop(uid, None)
        self._tasks.pop(uid, None)
        if pod is None:
            return
        refusal = self._refusal(pod)
        if refusal is not None:
            self._tools.tell(pod, "Warning", refusal.reason, refusal.message.removeprefix(admitting.REFUSED))
        self._begin(pod, refusal=refusal)

    def _pressures(self) -> Mapping[str, bool]:
        return self._evictor.pressures()

    def _told(self, key: Key, old: Object | None, new: Object | None) -> None:
        """By the cache: a pod of this node has come, changed or gone."""
        if self._statics.told(new, old):
            return
        was = old["metadata"]["uid"] if old is not None else ""
        now = new["metadata"]["uid"] if new is not None else ""
        if was and was != now:
            self._doubted.pop(was, None)
            if was in self._workers:
                self._workers[was].lost()
                for worker in self._workers.values():
                    worker.offer_room()
        if new is None:
            return
        if now in self._workers:
            self._workers[now].changed(new)
        elif now in self._doubted:
            self._doubted[now] = new
        elif self._refusal(new) is None:
            self._begin(new)
        else:
            self._doubted[now] = new
            self._tasks[now] = asyncio.ensure_future(self._look_again(now))

    def _begin_static(self, pod: Object) -> None:
        self._begin(pod, static=True)

    def _begin(self, pod: Object, *, gone: bool = False, refusal: Ending | None = None, static: bool = False) -> None:
        worker = PodWorker(pod, self._tools, gone=gone, refusal=refusal, static=static)
        self._workers[worker.uid] = worker
        task = asyncio.ensure_future(self._work(worker))
        self._tasks[worker.uid] = task

    async def _work(self, worker: PodWorker) -> None:
        """A worker that breaks is made anew: nothing that counts is in it."""
        while True:
            try:
                await worker.run()
                break
            except Exception:
                log.exception("the worker of pod %s broke", worker.uid)
                await asyncio.sleep(TROUBLE_SECONDS)
        self._workers.pop(worker.uid, None)
        self._tasks.pop(worker.uid, None)

    async def _listen(self) -> None:
        """To the runtime."""
        while True:
            try:
                async for uid in self._runtime.changes():
                    worker = self._workers.get(uid)
                    if worker is not None:
                        worker.wake()
            except BoxshipError as error:
                log.warning("cannot hear of containers: %s", error)
            await asyncio.sleep(TROUBLE_SECONDS)
            for worker in self._workers.values():
                worker.wake()

    async def _take_leftovers(self) -> None:
        """Once: what is on this machine of pods that the API does not have any more."""
        await self._pods.ready()
        await self._statics.looked.wait()
        found: dict[str, Object] = {}
        for uid in sorted(self._volumes.known()):
            found[uid] = _orphan(uid, "", "")
        for sandbox in await self._runtime.sandboxes():
            found[sandbox.spec.uid] = _orphan(sandbox.spec.uid, sandbox.spec.namespace, sandbox.spec.name)
        for uid, pod in found.items():
            if uid not in self._workers:
                self._begin(pod, gone=True)


def _orphan(uid: str, namespace: str, name: str) -> Object:
    """As much of a pod as is needed to end it."""
    spec = {"containers": [], "terminationGracePeriodSeconds": 1}
    metadata = {"uid": uid, "name": name or uid, "namespace": namespace or "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}
