"""Objects in another version of their kind, and as a Scale: nothing is lost on the way and back."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.cluster.objects.conversion import ScalePaths, apply_scale, convert, paths_of, scale_causes, scale_of
from boxship.cluster.objects.failure import Failure

ALPHA = "autoscaling.alpha.kubernetes.io/"


def autoscaler(version: str, spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    target = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}
    return {
        "kind": "HorizontalPodAutoscaler",
        "apiVersion": version,
        "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 3, **spec},
        **more,
    }


CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}
MEMORY = {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}}


def test_the_processors_target_has_a_field_of_its_own() -> None:
    new = autoscaler("autoscaling/v2", {"metrics": [CPU]})
    old = convert(new, "autoscaling/v1")
    assert old == autoscaler("autoscaling/v1", {"targetCPUUtilizationPercentage": 60})
    assert convert(old, "autoscaling/v2") == new


def test_what_the_old_version_has_no_field_for_travels_in_annotations() -> None:
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    condition = {"type": "AbleToScale", "status": "True"}
    used = {
        "type": "Resource",
        "resource": {"name": "cpu", "current": {"averageUtilization": 12, "averageValue": "9m"}},
    }
    new = autoscaler(
        "autoscaling/v2",
        {"metrics": [CPU, MEMORY], "behavior": behavior},
        status={"currentMetrics": [used], "conditions": [condition], "desiredReplicas": 2},
    )
    new["metadata"]["annotations"] = {"a": "b"}
    before = copy.deepcopy(new)
    old = convert(new, "autoscaling/v1")
    assert new == before
    marks = old["metadata"]["annotations"]
    assert json.loads(marks[ALPHA + "metrics"]) == [
        {"type": "Resource", "resource": {"name": "memory", "targetAverageValue": "1Gi"}}
    ]
    assert json.loads(marks[ALPHA + "behavior"]) == behavior
    assert json.loads(marks[ALPHA + "conditions"]) == [condition]
    assert json.loads(marks[ALPHA + "current-metrics"])[0]["resource"]["currentAverageUtilization"] == 12
    assert old["status"] == {"currentReplicas": 0, "desiredReplicas": 2, "currentCPUUtilizationPercentage": 12}
    assert convert(old, "autoscaling/v2") == new


def test_damaged_annotations_are_dropped() -> None:
    old = autoscaler("autoscaling/v1", {})
    old["metadata"]["annotations"] = {ALPHA + "metrics": "{", ALPHA + "conditions": '["x"]', ALPHA + "behavior": "7"}
    assert convert(old, "autoscaling/v2") == autoscaler("autoscaling/v2", {})


QUANTITY = st.sampled_from(["1", "500m", "1Gi"])
METRIC = st.fixed_dictionaries({"name": st.sampled_from(["hits", "wait"])}, optional={"selector": st.just({})})
UTILIZATION = st.integers(1, 100).map(lambda value: {"type": "Utilization", "averageUtilization": value})
AVERAGE = QUANTITY.map(lambda value: {"type": "AverageValue", "averageValue": value})
VALUE = QUANTITY.map(lambda value: {"type": "Value", "value": value})


def _metric(kind: str, source: str, **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(fields).map(lambda made: {"type": kind, source: made})


METRICS = st.one_of(
    _metric("Resource", "resource", name=st.just("memory"), target=UTILIZATION | AVERAGE),
    _metric("Resource", "resource", name=st.just("cpu"), target=AVERAGE),
    _metric(
        "ContainerResource",
        "containerResource",
        name=st.just("cpu"),
        container=st.just("app"),
        target=UTILIZATION | AVERAGE,
    ),
    _metric("Pods", "pods", metric=METRIC, target=AVERAGE),
    _metric(
        "Object",
        "object",
        describedObject=st.just({"kind": "Ingress", "name": "i"}),
        metric=METRIC,
        target=VALUE | AVERAGE,
    ),
    _metric("External", "external", metric=METRIC, target=VALUE | AVERAGE),
)


@given(st.booleans(), st.lists(METRICS, max_size=4))
def test_the_new_version_comes_back(processors: bool, metrics: list[dict[str, Any]]) -> None:
    spec = {"metrics": [CPU] * processors + metrics} if processors or metrics else {}
    new = autoscaler("autoscaling/v2", spec)
    old = convert(new, "autoscaling/v1")
    assert "metrics" not in old["spec"]
    assert convert(old, "autoscaling/v2") == new


@given(
    st.none() | st.integers(1, 100), st.none() | st.integers(0, 200), st.dictionaries(st.text(max_size=3), st.text())
)
def test_the_old_version_comes_back(target: int | None, used: int | None, annotations: dict[str, str]) -> None:
    old = autoscaler("autoscaling/v1", {} if target is None else {"targetCPUUtilizationPercentage": target})
    if used is not None:
        old["status"] = {"currentCPUUtilizationPercentage": used, "currentReplicas": 0}
    if annotations:
        old["metadata"]["annotations"] = annotations
    back = convert(convert(old, "autoscaling/v2"), "autoscaling/v1")
    back["metadata"].get("annotations", {}).pop(ALPHA + "current-metrics", None)  # kept beside the field
    if not back["metadata"].get("annotations"):
        back["metadata"].pop("annotations", None)
    assert back == old


EVENT = {
    "kind": "Event",
    "apiVersion": "v1",
    "metadata": {"name": "e"},
    "involvedObject": {"kind": "Pod", "name": "p"},
    "related": {"kind": "Node"},
    "reason": "Started",
    "message": "Started it",
    "source": {"component": "kubelet", "host": "n"},
    "firstTimestamp": "2026-01-01T00:00:00Z",
    "lastTimestamp": "2026-01-01T00:01:00Z",
    "count": 3,
    "type": "Normal",
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "series": {"count": 3, "lastObservedTime": "2026-01-01T00:01:00.000000Z"},
    "action": "Start",
    "reportingComponent": "kubelet",
    "reportingInstance": "n",
}


def test_events_of_both_groups() -> None:
    new = convert(EVENT, "events.k8s.io/v1")
    assert new["regarding"] == EVENT["involvedObject"] and new["note"] == "Started it"
    assert new["deprecatedCount"] == 3 and new["deprecatedSource"] == EVENT["source"]
    assert new["reportingController"] == "kubelet" and new["series"] == EVENT["series"]
    assert not {"involvedObject", "message", "source", "count", "reportingComponent"} & set(new)
    assert convert(new, "v1") == EVENT


@given(st.sets(st.sampled_from(sorted(set(EVENT) - {"kind", "apiVersion"}))))
def test_any_part_of_an_event_comes_back(keys: set[str]) -> None:
    event = {key: EVENT[key] for key in ("kind", "apiVersion", *sorted(keys))}
    assert convert(convert(event, "events.k8s.io/v1"), "v1") == event


def test_other_versions_differ_in_their_name_only() -> None:
    widget = {"kind": "Widget", "apiVersion": "example.com/v1", "spec": {"a": 1}}
    assert convert(widget, "example.com/v1") is widget
    assert convert(widget, "example.com/v2") == {**widget, "apiVersion": "example.com/v2"}


def workload(**spec: Any) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {
            "name": "web",
            "namespace": "d",
            "uid": "u",
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"a": "b"},
        },
        "spec": spec,
        "status": {"replicas": 2},
    }


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        ({"matchExpressions": [{"key": "k", "operator": "In", "values": ["y", "x"]}]}, "k in (x,y)"),
        ({"matchExpressions": [{"key": "k", "operator": "DoesNotExist"}]}, "!k"),
        ({"app": "web"}, "app=web"),  # of a ReplicationController
    ],
)
def test_scale_of_built_in_kinds(selector: dict[str, Any], text: str) -> None:
    scale = scale_of(workload(replicas=3, selector=selector))
    assert scale == {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": "web",
            "namespace": "d",
            "uid": "u",
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"replicas": 3},
        "status": {"replicas": 2, "selector": text},
    }


def test_applying_a_scale() -> None:
    object = workload(replicas=3)
    changed = apply_scale(object, {"metadata": {"resourceVersion": "9"}, "spec": {"replicas": 5}})
    assert changed["spec"] == {"replicas": 5} and changed["metadata"]["resourceVersion"] == "9"
    assert object["spec"] == {"replicas": 3} and object["metadata"]["resourceVersion"] == "7"
    assert apply_scale(object, {})["spec"] == {"replicas": 0}
    assert scale_of(apply_scale(object, {}))["spec"] == {}


def test_scale_of_custom_resources() -> None:
    paths = paths_of({"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.got"})
    assert paths == ScalePaths(".spec.size", ".status.got", "")
    widget = {"metadata": {"name": "w"}, "spec": {"size": 2}, "status": {"got": 1, "sel": "a=b"}}
    assert scale_of(widget, paths)["status"] == {"replicas": 1}
    with_selector = ScalePaths(".spec.size", ".status.got", ".status.sel")
    assert scale_of(widget, with_selector)["status"] == {"replicas": 1, "selector": "a=b"}
    assert apply_scale(widget, {"spec": {"replicas": 4}}, paths)["spec"] == {"size": 4}
    with pytest.raises(Failure, match=r'the spec replicas field ".spec.size" does not exist'):
        scale_of({"metadata": {}}, paths)


def test_scales_below_zero_are_refused() -> None:
    assert scale_causes({"spec": {"replicas": 0}}) == []
    (cause,) = scale_causes({"spec": {"replicas": -1}})
    assert (cause.field, cause.message) == (
        "spec.replicas",
        "Invalid value: -1: must be greater than or equal to 0",
    )
