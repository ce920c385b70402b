"""What webhooks and policies say in the same words: which operations on which objects they are for.

Source: pkg/apis/admissionregistration (defaults, validation).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.kinds.checking import Found, fill

FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
CONDITIONS_LIMIT = 64
Item = Mapping[str, Any]


def default_matching(part: Object) -> None:
    """What is left out of a webhook, or of a policy's matchConstraints."""
    fill(part, {"matchPolicy": "Equivalent"})
    for key in ("namespaceSelector", "objectSelector"):
        if part.get(key) is None:
            part[key] = {}
    for key in ("rules", "resourceRules", "excludeResourceRules"):
        for rule in part.get(key) or ():
            fill(rule, {"scope": "*"})


def _alone(found: Found, values: Sequence[str], path: str, others: str) -> None:
    if len(values) > 1 and "*" in values:
        found.invalid(path, values, f"if '*' is present, must not specify other {others}")


def _validate_resources(found: Found, resources: Sequence[str], path: str) -> None:
    if not resources:
        found.required(path)
    whole: set[str] = set()  # x of x/*
    every: set[str] = set()  # y of */y
    for index, text in enumerate(resources):
        if not text:
            found.required(f"{path}[{index}]")
            continue
        resource, slash, part = text.partition("/")
        if not slash:
            continue
        if resource in whole:
            found.invalid(f"{path}[{index}]", text, f"if '{resource}/*' is present, must not specify {text}")
        if part in every:
            found.invalid(f"{path}[{index}]", text, f"if '*/{part}' is present, must not specify {text}")
        if part == "*":
            whole.add(resource)
        if resource == "*":
            every.add(part)
    if len(resources) > 1 and "*/*" in resources:
        found.invalid(path, resources, "if '*/*' is present, must not specify other resources")
    if "*" in resources and any(text != "*" and "/" not in text for text in resources if text):
        found.invalid(path, resources, "if '*' is present, must not specify other resources without subresources")


def validate_rule(found: Found, rule: Item, path: str) -> None:
    """Operations on resources, as webhooks and policies name them."""
    operations = rule.get("operations") or []
    if not operations:
        found.required(f"{path}.operations")
    _alone(found, operations, f"{path}.operations", "operations")
    for index, operation in enumerate(operations):
        if operation not in OPERATIONS:
            found.unsupported(f"{path}.operations[{index}]", operation, OPERATIONS)
    for key, others in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values = rule.get(key) or []
        if not values:
            found.required(f"{path}.{key}")
        _alone(found, values, f"{path}.{key}", others)
    for index, version in enumerate(rule.get("apiVersions") or ()):
        if not version:
            found.required(f"{path}.apiVersions[{index}]")
    _validate_resources(found, rule.get("resources") or [], f"{path}.resources")
    scope = rule.get("scope")
    if scope is not None and scope not in SCOPES:
        found.unsupported(f"{path}.scope", scope, SCOPES)


def validate_conditions(found: Found, conditions: Sequence[Item], path: str) -> None:
    """Match conditions: names and expressions are there, names once."""
    if len(conditions) > CONDITIONS_LIMIT:
        found.too_many(path, len(conditions), CONDITIONS_LIMIT)
    seen = set()
    for index, condition in enumerate(conditions):
        if not (condition.get("expression") or "").strip():
            found.required(f"{path}[{index}].expression")
        name = condition.get("name") or ""
        if not name:
            found.required(f"{path}[{index}].name")
            continue
        found.because(f"{path}[{index}].name", name, names.qualified(name))
        if name in seen:
            found.duplicate(f"{path}[{index}].name", name)
        seen.add(name)


def one_of_these(found: Found, part: Item, key: str, path: str, choices: Iterable[str]) -> None:
    """An optional word of a known set."""
    value = part.get(key)
    if value is not None and value not in choices:
        found.unsupported(f"{path}.{key}", value, sorted(choices))
