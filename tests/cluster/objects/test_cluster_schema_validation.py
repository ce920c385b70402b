"""What is read of an object of a built-in kind, and what the client is told."""

import copy
import json
import time
from typing import Any

import msgspec
import pytest

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.json_text import (
    PATH_LIMIT,
    PLACES_LIMIT,
    PROBLEMS_LIMIT,
    decode_json,
    duplicate_fields,
    places_of,
)
from boxship.cluster.objects.schema import builtin
from boxship.cluster.objects.schema.types import Type
from boxship.cluster.objects.validation import IGNORE, STRICT, WARN, complete, read

SCHEMAS = builtin.load(None)
POD = SCHEMAS.type_of("", "v1", "Pod")
CONTAINER: Object = {
    "name": "web",
    "image": "busybox:1",
    "command": ["sleep", "1"],
    "env": [{"name": "A", "value": "b"}],
    "ports": [{"containerPort": 80, "protocol": "TCP"}],
    "resources": {"limits": {"cpu": "100m", "memory": "1Gi"}},
    "readinessProbe": {"httpGet": {"port": "http"}},
}
SAMPLE: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"containers": [CONTAINER], "volumes": [{"name": "v", "emptyDir": {}}], "nodeSelector": {"a": "b"}},
}


def pod(path: str = "", value: Any = None) -> Object:
    """The sample, with one place changed ("spec.containers.0.name")."""
    result = copy.deepcopy(SAMPLE)
    if path:
        place: Any = result
        *way, last = path.split(".")
        for part in way:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        place[int(last) if isinstance(place, list) else last] = value
    return result


def at(object: Object, path: str) -> Any:
    place: Any = object
    for part in path.split("."):
        if isinstance(place, dict) and part not in place:
            return None
        place = place[int(part)] if isinstance(place, list) else place[part]
    return place


def test_what_is_right_stays_as_it_is() -> None:
    assert read(pod(), POD) == (SAMPLE, [], ())


@pytest.mark.parametrize(
    ("path", "value", "kept"),
    [
        ("spec.hostNetwork", False, None),  # no pointer in Go: false is the same as none
        ("spec.hostNetwork", None, None),
        ("spec.hostname", "", None),
        ("spec.automountServiceAccountToken", False, False),  # a pointer
        ("spec.priority", 0, 0),
        ("spec.nodeSelector", {}, None),
        ("spec.tolerations", [], None),
        ("spec.containers", [], []),
        ("spec.securityContext", {}, {}),
        ("spec.containers.0.command", ["a", None], ["a", ""]),
        ("metadata.labels.x", None, ""),
        ("spec.volumes.0.emptyDir", {"sizeLimit": 1024}, {"sizeLimit": "1024"}),
        ("spec.containers.0.resources.limits.cpu", 1, "1"),
        ("spec.containers.0.resources.limits.cpu", "1000m", "1"),
        ("spec.containers.0.resources.limits.cpu", 0.5, "500m"),
        ("spec.containers.0.resources.limits.cpu", None, "0"),
        ("spec.containers.0.resources.limits.memory", "1024Mi", "1Gi"),
        ("spec.containers.0.readinessProbe.httpGet.port", 80, 80),
        ("metadata.creationTimestamp", "2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z"),
        ("metadata.creationTimestamp", "2026-01-02T03:04:05.123Z", "2026-01-02T03:04:05Z"),
        ("metadata.creationTimestamp", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("metadata.creationTimestamp", None, None),
        ("metadata.managedFields", [{"fieldsV1": {"f:a": {}}}], [{"fieldsV1": {"f:a": {}}}]),
    ],
)
def test_values_get_the_form_that_the_original_keeps(path: str, value: Any, kept: Any) -> None:
    object, warnings, causes = read(pod(path, value), POD)
    assert at(object, path) == kept
    assert not warnings
    assert not causes


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (
            "spec.priority",
            "x",
            "json: cannot unmarshal string into Go struct field PodSpec.spec.priority of type int32",
        ),
        ("spec.containers", "x", "string into Go struct field PodSpec.spec.containers of type []v1.Container"),
        ("spec.containers.0", "x", "string into Go struct field PodSpec.spec.containers of type v1.Container"),
        (
            "spec.containers.0.imagePullPolicy",
            3,
            "field Container.spec.containers.imagePullPolicy of type v1.PullPolicy",
        ),
        (
            "spec.containers.0.command.0",
            3,
            "number into Go struct field Container.spec.containers.command of type string",
        ),
        (
            "spec.containers.0.ports.0.containerPort",
            2**31,
            "number 2147483648 into Go struct field ContainerPort.spec.",
        ),
        ("spec.containers.0.ports.0.containerPort", 1.5, "number 1.5 into Go struct field ContainerPort.spec."),
        ("spec.containers.0.stdin", "true", "Container.spec.containers.stdin of type bool"),
        ("spec.containers.0.resources.limits.cpu", "1x", "quantities must match the regular expression '^([+-]?"),
        ("spec.containers.0.resources.limits.cpu", True, "quantities must match the regular expression '^([+-]?"),
        ("spec.containers.0.resources.limits.cpu", {}, "quantities must match the regular expression '^([+-]?"),
        ("spec.containers.0.readinessProbe.httpGet.port", True, "cannot unmarshal bool into Go value of type int32"),
        ("spec.containers.0.readinessProbe.httpGet.port", 2**40, "number 1099511627776 into Go value of type int32"),
        ("metadata.labels", [], "array into Go struct field ObjectMeta.metadata.labels of type map[string]string"),
        ("metadata.labels.x", 3, "number into Go struct field ObjectMeta.metadata.labels of type string"),
        ("metadata", "x", "string into Go struct field Pod.metadata of type v1.ObjectMeta"),
        ("metadata.uid", {}, "object into Go struct field ObjectMeta.metadata.uid of type types.UID"),
        ("metadata.creationTimestamp", 3, "json: cannot unmarshal number into Go value of type string"),
        (
            "metadata.creationTimestamp",
            "x",
            'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"',
        ),
        ("metadata.creationTimestamp", "2026-1-02T03:04:05Z", 'cannot parse "1-02T03:04:05Z" as "01"'),
        ("metadata.creationTimestamp", "2026-13-02T03:04:05Z", "month out of range"),
        ("metadata.creationTimestamp", "2026-02-30T03:04:05Z", "day out of range"),
        ("metadata.creationTimestamp", "2026-02-03T03:04:05Zx", 'extra text: "x"'),
    ],
)
def test_wrong_types_are_refused_with_the_originals_texts(path: str, value: Any, why: str) -> None:
    for mode in (STRICT, WARN, IGNORE):
        with pytest.raises(Failure) as refused:
            read(pod(path, value), POD, mode)
        assert str(refused.value).startswith('Pod in version "v1" cannot be handled as a Pod: ')
        assert why in str(refused.value)
        assert (refused.value.code, refused.value.reason) == (400, "BadRequest")


