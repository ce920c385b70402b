"""A world in virtual time for the workload controllers: the API of the node's simulation with the rules of workloads;
caches that lag; kubelets in random order; and controllers that are killed at any moment. Everything follows from one
seed."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from typing import Any

from boxship.cluster.controllers.workloads.pods import facts_of
from boxship.cluster.controllers.workloads.starting import make_workloads
from boxship.cluster.node.simulated.api import EPOCH, PODS, SimulatedApi, key_of, stamp
from boxship.cluster.node.simulated.loop import run
from boxship.cluster.objects import Object
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.runner import Runner

__all__ = ("EPOCH", "Api", "Kubelets", "World", "run", "stamp", "template", "workload")
SPECS = ("apps/v1/deployments", "apps/v1/replicasets", "apps/v1/statefulsets", "apps/v1/daemonsets", "batch/v1/jobs")


class WorkloadRules:
    """What the API does for workloads: generations, a status of its own, pods that end only when their node says so."""

    def begin(self, resource: str, made: Object) -> None:
        if resource in SPECS:
            made["metadata"]["generation"] = 1
        if resource == PODS:
            made["status"] = {"phase": "Pending"}

    def settle(self, resource: str, known: Object, made: Object, subresource: str) -> Object:
        if subresource == "status":
            return {**known, "status": made["status"]}
        if resource in SPECS:
            made["status"] = known.get("status", {})
            if made.get("spec") != known.get("spec"):
                made["metadata"]["generation"] = known["metadata"].get("generation", 0) + 1
        return made

    def is_over(self, resource: str, known: Object, made: Object) -> bool:
        ends = known["metadata"].get("deletionTimestamp") and not made["metadata"].get("finalizers")
        return bool(ends and (resource != PODS or not made["spec"].get("nodeName")))

    def ending(self, resource: str, made: Object, grace: int | None, now: float) -> bool:
        runs = resource == PODS and made["spec"].get("nodeName") and grace != 0
        stays = bool(made["metadata"].get("finalizers") or runs)
        if stays:
            made["metadata"].setdefault("deletionTimestamp", stamp(now))
        return stays


class Api(SimulatedApi):
    """One that makes `checks` after each write; `wrong` is what they found."""

    def __init__(self, chance: random.Random, trouble: float) -> None:
        super().__init__(chance, trouble, WorkloadRules(), self._check, cuts=0.1)
        self.checks: list[Callable[[], None]] = []
        self.wrong: list[str] = []

    def _check(self, resource: str, kind: str, object: Object) -> None:
        for check in self.checks:
            try:
                check()
            except AssertionError as wrong:
                self.wrong.append(f"{self.now() - EPOCH:.3f} {resource} {kind} {key_of(object)}: {wrong}")


class Kubelets:
    """One step of one pod after the other, in random order. `fails`: how likely a job's pod fails."""

    def __init__(self, api: Api, fails: float = 0.0) -> None:
        self.api = api
        self.fails = fails
        self.flaps = True  # pods that are ready may stop being it
        self.succeeded: set[str] = set()
        self.failed: set[str] = set()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.api.chance.random() * 0.05)
            pods = self.api.all(PODS)
            for pod in self.api.chance.sample(pods, min(len(pods), 3)):
                self.step(copied(pod))

    def step(self, pod: Object) -> None:
        phase = pod["status"]["phase"]
        done = phase in ("Succeeded", "Failed")
        if pod["metadata"].get("deletionTimestamp"):
            if pod["spec"].get("nodeName") and not done:
                pod["status"] = {"phase": "Failed"}
                self.api.change(PODS, pod)
            elif not pod["metadata"].get("finalizers"):
                self.api.end(PODS, self.api._find(PODS, key_of(pod)), grace=0)
            return
        if done:
            return
        if not pod["spec"].get("nodeName"):
            pod["spec"]["nodeName"] = facts_of(pod).target or f"n{self.api.chance.randrange(3)}"
        elif pod["spec"].get("restartPolicy") == "Never":
            fails = self.api.chance.random() < self.fails
            (self.failed if fails else self.succeeded).add(pod["metadata"]["uid"])
            pod["status"] = {"phase": "Failed" if fails else "Succeeded"}
        else:
            ready = "True" if not self.flaps or self.api.chance.random() < 0.8 else "False"
            condition = {"type": "Ready", "status": ready, "lastTransitionTime": stamp(self.api.now())}
            was = (pod["status"].get("conditions") or [{}])[0].get("status")
            if was == ready or (was == "True" and self.api.chance.random() < 0.95):
                return
            pod["status"] = {"phase": "Running", "conditions": [condition]}
        self.api.change(PODS, pod)


class World:
    def __init__(self, seed: int, *, trouble: float = 0.05, fails: float = 0.0) -> None:
        self.chance = random.Random(seed)
        random.seed(seed)  # the runner's pauses
        self.api = Api(self.chance, trouble)
        self.kubelets = Kubelets(self.api, fails)
        self._tasks: list[asyncio.Task[None]] = []

    async def create(self, resource: str, object: Object) -> None:
        """As a user, who tries until it is done."""
        while True:
            try:
                await self.api.create(resource, "default", object)
                return
            except Failure as failure:
                if failure.reason == "AlreadyExists":
                    return

    def edit(self, resource: str, name: str, **spec: Any) -> None:
        known = copied(self.api.objects[resource]["default", name])
        known["spec"].update(spec)
        self.api.change(resource, known)

    def find(self, resource: str, name: str) -> Object:
        return self.api.objects[resource]["default", name]

    async def settle(self, condition: Callable[[], bool], *, seconds: float, deaths: int = 0) -> None:
        """Run everything until the condition holds, in virtual seconds; the controllers are killed `deaths` times."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        log = logging.getLogger("boxship.cluster.reconcile.runner")
        log.addHandler(handler := _Noticing(self.api.wrong))
        kubelets = asyncio.create_task(self.kubelets.run())
        controllers = asyncio.create_task(self._controllers())
        try:
            while not condition():
                assert not self.api.wrong, self.api.wrong
                assert loop.time() < end, "it does not settle"
                await asyncio.sleep(0.05)
                for task in (kubelets, controllers):
                    if task.done():
                        task.result()
                if deaths and self.chance.random() < 0.1:
                    deaths -= 1
                    await _end(controllers)
                    controllers = asyncio.create_task(self._controllers())
        finally:
            log.removeHandler(handler)
            await _end(controllers)
            await _end(kubelets)

    async def _controllers(self) -> None:
        made = make_workloads(lambda name: self.api, self.api, self.api.now)
        await Runner(made.controllers, made.parts).run()


class _Noticing(logging.Handler):
    """What controllers did not foresee is wrong, even where they heal."""

    def __init__(self, wrong: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._wrong = wrong

    def emit(self, record: logging.LogRecord) -> None:
        self._wrong.append(f"{record.getMessage()}: {record.exc_info and record.exc_info[1]!r}")


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def template(**more: Any) -> Object:
    return {
        "metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "c", "image": more.pop("image", "one")}], **more},
    }


def workload(kind: str, **spec: Any) -> Object:
    version = "batch/v1" if kind == "Job" else "apps/v1"
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "a", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": template(), **spec},
    }
