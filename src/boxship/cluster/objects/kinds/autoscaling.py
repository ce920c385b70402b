"""The rules of HorizontalPodAutoscaler, in the version that is kept (autoscaling/v2), and of Scale.

Source: documentation "Horizontal Pod Autoscaling"; API reference of autoscaling/v2; k8s.io/kubernetes,
apis/autoscaling. Objects of autoscaling/v1 are converted before they come here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import NOT_POSITIVE, Found, child, fill, non_negative
from boxship.cluster.objects.kinds.comparing import keep_status, take_spec_back
from boxship.cluster.objects.kinds.core_resources import parsed, validate_container_name
from boxship.cluster.objects.kinds.metadata import validate_label_selector
from boxship.cluster.objects.rules import Rules

Item = Mapping[str, Any]
CPU_SHARE = 80  # percent of the requests, where nothing is said
LONGEST_PERIOD = 1800  # seconds
LONGEST_WINDOW = 3600  # seconds
LOWEST = 1  # replicas
# Each type of metric, and the field that it is in.
SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
UP: dict[str, Any] = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
DOWN: dict[str, Any] = {
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}


def _default(scaler: Object) -> None:
    spec = child(scaler, "spec")
    fill(spec, {"minReplicas": LOWEST})
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": CPU_SHARE}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        for key, defaults in (("scaleUp", UP), ("scaleDown", DOWN)):
            rules = child(behavior, key)
            for name, value in defaults.items():
                if rules.get(name) is None:
                    rules[name] = copied(value)


def _prepare_create(scaler: Object) -> None:
    scaler["status"] = {"desiredReplicas": 0}


def _validate(scaler: Object) -> Sequence[Cause]:
    found = Found()
    spec = scaler.get("spec") or {}
    low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if low is not None and low < LOWEST:
        found.invalid("spec.minReplicas", low, f"must be greater than or equal to {LOWEST}")
    if high < 1:
        found.invalid("spec.maxReplicas", high, "must be greater than 0")
    if low is not None and high < low:
        found.invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")
    _validate_reference(found, spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
    for index, metric in enumerate(spec.get("metrics") or ()):
        _validate_metric(found, metric, f"spec.metrics[{index}]")
    for key in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(key)
        if rules is not None:
            _validate_rules(found, rules, f"spec.behavior.{key}")
    return found.causes


def _validate_reference(found: Found, reference: Item, path: str) -> None:
    for key in ("kind", "name"):
        if not reference.get(key):
            found.required(f"{path}.{key}")
        else:
            found.because(f"{path}.{key}", reference[key], names.path_segment(reference[key]))


def _validate_version(found: Found, reference: Item, path: str, *, grouped: bool) -> None:
    """The version of what is scaled or measured; `grouped`: of a group, as all that scale are but one."""
    version = reference.get("apiVersion") or ""
    if version.count("/") > 1:
        found.invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    elif grouped and not version.partition("/")[1]:
        found.invalid(f"{path}.apiVersion", version, "apiVersion must specify API group")


def _validate_target_version(found: Found, scaler: Object) -> None:
    reference = (scaler.get("spec") or {}).get("scaleTargetRef") or {}
    grouped = reference.get("kind") != "ReplicationController"
    _validate_version(found, reference, "spec.scaleTargetRef", grouped=grouped)


def _validate_create(scaler: Object) -> Sequence[Cause]:
    found = Found()
    _validate_target_version(found, scaler)
    return found.causes


def _validate_update(new: Object, old: Object) -> Sequence[Cause]:
    """What scaled before goes on scaling: only another target is asked for its version."""
    found = Found()
    after, before = ((each.get("spec") or {}).get("scaleTargetRef") or {} for each in (new, old))
    if any(after.get(key) != before.get(key) for key in ("apiVersion", "kind")):
        _validate_target_version(found, new)
    return found.causes


def _validate_rules(found: Found, rules: Item, path: str) -> None:
    window, select = rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy")
    if window is not None and window < 0:
        found.invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
    if window is not None and window > LONGEST_WINDOW:
        why = f"must be less than or equal to {LONGEST_WINDOW}"
        found.invalid(f"{path}.stabilizationWindowSeconds", window, why)
    if select is not None and select not in ("Disabled", "Max", "Min"):
        found.unsupported(f"{path}.selectPolicy", select, ("Disabled", "Max", "Min"))
    tolerance = rules.get("tolerance")
    if tolerance is not None and parsed(tolerance).nanos < 0:
        found.invalid(f"{path}.tolerance", tolerance, "must be greater or equal to 0")
    policies = rules.get("policies") or ()
    if not policies:
        found.required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(policies):
        at = f"{path}.policies[{index}]"
        kind, value, period = policy.get("type") or "", policy.get("value") or 0, policy.get("periodSeconds") or 0
        if kind not in ("Percent", "Pods"):
            found.unsupported(f"{at}.type", kind, ("Percent", "Pods"))
        if value <= 0:
            found.invalid(f"{at}.value", value, NOT_POSITIVE)
        if period <= 0:
            found.invalid(f"{at}.periodSeconds", period, NOT_POSITIVE)
        if period > LONGEST_PERIOD:
            found.invalid(f"{at}.periodSeconds", period, f"must be less than or equal to {LONGEST_PERIOD}")


def _validate_metric(found: Found, metric: Item, path: str) -> None:
    kind = metric.get("type") or ""
    if not kind:
        found.required(f"{path}.type", "must specify a metric source type")
    if kind not in SOURCES:
        found.unsupported(f"{path}.type", kind, sorted(SOURCES))
    given = [key for key in SOURCES.values() if metric.get(key) is not None]
    expected = SOURCES.get(kind, "")
    if given:
        _validate_source(found, given[0], metric[given[0]], f"{path}.{given[0]}")
    if expected and expected not in given:
        found.required(f"{path}.{expected}", "must populate information for the given metric source")
    if len(given) != 1 or given[0] != expected:
        for key in given:
            if key != expected:
                found.forbidden(f"{path}.{key}", "must populate the given metric source only")


def _validate_source(found: Found, key: str, source: Item, path: str) -> None:
    target = source.get("target") or {}
    at = f"{path}.target"
    if key == "object":
        described = source.get("describedObject") or {}
        _validate_reference(found, described, f"{path}.describedObject")
        _validate_version(found, described, f"{path}.describedObject", grouped=False)
    if key in ("object", "pods", "external"):
        metric = source.get("metric") or {}
        if not metric.get("name"):
            found.required(f"{path}.metric.name", "must specify a metric name")
        else:
            found.because(f"{path}.metric.name", metric["name"], names.path_segment(metric["name"]))
        if key == "external":
            validate_label_selector(found, metric.get("selector"), f"{path}.metric.selector")
    else:
        name = source.get("name")
        if not name:
            found.required(f"{path}.name", "must specify a resource name")
        else:
            validate_container_name(found, name, f"{path}.name")
        if key == "containerResource":
            container = source.get("container")
            if not container:
                found.required(f"{path}.container", "must specify a container")
            else:
                found.because(f"{path}.container", container, names.label(container))
    _validate_target(found, target, at)
    value, average, share = target.get("value"), target.get("averageValue"), target.get("averageUtilization")
    if key == "object" and value is None and average is None:
        found.required(f"{at}.averageValue", "must set either a target value or averageValue")
    elif key == "pods" and average is None:
        found.required(f"{at}.averageValue", "must specify a positive target averageValue")
    elif key == "external":
        if value is None and average is None:
            found.required(f"{at}.averageValue", "must set either a target value for metric or a per-pod target")
        if value is not None and average is not None:
            found.forbidden(f"{at}.value", "may not set both a target value for metric and a per-pod target")
    elif key in ("resource", "containerResource"):
        if share is None and average is None:
            found.required(f"{at}.averageUtilization", "must set either a target raw value or a target utilization")
        if share is not None and average is not None:
            why = "may not set both a target raw value and a target utilization"
            found.forbidden(f"{at}.averageValue", why)


def _validate_target(found: Found, target: Item, path: str) -> None:
    kind, share = target.get("type") or "", target.get("averageUtilization")
    if not kind:
        found.required(f"{path}.type", "must specify a metric target type")
    if kind not in ("Utilization", "Value", "AverageValue"):
        found.invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue")
    for key in ("value", "averageValue"):
        if target.get(key) is not None and parsed(target[key]).nanos <= 0:
            found.invalid(f"{path}.{key}", parsed(target[key]).text, "must be positive")
    if share is not None and share < 1:
        found.invalid(f"{path}.averageUtilization", share, "must be greater than 0")


def _validate_status(new: Object, _: Object) -> Sequence[Cause]:
    found = Found()
    non_negative(found, new.get("status") or {}, "status", "currentReplicas", "desiredReplicas")
    return found.causes


def _validate_scale(scale: Object) -> Sequence[Cause]:
    """A client's answer to how many: sent to the `scale` subresource of others."""
    found = Found()
    non_negative(found, scale.get("spec") or {}, "spec", "replicas")
    return found.causes


RULES = {
    "HorizontalPodAutoscaler": Rules(
        default=_default,
        prepare_create=_prepare_create,
        prepare_update=keep_status,
        prepare_status=take_spec_back,
        validate=_validate,
        validate_create=_validate_create,
        validate_update=_validate_update,
        validate_status=_validate_status,
        generation=True,
    ),
    "Scale": Rules(validate=_validate_scale),
}
