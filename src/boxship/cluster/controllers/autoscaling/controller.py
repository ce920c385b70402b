"""Each scaler every fifteen seconds: read what is scaled, ask its metrics, decide, write the scale and the status."""

from collections.abc import Sequence

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.controllers.autoscaling import conditions as words
from boxship.cluster.controllers.autoscaling.behaviour import (
    Bounds,
    Memory,
    Recommendation,
    remember_scale,
    settle,
)
from boxship.cluster.controllers.autoscaling.conditions import ABLE, ACTIVE, LIMITED, with_condition
from boxship.cluster.controllers.autoscaling.facts import Unknown
from boxship.cluster.controllers.autoscaling.measuring import Measuring
from boxship.cluster.controllers.autoscaling.metrics import Metrics, Refused, Target, pods_of
from boxship.cluster.controllers.autoscaling.proposing import Tolerance, Waits
from boxship.cluster.controllers.scaling import Scales
from boxship.cluster.controllers.workloads.times import Now, stamp
from boxship.cluster.controllers.workloads.writing import same_status
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.quantity import parse
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.selectors import LabelSelector, parse_labels
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again
from boxship.errors import BoxshipError

RESOURCE = "autoscaling/v2/horizontalpodautoscalers"
PERIOD = 15.0  # seconds
TOLERANCE = 0.1


class Settings(msgspec.Struct, frozen=True):
    period: float = PERIOD
    tolerance: float = TOLERANCE
    waits: Waits = Waits()


class _Round:
    """One look at one scaler: what its status becomes."""

    def __init__(self, scaler: Object, now: float) -> None:
        self.scaler = scaler
        self.spec: Object = scaler.get("spec") or {}
        self.now = now
        status = scaler.get("status") or {}
        self.conditions: list[Object] = list(status.get("conditions") or ())
        self.metrics: list[Object] = list(status.get("currentMetrics") or ())
        self.current: int = status.get("currentReplicas") or 0
        self.desired: int = status.get("desiredReplicas") or 0
        self.scaled: str = status.get("lastScaleTime") or ""

    def say(self, type: str, status: bool, reason: str, message: str) -> None:
        self.conditions = with_condition(self.conditions, type, status, reason, message, self.now)

    def status(self) -> Object:
        made: Object = {"currentReplicas": self.current, "desiredReplicas": self.desired}
        made["currentMetrics"] = self.metrics or None
        made["conditions"] = self.conditions
        if self.scaled:
            made["lastScaleTime"] = self.scaled
        return made


