"""Objects in another version of their kind.

Of the built-in kinds only two have versions of different shape: HorizontalPodAutoscaler (autoscaling v1 and v2) and
Event (core and events.k8s.io). Everything else only changes the name of the version. A conversion loses nothing: what
autoscaling/v1 has no field for travels in annotations, as in the original (pkg/apis/autoscaling/v1/conversion.go), and
comes back from there. Custom resources are `custom`'s, by their webhooks.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.scale import BUILT_IN, ScalePaths, apply_scale, paths_of, scale_causes, scale_of

__all__ = ["BUILT_IN", "ScalePaths", "apply_scale", "convert", "paths_of", "scale_causes", "scale_of"]

PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS, CURRENT, CONDITIONS, BEHAVIOR = (
    PREFIX + name for name in ("metrics", "current-metrics", "conditions", "behavior")
)
# The fields of an Event: in the core group, in events.k8s.io.
EVENT = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
)
# A metric's places in autoscaling/v1's annotations: (there, path in v2).
SOURCES: Mapping[str, tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]] = {
    "Object": (
        "object",
        (
            ("target", ("describedObject",)),
            ("metricName", ("metric", "name")),
            ("selector", ("metric", "selector")),
            ("targetValue", ("target", "value")),
            ("averageValue", ("target", "averageValue")),
        ),
    ),
    "Pods": (
        "pods",
        (
            ("metricName", ("metric", "name")),
            ("selector", ("metric", "selector")),
            ("targetAverageValue", ("target", "averageValue")),
        ),
    ),
    "Resource": (
        "resource",
        (
            ("name", ("name",)),
            ("targetAverageUtilization", ("target", "averageUtilization")),
            ("targetAverageValue", ("target", "averageValue")),
        ),
    ),
    "ContainerResource": (
        "containerResource",
        (
            ("name", ("name",)),
            ("container", ("container",)),
            ("targetAverageUtilization", ("target", "averageUtilization")),
            ("targetAverageValue", ("target", "averageValue")),
        ),
    ),
    "External": (
        "external",
        (
            ("metricName", ("metric", "name")),
            ("metricSelector", ("metric", "selector")),
            ("targetValue", ("target", "value")),
            ("targetAverageValue", ("target", "averageValue")),
        ),
    ),
}


def _current_places(kind: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The same for what is measured: `current…` instead of `target…`."""

    def renamed(name: str, path: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        if path[0] != "target":
            return name, path
        return name.replace("target", "current"), ("current", *path[1:])

    return tuple(renamed(name, path) for name, path in SOURCES[kind][1])


STATUSES = {kind: (source, _current_places(kind)) for kind, (source, _) in SOURCES.items()}
Places = Mapping[str, tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]]