def test_an_object_without_kind_is_not_recognised() -> None:
    with pytest.raises(Failure, match=r"the object provided is unrecognized \(must be of type Pod\): json: cannot"):
        read({"kind": 3}, POD)


def test_unknown_fields_are_told_of_as_the_client_asks() -> None:
    wrong = pod("spec.containers.0.volumeMount", [])
    wrong["spec"]["zzz"] = 1
    told = [
        'unknown field "spec.containers[0].volumeMount", did you mean "spec.containers[0].volumeMounts"?',
        'unknown field "spec.zzz"',
    ]
    assert read(copy.deepcopy(wrong), POD, WARN) == (SAMPLE, told, ())
    assert read(copy.deepcopy(wrong), POD, IGNORE) == (SAMPLE, [], ())
    with pytest.raises(Failure) as refused:
        read(wrong, POD)
    assert str(refused.value) == (
        f'Pod in version "v1" cannot be handled as a Pod: strict decoding error: {", ".join(told)}'
    )


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("Containers", "containers"), ("contaners", "containers"), ("restartpolicy", "restartPolicy"), ("xyz", "")],
)
def test_the_nearest_name_is_told(wrong: str, meant: str) -> None:
    (told,) = read(pod(f"spec.{wrong}", 1), POD, WARN)[1]
    assert told == f'unknown field "spec.{wrong}"' + (f', did you mean "spec.{meant}"?' if meant else "")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a":1,"b":{"c":":","d":2}}', []),
        ('{"a":1,"a":2}', ['duplicate field "a"']),
        ('{"a":1,"a":2,"b" :3}', ['duplicate field "a"']),
        ('{"spec":{"replicas":1,"x":[{"y":1},{"y":1,"y":2}],"replicas":2}}', [
            'duplicate field "spec.replicas"',
            'duplicate field "spec.x[1].y"',
        ]),
        ('{"a":"\\":\\":"}', []),
    ],
)  # fmt: skip
def test_duplicate_fields_are_found(text: str, found: list[str]) -> None:
    data = text.encode()
    assert duplicate_fields(data, decode_json(data)) == found


def test_duplicates_are_refused_or_told() -> None:
    told = ['duplicate field "spec.priority"']
    assert read(pod(), POD, WARN, told)[1] == told
    with pytest.raises(Failure, match=r'strict decoding error: duplicate field "spec\.priority"'):
        read(pod(), POD, STRICT, told)


def test_problems_are_told_in_the_order_of_the_body() -> None:
    text = b'{"kind":"Pod","spec":{"x":1,"priority":1,"containers":[{"z":1,"name":"a","name":"b"}],"y":1,"priority":2}}'
    value = decode_json(text)
    doubled = duplicate_fields(text, value)
    told = ["spec.x", "spec.containers[0].z", "spec.containers[0].name", "spec.y", "spec.priority"]
    assert [each.split('"')[1] for each in read(value, POD, WARN, doubled)[1]] == told


