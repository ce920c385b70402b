"""The Scale of an object: its number of replicas as a small object of its own (autoscaling/v1), and back.

Deployments, ReplicaSets, StatefulSets and ReplicationControllers have the same places for it; a custom resource's
definition names its paths (".spec.replicas"). Pure; versions and conflicts are the API's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Cause, internal
from boxship.cluster.objects.kinds.checking import Found, non_negative
from boxship.cluster.objects.tables.text import selector_string

TOLD = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class ScalePaths(msgspec.Struct, frozen=True):
    """Where a kind keeps its scale; `selector` is the path of a text, or of a LabelSelector or labels."""

    wanted: str = ".spec.replicas"
    current: str = ".status.replicas"
    selector: str = ".spec.selector"


BUILT_IN = ScalePaths()


def paths_of(scale: Mapping[str, Any]) -> ScalePaths:
    """The paths that a CustomResourceDefinition's `subresources.scale` names."""
    return ScalePaths(
        str(scale.get("specReplicasPath", "")),
        str(scale.get("statusReplicasPath", "")),
        str(scale.get("labelSelectorPath", "")),
    )


def _keys(path: str) -> list[str]:
    return [key for key in path.split(".") if key]


def _at(object: Object, path: str) -> Any:
    found: Any = object
    for key in _keys(path):
        found = found.get(key) if isinstance(found, dict) else None
    return found if path else None


def _selector(value: Any) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return ""
    if {"matchLabels", "matchExpressions"} & set(value):
        return selector_string(value)
    return ",".join(f"{key}={label}" for key, label in sorted(value.items()))


def scale_of(object: Object, paths: ScalePaths = BUILT_IN) -> Object:
    """The Scale of an object. Raises Failure where a custom resource has no number of replicas."""
    wanted, current = _at(object, paths.wanted), _at(object, paths.current)
    if wanted is None and paths is not BUILT_IN:
        raise internal(f'the spec replicas field "{paths.wanted}" does not exist')
    metadata = object.get("metadata", {})
    scale: Object = {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in TOLD if key in metadata},
        "spec": {"replicas": wanted} if wanted else {},
        "status": {"replicas": current or 0},
    }
    selector = _selector(_at(object, paths.selector))
    if selector:
        scale["status"]["selector"] = selector
    return scale


def scale_causes(scale: Object) -> Sequence[Cause]:
    """What is wrong with a Scale that a client sends."""
    found = Found()
    non_negative(found, scale.get("spec", {}), "spec", "replicas")
    return found.causes


def apply_scale(object: Object, scale: Object, paths: ScalePaths = BUILT_IN) -> Object:
    """The object with the number of replicas that a Scale asks for, and with the version that it names."""
    changed: Object = copied(object)
    *above, last = _keys(paths.wanted)
    place = changed
    for key in above:
        below = place.get(key)
        if not isinstance(below, dict):
            below = place[key] = {}
        place = below
    place[last] = scale.get("spec", {}).get("replicas", 0)
    version = scale.get("metadata", {}).get("resourceVersion")
    if version:
        changed.setdefault("metadata", {})["resourceVersion"] = version
    return changed
