"""The rules of admissionregistration.k8s.io: each wrong field of webhooks and policies with the original's words."""

from typing import Any

import pytest
from rules_kit import changed, defaulted, refused

GROUP = "admissionregistration.k8s.io"
RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
HOOKS: dict[str, Any] = {
    "metadata": {"name": "h"},
    "webhooks": [
        {
            "name": "a.example.com",
            "clientConfig": {"service": {"namespace": "d", "name": "s", "path": "/x"}},
            "rules": [RULE],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "matchConditions": [{"name": "c", "expression": "true"}],
        }
    ],
}
HOOK, AT = "webhooks.0", "webhooks[0]"
FORM = "; desired format: https://host[/path]"
HOOK_CASES: list[tuple[str, Any, str]] = [
    ("name", "", "name: Required value"),
    (
        "name",
        "example.com",
        'name: Invalid value: "example.com": should be a domain with at least three segments separated by dots',
    ),
    ("rules.0.operations", [], "rules[0].operations: Required value"),
    (
        "rules.0.operations",
        ["*", "CREATE"],
        'rules[0].operations: Invalid value: ["*","CREATE"]: if \'*\' is present, must not specify other operations',
    ),
    (
        "rules.0.operations",
        ["GET"],
        'rules[0].operations[0]: Unsupported value: "GET": supported values: "*", "CONNECT", "CREATE", "DELETE", '
        '"UPDATE"',
    ),
    ("rules.0.apiGroups", [], "rules[0].apiGroups: Required value"),
    ("rules.0.apiVersions", [""], "rules[0].apiVersions[0]: Required value"),
    ("rules.0.resources", [], "rules[0].resources: Required value"),
    (
        "rules.0.resources",
        ["*/*", "pods"],
        'rules[0].resources: Invalid value: ["*/*","pods"]: if \'*/*\' is present, must not specify other resources',
    ),
    (
        "rules.0.resources",
        ["*", "pods"],
        'rules[0].resources: Invalid value: ["*","pods"]: if \'*\' is present, must not specify other resources '
        "without "
        "subresources",
    ),
    (
        "rules.0.resources",
        ["pods/*", "pods/log"],
        "rules[0].resources[1]: Invalid value: \"pods/log\": if 'pods/*' is present, must not specify pods/log",
    ),
    (
        "rules.0.scope",
        "World",
        'rules[0].scope: Unsupported value: "World": supported values: "*", "Cluster", "Namespaced"',
    ),
    ("failurePolicy", "Odd", 'failurePolicy: Unsupported value: "Odd": supported values: "Fail", "Ignore"'),
    ("matchPolicy", "Odd", 'matchPolicy: Unsupported value: "Odd": supported values: "Equivalent", "Exact"'),
    ("sideEffects", None, "sideEffects: Required value: must specify one of None, NoneOnDryRun"),
    ("sideEffects", "Some", 'sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'),
    (
        "timeoutSeconds",
        31,
        "timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
    ),
    ("clientConfig", {}, "clientConfig: Required value: exactly one of url or service is required"),
    ("clientConfig.url", "https://h", "clientConfig: Required value: exactly one of url or service is required"),
    (
        "clientConfig",
        {"url": "http://h"},
        f"clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme{FORM}",
    ),
    ("clientConfig", {"url": "https:///x"}, f'clientConfig.url: Invalid value: "": host must be specified{FORM}'),
    (
        "clientConfig",
        {"url": "https://u@h/"},
        'clientConfig.url: Invalid value: "u": user information is not permitted in the URL',
    ),
    (
        "clientConfig",
        {"url": "https://h/?a=b"},
        'clientConfig.url: Invalid value: "a=b": query parameters are not permitted in the URL',
    ),
    (
        "clientConfig",
        {"url": "https://h/#a"},
        'clientConfig.url: Invalid value: "a": fragments are not permitted in the URL',
    ),
    ("clientConfig.service.name", "", "clientConfig.service.name: Required value: service name is required"),
    (
        "clientConfig.service.port",
        0,
        "clientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
    ),
    (
        "clientConfig.service.path",
        "//",
        'clientConfig.service.path: Invalid value: "//": segment[0] may not be empty',
    ),
    ("clientConfig.service.path", "x", "clientConfig.service.path: Invalid value: \"x\": must start with a '/'"),
    ("matchConditions.0.expression", " ", "matchConditions[0].expression: Required value"),
    ("matchConditions.0.name", "", "matchConditions[0].name: Required value"),
    (
        "matchConditions",
        [{"name": "c", "expression": "true"}] * 2,
        'matchConditions[1].name: Duplicate value: "c"',
    ),
    (
        "matchConditions",
        [{"name": f"c{i}", "expression": "true"} for i in range(65)],
        "matchConditions: Too many: 65: must have at most 64 items",
    ),
    (
        "admissionReviewVersions",
        [],
        "admissionReviewVersions: Required value: must specify one of v1, v1beta1",
    ),
    (
        "admissionReviewVersions",
        ["v2"],
        'admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1',
    ),
    (
        "admissionReviewVersions",
        ["v1", "v1"],
        'admissionReviewVersions[1]: Invalid value: "v1": duplicate version',
    ),
    (
        "namespaceSelector",
        {"matchExpressions": [{"key": "a", "operator": "Is"}]},
        'namespaceSelector.matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator',
    ),
    (
        "reinvocationPolicy",
        "Odd",
        'reinvocationPolicy: Unsupported value: "Odd": supported values: "IfNeeded", "Never"',
    ),
]


