"""An API of a page for simulations: it lags, it refuses, and sometimes it does what it was asked and does not say so.
What its objects have to obey, `Rules` say: `PodRules` those of the real one about what a node tells of pods. Everything
follows from one source of chance.
"""

import asyncio
import bisect
import itertools
import random
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from boxship.cluster.access import Event, Listing
from boxship.cluster.objects import Object, times
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.kinds.core_pod_status import prepare_status, validate_status
from boxship.cluster.objects.patch import json_patch, merge

EPOCH = 1_800_000_000.0
PODS = "v1/pods"
Key = tuple[str, str]
Told = Callable[[str, str, Object], None]  # resource; ADDED, MODIFIED or DELETED; the object


class Rules(Protocol):
    """What the API makes of what it is told. Each is given objects of its own."""

    def begin(self, resource: str, made: Object) -> None:
        """Complete a new object."""

    def settle(self, resource: str, known: Object, made: Object, subresource: str) -> Object:
        """What is to be kept of a changed object. Raises Failure."""

    def is_over(self, resource: str, known: Object, made: Object) -> bool:
        """Whether it is gone with this change."""

    def ending(self, resource: str, made: Object, grace: int | None, now: float) -> bool:
        """Mark an object that is deleted, and say whether it stays for a while."""


class SimulatedApi:
    """Implements access.Client. `trouble`: how likely a call fails; `told` hears of each version; changes come up to
    `lag` seconds late to those who watch."""

    def __init__(
        self, chance: random.Random, trouble: float, rules: Rules, told: Told, *, lag: float = 0.05, cuts: float = 0.2
    ) -> None:
        self.chance = chance
        self.trouble = trouble
        self.lag = lag
        self._cuts = cuts  # how likely a watch is cut, against how likely a call fails
        self._rules = rules
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
        self._news.set()
        self._news = asyncio.Event()
        self._told(resource, kind, object)

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
                await asyncio.sleep(self.chance.random() * self.lag)
                if self.chance.random() < self.trouble * self._cuts:
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
        if not metadata.get("name"):
            metadata["name"] = f"{metadata['generateName']}{self.chance.getrandbits(40):010x}"
        key = (namespace, metadata["name"])
        if key in self.objects.get(resource, {}):
            raise Failure(409, "AlreadyExists", f"{resource} {metadata['name']} exists")
        metadata["namespace"] = namespace
        metadata["uid"] = f"uid-{self.chance.getrandbits(60):x}"
        metadata["creationTimestamp"] = stamp(self.now())
        self._rules.begin(resource, made)
        self._put(resource, "ADDED", made)
        return self._answer(made)

    async def update(self, resource: str, object: Object, *, subresource: str = "") -> Object:
        await self._pass()
        return self._answer(self.change(resource, object, subresource))

    async def patch(
        self, resource: str, namespace: str, name: str, patch: Object | Sequence[Object], *, subresource: str = ""
    ) -> Object:
        await self._pass()
        known = self._find(resource, (namespace, name))
        made = merge(known, patch) if isinstance(patch, dict) else json_patch(known, list(patch))
        if made["metadata"]["uid"] != known["metadata"]["uid"]:
            raise Failure(409, "Conflict", "another uid")
        return self._answer(self.change(resource, made, subresource))

    def change(self, resource: str, object: Object, subresource: str = "") -> Object:
        """What is kept of a change that comes through. Raises Failure."""
        known = self._find(resource, key_of(object))
        if object["metadata"].get("resourceVersion") not in (None, known["metadata"]["resourceVersion"]):
            raise Failure(409, "Conflict", "the object has been modified")
        made = self._rules.settle(resource, copied(known), copied(object), subresource)
        if made == known:
            return known
        self._put(resource, "DELETED" if self._rules.is_over(resource, known, made) else "MODIFIED", made)
        return made

    def edit(self, resource: str, key: Key, object: Object) -> None:
        """As a user who always succeeds."""
        self.change(resource, {**object, "metadata": {**object["metadata"], "resourceVersion": None}}, "")

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

    def end(self, resource: str, known: Object, grace: int | None = None) -> None:
        """As a user who always succeeds."""
        made: Object = copied(known)
        if not self._rules.ending(resource, made, grace, self.now()):
            self._put(resource, "DELETED", made)
        elif made != known:
            self._put(resource, "MODIFIED", made)


class PodRules:
    """Of pods as their node sees them. `wrong` collects what must not happen."""

    def __init__(self, wrong: list[str]) -> None:
        self._wrong = wrong

    def begin(self, resource: str, made: Object) -> None:
        if resource == PODS:
            made["status"] = {"phase": "Pending", "qosClass": "BestEffort"}

    def settle(self, resource: str, known: Object, made: Object, subresource: str) -> Object:
        if subresource == "status" and resource == PODS:
            prepare_status(made, copied(known))
            causes = validate_status(made, known)
            if causes:
                self._wrong.append(f"the API refuses the status of {key_of(made)}: {causes}")
                raise Failure(422, "Invalid", str(causes))
        return made

    def is_over(self, resource: str, known: Object, made: Object) -> bool:
        return known["metadata"].get("deletionGracePeriodSeconds") == 0 and not made["metadata"].get("finalizers")

    def ending(self, resource: str, made: Object, grace: int | None, now: float) -> bool:
        if resource != PODS:
            return False
        metadata = made["metadata"]
        seconds = made["spec"].get("terminationGracePeriodSeconds", 30) if grace is None else grace
        before = metadata.get("deletionGracePeriodSeconds")
        if before is None or seconds < before:
            metadata["deletionTimestamp"] = stamp(now + seconds)
            metadata["deletionGracePeriodSeconds"] = seconds
        return bool(metadata["deletionGracePeriodSeconds"] or metadata.get("finalizers"))


def stamp(seconds: float) -> str:
    """As objects have times."""
    return times.stamp(datetime.fromtimestamp(seconds, UTC))


def key_of(object: Object) -> Key:
    return object["metadata"].get("namespace", ""), object["metadata"]["name"]
