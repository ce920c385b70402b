"""From samples of a metric to a number of replicas. Pure.

Pods without a sample, and those that are not ready yet, are thought to use what makes the change smaller: nothing where
it goes up, all that they may where it goes down. Where that turns the direction, nothing is changed.

Source: documentation "Horizontal Pod Autoscaling" (algorithm details); rounding as in the original.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec

from boxship.cluster.controllers.autoscaling.facts import CPU, Pod, Sample, Unknown

NO_PODS = "no pods returned by selector while calculating replica count"
NO_SAMPLES = "did not receive metrics for targeted pods (pods might be unready)"
Ratio = Callable[[Mapping[str, int]], float]  # of what each pod uses to what it should


class Waits(msgspec.Struct, frozen=True):
    """Seconds in which a pod that begins is not believed."""

    beginning: float = 300.0  # its processor's use, as long as it is not ready
    readiness: float = 30.0  # that it is not ready, at first


class Tolerance(msgspec.Struct, frozen=True):
    """Parts of the target by which it may be missed."""

    up: float = 0.1
    down: float = 0.1

    def covers(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


class Groups(msgspec.Struct, frozen=True):
    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


class Proposal(msgspec.Struct, frozen=True):
    """`share`: percent of the requests, where that is the target; `usage`: thousandths, of a pod or of all."""

    replicas: int
    usage: int
    share: int | None = None


def grouped(pods: Sequence[Pod], samples: Mapping[str, Sample], resource: str, now: float, waits: Waits) -> Groups:
    ready, unready, missing, ignored = 0, set(), set(), set()
    for pod in pods:
        if pod.deleted or pod.phase == "Failed":
            ignored.add(pod.name)
        elif pod.phase == "Pending":
            unready.add(pod.name)
        elif pod.name not in samples:
            missing.add(pod.name)
        elif resource == CPU and _is_beginning(pod, samples[pod.name], now, waits):
            unready.add(pod.name)
        else:
            ready += 1
    return Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def _is_beginning(pod: Pod, sample: Sample, now: float, waits: Waits) -> bool:
    if pod.ready is None or not pod.started:
        return True
    if pod.started + waits.beginning > now:
        # Either it is not ready, or the sample is partly of the time when it was not.
        return not pod.ready or sample.time < pod.ready_since + sample.window
    # It is not ready and never was, as far as one can tell.
    return not pod.ready and pod.started + waits.readiness > pod.ready_since


def by_share(
    current: int,
    target: int,
    samples: Mapping[str, Sample],
    pods: Sequence[Pod],
    requests: Mapping[str, int],
    groups: Groups,
    tolerance: Tolerance,
) -> Proposal:
    """`target`: percent of what the pods request. Raises Unknown."""
    used = _believed(samples, groups)

    def share_of(values: Mapping[str, int]) -> int:
        known = [name for name in values if name in requests]
        asked = sum(requests[name] for name in known)
        if not asked:
            raise Unknown("no metrics returned matched known pods")
        return sum(values[name] for name in known) * 100 // asked

    def ratio_of(values: Mapping[str, int]) -> float:
        return share_of(values) / target

    def instead(name: str) -> int:
        return requests.get(name, 0) * max(100, target) // 100

    known = [name for name in used if name in requests]
    replicas = _propose(current, used, groups, tolerance, ratio_of, instead)
    return Proposal(replicas, sum(used[name] for name in known) // max(len(known), 1), share_of(used))


def by_usage(
    current: int, target: int, samples: Mapping[str, Sample], groups: Groups, tolerance: Tolerance
) -> Proposal:
    """`target`: thousandths of each pod. Raises Unknown."""
    used = _believed(samples, groups)

    def usage_of(values: Mapping[str, int]) -> int:
        return sum(values.values()) // len(values)

    replicas = _propose(current, used, groups, tolerance, lambda values: usage_of(values) / target, lambda _: target)
    return Proposal(replicas, usage_of(used))


def _believed(samples: Mapping[str, Sample], groups: Groups) -> dict[str, int]:
    used = {
        name: sample.value
        for name, sample in samples.items()
        if name not in groups.ignored and name not in groups.unready
    }
    if not used:
        raise Unknown(NO_SAMPLES)
    return used


def _propose(
    current: int,
    used: Mapping[str, int],
    groups: Groups,
    tolerance: Tolerance,
    ratio_of: Ratio,
    instead: Callable[[str], int],
) -> int:
    ratio = ratio_of(used)
    with_unready = bool(groups.unready) and ratio > 1.0
    if not with_unready and not groups.missing:
        return current if tolerance.covers(ratio) else math.ceil(ratio * groups.ready)
    thought = dict(used)
    for name in groups.missing:
        if ratio < 1.0:
            thought[name] = instead(name)
        elif ratio > 1.0:
            thought[name] = 0
    if with_unready:
        thought |= dict.fromkeys(groups.unready, 0)
    again = ratio_of(thought)
    turned = (ratio < 1.0 < again) or (ratio > 1.0 > again)
    if tolerance.covers(again) or turned:
        return current
    replicas = math.ceil(again * len(thought))
    if (again < 1.0 and replicas > current) or (again > 1.0 and replicas < current):
        return current
    return replicas


def by_value(current: int, target: int, usage: int, pods: Sequence[Pod], tolerance: Tolerance) -> Proposal:
    """`target` and `usage`: of one object, thousandths. Raises Unknown."""
    ratio = usage / target
    if not current:
        return Proposal(math.ceil(ratio), usage)
    if tolerance.covers(ratio):
        return Proposal(current, usage)
    if not pods:
        raise Unknown(f"unable to calculate ready pods: {NO_PODS}")
    ready = sum(pod.phase == "Running" and pod.ready is True for pod in pods)
    return Proposal(math.ceil(ratio * ready), usage)


def by_average(current: int, target: int, usage: int, tolerance: Tolerance) -> Proposal:
    """`target`: for each of the `current` replicas that there are; `usage`: of all."""
    ratio = usage / (target * current) if current else math.inf
    replicas = current if tolerance.covers(ratio) else math.ceil(usage / target)
    return Proposal(replicas, math.ceil(usage / current) if current else 0)
