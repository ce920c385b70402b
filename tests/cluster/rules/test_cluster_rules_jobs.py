"""Jobs and cron jobs: what is filled in, what is refused, what may change."""

from typing import Any

import pytest
from rules_kit import causes, changed, created, refused, updated

from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.kinds import rules_of
from boxship.cluster.objects.kinds.batch_jobs import count_indexes
from boxship.cluster.objects.kinds.batch_schedules import wrong_schedule

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "web", "image": "example.com/web:1"}]},
}
JOB: dict[str, Any] = {
    "metadata": {"name": "once", "uid": "u-1"},
    "spec": {"template": changed(TEMPLATE, "spec.restartPolicy", "Never")},
}
JOB["spec"]["template"]["metadata"] = {}
CRON: dict[str, Any] = {
    "metadata": {"name": "often"},
    "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": copied(JOB["spec"])}},
}
ONE_CPU = {"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}
SUSPENDED = [{"type": "Suspended", "status": "True"}]


def test_a_plain_job() -> None:
    made = created("batch", "Job", JOB)
    labels = {
        "job-name": "once",
        "batch.kubernetes.io/job-name": "once",
        "controller-uid": "u-1",
        "batch.kubernetes.io/controller-uid": "u-1",
    }
    assert made["metadata"] == {"name": "once", "uid": "u-1", "labels": labels}
    spec = {key: value for key, value in made["spec"].items() if key != "template"}
    assert spec == {
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "manualSelector": False,
        "podReplacementPolicy": "TerminatingOrFailed",
        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}},
    }
    assert made["spec"]["template"]["metadata"]["labels"] == labels
    assert causes("batch", "Job", made) == []
    assert rules_of("batch", "Job").fields(made) == {"status.successful": "0"}


def test_a_job_that_selects_by_hand() -> None:
    object = changed(changed(JOB, "spec.manualSelector", True), "spec.selector", {"matchLabels": {"a": "b"}})
    object = changed(object, "spec.template.metadata.labels", {"a": "b"})
    made = created("batch", "Job", object)
    assert made["spec"]["selector"] == {"matchLabels": {"a": "b"}}
    assert causes("batch", "Job", made) == []


JOBS: list[tuple[str, Any, list[str]]] = [
    (
        "spec.template.spec.restartPolicy",
        None,
        ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
    ),
    (
        "spec.template.spec.restartPolicy",
        "x",
        [
            'spec.template.spec.restartPolicy: Unsupported value: "x": supported values: "Always", "OnFailure", '
            '"Never"',
            'spec.template.spec.restartPolicy: Unsupported value: "x": supported values: "OnFailure", "Never"',
        ],
    ),
    ("spec.parallelism", -1, ["spec.parallelism: Invalid value: -1: must be greater than or equal to 0"]),
    (
        "spec.completionMode",
        "x",
        ['spec.completionMode: Unsupported value: "x": supported values: "NonIndexed", "Indexed"'],
    ),
    ("spec.backoffLimitPerIndex", 1, ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"]),
    (
        "spec.managedBy",
        "x",
        ['spec.managedBy: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")'],
    ),
    (
        "spec.selector",
        {"matchLabels": {"a": "b"}},
        [
            'spec.selector: Invalid value: {"matchLabels":{"a":"b","batch.kubernetes.io/controller-uid":"u-1"}}: '
            "`selector` not auto-generated",
            'spec.template.metadata.labels: Invalid value: {"batch.kubernetes.io/controller-uid":"u-1",'
            '"batch.kubernetes.io/job-name":"once","controller-uid":"u-1","job-name":"once"}: '
            "`selector` does not match template `labels`",
        ],
    ),
    (
        "spec.podFailurePolicy",
        {"rules": [{"action": "x"}]},
        [
            'spec.podFailurePolicy.rules[0].action: Unsupported value: "x": supported values: "Count", "FailIndex", '
            '"FailJob", "Ignore"',
            "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is "
            "required",
        ],
    ),
    (
        "spec.podFailurePolicy",
        {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2, 1, 0, 1]}}]},
        [
            "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Invalid value: 0: must not be 0 for the In operator",
            "spec.podFailurePolicy.rules[0].onExitCodes.values[3]: Duplicate value: 1",
            "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,1,0,1]: must be ordered",
        ],
    ),
    (
        "spec.successPolicy",
        {"rules": []},
        ['spec.successPolicy: Invalid value: {"rules":[]}: requires indexed completion mode'],
    ),
    (
        "spec.podReplacementPolicy",
        "x",
        ['spec.podReplacementPolicy: Unsupported value: "x": supported values: "Failed", "TerminatingOrFailed"'],
    ),
]


