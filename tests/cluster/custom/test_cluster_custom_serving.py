"""Custom resources on a running control plane: served at once, described, converted, and gone with their definition."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from control_kit import Answer, Control, running_control

from daemons import until

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEADLINE = 30.0  # seconds
MERGE = {"Content-Type": "application/merge-patch+json"}
TEXT, COUNT = {"type": "string"}, {"type": "integer"}


def definition(plural: str, kind: str, *versions: dict[str, Any], **names: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, **names},
            "versions": list(versions),
        },
    }


def version(name: str, properties: dict[str, Any], *, storage: bool = True, **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema}, **more}


SPEC = {"type": "object", "properties": {"size": {**COUNT, "minimum": 1}, "color": {**TEXT, "default": "red"}}}
STATUS = {"type": "object", "properties": {"ready": COUNT}}
PARTS = {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.ready"}}
COLUMNS = [
    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
    {"name": "Color", "type": "string", "jsonPath": ".spec.color", "priority": 1},
]


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("custom")) as control:
        yield control


def made(control: Control, *definitions: dict[str, Any]) -> None:
    """Create definitions; they are served when this returns."""
    for each in definitions:
        answer = control.request("POST", DEFINITIONS, each)
        assert answer.status == 201, answer.body
        path = f"/apis/example.com/{each['spec']['versions'][0]['name']}/{each['spec']['names']['plural']}"
        until(lambda path=path: control.request("GET", path).status == 200, DEADLINE, f"{path} is served")


def objects(plural: str, name: str = "", version: str = "v1") -> str:
    path = f"/apis/example.com/{version}/namespaces/default/{plural}"
    return f"{path}/{name}" if name else path


def create(control: Control, plural: str, kind: str, name: str, version: str = "v1", **fields: Any) -> Answer:
    metadata = {"name": name, **fields.pop("metadata", {})}
    body = {"apiVersion": f"example.com/{version}", "kind": kind, "metadata": metadata, **fields}
    return control.request("POST", objects(plural, version=version), body)


def test_kinds_that_are_named_like_ours_are_no_others(control: Control) -> None:
    schema = version("v1", {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}})
    made(control, definition("certificatesigningrequests", "CertificateSigningRequest", schema))
    answer = create(control, "certificatesigningrequests", "CertificateSigningRequest", "a", spec={"size": 1})
    assert (answer.status, answer.object["spec"]) == (201, {"size": 1})
    made(control, definition("services", "Service", schema), definition("namespaces", "Namespace", schema))
    assert create(control, "services", "Service", "a", spec={}).status == 201
    assert control.request("DELETE", objects("services", "a")).object["kind"] == "Status"
    held = {"finalizers": ["example.com/x"]}
    assert create(control, "namespaces", "Namespace", "a", metadata=held, spec={"finalizers": ["y"]}).status == 201
    assert control.request("DELETE", objects("namespaces", "a")).status == 200
    control.request("PATCH", objects("namespaces", "a"), {"metadata": {"finalizers": None}}, MERGE)
    assert control.request("GET", objects("namespaces", "a")).status == 404


def test_a_kind_is_all_there(control: Control) -> None:
    served = version("v1", {"spec": SPEC, "status": STATUS}, subresources=PARTS, additionalPrinterColumns=COLUMNS)
    served["selectableFields"] = [{"jsonPath": ".spec.color"}]
    made(control, definition("jars", "Jar", served, shortNames=["jr"], categories=["all"]))
    answer = create(control, "jars", "Jar", "a", spec={"size": 2}, status={"ready": 9})
    assert answer.status == 201
    assert answer.object["spec"] == {"size": 2, "color": "red"}
    assert "status" not in answer.object

    status = control.request("PATCH", objects("jars", "a/status"), {"spec": {"size": 7}, "status": {"ready": 1}}, MERGE)
    assert (status.object["spec"]["size"], status.object["status"]) == (2, {"ready": 1})
    assert status.object["metadata"]["generation"] == 1
    scaled = control.request("PATCH", objects("jars", "a/scale"), {"spec": {"replicas": 5}}, MERGE)
    assert (scaled.object["kind"], scaled.object["spec"], scaled.object["status"]["replicas"]) == (
        "Scale",
        {"replicas": 5},
        1,
    )
    assert control.request("GET", objects("jars", "a")).object["metadata"]["generation"] == 2

    table = control.kubectl("get", "jr", "-o", "wide").stdout.splitlines()
    assert table[0].split() == ["NAME", "SIZE", "COLOR"]
    assert table[1].split() == ["a", "5", "red"]
    assert "jar.example.com/a" in control.kubectl("get", "all").stdout
    assert control.kubectl("get", "jars", "--field-selector", "spec.color=blue", "-o", "name").stdout == ""
    assert control.kubectl("get", "jars", "--field-selector", "spec.color=red", "-o", "name").stdout
    explained = control.kubectl("explain", "jars.spec").stdout
    assert "size\t<integer>" in explained
    refused = create(control, "jars", "Jar", "b", spec={"size": 0, "colour": "x"})
    assert refused.status == 422
    assert refused.object["details"]["causes"] == [
        {
            "reason": "FieldValueInvalid",
            "field": "spec.size",
            "message": "Invalid value: 0: spec.size in body should be greater than or equal to 1",
        }
    ]
    strict = control.kubectl("create", "-f", "-", data=json.dumps(
        {"apiVersion": "example.com/v1", "kind": "Jar", "metadata": {"name": "b"}, "spec": {"colour": "x"}}
    ), check=False)  # fmt: skip
    assert 'strict decoding error: unknown field "spec.colour", did you mean "spec.color"?' in strict.stderr


def test_server_side_apply_merges_by_the_schema(control: Control) -> None:
    items = {"type": "object", "required": ["n"], "properties": {"n": TEXT, "v": COUNT}}
    listed = {"type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]}
    made(control, definition("racks", "Rack", version("v1", {"rows": listed})))
    for manager, name, value in (("one", "a", 1), ("two", "b", 2), ("one", "a", 3)):
        body = {
            "apiVersion": "example.com/v1",
            "kind": "Rack",
            "metadata": {"name": "r"},
            "rows": [{"n": name, "v": value}],
        }
        path = f"{objects('racks', 'r')}?fieldManager={manager}"
        answer = control.request("PATCH", path, body, {"Content-Type": "application/apply-patch+yaml"})
        assert answer.status in (200, 201), answer.body
    assert sorted(control.request("GET", objects("racks", "r")).object["rows"], key=lambda row: str(row["n"])) == [
        {"n": "a", "v": 3},
        {"n": "b", "v": 2},
    ]


def test_names_in_use_are_not_accepted_until_they_are_free(control: Control) -> None:
    made(control, definition("cups", "Cup", version("v1", {}), shortNames=["cp"]))
    late = definition("mugs", "Mug", version("v1", {}), shortNames=["cp"])
    assert control.request("POST", DEFINITIONS, late).status == 201

    def condition(name: str) -> Any:
        status = control.request("GET", f"{DEFINITIONS}/mugs.example.com").object["status"]
        return next((each for each in status.get("conditions") or () if each["type"] == name), {})

    until(lambda: condition("NamesAccepted").get("status") == "False", DEADLINE, "the conflict is seen")
    assert condition("NamesAccepted")["message"] == '"cp" is already in use'
    assert condition("Established")["reason"] == "NotAccepted"
    assert control.request("GET", objects("mugs")).status == 404
    assert control.request("DELETE", f"{DEFINITIONS}/cups.example.com").status == 200
    until(lambda: control.request("GET", objects("mugs")).status == 200, DEADLINE, "the name is free")


def test_versions_are_served_side_by_side(control: Control) -> None:
    one = version("v1", {"spec": {"type": "object", "properties": {"a": TEXT}}})
    two = version(
        "v2", {"spec": {"type": "object", "properties": {"a": TEXT, "b": {**TEXT, "default": "x"}}}}, storage=False
    )
    made(control, definition("trays", "Tray", one, two))
    assert create(control, "trays", "Tray", "t", spec={"a": "1"}).status == 201
    other = control.request("GET", objects("trays", "t", "v2")).object
    assert (other["apiVersion"], other["spec"]) == ("example.com/v2", {"a": "1", "b": "x"})
    changed = control.request("PATCH", objects("trays", "t", "v2"), {"spec": {"a": "2"}}, MERGE)
    assert changed.object["spec"] == {"a": "2", "b": "x"}
    assert control.request("GET", objects("trays", "t")).object["spec"] == {"a": "2"}

    # What is stored from now on is v2; nothing is lost on the way.
    path = f"{DEFINITIONS}/trays.example.com"
    current = control.request("GET", path).object
    for each in current["spec"]["versions"]:
        each["storage"] = each["name"] == "v2"
    answer = control.request("PUT", path, current)
    assert answer.status == 200, answer.body
    assert answer.object["status"]["storedVersions"] == ["v1", "v2"]

    def stored() -> bool:
        create(control, "trays", "Tray", "u", version="v2", spec={"a": "3", "b": "y"})
        return bool(control.request("GET", objects("trays", "u", "v2")).object["spec"].get("b") == "y")

    until(stored, DEADLINE, "v2 is stored")
    listed = control.request("GET", objects("trays", version="v2")).object["items"]
    assert {each["apiVersion"] for each in listed} == {"example.com/v2"}
    dropped = control.request("PATCH", path, {"spec": {"versions": [{**two, "storage": True}]}}, MERGE)
    assert dropped.status == 422
    assert "was previously a storage version" in dropped.object["message"]


def test_wrong_schemas_are_refused(control: Control) -> None:
    answer = control.request("POST", DEFINITIONS, definition("bins", "Bin", version("v1", {"a": {}})))
    assert answer.status == 422
    assert answer.object["details"]["causes"] == [
        {
            "reason": "FieldValueRequired",
            "field": "spec.versions[0].schema.openAPIV3Schema.properties[a].type",
            "message": "Required value: must not be empty for specified object fields",
        }
    ]


def test_objects_go_before_their_definition_also_through_a_kill(control: Control) -> None:
    made(control, definition("pots", "Pot", version("v1", {})))
    for index in range(5):
        assert create(control, "pots", "Pot", f"p{index}").status == 201
    assert create(control, "pots", "Pot", "held", metadata={"finalizers": ["example.com/held"]}).status == 201
    path = f"{DEFINITIONS}/pots.example.com"
    ending = control.request("DELETE", path)
    assert ending.object["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]

    def left() -> list[str]:
        return [each["metadata"]["name"] for each in control.request("GET", objects("pots")).object.get("items") or ()]

    until(lambda: left() == ["held"], DEADLINE, "all but the held one are gone")
    assert create(control, "pots", "Pot", "late").status == 405
    control.kill()
    control.start()
    until(lambda: left() == ["held"], DEADLINE, "the kind is served again")
    released = control.request("PATCH", objects("pots", "held"), {"metadata": {"finalizers": None}}, MERGE)
    assert released.status == 200, released.body
    until(lambda: control.request("GET", path).status == 404, DEADLINE, "the definition is gone")
    assert control.request("GET", objects("pots")).status == 404
    made(control, definition("pots", "Pot", version("v1", {})))
    assert left() == []


def test_a_deprecated_version_warns_whoever_asks(control: Control) -> None:
    old = version("v1", {}, storage=False, deprecated=True, deprecationWarning="use v2 of lids")
    made(control, definition("lids", "Lid", version("v2", {}), old))
    assert "Warning: use v2 of lids" in control.kubectl("get", "lids.v1.example.com").stderr
    assert "Warning" not in control.kubectl("get", "lids.v2.example.com").stderr
    assert "v1 Endpoints is deprecated" in control.kubectl("get", "endpoints").stderr


def test_objects_get_the_defaults_of_a_changed_schema(control: Control) -> None:
    made(control, definition("bowls", "Bowl", version("v1", {"spec": {"type": "object"}})))
    assert create(control, "bowls", "Bowl", "b", spec={}).object["spec"] == {}
    schema = version("v1", {"spec": {"type": "object", "properties": {"depth": {**COUNT, "default": 3}}}})
    path = f"{DEFINITIONS}/bowls.example.com"
    assert control.request("PATCH", path, {"spec": {"versions": [schema]}}, MERGE).status == 200
    until(
        lambda: control.request("GET", objects("bowls", "b")).object["spec"] == {"depth": 3},
        DEADLINE,
        "the default is shown",
    )
    listed = control.request("GET", objects("bowls")).object["items"]
    assert [each["spec"] for each in listed] == [{"depth": 3}]
