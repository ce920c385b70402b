"""Deployments and their kin, jobs, autoscalers, budgets: what is filled in, what is refused, what may change."""

from typing import Any

import pytest
from rules_kit import causes, changed, created, defaulted, refused, updated

from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.kinds import rules_of
from boxship.cluster.objects.kinds.batch_jobs import count_indexes
from boxship.cluster.objects.kinds.batch_schedules import wrong_schedule

LABELS = {"app": "web"}
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": LABELS},
    "spec": {"containers": [{"name": "web", "image": "example.com/web:1"}]},
}
SELECTED: dict[str, Any] = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
WORKLOAD: dict[str, Any] = {"metadata": {"name": "web"}, "spec": SELECTED}
JOB: dict[str, Any] = {
    "metadata": {"name": "once", "uid": "u-1"},
    "spec": {"template": changed(TEMPLATE, "spec.restartPolicy", "Never")},
}
JOB["spec"]["template"]["metadata"] = {}
CRON: dict[str, Any] = {
    "metadata": {"name": "often"},
    "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": copied(JOB["spec"])}},
}
SCALER: dict[str, Any] = {
    "metadata": {"name": "web"},
    "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}},
}
POD = {
    "containers": [
        {
            "name": "web",
            "image": "example.com/web:1",
            "imagePullPolicy": "IfNotPresent",
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "resources": {},
        }
    ],
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "securityContext": {},
}


def test_a_plain_deployment() -> None:
    made = created("apps", "Deployment", WORKLOAD)
    assert made == {
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": POD},
            "replicas": 1,
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        },
        "status": {},
    }
    assert causes("apps", "Deployment", made) == []


DEFAULTS: list[tuple[str, str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("apps", "Deployment", {"strategy": {"type": "Recreate"}}, {"strategy": {"type": "Recreate"}}, {}),
    (
        "apps",
        "Deployment",
        {"strategy": {"rollingUpdate": {"maxSurge": 0}}},
        {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "25%"}}},
        {},
    ),
    ("apps", "Deployment", {"replicas": 0}, {"replicas": 0}, {}),
    ("apps", "ReplicaSet", {}, {"replicas": 1}, {"replicas": 0}),
    (
        "apps",
        "DaemonSet",
        {},
        {
            "revisionHistoryLimit": 10,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
        },
        {"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0},
    ),
    (
        "apps",
        "StatefulSet",
        {},
        {
            "replicas": 1,
            "revisionHistoryLimit": 10,
            "podManagementPolicy": "OrderedReady",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        },
        {"replicas": 0, "availableReplicas": 0},
    ),
]


@pytest.mark.parametrize(("group", "kind", "spec", "expected", "status"), DEFAULTS)
def test_defaults_of_controllers(
    group: str, kind: str, spec: dict[str, Any], expected: dict[str, Any], status: dict[str, Any]
) -> None:
    made = created(group, kind, {"metadata": {"name": "web"}, "spec": {**SELECTED, **spec}})
    assert {key: made["spec"].get(key) for key in expected} == expected
    assert made["status"] == status
    assert causes(group, kind, made) == []


def test_claims_of_a_stateful_set() -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    object = changed(WORKLOAD, "spec.volumeClaimTemplates", [claim])
    mount = {"name": "data", "mountPath": "/data"}
    object = changed(object, "spec.template.spec.containers.0.volumeMounts", [mount])
    made = created("apps", "StatefulSet", object)
    assert made["spec"]["volumeClaimTemplates"] == [
        {
            **claim,
            "kind": "PersistentVolumeClaim",
            "apiVersion": "v1",
            "spec": {**claim["spec"], "volumeMode": "Filesystem"},
            "status": {"phase": "Pending"},
        }
    ]
    assert causes("apps", "StatefulSet", made) == []
    assert (
        updated("apps", "StatefulSet", object, changed(object, "spec.volumeClaimTemplates.0.metadata.name", "x"))
        == [
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' "
            "are "
            "forbidden",
            'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"',
        ][::-1]
    )


