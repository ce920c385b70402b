"""Events: what controllers and node agents did and could not do, for people. Told at once, written beside the work:
never does a controller wait for an event, and never does a failing one keep it from anything. The same again raises
the count; many alike within ten minutes become one; who tells too much about one object is not heard.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.objects import Object, times
from boxship.cluster.objects.failure import Failure
from boxship.errors import BoxshipError

Now = Callable[[], float]  # seconds since the epoch

WAITING_LIMIT = 1000  # events; older ones are dropped first
KNOWN_LIMIT = 4096  # of which the counts are known
MESSAGE_LIMIT = 1024  # characters
ALIKE, ALIKE_SECONDS = 10, 600.0
BURST, REFILL_SECONDS = 25, 300.0  # for each object
# Under which name the original's controllers tell events, where it is not that of their account.
COMPONENTS = {
    "daemon-set-controller": "daemonset-controller",
    "endpointslice-controller": "endpoint-slice-controller",
    "endpointslicemirroring-controller": "endpoint-slice-mirroring-controller",
    "ephemeral-volume-controller": "ephemeral_volume",
    "expand-controller": "volume_expand",
    "persistent-volume-binder": "persistentvolume-controller",
}
COMBINED = "(combined from similar events): "


class _Told(msgspec.Struct, frozen=True):
    client: Client
    component: str
    about: Object
    type: str
    reason: str
    message: str
    time: float
    host: str = ""
    field: str = ""


class _Known(msgspec.Struct):
    namespace: str
    name: str
    count: int


class Recorder:
    """For all controllers; `run` writes what `events_of(…).tell` was given; where there is a `rate` no more than so
    many a second, after `burst` at once: the work that they tell of goes first."""

    def __init__(self, now: Now, *, rate: float = 0.0, burst: int = 1) -> None:
        self._now = now
        self._rate = rate
        self._burst = burst
        self._free_at = 0.0  # the loop's time from which on the next may be written, but for a burst
        self._waiting: deque[_Told] = deque(maxlen=WAITING_LIMIT)
        self._news = asyncio.Event()
        self._known: OrderedDict[tuple[str, ...], _Known] = OrderedDict()
        self._alike: OrderedDict[tuple[str, ...], tuple[float, set[str]]] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        self._count = 0

    def events_of(self, client: Client, component: str, host: str = "") -> "Events":
        """`host`: the node whose part this is."""
        return Events(self, client, COMPONENTS.get(component, component), host)

    def take(self, told: _Told) -> None:
        self._waiting.append(told)
        self._news.set()

    async def run(self) -> None:
        """Without end."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                told = self._waiting.popleft()
                await self._turn()
                try:
                    await self._write(told)
                except BoxshipError:
                    continue  # an event that cannot be written is nobody's loss

    async def _turn(self) -> None:
        if not self._rate:
            return
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now - self._burst / self._rate) + 1 / self._rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)

    async def _write(self, told: _Told) -> None:
        if not self._is_heard(told):
            return
        key, message = self._combined(told)
        known = self._known.get(key)
        if known is not None:
            patch = {"count": known.count + 1, "lastTimestamp": _stamp(told.time), "message": message}
            try:
                await told.client.patch("v1/events", known.namespace, known.name, patch)
                known.count += 1
                self._known.move_to_end(key)
                return
            except Failure as failure:
                if failure.reason != "NotFound":
                    raise
        event = self._event(told, message)
        await told.client.create("v1/events", event["metadata"]["namespace"], event)
        self._known[key] = _Known(event["metadata"]["namespace"], event["metadata"]["name"], 1)
        _trim(self._known)

    def _event(self, told: _Told, message: str) -> Object:
        metadata = told.about["metadata"]
        self._count += 1
        namespace = metadata.get("namespace") or "default"
        involved = {
            "kind": told.about["kind"],
            "apiVersion": told.about["apiVersion"],
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
            "fieldPath": told.field,
        }
        serial = (int(told.time * 1e9) & ~0xFFFF) | (self._count & 0xFFFF)  # two within a tick differ
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name']}.{serial:016x}", "namespace": namespace},
            "involvedObject": {key: value for key, value in involved.items() if value},
            "type": told.type,
            "reason": told.reason,
            "message": message,
            "source": {"component": told.component, **({"host": told.host} if told.host else {})},
            "reportingComponent": told.component,
            **({"reportingInstance": told.host} if told.host else {}),
            "firstTimestamp": _stamp(told.time),
            "lastTimestamp": _stamp(told.time),
            "count": 1,
        }

    def _is_heard(self, told: _Told) -> bool:
        key = (told.component, told.about["metadata"]["uid"])
        left, since = self._buckets.get(key, (float(BURST), told.time))
        left = min(BURST, left + max(told.time - since, 0) / REFILL_SECONDS)
        heard = left >= 1
        self._buckets[key] = (left - heard, told.time)
        self._buckets.move_to_end(key)
        _trim(self._buckets)
        return heard

    def _combined(self, told: _Told) -> tuple[tuple[str, ...], str]:
        """By what the event is known, and its text."""
        alike = (told.component, told.about["metadata"]["uid"], told.type, told.reason, told.field)
        since, messages = self._alike.get(alike, (told.time, set()))
        if told.time - since > ALIKE_SECONDS:
            messages = set()
        messages.add(told.message)
        self._alike[alike] = (told.time, messages)
        _trim(self._alike)
        if len(messages) < ALIKE:
            return (*alike, told.message), told.message
        messages.discard(told.message)
        return alike, (COMBINED + told.message)[:MESSAGE_LIMIT]


class Events:
    """One controller's voice."""

    def __init__(self, recorder: Recorder, client: Client, component: str, host: str = "") -> None:
        self._recorder = recorder
        self._client = client
        self._component = component
        self._host = host

    def tell(self, about: Object, type: str, reason: str, message: str, *, field: str = "") -> None:
        """`type` is Normal or Warning; `field` names the part of the object that is meant ("spec.containers{a}")."""
        time, text = self._recorder._now(), message[:MESSAGE_LIMIT]
        self._recorder.take(_Told(self._client, self._component, about, type, reason, text, time, self._host, field))


def _stamp(seconds: float) -> str:
    return times.stamp(datetime.fromtimestamp(seconds, UTC))


def _trim(table: OrderedDict[Any, Any]) -> None:
    while len(table) > KNOWN_LIMIT:
        table.popitem(last=False)
