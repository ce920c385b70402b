"""The scheduler at work: pods that wait are taken one after the other, a node is decided on, and the API is told. The
snapshot has each decision at once; what the API refuses is taken back.

Nothing is kept but what the API can tell again. It must never wait for the API between two decisions, nor decide for
longer than others can wait.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import run_all
from boxship.cluster.scheduler import claiming
from boxship.cluster.scheduler.claiming import Claiming
from boxship.cluster.scheduler.deciding import Decision, Profile, decide
from boxship.cluster.scheduler.explaining import Explanation, explain
from boxship.cluster.scheduler.feeding import PODS, Feed
from boxship.cluster.scheduler.preemption import Preemption, preempting
from boxship.cluster.scheduler.profiles import DEFAULT, Settings
from boxship.cluster.scheduler.reporting import Reports
from boxship.cluster.scheduler.shapes import Key, Pod, Shape, pod_of
from boxship.cluster.scheduler.waiting import FIRST_PAUSE, FORGOTTEN, LONGEST_PAUSE, Waiting
from boxship.cluster.scheduler.world import World
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

AT_ONCE = 32  # requests
EVENTS = 10_000  # that wait to be told, one after the other: pods go first
AHEAD = 64  # decisions that the API has not heard of yet
SLICE_SECONDS = 0.002  # of deciding, before others have their turn
TELL_AGAIN = 300.0  # seconds after which the same failure is told once more
TOLD = 10_000  # pods whose last failure is remembered
HELPED_NODES, HELPED_LOOKS = 500, 5  # nodes up to which events say what would help, and that are looked at
HELP_SECONDS, HELP_SHARE = 30.0, 50  # for which that is thought; one part in so many of the time goes to it
DECIDED = 64  # shapes whose last failure is remembered


class Scheduler:
    """For all pods that name one of the settings' profiles."""

    def __init__(
        self,
        client: Client,
        settings: Settings = DEFAULT,
        *,
        instance: str = "boxship",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.world = World()
        self.waiting = Waiting(settings.first_pause, settings.longest_pause)
        self._client = client
        self._profiles = settings.profiles
        self._reports = Reports(client, instance, now)
        self._claiming = Claiming(client, self.world)
        self._feed = Feed(client, self.world, self._hinted, self._told)
        self._wake = asyncio.Event()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._events: asyncio.Queue[Any] = asyncio.Queue(EVENTS)
        self._open = 0  # decisions that the API has not heard of yet
        self._is_full = False  # too many of them: deciding waits
        self._noted: dict[str, tuple[str, float]] = {}
        self._failures: dict[tuple[Shape, str], tuple[int, Decision, Preemption]] = {}
        self._helped: dict[Shape, tuple[str, float]] = {}  # what would help, and until when that is thought
        self._help_after = 0.0
        self.counts: Counter[str] = Counter()  # decisions by what came of them, preemptions, victims

    async def run(self) -> None:
        """Without end."""
        async with asyncio.TaskGroup() as tasks:
            await run_all(tasks, self._feed.caches)
            await self._work(tasks)

    # Pods that come, change and go.

    def _told(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and (new is None or new.uid != old.uid):
            self._drop(old.uid)
        if new is None:
            return
        if not new.is_waiting or new.gates or new.shape.profile not in self._profiles:
            self._drop(new.uid)
        elif not self._feed.is_assumed(new.uid):
            self.waiting.put(new, self._time())
            self._wake.set()

    def _drop(self, uid: str) -> None:
        self.waiting.remove(uid)
        self._noted.pop(uid, None)

    def _hinted(self, plugins: frozenset[str] | None) -> None:
        self.waiting.hint(plugins, self._time())
        self._claiming.heard()
        self._wake.set()

    def explain(self, namespace: str, name: str) -> Explanation | None:
        """Why a pod is where it is, or nowhere; None: there is no such pod, or it is another scheduler's."""
        pod = self._feed.pods.get((namespace, name))
        profile = None if pod is None else self._profiles.get(pod.shape.profile)
        if pod is None or profile is None:
            return None
        budgets = [budget for _, budget in self._feed.budgets.items() if budget is not None]
        return explain(self.world, pod, profile, budgets)

    async def look(self, namespace: str, name: str) -> Explanation | None:
        """Like `explain`, of a scheduler that does not run: it reads everything once, and decides nothing."""
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(cache.run()) for cache in self._feed.caches]
            for cache in self._feed.caches:
                await cache.ready()
            found = self.explain(namespace, name)
            for task in following:
                task.cancel()
        return found

    # Decisions.

    async def _work(self, tasks: asyncio.TaskGroup) -> None:
        tasks.create_task(self._look_again())
        tasks.create_task(self._speak())
        while True:
            self._wake.clear()
            began = self._time()
            while self._open < AHEAD and (pod := self.waiting.take(self._time())) is not None:
                try:
                    await self._settle(pod, tasks)
                except Exception:
                    log.exception("cannot decide on pod %s/%s", *pod.key)
                    self.counts["error"] += 1
                    self.waiting.pause(pod.uid, self._time())
                if self._time() - began > SLICE_SECONDS:
                    await asyncio.sleep(0)
                    began = self._time()
            self._is_full = self._open >= AHEAD
            due = None if self._is_full else self.waiting.next_due()
            try:
                async with asyncio.timeout(None if due is None else max(due - self._time(), 0.001)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _look_again(self) -> None:
        """Whatever was overlooked: at last now."""
        while True:
            await asyncio.sleep(FORGOTTEN / 2)
            if len(self.waiting):
                self.waiting.look_again(self._time())
                self._wake.set()

    async def _settle(self, pod: Pod, tasks: asyncio.TaskGroup) -> None:
        profile = self._profiles[pod.shape.profile]
        version, known = self.world.version, self._failures.get((pod.shape, pod.nominated))
        if known is not None and known[0] == version:  # as for one that is like it, a moment ago
            decision = msgspec.structs.replace(known[1], pod=pod)
        else:
            known, decision = None, decide(self.world, pod, profile)
        self.counts["scheduled" if decision.node else "unschedulable"] += 1
        if decision.node:
            wanted = self._wanted(pod, decision.node)
            self._feed.assume(msgspec.structs.replace(pod, node=decision.node))
            self._start(tasks, self._bind(pod, decision.node, wanted))
            return
        self.waiting.stick(pod.uid, decision.plugins, self._time())  # before others have their turn: no hint is missed
        preemption = known[2] if known is not None else await self._preempted(decision, profile)
        if not self.waiting.knows(pod.uid):
            return
        if not preemption.node and self.world.version == version:
            if len(self._failures) >= DECIDED:
                self._failures.clear()
            self._failures[pod.shape, pod.nominated] = (version, decision, preemption)
        if preemption.node:
            self.counts["preemptions"] += 1
            self.counts["victims"] += len(preemption.victims)
            for other in self._outranked(pod, preemption.node):
                self._start(tasks, self._reports.not_nominated(other))
            self.world.nominate(msgspec.structs.replace(pod, nominated=preemption.node), pod.uid)
            self._feed.doom(preemption.victims)
        elif not preemption.keeps:
            self.world.nominate(None, pod.uid)
        self._start(tasks, self._report(pod, decision, preemption))

    async def _preempted(self, decision: Decision, profile: Profile) -> Preemption:
        """Whether others should go for it; with pauses, as this may take long."""
        if not profile.preempts or not decision.nodes:
            return Preemption()
        budgets = [budget for _, budget in self._feed.budgets.items() if budget is not None]
        began = self._time()
        for found in preempting(self.world, decision, profile, budgets):
            if found is not None:
                return found
            if self._time() - began > SLICE_SECONDS:
                await asyncio.sleep(0)
                began = self._time()
        return Preemption()

    def _wanted(self, pod: Pod, node: str) -> dict[Key, str]:
        """What the pod's claims need there; taken in the snapshot at once."""
        claims = claiming.unbound(self.world, pod)
        if not claims:
            return {}
        found = self.world.storage.wanted_volumes(claims, self.world.node_at(self.world.places[node])) or {}
        claiming.assume(self.world, found, node)
        return found

    def _outranked(self, pod: Pod, node: str) -> list[Pod]:
        """Pods that the node was kept free for, and which this one goes before."""
        found = [
            each
            for each in self.world.nominated.values()
            if each.nominated == node and each.shape.priority < pod.shape.priority
        ]
        for each in found:
            self.world.nominate(None, each.uid)
        return found

    # What the API is told.

    def _start(self, tasks: asyncio.TaskGroup, part: Coroutine[Any, Any, None]) -> None:
        self._open += 1
        tasks.create_task(self._tell(part))

    async def _tell(self, part: Coroutine[Any, Any, None]) -> None:
        try:
            await part
        except BoxshipError as error:
            log.warning("cannot tell the API: %s", error)
        except Exception:
            log.exception("cannot tell the API")
        finally:
            self._close()

    def _close(self) -> None:
        """One decision less that the API has not heard of."""
        self._open -= 1
        if self._is_full:
            self._wake.set()

    async def _bind(self, pod: Pod, node: str, wanted: Mapping[Key, str]) -> None:
        namespace, name = pod.key
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            if wanted:
                await self._waiting_apart(self._claiming.provide(pod, node, wanted))
            async with self._room:
                await self._client.create(PODS, namespace, binding, subresource="binding")
        except Exception as error:
            self._feed.release(wanted)
            await self._not_bound(pod, error)
            return
        self._drop(pod.uid)
        note = f"Successfully assigned {namespace}/{name} to {node}"
        self._say(pod, "Normal", "Scheduled", "Binding", note, pod.shape.profile)

    async def _waiting_apart(self, part: Coroutine[Any, Any, None]) -> None:
        """What waits for others keeps nobody from deciding."""
        self._close()
        try:
            await part
        finally:
            self._open += 1

    async def _not_bound(self, pod: Pod, error: Exception) -> None:
        """Another time, unless it was bound all the same. Until that is known it counts as placed."""
        pause = FIRST_PAUSE
        while True:
            try:
                found = pod_of(await self._client.get(PODS, *pod.key))
                break
            except Failure as failure:
                if failure.reason == "NotFound":
                    found = None
                    break
            except BoxshipError:
                pass
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        if found is not None and found.uid == pod.uid and found.node:
            self._feed.confirm(found)
            self._drop(pod.uid)
            return
        self._feed.forget(pod.uid)
        if found is None or found.uid != pod.uid:
            self._drop(pod.uid)
            return
        log.warning("cannot bind pod %s/%s: %s", *pod.key, error, exc_info=not isinstance(error, BoxshipError))
        self.waiting.pause(pod.uid, self._time())
        self._wake.set()

    async def _report(self, pod: Pod, decision: Decision, preemption: Preemption) -> None:
        message = " ".join(part for part in (decision.message, preemption.message) if part)
        nominated = None if preemption.keeps else preemption.node
        async with self._room:
            try:
                if (nominated is not None and nominated != pod.nominated) or pod.condition != (
                    "False",
                    "Unschedulable",
                    message,
                ):
                    await self._reports.unscheduled(pod, "Unschedulable", message, nominated)
                for victim in preemption.victims:
                    await self._evict(victim, pod, preemption.node)
            except Exception:
                self._feed.spare(preemption.victims)
                raise
            told, when = self._noted.get(pod.uid, ("", 0.0))
            if told != message or self._time() - when > TELL_AGAIN:
                if len(self._noted) >= TOLD:
                    self._noted.clear()
                self._noted[pod.uid] = (message, self._time())
                note = message if preemption.node else f"{message}{self._help(pod)}"
                self._say(pod, "Warning", "FailedScheduling", "Scheduling", note, pod.shape.profile)

    def _help(self, pod: Pod) -> str:
        """The smallest change that would help, behind the reasons in an event. Once for all pods that are alike, and
        only as far as it takes little of our time; `boxship why` looks closer."""
        now = self._time()
        text, until = self._helped.get(pod.shape, ("", 0.0))
        if now < until:
            return text
        if now < self._help_after or self.world.size > HELPED_NODES:
            return ""
        profile = msgspec.structs.replace(self._profiles[pod.shape.profile], preempts=False)
        began = time.perf_counter()
        changes = explain(self.world, pod, profile, limit=HELPED_LOOKS).changes
        self._help_after = now + (time.perf_counter() - began) * HELP_SHARE
        text = f" Smallest change that would help: {changes[0].text}." if changes else ""
        if len(self._helped) >= DECIDED:
            self._helped.clear()
        self._helped[pod.shape] = (text, now + HELP_SECONDS)
        return text

    async def _evict(self, victim: Pod, pod: Pod, node: str) -> None:
        if victim.deleting:
            return
        try:
            await self._reports.disrupted(victim, pod.shape.profile)
            await self._client.delete(PODS, *victim.key, uid=victim.uid)
        except Failure as failure:
            if failure.reason not in ("NotFound", "Conflict"):
                raise
            return
        note = f"Preempted by pod {pod.uid} on node {node}"
        self._say(victim, "Normal", "Preempted", "Preempting", note, pod.shape.profile)

    def _say(self, *event: Any) -> None:
        """Tell people, when there is time for it; what is too much is not told."""
        if not self._events.full():
            self._events.put_nowait(event)

    async def _speak(self) -> None:
        while True:
            event = await self._events.get()
            try:
                await self._reports.event(*event)
            except BoxshipError as error:
                log.warning("cannot tell of pod %s/%s: %s", *event[0].key, error)
            except Exception:
                log.exception("cannot tell of pod %s/%s", *event[0].key)

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time()