@pytest.mark.parametrize(("path", "value", "expected"), JOBS)
def test_jobs_that_are_refused(path: str, value: Any, expected: list[str]) -> None:
    assert refused("batch", "Job", changed(JOB, path, value)) == expected


def test_indexed_jobs() -> None:
    object = changed(JOB, "spec.completionMode", "Indexed")
    assert refused("batch", "Job", changed(object, "spec.completions", 3)) == []
    assert refused("batch", "Job", changed(object, "spec.parallelism", 2)) == [
        "spec.completions: Required value: when completion mode is Indexed"
    ]
    object = changed(object, "spec.completions", 3)
    rules = [{"succeededCount": 4, "succeededIndexes": "0-2"}, {"succeededIndexes": "2-1"}]
    assert refused("batch", "Job", changed(object, "spec.successPolicy", {"rules": rules})) == [
        "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of "
        "specified completions)",
        "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of "
        "indexes in the specified succeededIndexes field)",
        'spec.successPolicy.rules[1].succeededIndexes: Invalid value: "2-1": error parsing succeededIndexes: '
        "non-increasing order, previous: 2, current: 1",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("0", 1), ("0-2,4", 4), ("1,0", -1), ("0-1-2", -1), ("x", -1), ("9", -1), ("2-2", -1), ("0,,1", -1)],
)
def test_lists_of_indexes(text: str, expected: int) -> None:
    total, why = count_indexes(text, 5)
    assert (total if not why else -1) == expected


def test_what_may_change_in_a_job() -> None:
    assert updated("batch", "Job", JOB, changed(created("batch", "Job", JOB), "spec.parallelism", 3)) == []
    made = created("batch", "Job", JOB)
    assert updated("batch", "Job", JOB, changed(made, "spec.completions", 3)) == [
        "spec.completions: Invalid value: 3: field is immutable"
    ]
    (cause,) = updated("batch", "Job", JOB, changed(made, "spec.template.spec.containers.0.image", "x:2"))
    assert cause.startswith("spec.template: Invalid value: {")
    assert cause.endswith(": field is immutable")
    waiting = changed(JOB, "spec.suspend", True)
    made = created("batch", "Job", waiting)
    assert updated("batch", "Job", waiting, changed(made, "spec.template.spec.nodeSelector", {"a": "b"})) == []
    assert updated("batch", "Job", waiting, changed(made, "spec.template.spec.containers.0.resources", ONE_CPU)) == []
    assert updated("batch", "Job", waiting, changed(made, "spec.template.spec.containers.0.image", "x:2"))
    indexed = changed(changed(JOB, "spec.completionMode", "Indexed"), "spec.completions", 2)
    made = changed(created("batch", "Job", indexed), "spec.completions", 3)
    assert updated("batch", "Job", indexed, made) == [
        "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"
    ]
    assert updated("batch", "Job", indexed, changed(made, "spec.parallelism", 3)) == []


@pytest.mark.parametrize(
    ("suspend", "status", "may"),
    [
        (True, {}, True),
        (True, {"startTime": "2026-01-01T00:00:00Z"}, False),
        (True, {"startTime": "2026-01-01T00:00:00Z", "conditions": SUSPENDED}, True),
        (True, {"startTime": "2026-01-01T00:00:00Z", "conditions": SUSPENDED, "active": 1}, False),
        (False, {"conditions": SUSPENDED}, False),
    ],
)
def test_when_a_jobs_pods_may_ask_for_something_else(suspend: bool, status: dict[str, Any], may: bool) -> None:
    made = changed(created("batch", "Job", changed(JOB, "spec.suspend", suspend)), "status", status)
    for change in (
        changed(made, "spec.template.spec.containers.0.resources", ONE_CPU),
        changed(made, "spec.template.spec.tolerations", [{"key": "a", "operator": "Exists"}]),
    ):
        assert (not rules_of("batch", "Job").validate_update(change, made)) is may