BROKEN: list[tuple[str, str, Any, list[str]]] = [
    (
        "Deployment",
        "spec.selector",
        None,
        [
            "spec.selector: Required value",
            'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`',
        ],
    ),
    (
        "Deployment",
        "spec.template.metadata",
        {},
        ["spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`"],
    ),
    ("Deployment", "spec.selector", {}, ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"]),
    (
        "Deployment",
        "spec.selector",
        {"matchLabels": {"app": "x"}},
        ['spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'],
    ),
    (
        "Deployment",
        "spec.selector",
        {"matchExpressions": [{"key": "a", "operator": "x"}]},
        ['spec.selector.matchExpressions[0].operator: Invalid value: "x": not a valid selector operator'],
    ),
    ("Deployment", "spec.replicas", -1, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
    (
        "Deployment",
        "spec.progressDeadlineSeconds",
        0,
        ["spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds"],
    ),
    (
        "Deployment",
        "spec.strategy",
        {"type": "x"},
        ['spec.strategy: Unsupported value: {"type":"x"}: supported values: "Recreate", "RollingUpdate"'],
    ),
    (
        "Deployment",
        "spec.strategy",
        {"type": "Recreate", "rollingUpdate": {}},
        ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
    ),
    (
        "Deployment",
        "spec.strategy",
        {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}},
        ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0'],
    ),
    (
        "Deployment",
        "spec.strategy",
        {"rollingUpdate": {"maxUnavailable": "101%"}},
        ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%'],
    ),
    (
        "Deployment",
        "spec.strategy",
        {"rollingUpdate": {"maxSurge": "x"}},
        [
            'spec.strategy.rollingUpdate.maxSurge: Invalid value: "x": a valid percent string must be a numeric string '
            "followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
        ],
    ),
    (
        "Deployment",
        "spec.template.spec.restartPolicy",
        "Never",
        ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
    ),
    (
        "Deployment",
        "spec.template.spec.activeDeadlineSeconds",
        5,
        ["spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported"],
    ),
    ("Deployment", "spec.template.spec.containers", [], ["spec.template.spec.containers: Required value"]),
    (
        "Deployment",
        "spec.template.metadata.labels",
        {"app": "web", "a b": "c"},
        [
            "spec.template.labels: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', "
            "'_' or "
            "'.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', "
            "regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        ],
    ),
    (
        "DaemonSet",
        "spec.updateStrategy",
        {"rollingUpdate": {"maxSurge": 1}},
        [
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is "
            "non-zero"
        ],
    ),
    (
        "DaemonSet",
        "spec.updateStrategy",
        {"rollingUpdate": {"maxUnavailable": 0}},
        ["spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"],
    ),
    (
        "DaemonSet",
        "spec.selector",
        None,
        ['spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'],
    ),
    (
        "StatefulSet",
        "spec.podManagementPolicy",
        "x",
        ["spec.podManagementPolicy: Invalid value: \"x\": must be 'OrderedReady' or 'Parallel'"],
    ),
    (
        "StatefulSet",
        "spec.updateStrategy",
        {"type": "OnDelete", "rollingUpdate": {"partition": 1}},
        [
            'spec.updateStrategy.rollingUpdate: Invalid value: {"partition":1}: only allowed for updateStrategy '
            "'RollingUpdate'"
        ],
    ),
    (
        "StatefulSet",
        "spec.persistentVolumeClaimRetentionPolicy",
        {"whenDeleted": "x"},
        [
            'spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "x": supported values: '
            '"Retain", '
            '"Delete"'
        ],
    ),
]


@pytest.mark.parametrize(("kind", "path", "value", "expected"), BROKEN)
def test_controllers_that_are_refused(kind: str, path: str, value: Any, expected: list[str]) -> None:
    assert refused("apps", kind, changed(WORKLOAD, path, value)) == expected


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet", "DaemonSet"])
def test_selectors_stay(kind: str) -> None:
    new = changed(
        changed(WORKLOAD, "spec.selector.matchLabels", {"a": "b"}), "spec.template.metadata.labels", {"a": "b"}
    )
    assert updated("apps", kind, WORKLOAD, new) == [
        'spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: field is immutable'
    ]
    assert updated("apps", kind, WORKLOAD, changed(WORKLOAD, "spec.template.metadata.labels.more", "x")) == []


def test_a_daemon_sets_templates_are_counted() -> None:
    rules = rules_of("apps", "DaemonSet")
    key = "deprecated.daemonset.template.generation"
    old = created("apps", "DaemonSet", WORKLOAD)
    assert old["metadata"]["annotations"] == {key: "1"}
    new = changed(old, "metadata.annotations", None)
    rules.prepare_update(new, old)
    assert new["metadata"]["annotations"] == {key: "1"}
    new = changed(old, "spec.template.spec.containers.0.image", "x:2")
    rules.prepare_update(new, old)
    assert new["metadata"]["annotations"] == {key: "2"}


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("Deployment", {"replicas": 1, "readyReplicas": 2}, ["status.readyReplicas"]),
        ("Deployment", {"replicas": 2, "availableReplicas": 1}, ["status.availableReplicas"]),
        ("ReplicaSet", {"replicas": 1, "fullyLabeledReplicas": 2}, ["status.fullyLabeledReplicas"]),
        ("StatefulSet", {"replicas": 0, "currentReplicas": 1}, ["status.currentReplicas"]),
        ("DaemonSet", {"numberReady": -1}, ["status.numberReady"]),
        ("DaemonSet", {"numberReady": 1}, ["status.collisionCount"]),
    ],
)
def test_counts_in_a_status(kind: str, status: dict[str, Any], expected: list[str]) -> None:
    old = {"status": {"collisionCount": 1} if "collisionCount" in expected[0] else {}}
    assert [cause.field for cause in rules_of("apps", kind).validate_status({"status": status}, old)] == expected


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
    indexed = changed(changed(JOB, "spec.completionMode", "Indexed"), "spec.completions", 2)
    made = changed(created("batch", "Job", indexed), "spec.completions", 3)
    assert updated("batch", "Job", indexed, made) == [
        "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"
    ]
    assert updated("batch", "Job", indexed, changed(made, "spec.parallelism", 3)) == []


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


