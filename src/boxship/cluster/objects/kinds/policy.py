"""The rules of PodDisruptionBudget and Eviction.

Source: documentation "Disruptions", "Specifying a Disruption Budget for your Application"; API reference of policy/v1;
k8s.io/kubernetes, apis/policy and registry/policy.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.apps_templates import validate_amount, validate_share
from boxship.cluster.objects.kinds.checking import Found, non_negative
from boxship.cluster.objects.kinds.comparing import keep_status, take_spec_back
from boxship.cluster.objects.kinds.metadata import validate_label_selector
from boxship.cluster.objects.rules import Rules

COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
STATUSES = ("False", "True", "Unknown")
REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
REASON_LIMIT_BYTES = 1024
MESSAGE_LIMIT_BYTES = 32 * 1024
_REASON = re.compile(REASON, re.ASCII)


def _create(budget: Object) -> None:
    budget["status"] = dict.fromkeys(COUNTS, 0)


def _validate(budget: Object) -> Sequence[Cause]:
    found = Found()
    spec = budget.get("spec") or {}
    low, high = spec.get("minAvailable"), spec.get("maxUnavailable")
    if low is not None and high is not None:
        found.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for key, value in (("minAvailable", low), ("maxUnavailable", high)):
        if value is not None:
            validate_amount(found, value, f"spec.{key}")
            validate_share(found, value, f"spec.{key}")
    validate_label_selector(found, spec.get("selector"), "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in ("AlwaysAllow", "IfHealthyBudget"):
        found.unsupported("spec.unhealthyPodEvictionPolicy", policy, ("AlwaysAllow", "IfHealthyBudget"))
    return found.causes


def _validate_status(new: Object, _: Object) -> Sequence[Cause]:
    found = Found()
    status = new.get("status") or {}
    validate_conditions(found, status.get("conditions") or (), "status.conditions")
    non_negative(found, status, "status", *COUNTS)
    return found.causes


def validate_conditions(found: Found, conditions: Sequence[Mapping[str, Any]], path: str) -> None:
    """Conditions in the form that newer kinds share (metav1.Condition)."""
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        at = f"{path}[{index}]"
        kind, status, reason = (condition.get(key) or "" for key in ("type", "status", "reason"))
        if kind in seen:
            found.duplicate(f"{at}.type", kind)
        seen.add(kind)
        found.because(f"{at}.type", kind, names.qualified(kind))
        if status not in STATUSES:
            found.unsupported(f"{at}.status", status, STATUSES)
        if (condition.get("observedGeneration") or 0) < 0:
            why = "must be greater than or equal to zero"
            found.invalid(f"{at}.observedGeneration", condition["observedGeneration"], why)
        if not condition.get("lastTransitionTime"):
            found.required(f"{at}.lastTransitionTime", "must be set")
        if not reason:
            found.required(f"{at}.reason", "must be set")
        elif not _REASON.fullmatch(reason):
            found.invalid(f"{at}.reason", reason, _reason_text())
        if len(reason) > REASON_LIMIT_BYTES:
            found.too_long(f"{at}.reason", REASON_LIMIT_BYTES)
        if len((condition.get("message") or "").encode()) > MESSAGE_LIMIT_BYTES:
            found.too_long(f"{at}.message", MESSAGE_LIMIT_BYTES)


def _reason_text() -> str:
    text = (
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
        "characters or '_,:', and must end with an alphanumeric character or '_'"
    )
    return names.unlike(text, REASON, "my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")


RULES = {
    "PodDisruptionBudget": Rules(
        prepare_create=_create,
        prepare_update=keep_status,
        prepare_status=take_spec_back,
        validate=_validate,
        validate_status=_validate_status,
        generation=True,
        needs_version=True,
    ),
    "Eviction": Rules(),
}