@pytest.mark.parametrize(("path", "value", "cause"), HOOK_CASES)
def test_webhooks(path: str, value: Any, cause: str) -> None:
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        assert refused(GROUP, kind, HOOKS) == []
        assert f"{AT}.{cause}" in refused(GROUP, kind, changed(HOOKS, f"{HOOK}.{path}", value))


def test_names_of_webhooks_are_unique() -> None:
    twice = {**HOOKS, "webhooks": HOOKS["webhooks"] * 2}
    found = refused(GROUP, "MutatingWebhookConfiguration", twice)
    assert found == ['webhooks[1].name: Duplicate value: "a.example.com"']


def test_defaults_of_webhooks() -> None:
    (hook,) = defaulted(GROUP, "MutatingWebhookConfiguration", HOOKS)["webhooks"]
    assert (hook["failurePolicy"], hook["matchPolicy"], hook["timeoutSeconds"]) == ("Fail", "Equivalent", 10)
    assert hook["namespaceSelector"] == hook["objectSelector"] == {}
    assert hook["reinvocationPolicy"] == "Never" and hook["rules"][0]["scope"] == "*"
    assert hook["clientConfig"]["service"]["port"] == 443
    (hook,) = defaulted(GROUP, "ValidatingWebhookConfiguration", HOOKS)["webhooks"]
    assert "reinvocationPolicy" not in hook


POLICY: dict[str, Any] = {
    "metadata": {"name": "p.example.com"},
    "spec": {
        "paramKind": {"apiVersion": "example.com/v1", "kind": "Limit"},
        "matchConstraints": {"resourceRules": [RULE]},
        "variables": [{"name": "v", "expression": "1"}],
        "validations": [{"expression": "true", "message": "no"}],
        "auditAnnotations": [{"key": "k", "valueExpression": "'x'"}],
    },
}
BOTH = "validations or auditAnnotations must contain at least one item"
POLICY_CASES: list[tuple[str, Any, str]] = [
    ("failurePolicy", "Odd", 'spec.failurePolicy: Unsupported value: "Odd": supported values: "Fail", "Ignore"'),
    ("paramKind.apiVersion", "", "spec.paramKind.apiVersion: Required value"),
    (
        "paramKind.apiVersion",
        "a/b/c",
        'spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
    ),
    ("paramKind.kind", "", "spec.paramKind.kind: Required value"),
    ("matchConstraints", None, "spec.matchConstraints: Required value"),
    ("matchConstraints.resourceRules", [], "spec.matchConstraints.resourceRules: Required value"),
    (
        "matchConstraints.resourceRules.0.resourceNames",
        ["a", "a"],
        'spec.matchConstraints.resourceRules[0].resourceNames[1]: Duplicate value: "a"',
    ),
    ("variables.0.name", " ", "spec.variables[0].name: Required value: name is not specified"),
    (
        "variables.0.name",
        "for",
        'spec.variables[0].name: Invalid value: "for": name is not a valid CEL identifier',
    ),
    ("variables.0.expression", "", "spec.variables[0].expression: Required value: expression is not specified"),
    ("validations.0.expression", "", "spec.validations[0].expression: Required value: expression is not specified"),
    (
        "validations.0.message",
        "a\nb",
        'spec.validations[0].message: Invalid value: "a\\nb": message must not contain line breaks',
    ),
    (
        "validations.0.messageExpression",
        " ",
        'spec.validations[0].messageExpression: Invalid value: " ": must be non-empty if specified',
    ),
    (
        "validations.0.reason",
        "Odd",
        'spec.validations[0].reason: Unsupported value: "Odd": supported values: "Forbidden", "Invalid", '
        '"RequestEntityTooLarge"',
    ),
    (
        "auditAnnotations.1",
        {"key": "k", "valueExpression": "'y'"},
        'spec.auditAnnotations[1].key: Duplicate value: "k"',
    ),
    (
        "auditAnnotations.0.valueExpression",
        "",
        "spec.auditAnnotations[0].valueExpression: Required value: valueExpression is not specified",
    ),
]