def test_a_jobs_status() -> None:
    validate = rules_of("batch", "Job").validate_status
    done = [{"type": kind, "status": "True"} for kind in ("SuccessCriteriaMet", "Complete")]
    status = {"conditions": done, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:01Z"}
    assert validate({"spec": {}, "status": status}, {}) == []
    wrong = {"conditions": done[1:], "active": 1, "ready": 2}
    assert [cause.message for cause in validate({"spec": {}, "status": wrong}, {})] == [
        "Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        "Required value: completionTime is required for Complete jobs",
        "Invalid value: 1: active>0 is invalid for finished job",
        "Required value: startTime is required for finished job",
        "Invalid value: 2: cannot set more ready pods than active",
    ]
    assert [cause.message for cause in validate({"spec": {}, "status": {}}, {"status": {**status, "failed": 1}})] == [
        "Invalid value: cannot disable the terminal Complete=True condition",
        "Invalid value: cannot disable the SuccessCriteriaMet=True condition",
        "Required value: startTime cannot be removed for unsuspended job",
        "Invalid value: 0: cannot decrease the failed counter",
    ]


def test_a_plain_cron_job() -> None:
    made = created("batch", "CronJob", CRON)
    spec = {key: value for key, value in made["spec"].items() if key != "jobTemplate"}
    assert spec == {
        "schedule": "*/5 * * * *",
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    }
    assert "completions" not in made["spec"]["jobTemplate"]["spec"]
    assert causes("batch", "CronJob", made) == []


CRONS: list[tuple[str, Any, list[str]]] = [
    ("spec.schedule", None, ["spec.schedule: Required value"]),
    ("spec.schedule", "* * *", ['spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]']),
    (
        "spec.schedule",
        "TZ=UTC 0 0 * * *",
        [
            'spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ or CRON_TZ in schedule, use timeZone '
            "field "
            "instead"
        ],
    ),
    ("spec.timeZone", "", ['spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string']),
    (
        "spec.timeZone",
        "Local",
        [
            'spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in '
            "https://www.iana.org/time-zones"
        ],
    ),
    (
        "spec.timeZone",
        "Europe/Nowhere",
        ['spec.timeZone: Invalid value: "Europe/Nowhere": unknown time zone Europe/Nowhere'],
    ),
    ("spec.timeZone", "../etc", ['spec.timeZone: Invalid value: "../etc": unknown time zone ../etc']),
    ("spec.timeZone", "UTC", []),
    (
        "spec.concurrencyPolicy",
        "x",
        ['spec.concurrencyPolicy: Unsupported value: "x": supported values: "Allow", "Forbid", "Replace"'],
    ),
    (
        "spec.jobTemplate.spec.selector",
        {},
        ["spec.jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated"],
    ),
    ("metadata.name", "x" * 53, [f'metadata.name: Invalid value: "{"x" * 53}": must be no more than 52 characters']),
]


@pytest.mark.parametrize(("path", "value", "expected"), CRONS)
def test_cron_jobs_that_are_refused(path: str, value: Any, expected: list[str]) -> None:
    assert refused("batch", "CronJob", changed(CRON, path, value)) == expected


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("0 0 1 1 0", ""),
        ("*/15 0-6/2 1,15 jan-mar mon-fri", ""),
        ("? ? ? ? ?", ""),
        ("@daily", ""),
        ("@every 1h30m", ""),
        ("@often", "unrecognized descriptor: @often"),
        ("@every x", 'failed to parse duration @every x: time: invalid duration "x"'),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
    ],
)
def test_schedules(schedule: str, why: str) -> None:
    assert wrong_schedule(schedule) == why
