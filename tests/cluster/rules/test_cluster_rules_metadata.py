"""Metadata of every kind, the words that rules are written in, and what counts as the same."""

from typing import Any

import pytest

from boxship.cluster.objects import names
from boxship.cluster.objects.kinds import rules_of
from boxship.cluster.objects.kinds.checking import Found, quote, show
from boxship.cluster.objects.kinds.comparing import differences, same
from boxship.cluster.objects.kinds.core_addresses import wrong_address, wrong_range
from boxship.cluster.objects.kinds.metadata import (
    selector_matches,
    validate_label_selector,
    validate_metadata,
    validate_metadata_update,
)

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1"}
QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
METADATA: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": "a"}, []),
    ({}, ["metadata.name: Required value: name or generateName is required"]),
    ({"name": "a", "generateName": "web-"}, []),
    ({"name": "a", "labels": {"a b": "x"}}, [f'metadata.labels: Invalid value: "a b": {QUALIFIED}']),
    (
        {"name": "a", "labels": {"a": "x" * 64}},
        [f'metadata.labels: Invalid value: "{"x" * 64}": must be no more than 63 characters'],
    ),
    ({"name": "a", "labels": {"a": ""}}, []),
    ({"name": "a", "annotations": {"A/b": "x"}}, []),
    (
        {"name": "a", "annotations": {"a": "x" * 256 * 1024}},
        ["metadata.annotations: Too long: may not be more than 262144 bytes"],
    ),
    ({"name": "a", "ownerReferences": [OWNER]}, []),
    (
        {"name": "a", "ownerReferences": [{}]},
        [
            'metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty',
            'metadata.ownerReferences.kind: Invalid value: "": must not be empty',
            'metadata.ownerReferences.name: Invalid value: "": must not be empty',
            'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
        ],
    ),
    ({"name": "a", "finalizers": ["kubernetes", "example.com/x"]}, []),
    (
        {"name": "a", "finalizers": ["mine"]},
        [
            'metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully '
            "qualified"
        ],
    ),
    (
        {"name": "a", "finalizers": ["orphan", "foregroundDeletion"]},
        [
            'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and '
            "foregroundDeletion "
            "cannot be both set"
        ],
    ),
    (
        {"name": "a", "managedFields": [{"manager": "m\n", "operation": "x", "fieldsType": "y"}]},
        [
            'metadata.managedFields[0].operation: Invalid value: "x": must be `Apply` or `Update`',
            'metadata.managedFields[0].fieldsType: Invalid value: "y": must be `FieldsV1`',
            'metadata.managedFields[0].manager: Invalid value: "m\\n": invalid character U+000A (at position 1)',
        ],
    ),
]


@pytest.mark.parametrize(("metadata", "expected"), METADATA)
def test_metadata_of_new_objects(metadata: dict[str, Any], expected: list[str]) -> None:
    found = validate_metadata({"metadata": metadata}, namespaced=False)
    assert [f"{cause.field}: {cause.message}" for cause in found] == expected


def test_names_by_the_kinds_own_rule() -> None:
    (cause,) = validate_metadata({"metadata": {"name": "1a"}}, namespaced=False, validate_name=names.label_1035)
    assert cause.message.startswith('Invalid value: "1a": a DNS-1035 label must consist of')
    assert len(validate_metadata({"metadata": {"name": "a", "generateName": "A-"}}, namespaced=False)) == 1


def test_namespaces_of_objects() -> None:
    assert [cause.message for cause in validate_metadata({"metadata": {"name": "a"}}, namespaced=True)] == [
        "Required value"
    ]
    inside = {"metadata": {"name": "a", "namespace": "b"}}
    assert [cause.message for cause in validate_metadata(inside, namespaced=False)] == [
        "Forbidden: not allowed on this type"
    ]
    two = {**OWNER, "controller": True}
    object = {"metadata": {"name": "a", "namespace": "b", "ownerReferences": [two, {**two, "name": "other"}]}}
    (cause,) = validate_metadata(object, namespaced=True)
    assert cause.message.endswith(
        'Only one reference can have Controller set to true. Found "true" in references for ReplicaSet/web and '
        "ReplicaSet/other"
    )
    assert validate_metadata({"metadata": {"name": "a", "finalizers": ["mine"]}}, namespaced=False, custom=True) == []


