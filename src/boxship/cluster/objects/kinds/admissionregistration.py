"""The rules of admissionregistration.k8s.io: webhook configurations here, policies in a file of their own.

Source: pkg/apis/admissionregistration (defaults, validation), documentation "Dynamic Admission Control". Expressions of
match conditions are compiled by `cel`, when admission first meets them; here they are only there or not.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.admissionregistration_clients import default_client, validate_client
from boxship.cluster.objects.kinds.admissionregistration_matching import (
    FAILURE_POLICIES,
    MATCH_POLICIES,
    default_matching,
    one_of_these,
    validate_conditions,
    validate_rule,
)
from boxship.cluster.objects.kinds.admissionregistration_policies import POLICIES
from boxship.cluster.objects.kinds.checking import Found, fill
from boxship.cluster.objects.kinds.metadata import validate_label_selector
from boxship.cluster.objects.rules import Rules

NO_EFFECTS = ("None", "NoneOnDryRun")
REINVOCATIONS = ("IfNeeded", "Never")
VERSIONS = ("v1", "v1beta1")
Item = Mapping[str, Any]


def _default(mutating: bool) -> Callable[[Object], None]:
    def default(object: Object) -> None:
        for hook in object.get("webhooks") or ():
            default_matching(hook)
            fill(hook, {"failurePolicy": "Fail", "timeoutSeconds": 10})
            if mutating:
                fill(hook, {"reinvocationPolicy": "Never"})
            default_client(hook.get("clientConfig"))

    return default


def _validate_versions(found: Found, versions: Sequence[str], path: str) -> None:
    listed = ", ".join(VERSIONS)
    if not versions:
        found.required(path, f"must specify one of {listed}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            found.invalid(f"{path}[{index}]", version, "duplicate version")
        else:
            found.because(f"{path}[{index}]", version, names.label_1035(version))
    if not set(versions) & set(VERSIONS):
        found.invalid(path, versions, f"must include at least one of {listed}")


def _validate_hook_name(found: Found, name: str, path: str) -> None:
    if not name:
        found.required(path)
        return
    few = "should be a domain with at least three segments separated by dots"
    found.because(path, name, names.subdomain(name) or ("" if name.count(".") >= 2 else few))


def _validate_hook(found: Found, hook: Item, path: str) -> None:
    _validate_hook_name(found, hook.get("name") or "", f"{path}.name")
    for index, rule in enumerate(hook.get("rules") or ()):
        validate_rule(found, rule, f"{path}.rules[{index}]")
    one_of_these(found, hook, "failurePolicy", path, FAILURE_POLICIES)
    one_of_these(found, hook, "matchPolicy", path, MATCH_POLICIES)
    if hook.get("sideEffects") is None:
        found.required(f"{path}.sideEffects", f"must specify one of {', '.join(NO_EFFECTS)}")
    one_of_these(found, hook, "sideEffects", path, NO_EFFECTS)
    seconds = hook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        why = "the timeout value must be between 1 and 30 seconds"
        found.invalid(f"{path}.timeoutSeconds", seconds, why)
    for key in ("namespaceSelector", "objectSelector"):
        validate_label_selector(found, hook.get(key), f"{path}.{key}")
    one_of_these(found, hook, "reinvocationPolicy", path, REINVOCATIONS)
    validate_client(found, hook.get("clientConfig") or {}, f"{path}.clientConfig")
    validate_conditions(found, hook.get("matchConditions") or (), f"{path}.matchConditions")
    _validate_versions(found, hook.get("admissionReviewVersions") or (), f"{path}.admissionReviewVersions")


def _validate(object: Object) -> Sequence[Cause]:
    found = Found()
    seen = set()
    for index, hook in enumerate(object.get("webhooks") or ()):
        _validate_hook(found, hook, f"webhooks[{index}]")
        name = hook.get("name")
        if name and name in seen:
            found.duplicate(f"webhooks[{index}].name", name)
        seen.add(name)
    return found.causes


def _hooks(mutating: bool) -> Rules:
    return Rules(default=_default(mutating), validate=_validate, generation=True, needs_version=True)


RULES: Mapping[str, Rules] = {
    "MutatingWebhookConfiguration": _hooks(True),
    "ValidatingWebhookConfiguration": _hooks(False),
    **POLICIES,
}