def test_a_plain_autoscaler() -> None:
    made = created("autoscaling", "HorizontalPodAutoscaler", SCALER)
    assert made["spec"]["minReplicas"] == 1
    assert made["spec"]["metrics"] == [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
    ]
    assert causes("autoscaling", "HorizontalPodAutoscaler", made) == []


def test_an_autoscalers_behavior_is_filled_in_on_both_sides() -> None:
    given = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    made = defaulted("autoscaling", "HorizontalPodAutoscaler", changed(SCALER, "spec.behavior", given))
    assert made["spec"]["behavior"] == {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 60,
            "selectPolicy": "Max",
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
        },
    }


RESOURCE = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}
SCALERS: list[tuple[str, Any, list[str]]] = [
    ("spec.minReplicas", 0, ["spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"]),
    (
        "spec.maxReplicas",
        0,
        [
            "spec.maxReplicas: Invalid value: 0: must be greater than 0",
            "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
        ],
    ),
    (
        "spec.scaleTargetRef",
        {},
        [
            "spec.scaleTargetRef.kind: Required value",
            "spec.scaleTargetRef.name: Required value",
            'spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API group',
        ],
    ),
    ("spec.scaleTargetRef", {"kind": "ReplicationController", "name": "a", "apiVersion": "v1"}, []),
    (
        "spec.metrics",
        [RESOURCE],
        [
            "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value "
            "or a "
            "target utilization"
        ],
    ),
    (
        "spec.metrics",
        [{"type": "Pods"}],
        ["spec.metrics[0].pods: Required value: must populate information for the given metric source"],
    ),
    (
        "spec.metrics",
        [{"type": "x"}],
        [
            'spec.metrics[0].type: Unsupported value: "x": supported values: "ContainerResource", "External", '
            '"Object", '
            '"Pods", "Resource"'
        ],
    ),
    (
        "spec.metrics",
        [{"type": "Pods", "pods": {"metric": {"name": "q"}, "target": {"type": "AverageValue", "averageValue": "0"}}}],
        ['spec.metrics[0].pods.target.averageValue: Invalid value: "0": must be positive'],
    ),
    (
        "spec.behavior",
        {"scaleUp": {"policies": [], "selectPolicy": "x", "stabilizationWindowSeconds": 3601}},
        [
            "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
            'spec.behavior.scaleUp.selectPolicy: Unsupported value: "x": supported values: "Disabled", "Max", "Min"',
            "spec.behavior.scaleUp.policies: Required value: must specify at least one Policy",
        ],
    ),
    (
        "spec.behavior",
        {"scaleUp": {"policies": [{"type": "x", "value": 0, "periodSeconds": 1801}]}},
        [
            'spec.behavior.scaleUp.policies[0].type: Unsupported value: "x": supported values: "Percent", "Pods"',
            "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
            "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
        ],
    ),
]


@pytest.mark.parametrize(("path", "value", "expected"), SCALERS)
def test_autoscalers_that_are_refused(path: str, value: Any, expected: list[str]) -> None:
    assert refused("autoscaling", "HorizontalPodAutoscaler", changed(SCALER, path, value)) == expected


BUDGETS: list[tuple[dict[str, Any], list[str]]] = [
    ({"minAvailable": 1}, []),
    (
        {"minAvailable": 1, "maxUnavailable": 1},
        [
            'spec: Invalid value: {"maxUnavailable":1,"minAvailable":1}: minAvailable and maxUnavailable cannot be '
            "both set"
        ],
    ),
    ({"minAvailable": "101%"}, ['spec.minAvailable: Invalid value: "101%": must not be greater than 100%']),
    ({"maxUnavailable": -1}, ["spec.maxUnavailable: Invalid value: -1: must be greater than or equal to 0"]),
    (
        {"unhealthyPodEvictionPolicy": "x"},
        ['spec.unhealthyPodEvictionPolicy: Unsupported value: "x": supported values: "AlwaysAllow", "IfHealthyBudget"'],
    ),
]


@pytest.mark.parametrize(("spec", "expected"), BUDGETS)
def test_budgets(spec: dict[str, Any], expected: list[str]) -> None:
    assert refused("policy", "PodDisruptionBudget", {"spec": spec}) == expected


def test_a_budgets_conditions() -> None:
    rules = rules_of("policy", "PodDisruptionBudget")
    assert rules.needs_version
    condition = {"type": "A", "status": "x", "reason": "1"}
    assert [cause.field for cause in rules.validate_status({"status": {"conditions": [condition]}}, {})] == [
        "status.conditions[0].status",
        "status.conditions[0].lastTransitionTime",
        "status.conditions[0].reason",
    ]