def test_metadata_that_stays() -> None:
    old = {"metadata": {"name": "a", "uid": "1", "generation": 2, "creationTimestamp": "t"}}
    assert validate_metadata_update(old, old) == []
    new = {"metadata": {"name": "b", "uid": "2", "generation": 1}}
    assert [f"{cause.field}: {cause.message}" for cause in validate_metadata_update(new, old)] == [
        "metadata.generation: Invalid value: 1: must not be decremented",
        'metadata.name: Invalid value: "b": field is immutable',
        'metadata.uid: Invalid value: "2": field is immutable',
        "metadata.creationTimestamp: Invalid value: null: field is immutable",
    ]
    gone = {"metadata": {"name": "a", "deletionTimestamp": "t", "finalizers": ["a.b/c"]}}
    late = {"metadata": {**gone["metadata"], "finalizers": ["a.b/c", "a.b/d"]}}
    (cause,) = validate_metadata_update(late, gone)
    assert cause.message == (
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
        '[]string{"a.b/d"}'
    )


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ({}, {"a": "b"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "b", "c": "d"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "c"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {"a": "b"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {}, True),
    ],
)
def test_label_selectors_match(selector: dict[str, Any], labels: dict[str, str], matches: bool) -> None:
    found = Found()
    validate_label_selector(found, selector, "selector")
    assert found.causes == []
    assert selector_matches(selector, labels) is matches


def test_label_selectors_that_are_refused() -> None:
    found = Found()
    terms = [{"key": "a", "operator": "In"}, {"key": "a", "operator": "Exists", "values": ["x"]}]
    validate_label_selector(found, {"matchExpressions": terms}, "s")
    assert [f"{cause.field}: {cause.message}" for cause in found.causes] == [
        "s.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        "s.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a", '"a"'),
        ('a"b\\c\n\x01é\u2028', '"a\\"b\\\\c\\n\\x01é\\u2028"'),
        (1, "1"),
        (True, "true"),
        (None, "null"),
        ({"b": 1, "a": [True]}, '{"a":[true],"b":1}'),
    ],
)
def test_values_in_messages(value: Any, shown: str) -> None:
    assert show(value) == shown
    if isinstance(value, str):
        assert quote(value) == shown


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"a": 1}, {"a": 1, "b": []}, True),
        ({"a": {}}, {}, True),
        ({"a": 0}, {}, False),
        ({"hostNetwork": False}, {}, True),
        ({"privileged": False}, {}, False),
        ([{"a": None}], [{}], True),
        ([1], [1, 2], False),
        (None, [], True),
        ("", None, True),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, False),
    ],
)
def test_sameness(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal
    assert same(other, one) is equal
    assert (list(differences(one, other, "x")) == []) is equal


@pytest.mark.parametrize(
    ("text", "right"),
    [("10.0.0.1", True), ("::1", True), ("10.0.0.01", False), ("::ffff:10.0.0.1", False), ("fe80::1%eth0", False)],
)
def test_addresses(text: str, right: bool) -> None:
    assert (wrong_address(text) == "") is right


@pytest.mark.parametrize(
    ("text", "right"),
    [("10.0.0.0/8", True), ("fd00::/64", True), ("10.0.0.0", False), ("10.0.0.0/33", False), ("10.0.0.0/08", False)],
)
def test_ranges(text: str, right: bool) -> None:
    assert (wrong_range(text) == "") is right


@pytest.mark.parametrize(
    ("group", "kind", "taken"),
    [
        *(
            (group, kind, "annotations labels")
            for group, kind in (
                ("apps", "ReplicaSet"),
                ("apps", "DaemonSet"),
                ("apps", "StatefulSet"),
                ("batch", "Job"),
                ("batch", "CronJob"),
                ("policy", "PodDisruptionBudget"),
                ("autoscaling", "HorizontalPodAutoscaler"),
                ("", "ReplicationController"),
                ("", "Namespace"),
                ("", "ResourceQuota"),
                ("", "Service"),
                ("", "Node"),
                ("networking.k8s.io", "Ingress"),
                ("networking.k8s.io", "ServiceCIDR"),
            )
        ),
        ("apps", "Deployment", "annotations"),
        ("apiregistration.k8s.io", "APIService", ""),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema", ""),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", ""),
    ],
)
def test_what_a_write_to_the_status_may_change_beside_it(group: str, kind: str, taken: str) -> None:
    was, now = {"a": "was"}, {"a": "now"}
    old: dict[str, Any] = {"metadata": {"name": "x", "labels": was, "annotations": was}, "spec": was, "status": was}
    new: dict[str, Any] = {"metadata": {"name": "x", "labels": now, "annotations": now}, "spec": now, "status": now}
    rules_of(group, kind).prepare_status(new, old)
    assert (new["spec"], new["status"]) == (was, now)
    assert [key for key in ("annotations", "labels") if new["metadata"][key] == now] == taken.split()
