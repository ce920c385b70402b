"""Whether a pod's toleration is for a taint of a node: one decision for all who ask. Pure.

Source: kubernetes.io, "Taints and Tolerations".
"""

import msgspec

from boxship.cluster.objects import Object


class Taint(msgspec.Struct, frozen=True, gc=False):
    key: str
    value: str
    effect: str


class Toleration(msgspec.Struct, frozen=True, gc=False):
    """No key, no effect: every one."""

    key: str
    operator: str
    value: str
    effect: str


def taint_of(object: Object) -> Taint:
    return Taint(object.get("key") or "", object.get("value") or "", object.get("effect") or "")


def toleration_of(object: Object) -> Toleration:
    key, operator = object.get("key") or "", object.get("operator") or "Equal"
    return Toleration(key, operator, object.get("value") or "", object.get("effect") or "")


def covers(toleration: Toleration, taint: Taint) -> bool:
    """Whether who has this toleration does not mind the taint."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    if toleration.operator in ("Lt", "Gt"):
        return _compares(toleration, taint)
    return bool(toleration.key) and toleration.value == taint.value


def _compares(toleration: Toleration, taint: Taint) -> bool:
    try:
        bound, value = int(toleration.value), int(taint.value)
    except ValueError:
        return False
    return value < bound if toleration.operator == "Lt" else value > bound


def tolerates(toleration: Object, taint: Object) -> bool:
    """The same, both as they stand in the objects."""
    return covers(toleration_of(toleration), taint_of(taint))
