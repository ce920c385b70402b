"""The rules of RBAC, leases and events: each wrong field with the original's words."""

from typing import Any

import pytest
from rules_kit import changed, defaulted, refused, updated

from boxship.cluster.objects.kinds import rules_of

RBAC = "rbac.authorization.k8s.io"
ROLE = {"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}


@pytest.mark.parametrize(
    ("kind", "path", "value", "cause"),
    [
        ("Role", "rules.0.verbs", [], "rules[0].verbs: Required value: verbs must contain at least one value"),
        (
            "Role",
            "rules.0.apiGroups",
            [],
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
        ),
        (
            "ClusterRole",
            "rules.0.resources",
            None,
            "rules[0].resources: Required value: resource rules must supply at least one resource",
        ),
        (
            "Role",
            "rules.0",
            {"verbs": ["get"], "nonResourceURLs": ["/x"]},
            'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
        ),
        (
            "ClusterRole",
            "rules.0.nonResourceURLs",
            ["/x"],
            'rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and '
            "non-resource URLs",
        ),
        (
            "ClusterRole",
            "aggregationRule",
            {},
            "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if "
            "aggregationRule is non-nil",
        ),
    ],
)
def test_roles(kind: str, path: str, value: Any, cause: str) -> None:
    assert refused(RBAC, kind, ROLE) == []
    assert refused(RBAC, kind, changed(ROLE, path, value)) == [cause]


def test_names_of_roles_are_parts_of_a_path() -> None:
    check = rules_of(RBAC, "ClusterRole").validate_name
    assert check is not None
    assert check("system:node-proxier") == "" and check("a/b") == "may not contain '/'"


BINDING: dict[str, Any] = {
    "metadata": {"name": "b", "namespace": "d"},
    "roleRef": {"kind": "Role", "name": "r"},
    "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s", "namespace": "d"}],
}


@pytest.mark.parametrize(
    ("path", "value", "cause"),
    [
        (
            "roleRef.apiGroup",
            "x",
            f'roleRef.apiGroup: Unsupported value: "x": supported values: "{RBAC}"',
        ),
        ("roleRef.kind", "X", 'roleRef.kind: Unsupported value: "X": supported values: "Role", "ClusterRole"'),
        ("roleRef.name", "", "roleRef.name: Required value"),
        ("roleRef.name", "a%b", "roleRef.name: Invalid value: \"a%b\": may not contain '%'"),
        ("subjects.0.name", "", "subjects[0].name: Required value"),
        ("subjects.0.apiGroup", "x", f'subjects[0].apiGroup: Unsupported value: "x": supported values: "{RBAC}"'),
        (
            "subjects.0.kind",
            "Robot",
            'subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
        ),
        ("subjects.1.apiGroup", "x", 'subjects[1].apiGroup: Unsupported value: "x": supported values: ""'),
    ],
)
def test_bindings(path: str, value: Any, cause: str) -> None:
    assert refused(RBAC, "RoleBinding", BINDING) == []
    assert cause in refused(RBAC, "RoleBinding", changed(BINDING, path, value))


def test_bindings_of_the_cluster() -> None:
    role = changed(BINDING, "roleRef.kind", "ClusterRole")
    assert refused(RBAC, "ClusterRoleBinding", role) == []
    assert refused(RBAC, "ClusterRoleBinding", BINDING) == [
        'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"'
    ]
    lost = changed(role, "subjects.1.namespace", None)
    assert refused(RBAC, "ClusterRoleBinding", lost) == ["subjects[1].namespace: Required value"]
    assert refused(RBAC, "RoleBinding", lost) == []


def test_the_role_of_a_binding_stays() -> None:
    assert defaulted(RBAC, "RoleBinding", BINDING)["roleRef"]["apiGroup"] == RBAC
    (cause,) = updated(RBAC, "RoleBinding", BINDING, changed(BINDING, "roleRef.name", "other"))
    assert cause.startswith("roleRef: Invalid value") and cause.endswith("cannot change roleRef")
    assert updated(RBAC, "RoleBinding", BINDING, changed(BINDING, "subjects", [])) == []


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, []),
        ({"leaseDurationSeconds": 15, "holderIdentity": "h"}, []),
        (
            {"leaseDurationSeconds": 0},
            ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
        ),
        (
            {"leaseTransitions": -1},
            ["spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            {"preferredHolder": "x"},
            ["spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined"],
        ),
        ({"preferredHolder": "x", "strategy": "OldestEmulationVersion"}, []),
    ],
)
def test_leases(spec: dict[str, Any], found: list[str]) -> None:
    assert refused("coordination.k8s.io", "Lease", {"spec": spec}) == found


