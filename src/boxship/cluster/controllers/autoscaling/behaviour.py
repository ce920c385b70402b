"""How fast what the metrics ask for may become true: recent recommendations keep it steady, policies limit what may be
added or taken away within a time. Pure.

Source: documentation "Horizontal Pod Autoscaling" (configurable scaling behavior, stabilization window); names and
texts of the original.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

DOWN_WINDOW = 300.0  # seconds, where nothing is said
LEAST_LIMIT, LIMIT_FACTOR = 4, 2  # of one step up without a behaviour

RISING = "the desired replica count is increasing faster than the maximum scale rate"
FALLING = "the desired replica count is decreasing faster than the maximum scale rate"
TOO_MANY = "the desired replica count is more than the maximum replica count"
TOO_FEW = "the desired replica count is less than the minimum replica count"
WERE_HIGHER = "recent recommendations were higher than current one, applying the highest recent recommendation"
WERE_LOWER = "recent recommendations were lower than current one, applying the lowest recent recommendation"


class Recommendation(msgspec.Struct, frozen=True):
    replicas: int
    time: float


class Change(msgspec.Struct, frozen=True):
    """So many replicas were added, or taken away."""

    replicas: int
    time: float


class Memory(msgspec.Struct, frozen=True):
    """What a controller remembers of one scaler."""

    recommendations: tuple[Recommendation, ...] = ()
    ups: tuple[Change, ...] = ()
    downs: tuple[Change, ...] = ()


class Bounds(msgspec.Struct, frozen=True):
    least: int
    most: int


class Word(msgspec.Struct, frozen=True):
    """A condition's status, reason and message."""

    status: bool
    reason: str
    message: str


class Outcome(msgspec.Struct, frozen=True):
    replicas: int
    able: Word
    limited: Word
    memory: Memory


READY = Word(True, "ReadyForNewScale", "recommended size matches current size")
WITHIN = Word(False, "DesiredWithinRange", "the desired count is within the acceptable range")

Rules = Mapping[str, Any]


def settle(current: int, desired: int, bounds: Bounds, behaviour: Rules | None, memory: Memory, now: float) -> Outcome:
    """What comes true of `desired` replicas now."""
    if behaviour is None:
        steady, able, memory = _steady(desired, memory, now)
        replicas, limited = _limited(current, steady, bounds)
    else:
        up, down = behaviour.get("scaleUp") or {}, behaviour.get("scaleDown") or {}
        steady, able, memory = _steady_between(current, desired, up, down, memory, now)
        replicas, limited = _limited_by(current, steady, bounds, up, down, memory, now)
    return Outcome(replicas, able, limited, memory)


def remember_scale(memory: Memory, behaviour: Rules | None, before: int, after: int, now: float) -> Memory:
    """What was scaled counts for the policies; only where there are any."""
    if behaviour is None or before == after:
        return memory
    if after > before:
        kept = _kept(memory.ups, (behaviour.get("scaleUp") or {}), now)
        return msgspec.structs.replace(memory, ups=(*kept, Change(after - before, now)))
    kept = _kept(memory.downs, (behaviour.get("scaleDown") or {}), now)
    return msgspec.structs.replace(memory, downs=(*kept, Change(before - after, now)))


def _kept(changes: Sequence[Change], rules: Rules, now: float) -> list[Change]:
    longest = max((policy["periodSeconds"] for policy in rules.get("policies") or ()), default=0)
    return [change for change in changes if change.time > now - longest]


# Steadiness.


def _steady(desired: int, memory: Memory, now: float) -> tuple[int, Word, Memory]:
    kept = [one for one in memory.recommendations if one.time > now - DOWN_WINDOW]
    steady = max([desired, *(one.replicas for one in kept)])
    able = READY if steady == desired else Word(True, "ScaleDownStabilized", WERE_HIGHER)
    return steady, able, msgspec.structs.replace(memory, recommendations=(*kept, Recommendation(desired, now)))


def _steady_between(
    current: int, desired: int, up: Rules, down: Rules, memory: Memory, now: float
) -> tuple[int, Word, Memory]:
    up_window = float(up.get("stabilizationWindowSeconds") or 0)
    down_window = down.get("stabilizationWindowSeconds")
    down_window = DOWN_WINDOW if down_window is None else float(down_window)
    low = min([desired, *(one.replicas for one in memory.recommendations if one.time > now - up_window)])
    high = max([desired, *(one.replicas for one in memory.recommendations if one.time > now - down_window)])
    steady = min(max(current, low), high)
    able = READY
    if steady != desired and desired >= current:
        able = Word(True, "ScaleUpStabilized", WERE_LOWER)
    elif steady != desired:
        able = Word(True, "ScaleDownStabilized", WERE_HIGHER)
    kept = [one for one in memory.recommendations if one.time >= now - max(up_window, down_window)]
    return steady, able, msgspec.structs.replace(memory, recommendations=(*kept, Recommendation(desired, now)))


# Limits.


def _limited(current: int, desired: int, bounds: Bounds) -> tuple[int, Word]:
    limit = max(LIMIT_FACTOR * current, LEAST_LIMIT)
    most, word = bounds.most, Word(True, "TooManyReplicas", TOO_MANY)
    if most > limit:
        most, word = limit, Word(True, "ScaleUpLimit", RISING)
    if desired < bounds.least:
        return bounds.least, Word(True, "TooFewReplicas", TOO_FEW)
    return (most, word) if desired > most else (desired, WITHIN)


def _limited_by(
    current: int, desired: int, bounds: Bounds, up: Rules, down: Rules, memory: Memory, now: float
) -> tuple[int, Word]:
    if desired > current:
        limit = max(_up_limit(current, up, memory, now), current)
        most, word = bounds.most, Word(True, "TooManyReplicas", TOO_MANY)
        if most > limit:
            most, word = limit, Word(True, "ScaleUpLimit", RISING)
        return (most, word) if desired > most else (desired, WITHIN)
    if desired < current:
        limit = min(_down_limit(current, down, memory, now), current)
        least, word = bounds.least, Word(True, "TooFewReplicas", TOO_FEW)
        if least < limit:
            least, word = limit, Word(True, "ScaleDownLimit", FALLING)
        return (least, word) if desired < least else (desired, WITHIN)
    return desired, WITHIN


def _up_limit(current: int, rules: Rules, memory: Memory, now: float) -> int:
    if rules.get("selectPolicy") == "Disabled":
        return current
    limits: list[int] = []
    for policy in rules.get("policies") or ():
        start = _start(current, policy["periodSeconds"], memory, now)
        more: int = policy["value"]
        limits.append(start + more if policy["type"] == "Pods" else math.ceil(start * (1 + more / 100)))
    if not limits:
        return current
    return min(limits) if rules.get("selectPolicy") == "Min" else max(limits)


def _down_limit(current: int, rules: Rules, memory: Memory, now: float) -> int:
    if rules.get("selectPolicy") == "Disabled":
        return current
    limits: list[int] = []
    for policy in rules.get("policies") or ():
        start = _start(current, policy["periodSeconds"], memory, now)
        fewer: int = policy["value"]
        limits.append(start - fewer if policy["type"] == "Pods" else int(start * (1 - fewer / 100)))
    if not limits:
        return current
    return max(limits) if rules.get("selectPolicy") == "Min" else min(limits)


def _start(current: int, period: float, memory: Memory, now: float) -> int:
    """Replicas at the beginning of the period."""
    added = sum(change.replicas for change in memory.ups if change.time > now - period)
    taken = sum(change.replicas for change in memory.downs if change.time > now - period)
    return current - added + taken
