"""The rules of scheduling.k8s.io: PriorityClass.

Source: pkg/apis/scheduling (defaults, validation), documentation "Pod Priority and Preemption". That only one class is
the default of all is admission's to keep.
"""

from collections.abc import Mapping, Sequence

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found, fill, immutable
from boxship.cluster.objects.rules import Rules

SYSTEM = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
PREFIX = "system-"
HIGHEST = 1_000_000_000  # of those that users make
POLICIES = ("Never", "PreemptLowerPriority")


def _default(object: Object) -> None:
    fill(object, {"preemptionPolicy": "PreemptLowerPriority"})


def _wrong_system(name: str, value: int, default: bool) -> str:
    if name not in SYSTEM:
        return f"{name} is not a known system priority class"
    if value != SYSTEM[name]:
        return f"value of {name} PriorityClass must be {SYSTEM[name]}"
    return f"globalDefault of {name} PriorityClass must be false" if default else ""


def _validate(object: Object) -> Sequence[Cause]:
    found = Found()
    name, value = object.get("metadata", {}).get("name") or "", object.get("value") or 0
    if name.startswith(PREFIX):
        why = _wrong_system(name, value, object.get("globalDefault") is True)
        if why:
            reserved = f"priority class names with '{PREFIX}' prefix are reserved for system use only. error: {why}"
            found.forbidden("metadata.name", reserved)
    elif value > HIGHEST:
        found.forbidden("value", f"maximum allowed value of a user defined priority is {HIGHEST}")
    policy = object.get("preemptionPolicy")
    if policy is not None and not policy:
        found.required("preemptionPolicy")
    elif policy is not None and policy not in POLICIES:
        found.unsupported("preemptionPolicy", policy, POLICIES)
    return found.causes


def _validate_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    if (new.get("value") or 0) != (old.get("value") or 0):
        found.forbidden("value", "may not be changed in an update.")
    immutable(found, new.get("preemptionPolicy"), old.get("preemptionPolicy"), "preemptionPolicy")
    return found.causes


def _prepare_create(object: Object) -> None:
    object.setdefault("metadata", {})["generation"] = 1  # and so it stays: what pods see of a class never changes


RULES: Mapping[str, Rules] = {
    "PriorityClass": Rules(
        default=_default, prepare_create=_prepare_create, validate=_validate, validate_update=_validate_update
    )
}