@pytest.mark.parametrize(("path", "value", "cause"), POLICY_CASES)
def test_validating_policies(path: str, value: Any, cause: str) -> None:
    assert refused(GROUP, "ValidatingAdmissionPolicy", POLICY) == []
    assert cause in refused(GROUP, "ValidatingAdmissionPolicy", changed(POLICY, f"spec.{path}", value))


def test_a_policy_does_something() -> None:
    idle = changed(changed(POLICY, "spec.validations", None), "spec.auditAnnotations", None)
    assert refused(GROUP, "ValidatingAdmissionPolicy", idle) == [
        f"spec.validations: Required value: {BOTH}",
        f"spec.auditAnnotations: Required value: {BOTH}",
    ]


MUTATING: dict[str, Any] = {
    "metadata": {"name": "p"},
    "spec": {
        "matchConstraints": {"resourceRules": [RULE]},
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}],
    },
}


@pytest.mark.parametrize(
    ("path", "value", "cause"),
    [
        ("reinvocationPolicy", None, "spec.reinvocationPolicy: Required value"),
        ("mutations", [], "spec.mutations: Required value: mutations must contain at least one item"),
        ("mutations.0.patchType", None, "spec.mutations[0].patchType: Required value"),
        (
            "mutations.0.patchType",
            "Merge",
            'spec.mutations[0].patchType: Unsupported value: "Merge": supported values: "ApplyConfiguration", '
            '"JSONPatch"',
        ),
        (
            "mutations.0.jsonPatch",
            None,
            "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
        ),
        (
            "mutations.0.applyConfiguration",
            {},
            "spec.mutations[0].applyConfiguration: Forbidden: must not be specified when patchType is JSONPatch",
        ),
        (
            "mutations.0.jsonPatch.expression",
            "",
            "spec.mutations[0].jsonPatch.expression: Required value: expression is not specified",
        ),
    ],
)
def test_mutating_policies(path: str, value: Any, cause: str) -> None:
    assert refused(GROUP, "MutatingAdmissionPolicy", MUTATING) == []
    assert cause in refused(GROUP, "MutatingAdmissionPolicy", changed(MUTATING, f"spec.{path}", value))


BINDING: dict[str, Any] = {
    "metadata": {"name": "b"},
    "spec": {
        "policyName": "p",
        "paramRef": {"name": "n", "parameterNotFoundAction": "Deny"},
        "validationActions": ["Deny"],
    },
}


@pytest.mark.parametrize(
    ("path", "value", "cause"),
    [
        ("policyName", "", "spec.policyName: Required value"),
        ("paramRef.name", None, "spec.paramRef: Required value: one of name or selector must be specified"),
        ("paramRef.selector", {}, "spec.paramRef.name: Forbidden: name and selector are mutually exclusive"),
        ("paramRef.parameterNotFoundAction", None, "spec.paramRef.parameterNotFoundAction: Required value"),
        (
            "paramRef.parameterNotFoundAction",
            "Odd",
            'spec.paramRef.parameterNotFoundAction: Unsupported value: "Odd": supported values: "Allow", "Deny"',
        ),
        ("validationActions", [], "spec.validationActions: Required value: at least one validation action is required"),
        (
            "validationActions",
            ["Stop"],
            'spec.validationActions[0]: Unsupported value: "Stop": supported values: "Audit", "Deny", "Warn"',
        ),
        ("validationActions", ["Audit", "Audit"], 'spec.validationActions[1]: Duplicate value: "Audit"'),
    ],
)
def test_bindings_of_policies(path: str, value: Any, cause: str) -> None:
    assert refused(GROUP, "ValidatingAdmissionPolicyBinding", BINDING) == []
    assert cause in refused(GROUP, "ValidatingAdmissionPolicyBinding", changed(BINDING, f"spec.{path}", value))
    without_actions = changed(BINDING, "spec.validationActions", None)
    assert refused(GROUP, "MutatingAdmissionPolicyBinding", without_actions) == []
