"""The rules of Job and CronJob.

Source: documentation "Jobs", "CronJob"; API reference of batch/v1; k8s.io/kubernetes, apis/batch and registry/batch.
A job's uid and name have to be there before `prepare_create`: its selector is made of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.apps_templates import validate_same, warnings_of
from boxship.cluster.objects.kinds.batch_jobs import validate_job_spec
from boxship.cluster.objects.kinds.batch_schedules import is_zone_name, wrong_schedule, wrong_zone
from boxship.cluster.objects.kinds.batch_status import validate_job_status
from boxship.cluster.objects.kinds.checking import IMMUTABLE, Found, child, fill, non_negative
from boxship.cluster.objects.kinds.comparing import empty_status, keep_status, path_of, same, take_spec_back
from boxship.cluster.objects.kinds.core_pod_defaults import default_template
from boxship.cluster.objects.kinds.metadata import selector_matches, validate_label_selector
from boxship.cluster.objects.rules import Rules

NO_LIMIT = 2**31 - 1
PRESERVED = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)
UID_LABELS = ("controller-uid", "batch.kubernetes.io/controller-uid")
NAME_LABELS = ("job-name", "batch.kubernetes.io/job-name")
SCHEDULE_NAME_LENGTH = 52
FIXED = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
SCHEDULED = ("nodeSelector", "tolerations", "schedulingGates")  # of a template, while a job waits


def _default_job(job: Object) -> None:
    spec = child(job, "spec")
    default_template(spec)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    limit = 6 if spec.get("backoffLimitPerIndex") is None else NO_LIMIT
    replacement = "TerminatingOrFailed" if spec.get("podFailurePolicy") is None else "Failed"
    fill(
        spec,
        {
            "parallelism": 1,
            "backoffLimit": limit,
            "completionMode": "NonIndexed",
            "suspend": False,
            "manualSelector": False,
            "podReplacementPolicy": replacement,
        },
    )
    _default_conditions(spec)


def _default_conditions(spec: Object) -> None:
    for rule in path_of(spec, "podFailurePolicy", "rules") or ():
        for condition in rule.get("onPodConditions") or ():
            if not condition.get("status"):
                condition["status"] = "True"


def _take_labels(job: Object) -> None:
    """A job without labels has its template's."""
    labels = path_of(job, "spec", "template", "metadata", "labels")
    metadata = child(job, "metadata")
    if labels and not metadata.get("labels"):
        metadata["labels"] = copied(labels)


def _create_job(job: Object) -> None:
    empty_status(job)
    spec, metadata = child(job, "spec"), child(job, "metadata")
    template = child(child(spec, "template"), "metadata")
    same_labels = metadata.get("labels") and metadata["labels"] == template.get("labels")
    if not spec.get("manualSelector"):
        labels = child(template, "labels")
        for keys, value in ((NAME_LABELS, metadata.get("name")), (UID_LABELS, metadata.get("uid"))):
            for key in keys:
                labels.setdefault(key, value or "")
        child(child(spec, "selector"), "matchLabels").setdefault(UID_LABELS[1], metadata.get("uid") or "")
        if same_labels:
            metadata["labels"] = copied(labels)
    _take_labels(job)


def _update_job(new: Object, old: Object) -> None:
    keep_status(new, old)
    _take_labels(new)


def _validate_job(job: Object) -> Sequence[Cause]:
    found = Found()
    spec = job.get("spec") or {}
    metadata = job.get("metadata") or {}
    selector = spec.get("selector")
    labels = path_of(spec, "template", "metadata", "labels") or {}
    if not spec.get("manualSelector") and selector is not None:
        _validate_generated(found, metadata, selector, labels)
    validate_job_spec(found, spec, "spec")
    if selector is None:
        found.required("spec.selector")
    validate_label_selector(found, selector, "spec.selector")
    if selector is None or not selector_matches(selector, labels):
        found.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    completions = spec.get("completions") or 0
    if spec.get("completionMode") == "Indexed" and completions > 0:
        name = metadata.get("name") or ""
        if names.label(f"{name}-{completions - 1}"):
            why = f"will not able to create pod with invalid DNS label: {name}-{completions - 1}"
            found.invalid("metadata.name", name, why)
    return found.causes


def _validate_generated(
    found: Found, metadata: Mapping[str, Any], selector: Mapping[str, Any], labels: Mapping[str, str]
) -> None:
    uid, name = metadata.get("uid") or "", metadata.get("name") or ""
    if not uid:
        found.required("metadata.uid")
    expected = {UID_LABELS[0]: uid, NAME_LABELS[0]: name, UID_LABELS[1]: uid, NAME_LABELS[1]: name}
    for key, value in expected.items():
        path = f"spec.template.metadata.labels[{key}]"
        if key not in labels:
            found.required(path, f"must be '{value}'")
        elif labels[key] != value:
            found.invalid(path, labels, f"must be '{value}'")
    if not selector_matches(selector, expected):
        found.invalid("spec.selector", selector, "`selector` not auto-generated")


