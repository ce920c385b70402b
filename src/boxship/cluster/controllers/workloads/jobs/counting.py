"""How many pods of a job have succeeded and failed. Pure.

Each pod that ends counts exactly once, whatever is killed meanwhile: while it has the finalizer it is not counted yet;
its uid goes into the status (`uncountedTerminatedPods`) before the finalizer comes off, and from there into the counter
in one write when the finalizer is seen to be off. Indexes that succeeded are a set, and need no such list.
"""

from collections.abc import Mapping, Sequence

import msgspec

from boxship.cluster.controllers.workloads.jobs.indexes import parse
from boxship.cluster.controllers.workloads.jobs.policies import COUNT, FAIL_INDEX, FAIL_JOB, IGNORE, Verdict, on_failure
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.objects import Object

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
TRUE = "True"


class Counts(msgspec.Struct, frozen=True):
    """What is known after looking at all pods. `succeeded` and `failed` are what the status will say;
    `uncounted_*` go into it, `release` may lose their finalizers as soon as it is written."""

    succeeded: int
    failed: int
    uncounted_succeeded: tuple[str, ...]
    uncounted_failed: tuple[str, ...]
    completed: frozenset[int]
    failed_indexes: frozenset[int]
    active: tuple[Pod, ...]
    ending: int  # deleted ones that still run
    release: tuple[Pod, ...]
    held: int  # pods whose finalizers stay on for now
    doom: str  # why a pod's failure is the whole job's

    @property
    def all_failed(self) -> int:
        return self.failed + len(self.uncounted_failed) + self.held


def is_indexed(spec: Object) -> bool:
    return bool(spec.get("completionMode") == "Indexed")


def only_failed(spec: Object) -> bool:
    """Pods are replaced when they have failed, not already when they are being deleted."""
    return bool(spec.get("podReplacementPolicy") == "Failed")


def number(pod: Pod, annotation: str) -> int:
    """-1: it is not there."""
    text = pod.annotations.get(annotation, "")
    return int(text) if text.isascii() and text.isdigit() else -1


def index_of(pod: Pod, spec: Object) -> int:
    """-1: none, or not one of the job's."""
    index = number(pod, INDEX)
    return index if index < (spec.get("completions") or 0) else -1


def has_failed(pod: Pod, spec: Object) -> bool:
    """A pod that is deleted before it was on any node never ran, and no kubelet will say so."""
    if pod.phase == "Failed":
        return True
    return bool(pod.deleted) and pod.phase != "Succeeded" and (not only_failed(spec) or not pod.node)


def true(status: Object, kind: str) -> Object | None:
    """The condition, where it holds."""
    found = (one for one in status.get("conditions") or () if one["type"] == kind and one["status"] == TRUE)
    return next(found, None)


def count(job: Object, pods: Sequence[Pod], *, finishing: bool) -> Counts:
    """`finishing`: nothing will be tried again, so no finalizer is held back."""
    spec, status = job["spec"], job.get("status") or {}
    uncounted = status.get("uncountedTerminatedPods") or {}
    tracked = {pod.uid for pod in pods if FINALIZER in pod.finalizers}
    waiting = {key: [uid for uid in uncounted.get(key) or () if uid in tracked] for key in ("succeeded", "failed")}
    limit = spec.get("completions") or 0
    completed = set(parse(status.get("completedIndexes") or "", limit)) if is_indexed(spec) else set()
    failed_indexes = set(parse(status.get("failedIndexes") or "", limit))
    told = set(waiting["failed"])  # one that was deleted counts as failed, even if it came to a good end after that
    verdicts = {
        pod.uid: _verdict(spec, pod)
        for pod in pods
        if pod.uid in tracked and (pod.uid in told or has_failed(pod, spec))
    }
    for pod in pods:
        succeeded = pod.uid in tracked and pod.uid not in told and pod.phase == "Succeeded"
        if is_indexed(spec) and succeeded and index_of(pod, spec) >= 0:
            completed.add(index_of(pod, spec))
    failed_indexes |= _failed_indexes(spec, pods, verdicts)
    failed_indexes -= completed
    held = {} if finishing else _held(spec, pods, verdicts, completed | failed_indexes)
    release = []
    for pod in pods:
        if pod.uid not in tracked or (pod.uid not in verdicts and pod.phase != "Succeeded"):
            continue
        if pod.uid in held:
            continue
        release.append(pod)
        if pod.uid in verdicts:
            if verdicts[pod.uid].action != IGNORE and pod.uid not in waiting["failed"]:
                waiting["failed"].append(pod.uid)
        elif not is_indexed(spec) and pod.uid not in waiting["succeeded"]:
            waiting["succeeded"].append(pod.uid)
    moved = {key: len(uncounted.get(key) or ()) for key in waiting}
    for key in moved:
        moved[key] -= sum(uid in tracked for uid in uncounted.get(key) or ())
    total = (status.get("succeeded") or 0) + moved["succeeded"]
    return Counts(
        succeeded=len(completed) if is_indexed(spec) else total,
        failed=(status.get("failed") or 0) + moved["failed"],
        uncounted_succeeded=tuple(waiting["succeeded"]),
        uncounted_failed=tuple(waiting["failed"]),
        completed=frozenset(completed),
        failed_indexes=frozenset(failed_indexes),
        active=tuple(pod for pod in pods if pod.is_active),
        ending=sum(pod.is_ending and bool(pod.node) for pod in pods),
        release=tuple(release),
        held=sum(verdicts[uid].action != IGNORE for uid in held),
        doom=next((each.message for each in verdicts.values() if each.action == FAIL_JOB), ""),
    )


def _verdict(spec: Object, pod: Pod) -> Verdict:
    return on_failure(spec, pod) if pod.phase == "Failed" else Verdict(COUNT)


def _failed_indexes(spec: Object, pods: Sequence[Pod], verdicts: Mapping[str, Verdict]) -> set[int]:
    limit = spec.get("backoffLimitPerIndex")
    if limit is None:
        return set()
    found = set()
    for pod in pods:
        verdict = verdicts.get(pod.uid)
        if verdict is None or index_of(pod, spec) < 0 or verdict.action == IGNORE:
            continue
        if verdict.action == FAIL_INDEX or max(number(pod, FAILURES), 0) >= limit:
            found.add(index_of(pod, spec))
    return found


def _held(spec: Object, pods: Sequence[Pod], verdicts: Mapping[str, Verdict], settled: set[int]) -> dict[str, int]:
    """The last failed pod of each index that is to be tried again: it tells how often it was tried, until there is
    another pod of the index."""
    if spec.get("backoffLimitPerIndex") is None:
        return {}
    newest: dict[int, Pod] = {}
    for pod in pods:
        index = index_of(pod, spec)
        if index >= 0 and (index not in newest or tries(pod) > tries(newest[index])):
            newest[index] = pod
    return {pod.uid: index for index, pod in newest.items() if pod.uid in verdicts and index not in settled}


def tries(pod: Pod) -> int:
    return max(number(pod, FAILURES), 0) + max(number(pod, IGNORED), 0)
