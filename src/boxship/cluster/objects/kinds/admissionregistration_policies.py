"""ValidatingAdmissionPolicy, MutatingAdmissionPolicy, and their bindings: what they are made of.

Source: pkg/apis/admissionregistration (defaults, validation), documentation "Validating Admission Policy", "Mutating
Admission Policy". Whether expressions compile is `cel`'s to say; here they are only there or not.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.admissionregistration_matching import (
    FAILURE_POLICIES,
    MATCH_POLICIES,
    default_matching,
    one_of_these,
    validate_conditions,
    validate_rule,
)
from boxship.cluster.objects.kinds.checking import Found, fill, kept
from boxship.cluster.objects.kinds.metadata import validate_label_selector
from boxship.cluster.objects.rules import Rules

ACTIONS = ("Audit", "Deny", "Warn")
REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
REINVOCATIONS = ("IfNeeded", "Never")
PATCHES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
AUDIT_LIMIT = 20
AUDIT_LIMIT_BYTES = 5 * 1024
IDENTIFIER = re.compile("[_a-zA-Z][_a-zA-Z0-9]*")
RESERVED = set(
    "true false null in as break const continue else for function if import let loop package namespace return var "
    "void while".split()
)
BOTH = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response and "
    "headers serves no purpose)"
)
Item = Mapping[str, Any]


def _default_policy(object: Object) -> None:
    spec = object.setdefault("spec", {})
    fill(spec, {"failurePolicy": "Fail"})
    if spec.get("matchConstraints") is not None:
        default_matching(spec["matchConstraints"])


def _default_binding(object: Object) -> None:
    matching = (object.get("spec") or {}).get("matchResources")
    if matching is not None:
        default_matching(matching)


def _validate_parameters_kind(found: Found, kind: Item, path: str) -> None:
    version, name = kind.get("apiVersion") or "", kind.get("kind") or ""
    if not version:
        found.required(f"{path}.apiVersion")
    elif version.count("/") > 1:
        found.invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    else:
        group, _, number = version.rpartition("/")
        if group:
            found.because(f"{path}.apiVersion", group, names.subdomain(group))
        if number:
            found.because(f"{path}.apiVersion", number, names.label_1035(number))
        else:
            found.invalid(f"{path}.apiVersion", version, "version must be specified")
    if not name:
        found.required(f"{path}.kind")
    else:
        why = names.label_1035(name.lower())
        found.because(f"{path}.kind", name, why and f"may have mixed case, but should otherwise match: {why}")


def _validate_matching(found: Found, matching: Item, path: str) -> None:
    if matching.get("matchPolicy") is None:
        found.required(f"{path}.matchPolicy")
    one_of_these(found, matching, "matchPolicy", path, MATCH_POLICIES)
    for key in ("namespaceSelector", "objectSelector"):
        if matching.get(key) is None:
            found.required(f"{path}.{key}")
        validate_label_selector(found, matching.get(key), f"{path}.{key}")
    for key in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(matching.get(key) or ()):
            at = f"{path}.{key}[{index}]"
            listed = rule.get("resourceNames") or []
            for number, name in enumerate(listed):
                found.because(f"{at}.resourceNames[{number}]", name, names.path_segment(name))
                if name in listed[:number]:
                    found.duplicate(f"{at}.resourceNames[{number}]", name)
            validate_rule(found, rule, at)


def _validate_variables(found: Found, variables: Sequence[Item]) -> None:
    for index, variable in enumerate(variables):
        path = f"spec.variables[{index}]"
        name = variable.get("name") or ""
        if not name.strip():
            found.required(f"{path}.name", "name is not specified")
        elif not IDENTIFIER.fullmatch(name) or name in RESERVED:
            found.invalid(f"{path}.name", name, "name is not a valid CEL identifier")
        if not (variable.get("expression") or "").strip():
            found.required(f"{path}.expression", "expression is not specified")


def _validate_validations(found: Found, validations: Sequence[Item]) -> None:
    for index, validation in enumerate(validations):
        path = f"spec.validations[{index}]"
        message, words = validation.get("message") or "", validation.get("messageExpression") or ""
        if not (validation.get("expression") or "").strip():
            found.required(f"{path}.expression", "expression is not specified")
        if words and not words.strip():
            found.invalid(f"{path}.messageExpression", words, "must be non-empty if specified")
        if message and not message.strip():
            found.invalid(f"{path}.message", message, "message must be non-empty if specified")
        elif "\n" in message.strip() or "\r" in message.strip():
            found.invalid(f"{path}.message", message, "message must not contain line breaks")
        one_of_these(found, validation, "reason", path, REASONS)


def _validate_audit(found: Found, annotations: Sequence[Item], policy: str) -> None:
    path = "spec.auditAnnotations"
    if len(annotations) > AUDIT_LIMIT:
        found.invalid(path, annotations, f"must not have more than {AUDIT_LIMIT} auditAnnotations")
    seen = set()
    for index, annotation in enumerate(annotations):
        at = f"{path}[{index}]"
        key, value = annotation.get("key") or "", (annotation.get("valueExpression") or "").strip()
        if policy:
            full = f"{policy}/{key}"
            found.because(f"{at}.key", full, names.qualified(full))
        else:
            found.invalid(f"{at}.key", key, "requires metadata.name be non-empty")
        if not value:
            found.required(f"{at}.valueExpression", "valueExpression is not specified")
        elif len(value.encode()) > AUDIT_LIMIT_BYTES:
            found.required(f"{at}.valueExpression", f"must not exceed {AUDIT_LIMIT_BYTES} bytes in length")
        if key in seen:
            found.duplicate(f"{at}.key", key)
        seen.add(key)


def _validate_mutations(found: Found, mutations: Sequence[Item]) -> None:
    if not mutations:
        found.required("spec.mutations", "mutations must contain at least one item")
    for index, mutation in enumerate(mutations):
        path = f"spec.mutations[{index}]"
        kind = mutation.get("patchType") or ""
        if not kind:
            found.required(f"{path}.patchType")
            continue
        if kind not in PATCHES:
            found.unsupported(f"{path}.patchType", kind, sorted(PATCHES))
            continue
        for other, key in PATCHES.items():
            part = mutation.get(key)
            if other != kind and part is not None:
                found.forbidden(f"{path}.{key}", f"must not be specified when patchType is {kind}")
            elif other == kind and part is None:
                found.required(f"{path}.{key}", f"must be specified when patchType is {kind}")
            elif other == kind and not ((part or {}).get("expression") or "").strip():
                found.required(f"{path}.{key}.expression", "expression is not specified")


def _validate_policy(mutating: bool) -> Callable[[Object], Sequence[Cause]]:
    def validate(object: Object) -> Sequence[Cause]:
        found = Found()
        spec = object.get("spec") or {}
        if spec.get("failurePolicy") is None:
            found.required("spec.failurePolicy")
        one_of_these(found, spec, "failurePolicy", "spec", FAILURE_POLICIES)
        if spec.get("paramKind") is not None:
            _validate_parameters_kind(found, spec["paramKind"], "spec.paramKind")
        constraints = spec.get("matchConstraints")
        if constraints is None:
            found.required("spec.matchConstraints")
        else:
            _validate_matching(found, constraints, "spec.matchConstraints")
            if not constraints.get("resourceRules"):
                found.required("spec.matchConstraints.resourceRules")
        validate_conditions(found, spec.get("matchConditions") or (), "spec.matchConditions")
        _validate_variables(found, spec.get("variables") or ())
        if mutating:
            if not spec.get("reinvocationPolicy"):
                found.required("spec.reinvocationPolicy")
            else:
                one_of_these(found, spec, "reinvocationPolicy", "spec", REINVOCATIONS)
            _validate_mutations(found, spec.get("mutations") or ())
            return found.causes
        validations, annotations = spec.get("validations") or (), spec.get("auditAnnotations") or ()
        if not validations and not annotations:
            need = "validations or auditAnnotations must contain at least one item"
            found.required("spec.validations", need)
            found.required("spec.auditAnnotations", need)
        _validate_validations(found, validations)
        _validate_audit(found, annotations, object.get("metadata", {}).get("name") or "")
        return found.causes

    return validate


def _validate_reference(found: Found, reference: Item, path: str) -> None:
    name, selector = reference.get("name") or "", reference.get("selector")
    if name:
        found.because(f"{path}.name", name, names.path_segment(name))
    if name and selector is not None:
        for key in ("name", "selector"):
            found.forbidden(f"{path}.{key}", "name and selector are mutually exclusive")
    validate_label_selector(found, selector, f"{path}.selector")
    if not name and selector is None:
        found.required(path, "one of name or selector must be specified")
    if not reference.get("parameterNotFoundAction"):
        found.required(f"{path}.parameterNotFoundAction")
    else:
        one_of_these(found, reference, "parameterNotFoundAction", path, ("Allow", "Deny"))


def _validate_actions(found: Found, actions: Sequence[str]) -> None:
    path = "spec.validationActions"
    for index, action in enumerate(actions):
        if action not in ACTIONS:
            found.unsupported(f"{path}[{index}]", action, ACTIONS)
        if action in actions[:index]:
            found.duplicate(f"{path}[{index}]", action)
    if {"Deny", "Warn"} <= set(actions):
        found.invalid(path, actions, BOTH)
    if not actions:
        found.required(path, "at least one validation action is required")


def _validate_binding(mutating: bool) -> Callable[[Object], Sequence[Cause]]:
    def validate(object: Object) -> Sequence[Cause]:
        found = Found()
        spec = object.get("spec") or {}
        policy = spec.get("policyName") or ""
        if policy:
            found.because("spec.policyName", policy, names.subdomain(policy))
        else:
            found.required("spec.policyName")
        if spec.get("paramRef") is not None:
            _validate_reference(found, spec["paramRef"], "spec.paramRef")
        if spec.get("matchResources") is not None:
            _validate_matching(found, spec["matchResources"], "spec.matchResouces")  # the original's spelling
        if not mutating:
            _validate_actions(found, spec.get("validationActions") or ())
        return found.causes

    return validate


def _drop_status(object: Object) -> None:
    object["status"] = {}


def _keep_status(new: Object, old: Object) -> None:
    kept(new, old, "status")


def _binding(mutating: bool) -> Rules:
    return Rules(default=_default_binding, validate=_validate_binding(mutating), generation=True, needs_version=True)


POLICIES: Mapping[str, Rules] = {
    "ValidatingAdmissionPolicy": Rules(
        default=_default_policy,
        prepare_create=_drop_status,
        prepare_update=_keep_status,
        validate=_validate_policy(False),
        generation=True,
        needs_version=True,
    ),
    "MutatingAdmissionPolicy": Rules(
        default=_default_policy, validate=_validate_policy(True), generation=True, needs_version=True
    ),
    "ValidatingAdmissionPolicyBinding": _binding(False),
    "MutatingAdmissionPolicyBinding": _binding(True),
}
