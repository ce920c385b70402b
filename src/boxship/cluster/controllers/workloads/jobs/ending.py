"""Whether a job is over, and why. Pure. A job first says how it will end (FailureTarget, SuccessCriteriaMet), and has
ended (Failed, Complete) when no pod of it runs or is uncounted."""

from collections.abc import Sequence

import msgspec

from boxship.cluster.controllers.workloads.jobs.counting import Counts, is_indexed, true
from boxship.cluster.controllers.workloads.jobs.policies import success
from boxship.cluster.controllers.workloads.times import seconds_of, stamp
from boxship.cluster.objects import Object

TARGET, CRITERIA, FAILED, COMPLETE = "FailureTarget", "SuccessCriteriaMet", "Failed", "Complete"


class Ending(msgspec.Struct, frozen=True):
    fails: bool
    reason: str
    message: str

    @property
    def first(self) -> str:
        return TARGET if self.fails else CRITERIA

    @property
    def last(self) -> str:
        return FAILED if self.fails else COMPLETE


def is_finished(job: Object) -> bool:
    status = job.get("status") or {}
    return bool(true(status, FAILED) or true(status, COMPLETE))


def begun(job: Object) -> Ending | None:
    """What was decided before."""
    status = job.get("status") or {}
    for kind in (TARGET, CRITERIA):
        known = true(status, kind)
        if known is not None:
            return Ending(kind == TARGET, known.get("reason", ""), known.get("message", ""))
    return None


def decide(job: Object, counts: Counts, now: float) -> Ending | None:
    """None: it goes on."""
    return begun(job) or _failure(job, counts, now) or _success(job, counts)


def _failure(job: Object, counts: Counts, now: float) -> Ending | None:
    spec = job["spec"]
    if counts.doom:
        return Ending(True, "PodFailurePolicy", counts.doom)
    limit = spec.get("backoffLimit")
    if limit is not None and (counts.all_failed > limit or _restarted_too_often(spec, counts, limit)):
        return Ending(True, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = time_left(job, now)
    if left is not None and left <= 0:
        return Ending(True, "DeadlineExceeded", "Job was active longer than specified deadline")
    if spec.get("backoffLimitPerIndex") is None:
        return None
    most = spec.get("maxFailedIndexes")
    if most is not None and len(counts.failed_indexes) > most:
        text = "Job has exceeded the specified maximal number of failed indexes"
        return Ending(True, "MaxFailedIndexesExceeded", text)
    settled = len(counts.completed) + len(counts.failed_indexes)
    if counts.failed_indexes and settled >= (spec.get("completions") or 0) and not counts.active:
        return Ending(True, "FailedIndexes", "Job has failed indexes")
    return None


def _restarted_too_often(spec: Object, counts: Counts, limit: int) -> bool:
    """Containers that are restarted in place count, too."""
    if ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(pod.all_restarts for pod in counts.active)
    return restarts > 0 if limit == 0 else restarts >= limit


def time_left(job: Object, now: float) -> float | None:
    """Seconds until the job's deadline; None: it has none, or does not run."""
    spec, started = job["spec"], (job.get("status") or {}).get("startTime")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is None or not started or spec.get("suspend"):
        return None
    return seconds_of(started) + float(deadline) - now


def _success(job: Object, counts: Counts) -> Ending | None:
    spec = job["spec"]
    if is_indexed(spec) and spec.get("successPolicy"):
        message = success(spec, counts.completed)
        if message:
            return Ending(False, "SuccessPolicy", message)
    succeeded = counts.succeeded + len(counts.uncounted_succeeded)
    completions = spec.get("completions")
    enough = succeeded > 0 if completions is None else succeeded >= completions
    if enough and not counts.active:
        return Ending(False, "CompletionsReached", "Reached expected number of succeeded pods")
    return None


def condition(kind: str, status: str, reason: str, message: str, now: float) -> Object:
    return {
        "type": kind,
        "status": status,
        "lastProbeTime": stamp(now),
        "lastTransitionTime": stamp(now),
        "reason": reason,
        "message": message,
    }


def put(conditions: Sequence[Object], kind: str, status: str, reason: str, message: str, now: float) -> list[Object]:
    """With this one; nothing changes where it is so already."""
    known = next((one for one in conditions if one["type"] == kind), None)
    if known is not None and (known["status"], known.get("reason")) == (status, reason):
        return list(conditions)
    made = condition(kind, status, reason, message, now)
    return [made if one["type"] == kind else one for one in conditions] + ([] if known is not None else [made])
