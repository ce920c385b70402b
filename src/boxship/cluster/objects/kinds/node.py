"""The rules of node.k8s.io: RuntimeClass.

Source: pkg/apis/node/validation, documentation "Runtime Class", "Pod Overhead".
"""

from collections.abc import Mapping, Sequence

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found, immutable
from boxship.cluster.objects.kinds.core_placement import validate_tolerations
from boxship.cluster.objects.kinds.core_resources import validate_requirements
from boxship.cluster.objects.kinds.metadata import validate_labels
from boxship.cluster.objects.rules import Rules


def _validate(object: Object) -> Sequence[Cause]:
    found = Found()
    handler = object.get("handler") or ""
    found.because("handler", handler, names.label(handler))
    overhead, scheduling = object.get("overhead"), object.get("scheduling")
    if overhead is not None:
        validate_requirements(found, {"limits": overhead.get("podFixed") or {}}, "overhead")
    if scheduling is not None:
        validate_labels(found, scheduling.get("nodeSelector") or {}, "scheduling.nodeSelector")
        tolerations = scheduling.get("tolerations") or ()
        validate_tolerations(found, tolerations, "scheduling.tolerations")
        for index, toleration in enumerate(tolerations):
            if toleration in tolerations[:index]:
                found.duplicate(f"scheduling.tolerations[{index}]", toleration)
    return found.causes


def _validate_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    immutable(found, new.get("handler"), old.get("handler"), "handler")
    return found.causes


RULES: Mapping[str, Rules] = {
    "RuntimeClass": Rules(
        validate=_validate, validate_update=_validate_update, create_on_update=True, needs_version=True
    )
}