def test_very_long_names_above_very_many_cost_little() -> None:
    """A body of 3 MiB would have made paths of gigabytes."""
    inner = ",".join(f'"k{number}":[1]' for number in range(40_000))
    text = f'{{"kind":"Pod","{"n" * 1_000_000}":{{{inner},"k1":2}},"x":1,"x":2}}'.encode()
    began = time.process_time()
    value = decode_json(text)
    doubled = duplicate_fields(text, value)
    places = places_of(value)
    assert time.process_time() - began < 4.0  # 40 GB of copies take longer
    assert max(map(len, places)) < PATH_LIMIT + 10 and len(places) <= PLACES_LIMIT
    assert doubled == ['duplicate field "x"', f'duplicate field "{"n" * PATH_LIMIT}"']
    assert len(read(value, POD, WARN, doubled)[1]) == 4
    many = ",".join(f'"k{number}":1,"k{number}":1' for number in range(2 * PROBLEMS_LIMIT))
    assert len(duplicate_fields(f"{{{many}}}".encode(), decode_json(f"{{{many}}}".encode()))) == PROBLEMS_LIMIT


def test_what_names_no_field_is_told_too() -> None:
    assert read(pod(), POD, WARN, ["yaml: unmarshal errors"])[1] == ["yaml: unmarshal errors"]


SECRET = SCHEMAS.type_of("", "v1", "Secret")


@pytest.mark.parametrize(("text", "kept"), [("YWJj", "YWJj"), ("YW\nJj\n", "YWJj"), ("", ""), ("YQ==", "YQ==")])
def test_bytes_are_base64(text: str, kept: str) -> None:
    assert read({"kind": "Secret", "data": {"a": text}}, SECRET)[0]["data"] == {"a": kept}


@pytest.mark.parametrize("text", ["YW", "Y!Jj", "é", "YQ==YQ=="])
def test_other_bytes_are_refused(text: str) -> None:
    with pytest.raises(Failure, match="illegal base64 data at input byte"):
        read({"kind": "Secret", "data": {"a": text}}, SECRET)


def test_schemas_in_definitions_are_pruned_in_silence() -> None:
    type_ = SCHEMAS.type_of("apiextensions.k8s.io", "v1", "CustomResourceDefinition")

    def definition(schema: Any) -> Object:
        return {"kind": "CustomResourceDefinition", "spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}}

    schema = {"properties": {"a": {"items": {"type": "string", "nonsense": 1}, "default": {"any": [1]}}}}
    read_schema = read(definition(schema), type_)[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert read_schema == {"properties": {"a": {"items": {"type": "string"}, "default": {"any": [1]}}}}
    with pytest.raises(Failure, match="boolean or JSON schema expected"):
        read(definition({"additionalProperties": "x"}), type_)
    deep: Any = {}
    for _ in range(300):
        deep = {"not": deep}
    with pytest.raises(Failure, match="exceeded max depth"):
        read(definition(deep), type_)


def test_completed_objects_show_what_the_original_shows() -> None:
    def completed(type_: Type, object: Object) -> Object:
        complete(object, type_)
        return object

    deployment = completed(
        SCHEMAS.type_of("apps", "v1", "Deployment"),
        {"spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}},
    )
    assert deployment["spec"]["strategy"] == {}
    assert deployment["spec"]["template"]["spec"]["containers"][0] == {"name": "a", "resources": {}}
    assert deployment["status"] == {}
    service = completed(SCHEMAS.type_of("", "v1", "Service"), {"spec": {}})
    assert service["status"] == {"loadBalancer": {}}
    replicas = completed(SCHEMAS.type_of("apps", "v1", "ReplicaSet"), {})
    assert replicas["status"] == {"replicas": 0}


def test_hostile_objects_are_refused_soon() -> None:
    began = time.process_time()  # other tests run beside this one
    wide = pod("spec", {f"field{index}": index for index in range(90_000)})
    with pytest.raises(Failure, match=r'unknown field "spec\.field0"'):
        read(wide, POD)
    with pytest.raises(Failure, match="Request entity too large") as refused:
        decode_json(b'{"spec":{"containers":[%b]}}' % b",".join([b"{}"] * 700_000))
    assert refused.value.code == 413
    managed = b'{"metadata":{"managedFields":[{"fieldsV1":{%b}}]}}' % b",".join(b'"%d":{}' % i for i in range(150_000))
    assert decode_json(managed)
    with pytest.raises(Failure, match="json parse error"):
        decode_json(b"[" * 100_000)
    with pytest.raises(Failure, match="json parse error: unexpected end of JSON input"):
        decode_json(b'{"a":')
    with pytest.raises(Failure, match="json parse error"):
        decode_json(b'{"a":"\xff"}')
    assert time.process_time() - began < 2


def test_a_plain_pod_is_read_fast() -> None:
    data = json.dumps(SAMPLE).encode()
    pods = [msgspec.json.decode(data) for _ in range(200)]
    began = time.process_time()
    for each in pods:
        read(each, POD)
    assert (time.process_time() - began) / len(pods) < 0.0005  # measured: 0.02 ms; the budget is 0.15