class HorizontalPodAutoscalers:
    name = "horizontal-pod-autoscaler"
    workers = 5

    def __init__(
        self,
        client: Client,
        scalers: Cache,
        measuring: Measuring,
        scales: Scales,
        events: Events,
        now: Now,
        settings: Settings,
    ) -> None:
        self.caches: Sequence[Cache] = (scalers,)
        self.queue: Queue[Key] = Queue()
        self._client = client
        self._scalers = scalers
        self._scales = scales
        self._metrics = Metrics(client, measuring, settings.waits)
        self._events = events
        self._now = now
        self._settings = settings
        self._memories: dict[Key, tuple[str, Memory]] = {}  # with the scaler's uid
        self._selectors: dict[Key, LabelSelector] = {}
        scalers.subscribe(self._changed)

    async def reconcile(self, key: Key) -> Again | None:
        scaler = self._scalers.get(key)
        if scaler is None or scaler["metadata"].get("deletionTimestamp"):
            return None
        round = _Round(scaler, self._now())
        await self._go(key, round)
        if not same_status(scaler.get("status") or {}, round.status()):
            try:
                await self._client.update(RESOURCE, {**scaler, "status": round.status()}, subresource="status")
            except Failure as failure:
                if failure.reason not in ("Conflict", "NotFound"):
                    raise  # somebody changed it: that comes as news
        return Again(self._settings.period)

    async def _go(self, key: Key, round: _Round) -> None:
        reference = round.spec["scaleTargetRef"]
        try:
            resource = self._scales.resource_of(reference.get("apiVersion") or "v1", reference["kind"])
            if resource is None:
                group = (reference.get("apiVersion") or "").rpartition("/")[0]
                why = f'no matches for kind "{reference["kind"]}" in group "{group}"'
                self._tell(round, "Warning", "FailedGetScale", why)
                why = f"unable to determine resource for scale target reference: {why}"
                round.say(ABLE, False, "FailedGetScale", words.NO_SCALE.format(why))
                return
            scale = await self._scales.read(resource, key[0], reference["name"])
        except BoxshipError as error:
            self._tell(round, "Warning", "FailedGetScale", str(error))
            round.say(ABLE, False, "FailedGetScale", words.NO_SCALE.format(error))
            return
        round.say(ABLE, True, "SucceededGetScale", words.GOT_SCALE)
        current = (scale.get("spec") or {}).get("replicas") or 0
        memory = self._memory(key, round, current)
        least, most = round.spec.get("minReplicas"), round.spec.get("maxReplicas") or 0
        least = 1 if least is None else least
        round.current = current
        if current == 0 and least != 0:
            round.say(ACTIVE, False, "ScalingDisabled", words.DISABLED)
            round.desired, round.metrics = 0, []
            return
        if current > most:
            desired, reason = most, "Current number of replicas above Spec.MaxReplicas"
            round.metrics = []
        elif current < least:
            desired, reason = least, "Current number of replicas below Spec.MinReplicas"
            round.metrics = []
        else:
            found = await self._measure(key, round, scale, current)
            if found is None:
                return
            wanted, name = found
            reason = f"{name} above target" if wanted > current else "All metrics below target"
            outcome = settle(current, wanted, Bounds(least, most), round.spec.get("behavior"), memory, round.now)
            desired, memory = outcome.replicas, outcome.memory
            self._memories[key] = (round.scaler["metadata"]["uid"], memory)
            round.say(ABLE, outcome.able.status, outcome.able.reason, outcome.able.message)
            round.say(LIMITED, outcome.limited.status, outcome.limited.reason, outcome.limited.message)
        if desired != current:
            await self._scale(key, round, resource, scale, desired, reason)
        else:
            round.desired = desired

    async def _scale(
        self, key: Key, round: _Round, resource: Resource, scale: Object, desired: int, reason: str
    ) -> None:
        current = round.current
        try:
            await self._scales.write(resource, scale, desired)
        except BoxshipError as error:
            text = f"New size: {desired}; reason: {reason}; error: {error}"
            self._tell(round, "Warning", "FailedRescale", text)
            round.say(ABLE, False, "FailedUpdateScale", words.NOT_WRITTEN.format(error))
            return
        round.say(ABLE, True, "SucceededRescale", words.WROTE_SCALE.format(desired))
        self._tell(round, "Normal", "SuccessfulRescale", f"New size: {desired}; reason: {reason}")
        uid, memory = self._memories[key]
        behaviour = round.spec.get("behavior")
        self._memories[key] = (uid, remember_scale(memory, behaviour, current, desired, round.now))
        round.desired, round.scaled = desired, stamp(round.now)

    # What the metrics say.

    async def _measure(self, key: Key, round: _Round, scale: Object, current: int) -> tuple[int, str] | None:
        """Replicas that the metrics ask for, and the metric that asks for most; None: nothing can be said."""
        text = (scale.get("status") or {}).get("selector") or ""
        round.metrics = []
        try:
            pods = await self._pods(key, round, text)
        except Refused as refused:
            self._give_up(round, str(refused))
            return None
        down, up = ((round.spec.get("behavior") or {}).get(way) or {} for way in ("scaleDown", "scaleUp"))
        target = Target(
            namespace=key[0],
            wanted=current,
            there=(scale.get("status") or {}).get("replicas") or 0,
            selector=text,
            tolerance=Tolerance(self._tolerance(up), self._tolerance(down)),
            now=round.now,
        )
        replicas, name = 0, ""
        failed: list[Refused] = []
        metrics = round.spec.get("metrics") or ()
        for metric in metrics:
            try:
                asked = await self._metrics.ask(metric, target, pods)
            except Refused as refused:
                failed.append(refused)
                self._tell(round, "Warning", refused.reason, str(refused))
                continue
            round.metrics.append(asked.status)
            if replicas == 0 or asked.replicas > replicas:
                replicas, name = asked.replicas, asked.name
        if failed and (len(failed) == len(metrics) or replicas < current):
            # Who does not know everything makes nothing smaller.
            round.say(ACTIVE, False, failed[0].reason, words.NOT_COUNTED.format(failed[0]))
            count = f"{len(failed)} invalid out of {len(metrics)}"
            self._give_up(round, f"invalid metrics ({count}), first error is: {failed[0].whole}")
            return None
        round.say(ACTIVE, True, "ValidMetricFound", words.COUNTED.format(name))
        return replicas, name

    def _give_up(self, round: _Round, why: str) -> None:
        self._tell(round, "Warning", "FailedComputeMetricsReplicas", why)

    async def _pods(self, key: Key, round: _Round, text: str) -> Sequence[Object]:
        """The pods of what is scaled, which must be nobody else's. Raises Refused."""
        if not text:
            self._tell(round, "Warning", "SelectorRequired", "selector is required")
            round.say(ACTIVE, False, "InvalidSelector", words.NO_SELECTOR)
            raise Refused("InvalidSelector", "selector is required")
        try:
            self._selectors[key] = parse_labels(text)
            pods = await pods_of(self._client, key[0], text)
        except (Failure, Unknown) as error:
            why = f"couldn't convert selector into a corresponding internal selector object: {error}"
            why = str(error) if isinstance(error, Unknown) else why
            self._tell(round, "Warning", "InvalidSelector", why)
            round.say(ACTIVE, False, "InvalidSelector", why)
            raise Refused("InvalidSelector", why) from None
        all_labels = [pod["metadata"].get("labels") or {} for pod in pods]
        others = [
            other
            for other, selector in self._selectors.items()
            if other[0] == key[0] and other != key and any(map(selector.matches, all_labels))
        ]
        if others:
            names = " ".join("/".join(other) for other in sorted([key, *others]))
            why = f"pods by selector {text} are controlled by multiple HPAs: [{names}]"
            self._tell(round, "Warning", "AmbiguousSelector", why)
            round.say(ACTIVE, False, "AmbiguousSelector", why)
            raise Refused("AmbiguousSelector", why)
        return pods

    def _tolerance(self, rules: Object) -> float:
        given = rules.get("tolerance")
        return self._settings.tolerance if given is None else parse(given).nanos / 1e9

    def _memory(self, key: Key, round: _Round, current: int) -> Memory:
        uid = round.scaler["metadata"]["uid"]
        known, memory = self._memories.get(key, ("", Memory()))
        if known != uid:
            memory = Memory((Recommendation(current, round.now),))
            self._memories[key] = (uid, memory)
        return memory

    def _tell(self, round: _Round, type: str, reason: str, message: str) -> None:
        self._events.tell(round.scaler, type, reason, message)

    def _changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is None:
            self._memories.pop(key, None)
            self._selectors.pop(key, None)
        elif old is None or old["metadata"]["uid"] != new["metadata"]["uid"] or old.get("spec") != new.get("spec"):
            self.queue.add(key)
