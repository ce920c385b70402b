"""The rules of priority and fairness and of aggregation: each wrong field with the original's words."""

from typing import Any

import pytest
from rules_kit import changed, created, defaulted, refused

from boxship.cluster.objects.kinds.flowcontrol import MANDATORY_LEVELS, MANDATORY_SCHEMAS

FLOW = "flowcontrol.apiserver.k8s.io"
SCHEMA: dict[str, Any] = {
    "metadata": {"name": "s"},
    "spec": {
        "priorityLevelConfiguration": {"name": "l"},
        "rules": [
            {
                "subjects": [{"kind": "User", "user": {"name": "u"}}],
                "resourceRules": [
                    {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["d"]},
                ],
                "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/x/*"]}],
            }
        ],
    },
}
RULE = "spec.rules.0"


@pytest.mark.parametrize(
    ("path", "value", "cause"),
    [
        ("spec.matchingPrecedence", -1, "spec.matchingPrecedence: Invalid value: -1: must be a positive value"),
        (
            "spec.matchingPrecedence",
            10001,
            "spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000",
        ),
        (
            "spec.matchingPrecedence",
            1,
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
        ),
        (
            "spec.priorityLevelConfiguration",
            {},
            "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
        ),
        (f"{RULE}.subjects", [], "spec.rules[0].subjects: Required value: subjects must contain at least one value"),
        (
            f"{RULE}.subjects.0",
            {"kind": "Group"},
            "spec.rules[0].subjects[0].group: Required value: group is required when subject kind is 'Group'",
        ),
        (
            f"{RULE}.subjects.0.group",
            {"name": "g"},
            "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
        ),
        (
            f"{RULE}.subjects.0",
            {"kind": "ServiceAccount", "serviceAccount": {"name": "*"}},
            "spec.rules[0].subjects[0].serviceAccount.namespace: Required value: must specify namespace for service "
            "account",
        ),
        (
            f"{RULE}.resourceRules.0.verbs",
            ["*", "get"],
            'spec.rules[0].resourceRules[0].verbs: Invalid value: ["*","get"]: if \'*\' is present, must not specify '
            "other verbs",
        ),
        (
            f"{RULE}.resourceRules.0.namespaces",
            [],
            "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped "
            "must supply at least one namespace",
        ),
        (
            f"{RULE}.nonResourceRules.0.nonResourceURLs",
            ["x"],
            'spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "x": must start with slash',
        ),
        (
            f"{RULE}.nonResourceRules.0.nonResourceURLs",
            ["/a*"],
            'spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "/a*": wildcard can only do suffix '
            "matching",
        ),
        (
            RULE,
            {"subjects": [{"kind": "User", "user": {"name": "u"}}]},
            "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
        ),
    ],
)
def test_flow_schemas(path: str, value: Any, cause: str) -> None:
    assert defaulted(FLOW, "FlowSchema", SCHEMA)["spec"]["matchingPrecedence"] == 1000
    assert refused(FLOW, "FlowSchema", SCHEMA) == []
    assert cause in refused(FLOW, "FlowSchema", changed(SCHEMA, path, value))


LEVEL: dict[str, Any] = {
    "metadata": {"name": "l"},
    "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}},
}
LIMITED = "spec.limited"


