"""One pod at work: look at the runtime, decide, write the status, act; again whenever something has changed. What is
done takes its time beside that: the worker goes on looking meanwhile.

It must never act on what it remembers where the runtime can say how it is.
"""

import asyncio
import functools
import logging

import msgspec

from boxship.cluster.node.life import resizing
from boxship.cluster.node.life.acting import Acts
from boxship.cluster.node.life.admitting import Taken, taken_by
from boxship.cluster.node.life.deciding import decide
from boxship.cluster.node.life.ending import OVER
from boxship.cluster.node.life.messages import message_of
from boxship.cluster.node.life.noticing import events_between
from boxship.cluster.node.life.parts import container_named, label_of, parts_of
from boxship.cluster.node.life.starting import Tools, settle
from boxship.cluster.node.life.telling import Teller
from boxship.cluster.node.life.values import (
    FINISH,
    SANDBOX,
    START,
    STOP,
    VOLUMES,
    Action,
    Decision,
    Ending,
    Memory,
    Seen,
)
from boxship.cluster.node.probes.keeping import Probes
from boxship.cluster.node.runtime import EXITED, ContainerStatus
from boxship.cluster.node.status.facts import INTERNAL
from boxship.cluster.objects import Object
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

TROUBLE_SECONDS = 1.0  # after an error of the runtime


