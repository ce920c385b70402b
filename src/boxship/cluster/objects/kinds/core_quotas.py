"""The rules of LimitRange and ResourceQuota.

Source: documentation "Limit Ranges", "Resource Quotas"; API reference of core/v1; k8s.io/kubernetes, apis/core
(defaults and validation). How quotas are counted is not decided here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names, quantity
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import IMMUTABLE, Found, child
from boxship.cluster.objects.kinds.comparing import empty_status, keep_status, path_of, take_spec_back
from boxship.cluster.objects.kinds.core_resources import (
    INTEGERS,
    is_hugepages,
    is_overcommitted,
    parsed,
    validate_amount,
    validate_container_name,
    validate_name,
)
from boxship.cluster.objects.quantity import Quantity
from boxship.cluster.objects.rules import Rules

Item = Mapping[str, Any]
LIMIT_TYPES = ("Pod", "Container", "PersistentVolumeClaim")
LIMITS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
COMPUTE = tuple(f"{prefix}{name}" for prefix in ("", "requests.", "limits.") for name in ("cpu", "memory"))
QUOTA_RESOURCES = frozenset(
    (
        *INTEGERS,
        *COMPUTE,
        "ephemeral-storage",
        "requests.ephemeral-storage",
        "limits.ephemeral-storage",
        "requests.storage",
    )
)
# Scopes of quotas, and which resources each may count.
POD_SCOPES = {
    "Terminating": frozenset(("pods", *COMPUTE)),
    "NotTerminating": frozenset(("pods", *COMPUTE)),
    "NotBestEffort": frozenset(("pods", *COMPUTE)),
    "BestEffort": frozenset(("pods",)),
    "PriorityClass": frozenset(("pods", *COMPUTE)),
    "CrossNamespacePodAffinity": frozenset(("pods", *COMPUTE)),
    "VolumeAttributesClass": frozenset(("persistentvolumeclaims", "requests.storage")),
}
EXISTS_ONLY = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
EXISTS_TEXT = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
CONFLICTS = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))


def _default_range(limits: Object) -> None:
    for item in path_of(limits, "spec", "limits") or ():
        if item.get("type") != "Container":
            continue
        default, request = child(item, "default"), child(item, "defaultRequest")
        for key, text in (item.get("max") or {}).items():
            default.setdefault(key, text)
        for source in (default, item.get("min") or {}):
            for key, text in source.items():
                request.setdefault(key, text)
        for key in ("default", "defaultRequest"):
            if not item[key]:
                del item[key]


def _validate_range(limits: Object) -> Sequence[Cause]:
    found = Found()
    seen: set[str] = set()
    for index, item in enumerate(path_of(limits, "spec", "limits") or ()):
        at = f"spec.limits[{index}]"
        kind = item.get("type") or ""
        why = names.qualified(kind)
        found.because(f"{at}.type", kind, why)
        if not why and "/" not in kind and kind not in LIMIT_TYPES:
            found.invalid(f"{at}.type", kind, "must be a standard limit type or fully qualified")
        if kind in seen:
            found.duplicate(f"{at}.type", kind)
        seen.add(kind)
        parts: dict[str, dict[str, Quantity]] = {}
        for key in LIMITS:
            amounts = item.get(key) or {}
            if kind == "Pod" and key in ("default", "defaultRequest"):
                if amounts:
                    found.forbidden(f"{at}.{key}", "may not be specified when `type` is 'Pod'")
                amounts = {}
            for name in amounts:
                check = validate_container_name if kind in ("Pod", "Container") else validate_name
                check(found, name, f"{at}.{key}[{name}]")
            parts[key] = {name: parsed(text) for name, text in amounts.items()}
        if kind == "PersistentVolumeClaim" and "storage" not in parts["min"] and "storage" not in parts["max"]:
            why = "either minimum or maximum storage value is required, but neither was provided"
            found.required(f"{at}.limits", why)
        for name in dict.fromkeys(name for amounts in parts.values() for name in amounts):
            _validate_limits(found, name, {key: amounts.get(name) for key, amounts in parts.items()}, at)
    return found.causes


def _validate_limits(found: Found, name: str, limits: Mapping[str, Quantity | None], path: str) -> None:
    """The limits of one resource fit each other."""
    low, high = limits["min"], limits["max"]
    default, request, ratio = limits["default"], limits["defaultRequest"], limits["maxLimitRequestRatio"]
    for key, small, large, texts, shown in (
        ("min", low, high, "min value {} is greater than max value {}", low),
        ("defaultRequest", low, request, "min value {} is greater than default request value {}", request),
        ("defaultRequest", request, high, "default request value {} is greater than max value {}", request),
        (
            "defaultRequest",
            request,
            default,
            "default request value {} is greater than default limit value {}",
            request,
        ),
        ("default", low, default, "min value {} is greater than default value {}", low),
        ("default", default, high, "default value {} is greater than max value {}", high),
    ):
        if small is not None and large is not None and small > large and shown is not None:
            found.invalid(f"{path}.{key}[{name}]", shown.text, texts.format(small.text, large.text))
    at = f"{path}.maxLimitRequestRatio[{name}]"
    if ratio is not None and ratio < quantity.of(1):
        found.invalid(at, ratio.text, f"ratio {ratio.text} is less than 1")
    if ratio is not None and low is not None and high is not None and low.nanos > 0:
        largest = high.nanos / low.nanos
        if ratio.nanos / quantity.NANO > largest:
            found.invalid(at, ratio.text, f"ratio {ratio.text} is greater than max/min = {largest:f}")
    if default is not None and request is not None and default != request and not is_overcommitted(name):
        why = f"default value {default.text} must equal to defaultRequest value {request.text} in {name}"
        found.invalid(f"{path}.defaultRequest[{name}]", request.text, why)


def _validate_resources(found: Found, amounts: Mapping[str, str], path: str) -> None:
    for name, text in amounts.items():
        at = f"{path}[{name}]"
        right = validate_name(found, name, at)
        if "/" not in name and name not in QUOTA_RESOURCES and not _of_hugepages(name) and (right or name):
            found.invalid(at, name, "must be a standard resource for quota")
        validate_amount(found, name, parsed(text), at)


def _of_hugepages(name: str) -> bool:
    return is_hugepages(name) or name.startswith("requests.hugepages-")


def _validate_quota(quota: Object) -> Sequence[Cause]:
    found = Found()
    spec = quota.get("spec") or {}
    hard = spec.get("hard") or {}
    _validate_resources(found, hard, "spec.hard")
    scopes = spec.get("scopes") or []
    for scope in scopes:
        _validate_scope(found, scope, hard, "spec.scopes", scopes, scopes)
    _validate_conflicts(found, scopes, scopes, "spec.scopes")
    selector = spec.get("scopeSelector")
    if selector is not None:
        path = "spec.scopeSelector.matchExpressions"
        needs = selector.get("matchExpressions") or ()
        for need in needs:
            _validate_need(found, need, hard, selector, path)
        _validate_conflicts(found, [need.get("scopeName") for need in needs], scopes, path)
    for key in ("hard", "used"):
        _validate_resources(found, path_of(quota, "status", key) or {}, f"status.{key}")
    return found.causes


def _validate_scope(found: Found, scope: str, hard: Item, path: str, shown: Any, holder: Any) -> None:
    if scope not in POD_SCOPES:
        found.invalid(path, shown, "unsupported scope")
        return
    for name in sorted(hard):
        if name in QUOTA_RESOURCES and name not in POD_SCOPES[scope]:
            found.invalid(
                path if holder is shown else path.removesuffix(".scopeName"),
                holder,
                "unsupported scope applied to resource",
            )


def _validate_conflicts(found: Found, scopes: Sequence[str | None], shown: Any, path: str) -> None:
    for pair in CONFLICTS:
        if all(scope in scopes for scope in pair):
            found.invalid(path, shown, "conflicting scopes")


def _validate_need(found: Found, need: Item, hard: Item, selector: Item, path: str) -> None:
    scope, operator = need.get("scopeName") or "", need.get("operator") or ""
    values = need.get("values") or ()
    _validate_scope(found, scope, hard, f"{path}.scopeName", scope, selector)
    if scope in EXISTS_ONLY and operator != "Exists":
        found.invalid(f"{path}.operator", operator, EXISTS_TEXT)
    if operator in ("In", "NotIn"):
        if not values:
            why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            found.required(f"{path}.values", why)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            found.invalid(f"{path}.values", values, why)
    else:
        found.invalid(f"{path}.operator", operator, "not a valid selector operator")


def _update_quota(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    scopes, had = path_of(new, "spec", "scopes") or [], path_of(old, "spec", "scopes") or []
    if set(scopes) != set(had):
        found.invalid("spec.scopes", scopes, IMMUTABLE)
    return found.causes


RULES = {
    "LimitRange": Rules(default=_default_range, validate=_validate_range, create_on_update=True),
    "ResourceQuota": Rules(
        prepare_create=empty_status,
        prepare_update=keep_status,
        prepare_status=take_spec_back,
        validate=_validate_quota,
        validate_update=_update_quota,
    ),
}
