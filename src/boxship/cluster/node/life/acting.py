"""The actions of one pod, carried out: each is a step on the machine, and what came of it is remembered."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from boxship.cluster.node.life import resizing, starting
from boxship.cluster.node.life.parts import container_named, label_of, parts_of
from boxship.cluster.node.life.restarting import next_pause, with_problem
from boxship.cluster.node.life.starting import Tools
from boxship.cluster.node.life.values import (
    CLEAN,
    FINISH,
    LEAVE,
    PRE_STOP,
    REMOVE,
    RESIZE,
    SANDBOX,
    START,
    STOP,
    VOLUMES,
    Action,
    Ending,
    Memory,
    Problem,
)
from boxship.cluster.node.planning import NotPossible
from boxship.cluster.node.runtime import RUNNING, ContainerStatus, Sandbox
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

PODS = "v1/pods"
PULL_SECONDS = (10.0, 300.0)  # between tries, first and longest
TRY_SECONDS = (0.5, 15.0)  # the same for everything else
RESIZE_SECONDS = (2.0, 60.0)  # the same of a resize: a process may use less later
TROUBLE_SECONDS = 1.0  # after an error of the runtime or the API


class Acts:
    """`memory`, `sandbox`, `containers` and `refused` are as the worker last saw and decided them; `gone`: the API has
    no such pod any more; `finished`: nothing of it is left here."""

    def __init__(self, tools: Tools, uid: str, memory: Memory, *, gone: bool) -> None:
        self._tools = tools
        self._uid = uid
        self.memory = memory
        self.sandbox: Sandbox | None = None
        self.containers: tuple[ContainerStatus, ...] = ()
        self.refused = False
        self.gone = gone
        self.finished = False

    @property
    def _verbs(self) -> Mapping[str, Callable[[Object, Action], Coroutine[Any, Any, None]]]:
        return {
            SANDBOX: self._make_sandbox,
            START: self._start,
            RESIZE: self._resize,
            VOLUMES: self._prepare,
            LEAVE: self._leave,
            PRE_STOP: self._pre_stop,
            STOP: self._stop,
            REMOVE: self._remove,
            CLEAN: self._clean,
            FINISH: self._finish,
        }

    async def act(self, pod: Object, action: Action) -> None:
        """Never raises: what went wrong is remembered."""
        try:
            await self._verbs[action.verb](pod, action)
        except asyncio.CancelledError:
            return
        except NotPossible as error:
            self._remember(action, error)
        except BoxshipError as error:
            log.warning("pod %s: cannot %s %s: %s", label_of(pod), action.verb, action.name, error)
            await asyncio.sleep(TROUBLE_SECONDS)
        except Exception:
            log.exception("pod %s: cannot %s %s", label_of(pod), action.verb, action.name)
            await asyncio.sleep(TROUBLE_SECONDS)

    def end(self, ending: Ending) -> None:
        if self.memory.ending is None:
            self.memory = msgspec.structs.replace(self.memory, ending=ending)

    def _remember(self, action: Action, error: NotPossible) -> None:
        if action.verb == VOLUMES:
            return
        now = self._tools.now()
        if action.verb == RESIZE:
            pause = next_pause(self.memory.resize_problems.get(action.name), now, *RESIZE_SECONDS)
            problem = Problem(error.reason, error.message, now, now + pause, pause)
            self.memory = resizing.with_problem(self.memory, action.name, problem)
            return
        if error.final:
            self.end(Ending(now, 0.0, error.reason, error.message, "Failed"))
            return
        before = self.memory.problems.get(action.name)
        pause = next_pause(before, now, *(PULL_SECONDS if error.image else TRY_SECONDS))
        problem = Problem(error.reason, error.message, now, now + pause, pause, error.image)
        self.memory = with_problem(self.memory, action.name, problem)

    async def _make_sandbox(self, pod: Object, action: Action) -> None:
        pod = resizing.allowed(pod, parts_of(pod, self.containers), self.memory, self.refused)
        await starting.make_sandbox(self._tools, pod, action.attempt)
        self.memory = with_problem(self.memory, "", None)
        self._keep_resources(resizing.POD, pod["spec"])

    async def _start(self, pod: Object, action: Action) -> None:
        assert self.sandbox is not None
        parts = parts_of(pod, self.containers)
        pod = resizing.allowed(pod, parts, self.memory, self.refused)
        if not self.refused and resizing.begins_otherwise(parts, self.memory, action.name):
            await starting.set_limits(self._tools, resizing.step_of(pod, parts, self.memory, action.name), {})
        await starting.start(self._tools, pod, action.name, action.attempt, self.sandbox)
        self.memory = with_problem(self.memory, action.name, None)
        self._keep_resources(action.name, container_named(pod, action.name))

    def _keep_resources(self, name: str, whose: Object) -> None:
        found = {**self.memory.in_force, name: resizing.shown(whose)}
        self.memory = msgspec.structs.replace(self.memory, in_force=found)

    async def _resize(self, pod: Object, action: Action) -> None:
        """Of one container, or of the pod and all that have limits from it."""
        parts = parts_of(pod, self.containers)
        step = resizing.step_of(pod, parts, self.memory, action.name)
        runs = {action.name: action.id} if action.name else resizing.inheriting(parts)
        await starting.resize(self._tools, step, runs)
        self._keep_resources(action.name, container_named(pod, action.name) if action.name else pod["spec"])
        self.memory = resizing.with_problem(self.memory, action.name, None)

    async def _prepare(self, pod: Object, action: Action) -> None:
        await starting.prepare(self._tools, pod)

    async def _leave(self, pod: Object, action: Action) -> None:
        try:
            pids = [run.pid for run in self.containers if run.phase == RUNNING]
            await self._tools.traffic.left(self._uid, pids, action.grace)
        finally:
            self.memory = msgspec.structs.replace(self.memory, left=True)

    async def _pre_stop(self, pod: Object, action: Action) -> None:
        try:
            await starting.pre_stop(self._tools, pod, action.name, action.id, action.grace, self.sandbox)
        finally:
            self.memory = msgspec.structs.replace(self.memory, pre_stopped=self.memory.pre_stopped | {action.id})

    async def _stop(self, pod: Object, action: Action) -> None:
        await starting.stop(self._tools, pod, action.name, action.id, action.grace, action.message)

    async def _remove(self, pod: Object, action: Action) -> None:
        await self._tools.runtime.remove(action.id)

    async def _clean(self, pod: Object, action: Action) -> None:
        await starting.clean(self._tools, self._uid)
        self.memory = msgspec.structs.replace(self.memory, clean=True)

    async def _finish(self, pod: Object, action: Action) -> None:
        """The API is told last: whoever sees that the pod is gone may rely on it."""
        await starting.take_away(self._tools, self._uid)
        metadata = pod["metadata"]
        if not self.gone:
            try:
                await self._tools.client.delete(PODS, metadata["namespace"], metadata["name"], uid=self._uid, grace=0)
            except Failure as failure:
                if failure.reason not in ("NotFound", "Conflict"):
                    raise
                self.gone = True
            self.gone = self.gone or not metadata.get("finalizers")
        self.finished = True
