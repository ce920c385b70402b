"""What the controller of jobs may write into a Job's status.

Source: documentation "Jobs" (terminal conditions, counters); API reference JobStatus; k8s.io/kubernetes,
apis/batch/validation and registry/batch/job.
"""

import itertools
from collections.abc import Sequence

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.batch_jobs import count_indexes
from boxship.cluster.objects.kinds.checking import Found, non_negative

COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
CONDITIONS = "status.conditions"
CRITERIA = "SuccessCriteriaMet"
TARGET = "FailureTarget"


def _true(status: Object, kind: str) -> bool:
    return any(each.get("type") == kind and each.get("status") == "True" for each in status.get("conditions") or ())


def _wrong(found: Found, why: str) -> None:
    found.add("FieldValueInvalid", CONDITIONS, f"Invalid value: {why}")


def validate_job_status(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    status, was, spec = new.get("status") or {}, old.get("status") or {}, new.get("spec") or {}
    non_negative(found, status, "status", *COUNTS)
    _validate_uncounted(found, status)
    _validate_conditions(found, status, was)
    _validate_times(found, status, was, spec)
    _validate_finished(found, status)
    _validate_indexes(found, status, spec)
    if (status.get("ready") or 0) > (status.get("active") or 0):
        found.invalid("status.ready", status.get("ready") or 0, "cannot set more ready pods than active")
    # An indexed job that is made smaller forgets indexes that it no longer has.
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for key in ("failed",) if elastic else ("failed", "succeeded"):
        if (status.get(key) or 0) < (was.get(key) or 0):
            found.invalid(f"status.{key}", status.get(key) or 0, f"cannot decrease the {key} counter")
    return found.causes


def _validate_uncounted(found: Found, status: Object) -> None:
    seen: set[str] = set()
    for key in ("succeeded", "failed"):
        for index, uid in enumerate((status.get("uncountedTerminatedPods") or {}).get(key) or ()):
            at = f"status.uncountedTerminatedPods.{key}[{index}]"
            if not uid:
                found.invalid(at, uid, "must not be empty")
            elif uid in seen:
                found.duplicate(at, uid)
            seen.add(uid)


def _validate_conditions(found: Found, status: Object, was: Object) -> None:
    complete, failed = _true(status, "Complete"), _true(status, "Failed")
    met, target = _true(status, CRITERIA), _true(status, TARGET)
    if complete and failed:
        _wrong(found, "cannot set Complete=True and Failed=true conditions")
    if complete and target:
        _wrong(found, "cannot set Complete=True and FailureTarget=true conditions")
    if failed and not _true(was, "Failed") and not target:
        _wrong(found, "cannot set Failed=True condition without the FailureTarget=true condition")
    if complete and not _true(was, "Complete") and not met:
        _wrong(found, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
    if met and failed:
        _wrong(found, "cannot set SuccessCriteriaMet=True and Failed=true conditions")
    if met and target:
        _wrong(found, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
    for kind in ("Failed", "Complete", TARGET):
        if _true(was, kind) and not _true(status, kind):
            _wrong(found, f"cannot disable the terminal {kind}=True condition")
    if _true(was, CRITERIA) and not met:
        _wrong(found, "cannot disable the SuccessCriteriaMet=True condition")
    if _true(was, "Complete") and not _true(was, CRITERIA) and met:
        _wrong(found, "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions")


def _validate_times(found: Found, status: Object, was: Object, spec: Object) -> None:
    started, completed = status.get("startTime"), status.get("completionTime")
    complete = _true(status, "Complete")
    path = "status.completionTime"
    if completed is not None and not complete:
        found.invalid(path, completed, "cannot set completionTime when there is no Complete=True condition")
    if completed is None and complete:
        found.required(path, "completionTime is required for Complete jobs")
    if started is not None and completed is not None and completed < started:
        found.invalid(path, completed, "completionTime cannot be set before startTime")
    if completed is not None and was.get("completionTime") not in (None, completed):
        found.invalid(path, completed, "completionTime cannot be mutated")
    if was.get("startTime") not in (None, started) and not spec.get("suspend"):
        found.required("status.startTime", "startTime cannot be removed for unsuspended job")


def _validate_finished(found: Found, status: Object) -> None:
    if not _true(status, "Complete") and not _true(status, "Failed"):
        return
    for key in ("active", "terminating"):
        if (status.get(key) or 0) > 0:
            found.invalid(f"status.{key}", status[key], f"{key}>0 is invalid for finished job")
    if status.get("startTime") is None:
        found.required("status.startTime", "startTime is required for finished job")
    uncounted = status.get("uncountedTerminatedPods") or {}
    if uncounted.get("failed") or uncounted.get("succeeded"):
        why = "uncountedTerminatedPods needs to be empty for finished job"
        found.invalid("status.uncountedTerminatedPods", uncounted, why)


def _validate_indexes(found: Found, status: Object, spec: Object) -> None:
    completions, done, failed = (
        spec.get("completions"),
        status.get("completedIndexes") or "",
        status.get("failedIndexes"),
    )
    wrong = ""
    if completions is not None:
        for key, text in (("completedIndexes", done), ("failedIndexes", failed or "")):
            _, why = count_indexes(text, completions)
            if why:
                wrong = key
                found.invalid(f"status.{key}", text, f"error parsing {key}: {why}")
    if done and spec.get("completionMode") != "Indexed":
        why = "cannot set non-empty completedIndexes when non-indexed completion mode"
        found.invalid("status.completedIndexes", done, why)
    if failed is not None and spec.get("backoffLimitPerIndex") is None:
        why = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        found.invalid("status.failedIndexes", failed, why)
    elif failed and done and completions is not None and not wrong and _overlap(failed, done):
        found.invalid("status.failedIndexes", failed, "failedIndexes and completedIndexes overlap")


def _overlap(one: str, other: str) -> bool:
    """Of two right lists of indexes: is any in both?"""
    spans = sorted(_spans(one) + _spans(other))
    return any(later[0] <= earlier[1] for earlier, later in itertools.pairwise(spans))


def _spans(text: str) -> list[tuple[int, int]]:
    ends = [part.partition("-") for part in text.split(",")]
    return [(int(start), int(end or start)) for start, _, end in ends]
