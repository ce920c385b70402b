"""What controllers with a template have in common: selectors that fit, counts or percentages, template warnings.

Source: documentation "Deployments", "ReplicaSet", "DaemonSet", "StatefulSets"; k8s.io/kubernetes, apis/apps/validation.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import IMMUTABLE, NOT_NEGATIVE, Found, non_negative
from boxship.cluster.objects.kinds.comparing import path_of, same
from boxship.cluster.objects.kinds.core_pod_spec import validate_template
from boxship.cluster.objects.kinds.core_pod_warnings import template_warnings
from boxship.cluster.objects.kinds.metadata import selector_matches, selects_nothing, validate_label_selector

Item = Mapping[str, Any]


def validate_amount(found: Found, value: Any, path: str) -> None:
    """A count, or a percentage."""
    if isinstance(value, str):
        found.because(path, value, names.percent(value))
    elif isinstance(value, int) and value < 0:
        found.invalid(path, value, NOT_NEGATIVE)


def validate_share(found: Found, value: Any, path: str) -> None:
    """A percentage of at most 100, or any count."""
    if isinstance(value, str) and not names.percent(value) and int(value[:-1]) > 100:
        found.invalid(path, value, "must not be greater than 100%")


def amount(value: Any) -> int:
    """The number in a count or a percentage; 0 for what is neither."""
    if isinstance(value, str):
        digits = value.removesuffix("%")
        return int(digits) if digits.isascii() and digits.isdigit() else 0
    return value if isinstance(value, int) else 0


def validate_selected(found: Found, spec: Item, kind: str, *, strict: bool = True) -> None:
    """The selector is there, not empty, and selects the template's pods."""
    selector = spec.get("selector")
    if selector is None:
        if strict:
            found.required("spec.selector")
    else:
        validate_label_selector(found, selector, "spec.selector")
        if selects_nothing(selector):
            found.invalid("spec.selector", selector, f"empty selector is invalid for {kind}")
    labels = path_of(spec, "template", "metadata", "labels") or None
    # An absent selector selects nothing at all, an empty one everything.
    if selector is None or not (selects_nothing(selector) or selector_matches(selector, labels or {})):
        found.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")


def validate_running_template(found: Found, template: Object, kind: str) -> None:
    """A template of pods that go on running."""
    validate_template(found, template, "spec.template")
    policy = path_of(template, "spec", "restartPolicy")
    if policy != "Always":
        found.unsupported("spec.template.spec.restartPolicy", policy or "", ("Always",))
    if path_of(template, "spec", "activeDeadlineSeconds") is not None:
        why = f"activeDeadlineSeconds in {kind} is not Supported"
        found.forbidden("spec.template.spec.activeDeadlineSeconds", why)


def selector_stays(new: Object, old: Object) -> Sequence[Cause]:
    """The selector of a controller never changes."""
    found = Found()
    validate_same(found, new, old, "selector")
    return found.causes


def validate_same(found: Found, new: Object, old: Object, *keys: str) -> None:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    for key in keys:
        if not same(after.get(key), before.get(key)):
            found.invalid(f"spec.{key}", after.get(key), IMMUTABLE)


def validate_collisions(found: Found, new: Object, old: Object) -> None:
    count, had = path_of(new, "status", "collisionCount"), path_of(old, "status", "collisionCount")
    if had is not None and (count is None or count < had):
        found.invalid("status.collisionCount", count or 0, "cannot be decremented")


def validate_status_counts(found: Found, status: Object, keys: Sequence[str], total: Sequence[str], ready: str) -> None:
    """None of `keys` is negative, none of `total` above all replicas, nor what is available above what is ready."""
    non_negative(found, status, "status", *keys)
    for key in total:
        if (status.get(key) or 0) > (status.get("replicas") or 0):
            found.invalid(f"status.{key}", status.get(key) or 0, "cannot be greater than status.replicas")
    available = status.get("availableReplicas") or 0
    if available > (status.get("readyReplicas") or 0):
        found.invalid("status.availableReplicas", available, f"cannot be greater than {ready}")


def warnings_of(*path: str) -> Callable[[Object], Sequence[str]]:
    """Of the template at `path`, and of a name that hostnames are made of."""

    def warnings(object: Object) -> Sequence[str]:
        name = path_of(object, "metadata", "name")
        found = list(template_warnings(path_of(object, *path), ".".join(path)))
        if name and (why := names.label(name)):
            text = "this is used in Pod names and hostnames, which can result in surprising behavior"
            found.insert(0, f"metadata.name: {text}; a DNS label is recommended: [{why}]")
        return found

    return warnings
