"""A world in virtual time for the workload controllers: an API of a page that forgets nothing, sometimes refuses,
sometimes does what it was asked and then does not say so; caches that lag; kubelets in random order; and controllers
that are killed at any moment. Everything follows from one seed."""

import asyncio
import bisect
import contextlib
import copy
import itertools
import logging
import random
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from boxship.cluster.access import Event, Listing
from boxship.cluster.controllers.workloads.pods import facts_of
from boxship.cluster.controllers.workloads.starting import make_workloads
from boxship.cluster.controllers.workloads.times import stamp
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.patch import json_patch, merge
from boxship.cluster.reconcile.runner import Runner

EPOCH = 1_800_000_000.0
Key = tuple[str, str]
SPECS = ("apps/v1/deployments", "apps/v1/replicasets", "apps/v1/statefulsets", "apps/v1/daemonsets", "batch/v1/jobs")


class _Still(selectors.DefaultSelector):
    """Does not wait: time goes on instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("nothing will ever happen again")
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.still = _Still()
        super().__init__(self.still)

    def time(self) -> float:
        return self.still.now


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(scenario())
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


class Api:
    """Implements access.Client. `trouble`: how likely a write fails."""

    def __init__(self, chance: random.Random, trouble: float) -> None:
        self.chance = chance
        self.trouble = trouble
        self.lag = 0.05  # seconds at most
        self.objects: dict[str, dict[Key, Object]] = {}
        self.log: dict[str, list[tuple[int, str, Object]]] = {}  # by resource: version, type, object
        self.version = 0
        self.news = asyncio.Event()
        self.numbers = itertools.count(1)
        self.checks: list[Callable[[], None]] = []
        self.wrong: list[str] = []  # what the checks found after a write

    def now(self) -> float:
        return EPOCH + asyncio.get_running_loop().time()

    def all(self, resource: str) -> list[Object]:
        return list(self.objects.get(resource, {}).values())

    async def _pass(self) -> None:
        await asyncio.sleep(self.chance.random() * 0.01)
        if self.chance.random() < self.trouble:
            raise Failure(503, "ServiceUnavailable", "the simulation says no")

    def _answer(self, object: Object) -> Object:
        if self.chance.random() < self.trouble:
            raise Failure(504, "Timeout", "the simulation does not say what happened")
        return copy.deepcopy(object)

    def _put(self, resource: str, kind: str, object: Object) -> None:
        version = next(self.numbers)
        object["metadata"]["resourceVersion"] = str(version)
        key = (object["metadata"].get("namespace", ""), object["metadata"]["name"])
        if kind == "DELETED":
            del self.objects[resource][key]
        else:
            self.objects.setdefault(resource, {})[key] = object
        self.log.setdefault(resource, []).append((version, kind, copy.deepcopy(object)))
        self.version = version
        self.news.set()
        self.news = asyncio.Event()
        for check in self.checks:
            try:
                check()
            except AssertionError as wrong:
                self.wrong.append(f"{self.now() - EPOCH:.3f} {resource} {kind} {key}: {wrong}")

    def _find(self, resource: str, key: Key) -> Object:
        found = self.objects.get(resource, {}).get(key)
        if found is None:
            raise Failure(404, "NotFound", f"{resource} {key} not found")
        return found

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        await self._pass()
        return copy.deepcopy(self._find(resource, (namespace, name)))

    async def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        await self._pass()
        return Listing(tuple(copy.deepcopy(self.all(resource))), str(self.version))

    async def watch(
        self, resource: str, namespace: str = "", *, version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        log = self.log.setdefault(resource, [])
        place = bisect.bisect_right(log, int(version), key=lambda one: one[0])
        while True:
            news = self.news
            while place < len(log):
                await asyncio.sleep(self.chance.random() * self.lag)
                if self.chance.random() < self.trouble / 10:
                    raise Failure(410, "Expired", "the simulation cuts this watch")
                _, kind, object = log[place]
                place += 1
                yield Event(kind, copy.deepcopy(object))
            if news is self.news:
                await news.wait()

    async def create(self, resource: str, namespace: str, object: Object, *, subresource: str = "") -> Object:
        await self._pass()
        made = copy.deepcopy(object)
        metadata = made["metadata"]
        if not metadata.get("name"):
            metadata["name"] = f"{metadata['generateName']}{self.chance.getrandbits(40):010x}"
        metadata["namespace"] = namespace
        if (namespace, metadata["name"]) in self.objects.get(resource, {}):
            raise Failure(409, "AlreadyExists", f"{resource} {metadata['name']} exists")
        metadata["uid"] = f"uid-{self.chance.getrandbits(60):x}"
        metadata["creationTimestamp"] = stamp(self.now())
        if resource in SPECS:
            metadata["generation"] = 1
        if resource == "v1/pods":
            made["status"] = {"phase": "Pending"}
        self._put(resource, "ADDED", made)
        return self._answer(made)

    async def update(self, resource: str, object: Object, *, subresource: str = "") -> Object:
        await self._pass()
        return self._answer(self.change(resource, object, subresource))

    def change(self, resource: str, object: Object, subresource: str = "") -> Object:
        metadata = object["metadata"]
        known = self._find(resource, (metadata.get("namespace", ""), metadata["name"]))
        given = metadata.get("resourceVersion")
        if given and given != known["metadata"]["resourceVersion"]:
            raise Failure(409, "Conflict", "the object has been modified")
        made = copy.deepcopy(object)
        if subresource == "status":
            made = {**copy.deepcopy(known), "status": made["status"]}
        elif resource in SPECS:
            made["status"] = known.get("status", {})
            if made.get("spec") != known.get("spec"):
                made["metadata"]["generation"] = known["metadata"].get("generation", 0) + 1
        if made == known:
            return known
        ends = known["metadata"].get("deletionTimestamp") and not made["metadata"].get("finalizers")
        if ends and (resource != "v1/pods" or not made["spec"].get("nodeName")):
            self._put(resource, "DELETED", made)
        else:
            self._put(resource, "MODIFIED", made)
        return made

    async def patch(
        self, resource: str, namespace: str, name: str, patch: Object | Sequence[Object], *, subresource: str = ""
    ) -> Object:
        await self._pass()
        known = self._find(resource, (namespace, name))
        made = merge(known, patch) if isinstance(patch, dict) else json_patch(known, list(patch))
        if made["metadata"]["uid"] != known["metadata"]["uid"]:
            raise Failure(409, "Conflict", "another uid")
        return self._answer(self.change(resource, made, subresource))

    async def apply(self, *_: Any, **__: Any) -> Object:
        raise NotImplementedError

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        version: str = "",
        grace: int | None = None,
        propagation: str = "",
    ) -> None:
        await self._pass()
        known = self._find(resource, (namespace, name))
        if uid and known["metadata"]["uid"] != uid:
            raise Failure(409, "Conflict", "another uid")
        self.end(resource, known, at_once=grace == 0)
        self._answer({})

    def end(self, resource: str, known: Object, *, at_once: bool = False) -> None:
        made = copy.deepcopy(known)
        runs = resource == "v1/pods" and made["spec"].get("nodeName") and not at_once
        if made["metadata"].get("finalizers") or runs:
            if not made["metadata"].get("deletionTimestamp"):
                made["metadata"]["deletionTimestamp"] = stamp(self.now())
                self._put(resource, "MODIFIED", made)
        else:
            self._put(resource, "DELETED", made)


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
            pods = self.api.all("v1/pods")
            for pod in self.api.chance.sample(pods, min(len(pods), 3)):
                self.step(copy.deepcopy(pod))

    def step(self, pod: Object) -> None:
        phase = pod["status"]["phase"]
        done = phase in ("Succeeded", "Failed")
        if pod["metadata"].get("deletionTimestamp"):
            if pod["spec"].get("nodeName") and not done:
                pod["status"] = {"phase": "Failed"}
                self.api.change("v1/pods", pod)
            elif not pod["metadata"].get("finalizers"):
                self.api.end("v1/pods", self.api._find("v1/pods", key_of(pod)), at_once=True)
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
        self.api.change("v1/pods", pod)


def key_of(object: Object) -> Key:
    return object["metadata"].get("namespace", ""), object["metadata"]["name"]


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
        known = copy.deepcopy(self.api.objects[resource]["default", name])
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