EVENT: dict[str, Any] = {
    "metadata": {"name": "e", "namespace": "d"},
    "involvedObject": {"kind": "Pod", "name": "p", "namespace": "d"},
    "type": "Normal",
    "reason": "Started",
    "action": "Start",
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "reportingComponent": "kubelet",
    "reportingInstance": "n",
}
OLD_EVENT = {key: value for key, value in EVENT.items() if key not in ("eventTime", "action")}


@pytest.mark.parametrize(
    ("path", "value", "cause"),
    [
        ("reportingComponent", "", "reportingController: Required value"),
        ("reportingInstance", "", "reportingInstance: Required value"),
        ("action", "", "action: Required value"),
        ("action", "x" * 129, 'action: Invalid value: "": can have at most 128 characters'),
        ("message", "x" * 1025, 'message: Invalid value: "": can have at most 1024 characters'),
        (
            "involvedObject.namespace",
            None,
            'involvedObject.namespace: Invalid value: "": does not match event.namespace',
        ),
    ],
)
def test_events_of_both_groups(path: str, value: Any, cause: str) -> None:
    for group in ("", "events.k8s.io"):
        assert refused(group, "Event", EVENT) == []
        assert cause in refused(group, "Event", changed(EVENT, path, value))


@pytest.mark.parametrize(
    ("path", "value", "cause"),
    [
        ("eventTime", None, "eventTime: Required value"),
        ("type", "Odd", 'type: Invalid value: "": has invalid value: Odd'),
        ("count", 2, 'count: Invalid value: "": needs to be unset'),
        ("firstTimestamp", "2026-01-01T00:00:00Z", 'firstTimestamp: Invalid value: "": needs to be unset'),
        ("source", {"host": "n"}, 'source: Invalid value: "": needs to be unset'),
        ("series", {"count": 1}, 'series.count: Invalid value: "": should be at least 2'),
        ("series", {"count": 2}, "series.lastObservedTime: Required value"),
    ],
)
def test_new_events_are_strict(path: str, value: Any, cause: str) -> None:
    assert cause in refused("events.k8s.io", "Event", changed(EVENT, path, value))
    assert cause not in refused("", "Event", changed(EVENT, path, value))


def test_old_events_and_their_namespace() -> None:
    assert refused("", "Event", OLD_EVENT) == []
    moved = changed(OLD_EVENT, "involvedObject.namespace", "other")
    assert refused("", "Event", moved) == [
        'involvedObject.namespace: Invalid value: "other": does not match event.namespace'
    ]


def test_only_the_series_of_a_new_event_changes() -> None:
    group = "events.k8s.io"
    series = {"count": 2, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}
    assert updated(group, "Event", EVENT, changed(EVENT, "series", series)) == []
    assert updated(group, "Event", EVENT, changed(EVENT, "reason", "Other")) == [
        'reason: Invalid value: "Other": field is immutable'
    ]
    assert updated("", "Event", EVENT, changed(EVENT, "reason", "Other")) == []


def test_fields_of_events() -> None:
    event = changed(EVENT, "source", {"component": "c"})
    core, new = rules_of("", "Event").fields(event), rules_of("events.k8s.io", "Event").fields(event)
    assert core["involvedObject.name"] == "p" and core["source"] == "c" and core["reportingComponent"] == "kubelet"
    assert rules_of("", "Event").fields(EVENT)["source"] == "kubelet"
    assert new["regarding.kind"] == "Pod" and new["reportingController"] == "kubelet"
    assert set(new) == {key.replace("involvedObject", "regarding") for key in core if key not in ("source",)} - {
        "reportingComponent"
    } | {"reportingController"}
