"""Autoscalers and disruption budgets: what is filled in, what is refused, what may change."""

from typing import Any

import pytest
from rules_kit import causes, changed, created, defaulted, refused

from boxship.cluster.objects.kinds import rules_of

SCALER: dict[str, Any] = {
    "metadata": {"name": "web"},
    "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}},
}


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
