"""Which pods of a job to create and to delete now, and what its status is. Pure."""

import math
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from boxship.cluster.controllers.workloads.jobs import ending
from boxship.cluster.controllers.workloads.jobs.counting import (
    FAILURES,
    FINALIZER,
    IGNORED,
    INDEX,
    Counts,
    has_failed,
    index_of,
    is_indexed,
    number,
    only_failed,
    tries,
)
from boxship.cluster.controllers.workloads.jobs.ending import Ending
from boxship.cluster.controllers.workloads.jobs.indexes import text_of
from boxship.cluster.controllers.workloads.jobs.policies import IGNORE, on_failure
from boxship.cluster.controllers.workloads.making import pod_of, with_annotations, with_labels
from boxship.cluster.controllers.workloads.pods import Pod, first_to_go
from boxship.cluster.controllers.workloads.times import stamp
from boxship.cluster.controllers.workloads.writing import BURST
from boxship.cluster.objects import Object

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 600.0  # seconds between tries
SUSPENDED = "Suspended"


class New(msgspec.Struct, frozen=True):
    """A pod to create. `index` -1: none."""

    index: int = -1
    failures: int = -1  # of this index before; -1: not counted by index
    ignored: int = 0


class Plan(msgspec.Struct, frozen=True):
    create: tuple[New, ...] = ()
    delete: tuple[Pod, ...] = ()
    release: bool = False  # pods that are deleted are not to be counted
    again: float = 0.0  # seconds; 0.0: when something changes


def plan(job: Object, pods: Sequence[Pod], counts: Counts, end: Ending | None, now: float) -> Plan:
    spec = job["spec"]
    if end is not None:
        return Plan(delete=counts.active)
    if spec.get("suspend"):
        return Plan(delete=counts.active, release=True)
    want = _wanted(spec, counts)
    surplus = _surplus(spec, counts, want, now)
    if surplus:
        return Plan(delete=tuple(surplus[:BURST]), release=True)
    # A pod that is being deleted counts as failed at once, and is replaced, unless only failed ones are.
    missing = want - len(counts.active) - (counts.ending if only_failed(spec) else 0)
    missing = min(missing, BURST)
    if missing <= 0:
        return Plan()
    if spec.get("backoffLimitPerIndex") is not None:
        return _by_index(spec, pods, counts, missing, now)
    pause = backoff(spec, pods, now)
    if pause > 0:
        return Plan(again=pause)
    if is_indexed(spec):
        return Plan(create=tuple(New(index) for index in _pending(spec, pods, counts, missing)))
    return Plan(create=(New(),) * missing)


def _wanted(spec: Object, counts: Counts) -> int:
    """How many pods should run."""
    parallelism = spec.get("parallelism")
    parallelism = 1 if parallelism is None else parallelism
    succeeded = counts.succeeded + len(counts.uncounted_succeeded)
    if spec.get("completions") is None:
        return len(counts.active) if succeeded > 0 else parallelism
    left = int(spec["completions"]) - succeeded - len(counts.failed_indexes)
    return max(min(left, int(parallelism)), 0)


def _surplus(spec: Object, counts: Counts, want: int, now: float) -> list[Pod]:
    """Pods that must go: those that would never be counted, those of an index that is settled or has another pod, and
    as many as are too many."""
    useless = [pod for pod in counts.active if FINALIZER not in pod.finalizers]
    rest = [pod for pod in counts.active if FINALIZER in pod.finalizers]
    if is_indexed(spec):
        kept: dict[int, Pod] = {}
        for pod in reversed(first_to_go(rest, {}, now)):  # the best one of each index stays
            index = index_of(pod, spec)
            if index < 0 or index in kept or index in counts.completed or index in counts.failed_indexes:
                useless.append(pod)
            else:
                kept[index] = pod
        rest = list(kept.values())
    return useless + first_to_go(rest, {}, now)[: max(len(rest) - want, 0)]


def _pending(spec: Object, pods: Sequence[Pod], counts: Counts, limit: int) -> list[int]:
    """The first indexes that nothing runs for."""
    taken = {index_of(pod, spec) for pod in counts.active}
    if only_failed(spec):
        taken |= {index_of(pod, spec) for pod in pods if pod.is_ending and pod.node}
    found: list[int] = []
    for index in range(spec.get("completions") or 0):
        if len(found) == limit:
            break
        if index not in counts.completed and index not in taken and index not in counts.failed_indexes:
            found.append(index)
    return found


def _by_index(spec: Object, pods: Sequence[Pod], counts: Counts, missing: int, now: float) -> Plan:
    """Each index waits for itself."""
    last: dict[int, Pod] = {}
    for pod in pods:
        index = index_of(pod, spec)
        if index >= 0 and has_failed(pod, spec) and (index not in last or tries(pod) > tries(last[index])):
            last[index] = pod
    made: list[New] = []
    waits = []
    for index in _pending(spec, pods, counts, spec.get("completions") or 0):
        before = last.get(index)
        if before is None:
            made.append(New(index, 0))
        else:
            left = _ended(before, now) + pause_of(tries(before) + 1) - now
            if left > 0:
                waits.append(left)
                continue
            failures, ignored = max(number(before, FAILURES), 0), max(number(before, IGNORED), 0)
            if before.phase == "Failed" and on_failure(spec, before).action == IGNORE:
                made.append(New(index, failures, ignored + 1))
            else:
                made.append(New(index, failures + 1, ignored))
        if len(made) == missing:
            break
    return Plan(create=tuple(made), again=min(waits, default=0.0) if len(made) < missing else 0.0)


