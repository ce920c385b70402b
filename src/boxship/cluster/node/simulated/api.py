"""An API of a page for a simulated node: it lags, it refuses, and sometimes it does what it was asked and does not say
so. What it is told of pods it checks by the rules of the real one. Everything follows from one source of chance."""

import asyncio
import bisect
import itertools
import random
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from boxship.cluster.access import Event, Listing
from boxship.cluster.objects import Object, times
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.kinds.core_pod_status import prepare_status, validate_status
from boxship.cluster.objects.patch import json_patch, merge

EPOCH = 1_800_000_000.0
PODS = "v1/pods"
Key = tuple[str, str]
Told = Callable[[str, Object], None]  # ADDED, MODIFIED or DELETED


class SimulatedApi:
    """Implements access.Client. `trouble`: how likely a call fails; `wrong` collects what must not happen; `told`
    hears of each version of a pod."""

    def __init__(self, chance: random.Random, trouble: float, wrong: list[str], told: Told) -> None:
        self.chance = chance
        self.trouble = trouble
        self.wrong = wrong
        self._told = told
        self.objects: dict[str, dict[Key, Object]] = {}
        self._log: dict[str, list[tuple[int, str, Object]]] = {}  # by resource: version, type, object
        self._version = 0
        self._news = asyncio.Event()
        self._numbers = itertools.count(1)

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
        return dict(copied(object))

    def _put(self, resource: str, kind: str, object: Object) -> None:
        self._version = next(self._numbers)
        object["metadata"]["resourceVersion"] = str(self._version)
        key = key_of(object)
        if kind == "DELETED":
            del self.objects[resource][key]
        else:
            self.objects.setdefault(resource, {})[key] = object
        self._log.setdefault(resource, []).append((self._version, kind, copied(object)))
        if resource == PODS:
            self._told(kind, copied(object))
        self._news.set()
        self._news = asyncio.Event()

    def _find(self, resource: str, key: Key) -> Object:
        found = self.objects.get(resource, {}).get(key)
        if found is None:
            raise Failure(404, "NotFound", f"{resource} {key} not found")
        return found

    async def get(self, resource: str, namespace: str, name: str, *, subresource: str = "") -> Object:
        await self._pass()
        return dict(copied(self._find(resource, (namespace, name))))

    async def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        await self._pass()
        return Listing(tuple(copied(one) for one in self.all(resource)), str(self._version))

    async def watch(
        self, resource: str, namespace: str = "", *, version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        log = self._log.setdefault(resource, [])
        place = bisect.bisect_right(log, int(version), key=lambda one: one[0])
        while True:
            news = self._news
            while place < len(log):
                await asyncio.sleep(self.chance.random() * 0.05)
                if self.chance.random() < self.trouble / 5:
                    raise Failure(410, "Expired", "the simulation cuts this watch")
                _, kind, object = log[place]
                place += 1
                yield Event(kind, copied(object))
            if news is self._news:
                await news.wait()

    async def create(self, resource: str, namespace: str, object: Object, *, subresource: str = "") -> Object:
        await self._pass()
        made: Object = copied(object)
        metadata = made["metadata"]
        key = (namespace, metadata["name"])
        if key in self.objects.get(resource, {}):
            raise Failure(409, "AlreadyExists", f"{resource} {metadata['name']} exists")
        metadata["namespace"] = namespace
        metadata["uid"] = f"uid-{self.chance.getrandbits(60):x}"
        metadata["creationTimestamp"] = self._stamp(0.0)
        if resource == PODS:
            made["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
        self._put(resource, "ADDED", made)
        return self._answer(made)

    def _stamp(self, later: float) -> str:
        return times.stamp(datetime.fromtimestamp(self.now() + later, UTC))

    async def update(self, resource: str, object: Object, *, subresource: str = "") -> Object:
        await self._pass()
        return self._answer(self._change(resource, object, subresource))

    async def patch(
        self, resource: str, namespace: str, name: str, patch: Object | Sequence[Object], *, subresource: str = ""
    ) -> Object:
        await self._pass()
        known = self._find(resource, (namespace, name))
        made = merge(known, patch) if isinstance(patch, dict) else json_patch(known, list(patch))
        if made["metadata"]["uid"] != known["metadata"]["uid"]:
            raise Failure(409, "Conflict", "another uid")
        return self._answer(self._change(resource, made, subresource))

    def _change(self, resource: str, object: Object, subresource: str) -> Object:
        known = self._find(resource, key_of(object))
        if object["metadata"].get("resourceVersion") not in (None, known["metadata"]["resourceVersion"]):
            raise Failure(409, "Conflict", "the object has been modified")
        made: Object = copied(object)
        if subresource == "status" and resource == PODS:
            prepare_status(made, copied(known))
            causes = validate_status(made, known)
            if causes:
                self.wrong.append(f"the API refuses the status of {key_of(made)}: {causes}")
                raise Failure(422, "Invalid", str(causes))
        if made == known:
            return known
        if known["metadata"].get("deletionGracePeriodSeconds") == 0 and not made["metadata"].get("finalizers"):
            self._put(resource, "DELETED", made)
        else:
            self._put(resource, "MODIFIED", made)
        return made

    def edit(self, resource: str, key: Key, object: Object) -> None:
        """As a user who always succeeds."""
        self._change(resource, {**object, "metadata": {**object["metadata"], "resourceVersion": None}}, "")

    async def apply(self, *_: Any, **__: Any) -> Object:
        raise Failure(405, "MethodNotAllowed", "the simulation has no server-side apply")

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
        self.end(resource, known, grace)
        self._answer({})

    def end(self, resource: str, known: Object, grace: int | None) -> None:
        made: Object = copied(known)
        metadata = made["metadata"]
        if resource == PODS:
            seconds = made["spec"].get("terminationGracePeriodSeconds", 30) if grace is None else grace
            before = metadata.get("deletionGracePeriodSeconds")
            if before is None or seconds < before:
                metadata["deletionTimestamp"] = self._stamp(seconds)
                metadata["deletionGracePeriodSeconds"] = seconds
            if metadata["deletionGracePeriodSeconds"] or metadata.get("finalizers"):
                if made != known:
                    self._put(resource, "MODIFIED", made)
                return
        self._put(resource, "DELETED", made)


def key_of(object: Object) -> Key:
    return object["metadata"].get("namespace", ""), object["metadata"]["name"]