def _get(object: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        object = object.get(key) if isinstance(object, dict) else None
    return object


def _put(object: Object, path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        object = object.setdefault(key, {})
    object[path[-1]] = value


def _metric_down(metric: Object, places: Places) -> Object:
    """A metric of v2 as the annotations of v1 have it."""
    kind = metric.get("type", "")
    found: Object = {"type": kind}
    if kind in places:
        source, fields = places[kind]
        there = {name: value for name, path in fields if (value := _get(metric.get(source), path)) is not None}
        if kind == "Object" and places is SOURCES:
            there.setdefault("targetValue", "0")
        found[source] = there
    return found


def _metric_up(metric: Object, places: Places) -> Object:
    kind = metric.get("type", "")
    found: Object = {"type": kind}
    if kind not in places:
        return found
    source, fields = places[kind]
    there = metric.get(source)
    made: Object = {}
    for name, path in fields:
        value = _get(there, (name,))
        if value is not None:
            _put(made, path, value)
    if places is SOURCES:
        target = made.setdefault("target", {})
        if kind == "Object" and "averageValue" in target and target.get("value") == "0":
            del target["value"]
        by = (("averageUtilization", "Utilization"), ("averageValue", "AverageValue"))
        made["target"] = {"type": next((name for key, name in by if key in target), "Value"), **target}
    found[source] = made
    return found


def _is_cpu(metric: Object, places: str) -> bool:
    """Whether a metric is the one that autoscaling/v1 has a field for."""
    named = _get(metric, ("resource", "name")) == "cpu" and metric.get("type") == "Resource"
    return named and _get(metric, ("resource", places, "averageUtilization")) is not None


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _autoscaler_down(object: Object) -> None:
    """v2 to v1."""
    spec, status = object.get("spec", {}), object.get("status", {})
    metrics = spec.pop("metrics", [])
    measured, conditions = status.pop("currentMetrics", []), status.pop("conditions", [])
    behavior = spec.pop("behavior", None)
    cpu = next((metric for metric in metrics if _is_cpu(metric, "target")), None)
    if cpu is not None:
        spec["targetCPUUtilizationPercentage"] = cpu["resource"]["target"]["averageUtilization"]
    others = [_metric_down(metric, SOURCES) for metric in metrics if metric is not cpu]
    used = next((metric for metric in measured if _is_cpu(metric, "current")), None)
    if used is not None:
        status["currentCPUUtilizationPercentage"] = used["resource"]["current"]["averageUtilization"]
    if "status" in object:  # required there
        status.setdefault("currentReplicas", 0)
    kept = {
        METRICS: others,
        CURRENT: [_metric_down(metric, STATUSES) for metric in measured],
        CONDITIONS: conditions,
        BEHAVIOR: behavior,
    }
    extra = {key: _encode(value) for key, value in kept.items() if value}
    if extra:
        metadata = object.setdefault("metadata", {})
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **extra}


def _decoded(text: Any, form: type) -> Any:
    """What an annotation holds, or None: a damaged one is no reason to refuse the object."""
    try:
        value = msgspec.json.decode(text) if isinstance(text, str) else None
    except msgspec.DecodeError:
        return None
    if form is list and not (isinstance(value, list) and all(isinstance(item, dict) for item in value)):
        return None
    return value if isinstance(value, form) else None


def _autoscaler_up(object: Object) -> None:
    """v1 to v2."""
    spec, status = object.setdefault("spec", {}), object.get("status", {})
    annotations = object.get("metadata", {}).get("annotations") or {}
    kept = {key: annotations.pop(key, None) for key in (METRICS, CURRENT, CONDITIONS, BEHAVIOR)}
    if not annotations:
        object.get("metadata", {}).pop("annotations", None)
    cpu, used = spec.pop("targetCPUUtilizationPercentage", None), status.pop("currentCPUUtilizationPercentage", None)
    metrics = []
    if cpu is not None:
        target = {"type": "Utilization", "averageUtilization": cpu}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    metrics += [_metric_up(metric, SOURCES) for metric in _decoded(kept[METRICS], list) or ()]
    measured = [_metric_up(metric, STATUSES) for metric in _decoded(kept[CURRENT], list) or ()]
    if used is not None and not any(_is_cpu(metric, "current") for metric in measured):
        current = {"averageUtilization": used}
        measured.insert(0, {"type": "Resource", "resource": {"name": "cpu", "current": current}})
    if status.get("currentReplicas") == 0:
        del status["currentReplicas"]
    found = (
        (spec, "metrics", metrics),
        (spec, "behavior", _decoded(kept[BEHAVIOR], dict)),
        (status, "currentMetrics", measured),
        (status, "conditions", _decoded(kept[CONDITIONS], list)),
    )
    for place, key, value in found:
        if value:
            place[key] = value
    if status:
        object["status"] = status


def _renamed(old: int, new: int) -> Callable[[Object], None]:
    def rename(object: Object) -> None:
        for pair in EVENT:
            if pair[old] in object:
                object[pair[new]] = object.pop(pair[old])

    return rename


CONVERSIONS: Mapping[tuple[str, str, str], Callable[[Object], None]] = {
    ("HorizontalPodAutoscaler", "autoscaling/v1", "autoscaling/v2"): _autoscaler_up,
    ("HorizontalPodAutoscaler", "autoscaling/v2", "autoscaling/v1"): _autoscaler_down,
    ("Event", "v1", "events.k8s.io/v1"): _renamed(0, 1),
    ("Event", "events.k8s.io/v1", "v1"): _renamed(1, 0),
}


def convert(object: Object, to_api_version: str) -> Object:
    """The object in another version of its kind; itself where it is in that version already. What is given is not
    changed."""
    version, kind = object.get("apiVersion", ""), object.get("kind", "")
    if version == to_api_version:
        return object
    change = CONVERSIONS.get((kind, version, to_api_version))
    if change is None:
        return {**object, "apiVersion": to_api_version}
    converted: Object = copied(object)
    converted["apiVersion"] = to_api_version
    change(converted)
    return converted