def _job_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    after, before = new.get("spec") or {}, old.get("spec") or {}
    completions, had = after.get("completions"), before.get("completions")
    if after.get("completionMode") != "Indexed":
        if completions != had:
            found.invalid("spec.completions", completions, IMMUTABLE)
    elif completions is not None and completions != had and completions != after.get("parallelism"):
        found.invalid("spec.completions", completions, "can only be modified in tandem with spec.parallelism")
    validate_same(found, new, old, "selector")
    if not same(_fixed_template(after, old), _fixed_template(before, old)):
        found.invalid("spec.template", after.get("template"), IMMUTABLE)
    validate_same(found, new, old, *FIXED)
    return found.causes


def _fixed_template(spec: Object, old: Object) -> Object:
    """What may not change: while a job waits, where its pods may go and what they ask for can."""
    template: Object = copied(spec.get("template") or {})
    if _waits(old):
        pod = template.get("spec") or {}
        for key in SCHEDULED:
            pod.pop(key, None)
        affinity = pod.get("affinity") or {}
        affinity.pop("nodeAffinity", None)
        for container in (*(pod.get("containers") or ()), *(pod.get("initContainers") or ())):
            for key in ("requests", "limits"):
                (container.get("resources") or {}).pop(key, None)
        for key in ("labels", "annotations"):
            (template.get("metadata") or {}).pop(key, None)
    return template


def _waits(job: Object) -> bool:
    """It is suspended, and has no pods: it never began, or its controller says so."""
    status = job.get("status") or {}
    told = any(one.get("type") == "Suspended" and one.get("status") == "True" for one in status.get("conditions") or ())
    idle = not status.get("startTime") or (told and not status.get("active"))
    return bool(path_of(job, "spec", "suspend") and idle)


def _job_fields(job: Object) -> dict[str, str]:
    return {"status.successful": str(path_of(job, "status", "succeeded") or 0)}


def _job_warnings(job: Object) -> Sequence[str]:
    found = list(warnings_of("spec", "template")(job))
    completions, parallel = path_of(job, "spec", "completions") or 0, path_of(job, "spec", "parallelism") or 0
    if path_of(job, "spec", "completionMode") == "Indexed" and completions > 100_000 and parallel > 10_000:
        text = "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
        found.append(f"{text}Kubernetes might not be able to track completedIndexes when a big number of indexes fail")
    return found


def _default_cron(cron: Object) -> None:
    spec = child(cron, "spec")
    if not spec.get("concurrencyPolicy"):
        spec["concurrencyPolicy"] = "Allow"
    fill(spec, {"suspend": False, "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1})
    job = child(child(spec, "jobTemplate"), "spec")
    default_template(job)
    _default_conditions(job)


def _validate_cron(cron: Object) -> Sequence[Cause]:
    found = Found()
    spec = cron.get("spec") or {}
    schedule, zone = spec.get("schedule") or "", spec.get("timeZone")
    if not schedule:
        found.required("spec.schedule")
    else:
        found.because("spec.schedule", schedule, wrong_schedule(schedule))
        if "TZ" in schedule:
            why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            found.invalid("spec.schedule", schedule, why)
    non_negative(found, spec, "spec", "startingDeadlineSeconds")
    if zone is not None:
        _validate_zone(found, zone)
    policy = spec.get("concurrencyPolicy")
    if not policy:
        found.required("spec.concurrencyPolicy")
    elif policy not in ("Allow", "Forbid", "Replace"):
        found.unsupported("spec.concurrencyPolicy", policy, ("Allow", "Forbid", "Replace"))
    job = path_of(spec, "jobTemplate", "spec") or {}
    validate_job_spec(found, job, "spec.jobTemplate.spec")
    if job.get("selector") is not None:
        found.invalid("spec.jobTemplate.spec.selector", job["selector"], "`selector` will be auto-generated")
    if job.get("manualSelector"):
        found.unsupported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false"))
    non_negative(found, spec, "spec", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    return found.causes


def _validate_zone(found: Found, zone: str) -> None:
    path = "spec.timeZone"
    if not zone:
        found.invalid(path, zone, "timeZone must be nil or non-empty string")
    elif not is_zone_name(zone):
        found.invalid(path, zone, f"unknown time zone {zone}")
    elif zone.lower() == "local":
        why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        found.invalid(path, zone, why)
    else:
        found.because(path, zone, wrong_zone(zone))


def _create_cron(cron: Object) -> Sequence[Cause]:
    found = Found()
    name = path_of(cron, "metadata", "name") or ""
    if len(name) > SCHEDULE_NAME_LENGTH:
        found.invalid("metadata.name", name, f"must be no more than {SCHEDULE_NAME_LENGTH} characters")
    return found.causes


RULES = {
    "Job": Rules(
        default=_default_job,
        prepare_create=_create_job,
        prepare_update=_update_job,
        prepare_status=take_spec_back,
        validate=_validate_job,
        validate_update=_job_update,
        validate_status=validate_job_status,
        fields=_job_fields,
        warnings=_job_warnings,
        generation=True,
        orphans=True,
        warning_of_orphans=PRESERVED,
    ),
    "CronJob": Rules(
        default=_default_cron,
        prepare_create=empty_status,
        prepare_update=keep_status,
        prepare_status=take_spec_back,
        validate=_validate_cron,
        validate_create=_create_cron,
        warnings=warnings_of("spec", "jobTemplate", "spec", "template"),
        generation=True,
    ),
}