def pause_of(failures: int) -> float:
    return float(min(FIRST_PAUSE * math.pow(2, min(failures - 1, 20)), LONGEST_PAUSE)) if failures > 0 else 0.0


def backoff(spec: Object, pods: Sequence[Pod], now: float) -> float:
    """Seconds until a pod may be tried again: more with each failure since the last success."""
    ended = [pod for pod in pods if pod.phase == "Succeeded" or has_failed(pod, spec)]
    # What was deleted because it was not wanted is no failure: it lost its finalizer first.
    ended = [pod for pod in ended if not pod.deleted or FINALIZER in pod.finalizers]
    failures, latest = 0, 0.0
    for pod in sorted(ended, key=lambda pod: _ended(pod, now), reverse=True):
        if pod.phase == "Succeeded":
            break
        if on_failure(spec, pod).action != IGNORE or pod.phase != "Failed":
            failures += 1
            latest = max(latest, _ended(pod, now))
    return max(latest + pause_of(failures) - now, 0.0) if failures else 0.0


def _ended(pod: Pod, now: float) -> float:
    ended = pod.finished if pod.is_done else pod.deleted
    return min(ended or pod.deleted or pod.created, now)


def make_pod(job: Object, new: New) -> Object:
    template = job["spec"]["template"]
    pod = pod_of(template, job)
    pod["metadata"]["finalizers"] = [*(pod["metadata"].get("finalizers") or ()), FINALIZER]
    if new.index < 0:
        return pod
    index = str(new.index)
    pod["metadata"]["generateName"] = f"{job['metadata']['name']}-{index}-"
    with_labels(pod, {INDEX: index})
    counted = {} if new.failures < 0 else {FAILURES: str(new.failures)}
    if new.ignored:
        counted[IGNORED] = str(new.ignored)
    with_annotations(pod, {INDEX: index, **counted})
    pod["spec"]["hostname"] = f"{job['metadata']['name']}-{index}"
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}}
    for container in [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]:
        known = [one["name"] for one in container.get("env") or ()]
        if "JOB_COMPLETION_INDEX" not in known:
            variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}
            container["env"] = [*(container.get("env") or ()), variable]
    return pod


class Running(msgspec.Struct, frozen=True):
    """What there is after a plan was carried out. `settled`: all of that is seen already."""

    active: int
    ready: int
    terminating: int
    settled: bool


def status_of(job: Object, counts: Counts, end: Ending | None, running: Running, now: float) -> Object:
    spec, known = job["spec"], job.get("status") or {}
    conditions = list(known.get("conditions") or ())
    status: Object = {
        "active": running.active,
        "ready": running.ready,
        "terminating": running.terminating,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "startTime": known.get("startTime"),
    }
    uncounted: dict[str, list[str]] = defaultdict(list)
    uncounted["succeeded"] += counts.uncounted_succeeded
    uncounted["failed"] += counts.uncounted_failed
    status["uncountedTerminatedPods"] = {key: uids for key, uids in uncounted.items() if uids}
    if is_indexed(spec):
        status["completedIndexes"] = text_of(counts.completed)
        if spec.get("backoffLimitPerIndex") is not None:
            status["failedIndexes"] = text_of(counts.failed_indexes)
    if end is None:
        conditions, status["startTime"] = _suspension(spec, conditions, status["startTime"], now)
    else:
        status["startTime"] = status["startTime"] or stamp(now)
        conditions = ending.put(conditions, end.first, "True", end.reason, end.message, now)
        left = running.active or running.terminating or counts.held or status["uncountedTerminatedPods"]
        if running.settled and not left:
            conditions = ending.put(conditions, end.last, "True", end.reason, end.message, now)
            if not end.fails:
                status["completionTime"] = stamp(now)
    status["conditions"] = conditions
    always = ("ready", "terminating", "uncountedTerminatedPods", "failedIndexes")
    return {key: value for key, value in status.items() if (value or key in always) and value is not None}


def _suspension(
    spec: Object, conditions: list[Object], started: str | None, now: float
) -> tuple[list[Object], str | None]:
    was = any(one["type"] == SUSPENDED and one["status"] == "True" for one in conditions)
    if spec.get("suspend"):
        return ending.put(conditions, SUSPENDED, "True", "JobSuspended", "Job suspended", now), None
    if was:
        conditions = ending.put(conditions, SUSPENDED, "False", "JobResumed", "Job resumed", now)
        return conditions, stamp(now)
    return conditions, started or stamp(now)
