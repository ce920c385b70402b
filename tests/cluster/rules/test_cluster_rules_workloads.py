"""Deployments and their kin: what is filled in, what is refused, what may change."""

from typing import Any

import pytest
from rules_kit import causes, changed, created, refused, updated

from boxship.cluster.objects.kinds import rules_of

LABELS = {"app": "web"}
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": LABELS},
    "spec": {"containers": [{"name": "web", "image": "example.com/web:1"}]},
}
SELECTED: dict[str, Any] = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
WORKLOAD: dict[str, Any] = {"metadata": {"name": "web"}, "spec": SELECTED}
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