@pytest.mark.parametrize(
    ("path", "value", "cause"),
    [
        ("spec.type", "Odd", 'spec.type: Unsupported value: "Odd": supported values: "Exempt", "Limited"'),
        (
            "spec.type",
            "Exempt",
            "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'",
        ),
        ("spec.limited", None, "spec.limited: Required value: must not be empty when type is Limited"),
        ("spec.exempt", {}, "spec.exempt: Forbidden: must be nil if the type is Limited"),
        (
            f"{LIMITED}.nominalConcurrencyShares",
            -1,
            "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
        ),
        (
            f"{LIMITED}.lendablePercent",
            101,
            "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
        ),
        (
            f"{LIMITED}.borrowingLimitPercent",
            -1,
            "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
        ),
        (
            f"{LIMITED}.limitResponse",
            {"type": "Odd"},
            'spec.limited.limitResponse.type: Unsupported value: "Odd": supported values: "Queue", "Reject"',
        ),
        (
            f"{LIMITED}.limitResponse.type",
            "Reject",
            "spec.limited.limitResponse.queuing: Forbidden: must be nil if limited.limitResponse.type is not Limited",
        ),
        (
            f"{LIMITED}.limitResponse.queuing.handSize",
            65,
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 65: should not be greater than queues (64)",
        ),
        (
            f"{LIMITED}.limitResponse.queuing.handSize",
            11,
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 11: required entropy bits of deckSize 64 and "
            "handSize 11 should not be greater than 60",
        ),
    ],
)
def test_priority_levels(path: str, value: Any, cause: str) -> None:
    assert refused(FLOW, "PriorityLevelConfiguration", LEVEL) == []
    assert cause in refused(FLOW, "PriorityLevelConfiguration", changed(LEVEL, path, value))


def test_defaults_of_levels() -> None:
    spec = defaulted(FLOW, "PriorityLevelConfiguration", LEVEL)["spec"]["limited"]
    assert spec["nominalConcurrencyShares"] == 30 and spec["lendablePercent"] == 0
    assert spec["limitResponse"]["queuing"] == {"queues": 64, "handSize": 8, "queueLengthLimit": 50}


def test_mandatory_objects_cannot_be_changed() -> None:
    for kind, fixed in (("FlowSchema", MANDATORY_SCHEMAS), ("PriorityLevelConfiguration", MANDATORY_LEVELS)):
        for name, spec in fixed.items():
            object = {"metadata": {"name": name}, "spec": spec}
            assert defaulted(FLOW, kind, object) == object, "the fixed specs have their defaults"
            assert refused(FLOW, kind, object) == []
    other = {
        "metadata": {"name": "catch-all"},
        "spec": changed(MANDATORY_LEVELS["catch-all"], "limited.lendablePercent", 5),
    }
    assert refused(FLOW, "PriorityLevelConfiguration", other)[0].endswith(
        "spec of 'catch-all' must equal the fixed value"
    )
    lent = {"metadata": {"name": "exempt"}, "spec": changed(MANDATORY_LEVELS["exempt"], "exempt.lendablePercent", 5)}
    assert refused(FLOW, "PriorityLevelConfiguration", lent) == []


SERVICE: dict[str, Any] = {
    "metadata": {"name": "v1.example.com"},
    "spec": {
        "group": "example.com",
        "version": "v1",
        "groupPriorityMinimum": 100,
        "versionPriority": 10,
        "service": {"namespace": "d", "name": "s"},
        "caBundle": "eA==",
    },
}


@pytest.mark.parametrize(
    ("path", "value", "cause"),
    [
        (
            "metadata.name",
            "x",
            'metadata.name: Invalid value: "x": must be `spec.version+"."+spec.group`: "v1.example.com"',
        ),
        (
            "spec.groupPriorityMinimum",
            0,
            "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
        ),
        (
            "spec.versionPriority",
            1001,
            "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000",
        ),
        ("spec.service.name", "", "spec.service.name: Required value"),
        (
            "spec.service.port",
            0,
            "spec.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
        ),
        (
            "spec.insecureSkipTLSVerify",
            True,
            "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
        ),
        ("spec.service", None, 'spec.caBundle: Invalid value: "4 bytes": local APIServices may not have a caBundle'),
    ],
)
def test_api_services(path: str, value: Any, cause: str) -> None:
    group = "apiregistration.k8s.io"
    assert defaulted(group, "APIService", SERVICE)["spec"]["service"]["port"] == 443
    assert refused(group, "APIService", SERVICE) == []
    assert cause in refused(group, "APIService", changed(SERVICE, path, value))


def test_local_api_services_are_available() -> None:
    local = changed(changed(SERVICE, "spec.service", None), "spec.caBundle", None)
    (condition,) = created("apiregistration.k8s.io", "APIService", local)["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Available", "True", "Local")
    assert created("apiregistration.k8s.io", "APIService", SERVICE)["status"] == {}
