"""One pod at work: look at the runtime, decide, write the status, act; again whenever something has changed. What is
done takes its time beside that: the worker goes on looking meanwhile.

It must never act on what it remembers where the runtime can say how it is.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from boxship.cluster.node.life import resizing, starting, writing
from boxship.cluster.node.life.admitting import Taken, taken_by
from boxship.cluster.node.life.deciding import decide
from boxship.cluster.node.life.ending import OVER
from boxship.cluster.node.life.messages import message_of
from boxship.cluster.node.life.parts import container_named, label_of, parts_of
from boxship.cluster.node.life.restarting import next_pause, with_problem
from boxship.cluster.node.life.starting import Tools
from boxship.cluster.node.life.statuses import CRASHING
from boxship.cluster.node.life.values import (
    CLEAN,
    FINISH,
    PRE_STOP,
    REMOVE,
    RESIZE,
    SANDBOX,
    START,
    STOP,
    VOLUMES,
    Action,
    Decision,
    Ending,
    Memory,
    Problem,
    Seen,
)
from boxship.cluster.node.planning import NotPossible
from boxship.cluster.node.probes.keeping import Probes
from boxship.cluster.node.runtime import EXITED, ContainerStatus, Sandbox
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

PODS = "v1/pods"
PULL_SECONDS = (10.0, 300.0)  # between tries, first and longest
TRY_SECONDS = (0.5, 15.0)  # the same for everything else
TROUBLE_SECONDS = 1.0  # after an error of the runtime or the API


class PodWorker:
    """For one uid. `run` returns when nothing of the pod is left."""

    def __init__(
        self, pod: Object, tools: Tools, *, refusal: Ending | None = None, gone: bool = False, static: bool = False
    ) -> None:
        self.uid: str = pod["metadata"]["uid"]
        self._pod = pod
        self._tools = tools
        self._gone = gone
        self.static = static
        self._mirror: Object | None = None  # what the API has of a static pod
        self._memory = Memory(ending=refusal)
        self._sandbox: Sandbox | None = None
        self._containers: tuple[ContainerStatus, ...] = ()
        self._messages: dict[str, str] = {}
        self._status: Object = {**(pod.get("status") or {}), **({"phase": "Failed"} if refusal is not None else {})}
        self._taken: tuple[Object, Taken] | None = None
        self._news = asyncio.Event()
        self._to_write = asyncio.Event()
        self._hurry = asyncio.Event()
        self._running: dict[str, set[asyncio.Task[None]]] = {}
        self._finished = False
        self._refused = False  # there is no room for the resources that the pod asks for now
        self._prepared: Object = {}  # the fields that volumes may show, as they were last prepared
        self._probes = Probes(tools.asks, tools.now, self._news, self._tell_of)

    @property
    def pod(self) -> Object:
        """With its status as it is known here."""
        return {**self._pod, "status": self._status}

    @property
    def taken(self) -> Taken | None:
        """What it takes of the node; None: nothing any more."""
        if self._status.get("phase") in OVER:
            return None
        spec = self._pod["spec"]
        if self._taken is None or self._taken[0] is not spec:
            self._taken = spec, taken_by(self._pod)
        return self._taken[1]

    def changed(self, pod: Object) -> None:
        self._pod = writing.newer(self._pod, pod)
        self._news.set()

    def show(self, mirror: Object | None) -> None:
        """A static pod's mirror has come, changed or gone."""
        if mirror is not None and self._mirror is not None:
            mirror = writing.newer(self._mirror, mirror)
        self._mirror = mirror
        if mirror is not None:
            self._pod = {**self._pod, "status": mirror.get("status") or {}}
            self._to_write.set()
        self._news.set()

    def lost(self) -> None:
        """The API does not have it any more."""
        self._gone = True
        self._news.set()

    def wake(self) -> None:
        self._news.set()

    def end(self, ending: Ending) -> None:
        """The node has to get rid of it."""
        if self._memory.ending is None:
            self._memory = msgspec.structs.replace(self._memory, ending=ending)
            self._news.set()

    async def run(self) -> None:
        writer = asyncio.ensure_future(self._write_statuses())
        try:
            while not (self._finished and self._gone):
                self._news.clear()
                again = await self._step()
                await self._wait(again)
        finally:
            await self._probes.close()
            await starting.settle({writer, *(task for tasks in self._running.values() for task in tasks)})

    async def _wait(self, again: float) -> None:
        if not again:
            await self._news.wait()
            return
        try:
            async with asyncio.timeout(max(again - self._tools.now(), 0.001)):
                await self._news.wait()
        except TimeoutError:
            return

    async def _step(self) -> float:
        """Look, decide, begin what is to be done; when to look again."""
        try:
            seen = await self._look()
        except BoxshipError as error:
            log.warning("cannot see pod %s: %s", label_of(self._pod), error)
            return self._tools.now() + TROUBLE_SECONDS
        decision = decide(self._pod, seen, self._memory)
        self._take(decision)
        for action in decision.actions:
            if not (action.verb == FINISH and self._finished):  # what is left is others' finalizers
                self._begin(action)
        self._show_fields(seen)
        address = (self._status.get("podIP") or self._tools.facts.address) or "127.0.0.1"
        self._probes.ending = self._memory.ending is not None
        self._probes.follow(parts_of(self._pod, seen.containers), frozenset(self._running), address)
        return decision.again

    def _show_fields(self, seen: Seen) -> None:
        """Volumes show what the pod's labels and annotations are now; after an agent's restart they are made known."""
        metadata = self._pod["metadata"]
        fields = {key: metadata.get(key) for key in ("labels", "annotations")}
        if self._prepared == fields or seen.sandbox is None or self._memory.ending is not None or self._gone:
            return
        if not any(key.partition("/")[0] in (SANDBOX, START, VOLUMES) for key in self._running):
            self._prepared = fields
            if self._pod["spec"].get("volumes"):
                self._begin(Action(VOLUMES))

    async def _look(self) -> Seen:
        busy = set(self._running)  # what ends while we look counts as under way: what it did may not be seen yet
        sandboxes = await self._tools.runtime.sandboxes(self.uid)
        self._sandbox = max(sandboxes, key=lambda one: one.spec.attempt, default=None)
        containers = tuple(await self._tools.runtime.containers(self.uid))
        self._containers = containers
        for run in containers:
            if run.phase == EXITED and run.id not in self._messages:
                try:
                    container = container_named(self._pod, run.name)
                except KeyError:
                    container = {}
                self._messages[run.id] = await message_of(self._tools.planner, self._pod, container, run)
        return Seen(
            now=self._tools.now(),
            sandbox=self._sandbox,
            containers=containers,
            verdicts=self._probes.verdicts,
            messages=self._messages,
            busy=frozenset(busy | set(self._running)),
            gone=self._gone,
            room=self._tools.room(self.uid) if self._wants_room(containers) else None,
            host=tuple(address for kind, address in self._tools.facts.addresses if kind == "InternalIP"),
        )

    def _wants_room(self, containers: Sequence[ContainerStatus]) -> bool:
        return resizing.is_resize_wanted(parts_of(self._pod, containers), self._memory)

    def _take(self, decision: Decision) -> None:
        self._memory, self._refused = decision.memory, decision.refused
        if self._memory.ending is not None:
            for verb in (START, SANDBOX):
                for key, tasks in self._running.items():
                    if key.startswith(verb + "/"):
                        for task in tasks:
                            task.cancel()
        before, self._status = self._status, decision.status
        self._tell_of_back_offs(before)
        if not self._gone and before != decision.status:
            if writing.is_urgent(self._mirror or self._pod, decision.status):
                self._hurry.set()
            self._to_write.set()

    def _tell_of_back_offs(self, before: Object) -> None:
        for key in ("initContainerStatuses", "containerStatuses"):
            had = {one["name"]: one["state"].get("waiting", {}).get("reason") for one in before.get(key) or ()}
            for one in self._status.get(key) or ():
                reason, name = one["state"].get("waiting", {}).get("reason"), one["name"]
                if reason == had.get(name):
                    continue
                if reason == CRASHING:
                    message = f"Back-off restarting failed container {name} in pod {label_of(self._pod)}"
                    self._tell_of(name, "Warning", "BackOff", message)
                elif reason == "ImagePullBackOff":
                    problem = self._memory.problems.get(name) or self._memory.problems.get("")
                    image = problem.image if problem is not None else ""
                    self._tell_of(name, "Normal", "BackOff", f'Back-off pulling image "{image}"')
                    self._tell_of(name, "Warning", "Failed", "Error: ImagePullBackOff")

    def _tell_of(self, name: str, type: str, reason: str, message: str) -> None:
        self._tools.tell(self._pod, type, reason, message, name)

    def _begin(self, action: Action) -> None:
        task = asyncio.ensure_future(self._act(action))
        self._running.setdefault(action.key, set()).add(task)
        task.add_done_callback(functools.partial(self._over, action))

    def _over(self, action: Action, task: "asyncio.Task[None]") -> None:
        tasks = self._running.get(action.key, set())
        tasks.discard(task)
        if not tasks:
            self._running.pop(action.key, None)
        self._news.set()

    async def _act(self, action: Action) -> None:
        """Never raises: what went wrong is remembered."""
        pod = self._pod
        try:
            await self._acts[action.verb](pod, action)
        except asyncio.CancelledError:
            return
        except NotPossible as error:
            if action.verb != VOLUMES:
                self._remember(action, pod, error)
        except BoxshipError as error:
            log.warning("pod %s: cannot %s %s: %s", label_of(pod), action.verb, action.name, error)
            await asyncio.sleep(TROUBLE_SECONDS)
        except Exception:
            log.exception("pod %s: cannot %s %s", label_of(pod), action.verb, action.name)
            await asyncio.sleep(TROUBLE_SECONDS)

    @property
    def _acts(self) -> dict[str, Callable[[Object, Action], Awaitable[None]]]:
        return {
            SANDBOX: self._make_sandbox,
            START: self._start,
            PRE_STOP: self._pre_stop,
            STOP: self._stop,
            REMOVE: self._remove,
            CLEAN: self._clean,
            FINISH: self._finish,
            VOLUMES: self._prepare,
            RESIZE: self._resize,
        }

    def _remember(self, action: Action, pod: Object, error: NotPossible) -> None:
        now = self._tools.now()
        if error.final:
            self.end(Ending(now, 0.0, error.reason, error.message, "Failed"))
            return
        before = self._memory.problems.get(action.name)
        pause = next_pause(before, now, *(PULL_SECONDS if error.image else TRY_SECONDS))
        problem = Problem(error.reason, error.message, now, now + pause, pause, error.image)
        self._memory = with_problem(self._memory, action.name, problem)

    async def _make_sandbox(self, pod: Object, action: Action) -> None:
        await starting.make_sandbox(self._tools, pod, action.attempt)
        self._memory = with_problem(self._memory, "", None)

    async def _start(self, pod: Object, action: Action) -> None:
        assert self._sandbox is not None
        pod = self._allowed(pod)
        await starting.start(self._tools, pod, action.name, action.attempt, self._sandbox)
        self._memory = with_problem(self._memory, action.name, None)
        self._keep_resources(pod, action.name)

    def _allowed(self, pod: Object) -> Object:
        return resizing.allowed(pod, parts_of(pod, self._containers), self._memory, self._refused)

    def _keep_resources(self, pod: Object, name: str) -> None:
        found = {**self._memory.in_force, name: resizing.shown(container_named(pod, name))}
        self._memory = msgspec.structs.replace(self._memory, in_force=found)

    async def _resize(self, pod: Object, action: Action) -> None:
        await starting.resize(self._tools, pod, action.name, action.id)
        self._keep_resources(pod, action.name)

    async def _prepare(self, pod: Object, action: Action) -> None:
        await starting.prepare(self._tools, pod)

    async def _pre_stop(self, pod: Object, action: Action) -> None:
        try:
            await starting.pre_stop(self._tools, pod, action.name, action.id, action.grace, self._sandbox)
        finally:
            self._memory = msgspec.structs.replace(self._memory, pre_stopped=self._memory.pre_stopped | {action.id})

    async def _stop(self, pod: Object, action: Action) -> None:
        again = len(self._running.get(action.key, ())) > 1
        message = "" if again else action.message
        await starting.stop(self._tools, pod, action.name, action.id, action.grace, message)

    async def _remove(self, pod: Object, action: Action) -> None:
        await self._tools.runtime.remove(action.id)
        self._messages.pop(action.id, None)

    async def _clean(self, pod: Object, action: Action) -> None:
        await starting.clean(self._tools, self.uid)
        self._memory = msgspec.structs.replace(self._memory, clean=True)

    async def _finish(self, pod: Object, action: Action) -> None:
        """The API is told last: whoever sees that the pod is gone may rely on it."""
        if not self._gone and pod["metadata"].get("finalizers"):
            await self._write()
        await starting.take_away(self._tools, self.uid)
        if self._gone:
            self._finished = True
            return
        metadata = pod["metadata"]
        try:
            await self._tools.client.delete(PODS, metadata["namespace"], metadata["name"], uid=self.uid, grace=0)
        except Failure as failure:
            if failure.reason not in ("NotFound", "Conflict"):
                raise
            self._gone = True
        self._finished = True
        if not metadata.get("finalizers"):
            self._gone = True

    async def _write_statuses(self) -> None:
        """As long as the pod is there: the newest that is to be told, as soon as it matters."""
        while True:
            await self._to_write.wait()
            try:
                async with asyncio.timeout(writing.LAZY_SECONDS):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            self._to_write.clear()
            self._hurry.clear()
            try:
                await self._write()
            except BoxshipError as error:
                if not (isinstance(error, Failure) and error.reason == "NotFound"):
                    log.warning("cannot tell how pod %s is: %s", label_of(self._pod), error)
                    self._to_write.set()
                    await asyncio.sleep(TROUBLE_SECONDS)

    async def _write(self) -> None:
        """Raises Failure; that somebody else wrote meanwhile is none."""
        pod = self._mirror if self.static else self._pod
        if self._gone or pod is None:
            return
        patch = writing.patch_for(pod, self._status)
        if patch is None:
            return
        metadata = pod["metadata"]
        place = metadata["namespace"], metadata["name"]
        try:
            answer = await self._tools.client.patch(PODS, *place, patch, subresource="status")
        except Failure as failure:
            if failure.reason != "Conflict":
                raise
            answer = await self._tools.client.get(PODS, *place)
            if answer["metadata"]["uid"] != metadata["uid"]:
                if not self.static:
                    self.lost()
                return
            self._to_write.set()
            self._hurry.set()
        if self.static:
            self.show(answer)
        else:
            self.changed(answer)