class PodWorker:
    """For one uid. `run` returns when nothing of the pod is left. A `static` pod is not the API's: what that has is its
    mirror, which `show` tells of."""

    def __init__(
        self, pod: Object, tools: Tools, *, refusal: Ending | None = None, gone: bool = False, static: bool = False
    ) -> None:
        self.uid: str = pod["metadata"]["uid"]
        self.static = static
        self._pod = pod
        self._tools = tools = msgspec.structs.replace(tools, static=static)
        self._news = asyncio.Event()
        self._status: Object = {**(pod.get("status") or {}), **({"phase": "Failed"} if refusal is not None else {})}
        self._taken: tuple[Object, bool, Taken] | None = None  # of which spec, and whether it was refused
        self._messages: dict[str, str] = {}
        self._running: dict[str, list[asyncio.Task[None]]] = {}
        self._prepared: Object = {}  # the fields that volumes may show, as they were last prepared
        self._acts = Acts(tools, self.uid, Memory(ending=refusal), gone=gone)
        self._teller = Teller(tools.client, None if static or gone else pod, self._news, tools.gate)
        self._probes = Probes(tools.asks, tools.now, self._news, self._tell_of)

    @property
    def pod(self) -> Object:
        """With its status as it is known here."""
        return {**self._pod, "status": self._status}

    @property
    def is_over(self) -> bool:
        """It has ended, and who asks after it will find that in the API."""
        told = self._status if self.static else self._pod.get("status") or {}
        return told.get("phase") in OVER and not self._acts.gone

    @property
    def is_clean(self) -> bool:
        """It has ended, and its volumes and namespaces have gone."""
        return self._acts.memory.clean

    @property
    def is_lost(self) -> bool:
        """The API, or the folder, does not have it any more."""
        return self._acts.gone

    @property
    def taken(self) -> Taken | None:
        """What it takes of the node; None: nothing any more. Whom the API has forgotten takes nothing, though it may
        still end here: the scheduler has given its place to another one, which must not be refused for that."""
        if self._status.get("phase") in OVER or self._acts.gone:
            return None
        if self._taken is None:
            self._taken = self._pod["spec"], False, taken_by(self._pod)
        return self._taken[2]

    def _take_room(self) -> None:
        """As was just decided: a pod that is to have more than there is room for takes what it has."""
        acts, spec = self._acts, self._pod["spec"]
        if acts.refused or self._taken is None or self._taken[0] is not spec or self._taken[1]:
            held = resizing.allowed(self._pod, parts_of(self._pod, acts.containers), acts.memory, acts.refused)
            self._taken = spec, acts.refused, taken_by(held)

    def changed(self, pod: Object) -> None:
        self._teller.take(pod)

    show = changed

    def hide(self) -> None:
        """A static pod's mirror has gone."""
        self._teller.take(None)

    def lost(self) -> None:
        """The API, or the folder, does not have it any more."""
        self._acts.gone = True
        self._news.set()

    def wake(self) -> None:
        self._news.set()

    def offer_room(self) -> None:
        """Another one has gone: what there was no room for may fit now."""
        if self._acts.refused:
            self._news.set()

    def end(self, ending: Ending) -> None:
        """The node has to get rid of it."""
        self._acts.end(ending)
        self._news.set()

    async def run(self) -> None:
        teller = asyncio.ensure_future(self._teller.run())
        try:
            while not (self._acts.finished and self._acts.gone):
                self._news.clear()
                again = await self._step()
                await self._wait(again)
        finally:
            await self._probes.close()
            await settle([teller, *(task for tasks in self._running.values() for task in tasks)])

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
        self._read()
        decision = decide(self._pod, seen, self._acts.memory)
        self._take(decision)
        for action in decision.actions:
            if not (action.verb == FINISH and self._acts.finished):  # what is left is others' finalizers
                self._begin(action)
        self._show_fields(seen)
        address = (self._status.get("podIP") or self._tools.facts.address) or "127.0.0.1"
        self._probes.ending = self._acts.memory.ending is not None
        self._probes.follow(parts_of(self._pod, seen.containers), frozenset(self._running), address)
        return decision.again

    def _read(self) -> None:
        """The pod as the API has it now; of a static one the status alone."""
        known = self._teller.pod
        if known is None:
            return
        if self.static:
            self._pod = {**self._pod, "status": known.get("status") or {}}
        elif known["metadata"]["uid"] == self.uid:
            self._pod = known

    def _show_fields(self, seen: Seen) -> None:
        """Volumes show what the pod's labels and annotations are now; after an agent's restart they are made known."""
        fields = self._fields()
        if self._prepared == fields or seen.sandbox is None or self._acts.memory.ending is not None or seen.gone:
            return
        if not any(key.partition("/")[0] in (SANDBOX, START, VOLUMES) for key in self._running):
            self._prepared = fields
            if self._pod["spec"].get("volumes"):
                self._begin(Action(VOLUMES))

    def _fields(self) -> Object:
        return {key: self._pod["metadata"].get(key) for key in ("labels", "annotations")}

    async def _look(self) -> Seen:
        busy = set(self._running)  # what ends while we look counts as under way: what it did may not be seen yet
        sandboxes = await self._tools.runtime.sandboxes(self.uid)
        self._acts.sandbox = max(sandboxes, key=lambda one: one.spec.attempt, default=None)
        containers = self._acts.containers = tuple(await self._tools.runtime.containers(self.uid))
        await self._read_messages(containers)
        wants = resizing.changed(self._pod, parts_of(self._pod, containers), self._acts.memory, self._acts.sandbox)
        return Seen(
            now=self._tools.now(),
            sandbox=self._acts.sandbox,
            containers=containers,
            verdicts=self._probes.verdicts,
            messages=self._messages,
            busy=frozenset(busy | set(self._running)),
            gone=self._acts.gone,
            room=self._tools.room(self.uid) if wants else None,
            host=tuple(address for kind, address in self._tools.facts.addresses if kind == INTERNAL),
        )

    async def _read_messages(self, containers: tuple[ContainerStatus, ...]) -> None:
        """What containers said at their end, once for each."""
        for id in self._messages.keys() - {run.id for run in containers}:
            del self._messages[id]
        for run in containers:
            if run.phase == EXITED and run.id not in self._messages:
                try:
                    container = container_named(self._pod, run.name)
                except KeyError:
                    container = {}
                self._messages[run.id] = await message_of(self._tools.planner, self._pod, container, run)

    def _take(self, decision: Decision) -> None:
        self._acts.memory, self._acts.refused = decision.memory, decision.refused
        self._take_room()
        if decision.memory.ending is not None:
            for key, tasks in self._running.items():
                if key.partition("/")[0] in (START, SANDBOX, VOLUMES):
                    for task in tasks:
                        task.cancel()
        before, self._status = self._status, decision.status
        for told in events_between(self._pod, before, decision.status, decision.memory):
            self._tell_of(*told)
        if not self._acts.gone:
            metadata = self._pod["metadata"]
            over = decision.status["phase"] in OVER and metadata.get("deletionTimestamp")
            self._teller.want(decision.status, goes=bool(over) and not metadata.get("finalizers"))

    def _tell_of(self, name: str, type: str, reason: str, message: str) -> None:
        self._tools.tell(self._pod, type, reason, message, name)

    def _begin(self, action: Action) -> None:
        if action.verb in (SANDBOX, START):
            self._prepared = self._fields()  # volumes are made ready with it
        running = self._running.setdefault(action.key, [])
        if running and action.verb == STOP:  # only the grace is new
            action = msgspec.structs.replace(action, message="")
        task = asyncio.ensure_future(self._act(action))
        running.append(task)
        task.add_done_callback(functools.partial(self._over, action.key))

    async def _act(self, action: Action) -> None:
        if action.verb == FINISH and self._pod["metadata"].get("finalizers") and not self._acts.gone:
            await self._tell_the_end()
        await self._acts.act(self._pod, action)

    async def _tell_the_end(self) -> None:
        """Somebody holds the pod until he has seen how it ended."""
        try:
            await self._teller.write()
        except BoxshipError as error:
            log.warning("cannot tell how pod %s ended: %s", label_of(self._pod), error)

    def _over(self, key: str, task: "asyncio.Task[None]") -> None:
        tasks = self._running.get(key, [])
        if task in tasks:
            tasks.remove(task)
        if not tasks:
            self._running.pop(key, None)
        self._news.set()
