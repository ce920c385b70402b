"""How many replicas each of a deployment's replica sets should have next: steps of a rolling update, and sharing when
the deployment is scaled in the middle of one. Pure: sets in, new sizes out.

Never are there more pods than desired and maxSurge, never fewer available ones than desired less maxUnavailable.
"""

from collections.abc import Sequence

import msgspec

from boxship.cluster.controllers.workloads.deployments.sets import (
    DESIRED,
    MOST,
    active,
    age,
    count,
    is_rolling,
    limits,
    most,
    new_size,
    number,
    replicas_of,
    total,
)
from boxship.cluster.objects import Object


class Size(msgspec.Struct, frozen=True):
    """One replica set's next size."""

    set: Object
    replicas: int


def next_of_new(deployment: Object, new: Object, old: Sequence[Object]) -> int:
    desired, has = replicas_of(deployment), replicas_of(new)
    if has >= desired:
        return desired
    return new_size(deployment, [*old, new], new)


def next_of_old(deployment: Object, new: Object | None, old: Sequence[Object]) -> list[Size]:
    """Which old sets shrink: pods that are not available first, then as many as may be missing."""
    running = sorted(active(old), key=age)
    if not running:
        return []
    everything = [*running, new]
    least = replicas_of(deployment) - limits(deployment)[1]
    waiting = replicas_of(new) - _available(new)
    room = total(everything) - least - waiting
    if room <= 0:
        return []
    sizes = {one["metadata"]["uid"]: replicas_of(one) for one in running}
    for one in running:
        has, available = replicas_of(one), _available(one)
        useless = min(room, max(has - available, 0))
        sizes[one["metadata"]["uid"]] -= useless
        room -= useless
    spare = sum(map(_available, everything)) - least
    for one in running:
        uid = one["metadata"]["uid"]
        less = min(sizes[uid], max(spare, 0))
        sizes[uid] -= less
        spare -= less
    return [Size(one, sizes[one["metadata"]["uid"]]) for one in running]


def _available(one: Object | None) -> int:
    """A set that was just made smaller may not have counted again: never more than it shall have."""
    return min(count([one], "availableReplicas"), replicas_of(one))


def shared(deployment: Object, new: Object | None, old: Sequence[Object]) -> list[Size]:
    """The sizes after the deployment itself was scaled."""
    only = _only(new, old)
    desired = replicas_of(deployment)
    if only is not None:
        return [Size(only, desired)]
    if _is_saturated(deployment, new):
        return [Size(one, 0) for one in active(old)]
    if not is_rolling(deployment):
        return []
    return _proportional(deployment, active([*old, *([new] if new is not None else ())]))


def _only(new: Object | None, old: Sequence[Object]) -> Object | None:
    """The one set that runs, or the newest where none does; None: several run."""
    everything = [*old, *([new] if new is not None else ())]
    running = active(everything)
    if len(running) > 1 or not everything:
        return None
    if running:
        return running[0]
    return new if new is not None else max(old, key=age)


def _is_saturated(deployment: Object, new: Object | None) -> bool:
    desired = replicas_of(deployment)
    return (
        new is not None
        and replicas_of(new) == desired
        and number(new, DESIRED) == desired
        and count([new], "availableReplicas") == desired
    )


def _proportional(deployment: Object, sets: list[Object]) -> list[Size]:
    allowed = most(deployment) if replicas_of(deployment) > 0 else 0
    change = allowed - total(sets)
    ordered = sorted(sets, key=age, reverse=change > 0)
    ordered.sort(key=replicas_of, reverse=True)  # stable: the largest first, the newer or older among equals
    sizes, done = [], 0
    for one in ordered:
        part = _part(one, deployment, change, done)
        done += part
        sizes.append(replicas_of(one) + part)
    if sizes:
        sizes[0] = max(sizes[0] + change - done, 0)
    return [Size(one, size) for one, size in zip(ordered, sizes, strict=True)]


def _part(one: Object, deployment: Object, change: int, done: int) -> int:
    if not replicas_of(one) or not change or change == done:
        return 0
    fraction = _fraction(one, deployment)
    return min(fraction, change - done) if change > 0 else max(fraction, change - done)


def _fraction(one: Object, deployment: Object) -> int:
    has = replicas_of(one)
    if not replicas_of(deployment):
        return -has
    before = number(one, MOST) or int((deployment.get("status") or {}).get("replicas") or 0)
    if not before:
        return 0
    return int(has * most(deployment) / before + 0.5) - has
