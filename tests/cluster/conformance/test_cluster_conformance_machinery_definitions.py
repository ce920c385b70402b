"""Definitions of custom resources as objects of their own, and fields that a schema does not know."""

import functools
import json
from typing import Any

import pytest
from conformance_kit import Space
from control_kit import Answer
from custom_kit import DEFINITIONS, OPEN, Custom, custom, definition, version
from watching_kit import Watch, watching

pytestmark = pytest.mark.slow


def _ended(seen: Watch, name: str) -> bool:
    return ("DELETED", name) in seen.told


MERGE = {"Content-Type": "application/merge-patch+json"}
TEXT = {"type": "string"}


# Covers: Custom Resource Definition, create; Custom Resource Definition, watch.
def test_definitions_come_and_go_and_are_watched(space: Space) -> None:
    control = space.cluster.control
    with watching(space.cluster, DEFINITIONS, labelSelector=f"of={space.name}") as seen:
        made = [definition(space, plural, [version("v1", OPEN)]) for plural in ("crates", "boxes")]
        for each in made:
            answer = control.request("POST", DEFINITIONS, each)
            assert answer.status == 201 and answer.object["metadata"]["name"] == each["metadata"]["name"]
        names = [each["metadata"]["name"] for each in made]
        for name in names:
            space.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=30s")
            assert (
                control.request("PATCH", f"{DEFINITIONS}/{name}", {"metadata": {"labels": {"x": "y"}}}, MERGE).status
                == 200
            )
            assert control.request("DELETE", f"{DEFINITIONS}/{name}").status == 200
        space.until(
            lambda: all(control.request("GET", f"{DEFINITIONS}/{name}").status == 404 for name in names),
            "both are gone",
        )
        for name in names:
            space.until(functools.partial(_ended, seen, name), f"the end of {name} is told")
            kinds = [kind for kind, one in seen.told if one == name]
            assert kinds[0] == "ADDED" and kinds[-1] == "DELETED" and set(kinds[1:-1]) == {"MODIFIED"}


# Covers: Custom Resource Definition, list.
def test_definitions_are_listed_and_deleted_together(space: Space) -> None:
    control, selected = space.cluster.control, f"{DEFINITIONS}?labelSelector=of={space.name}"
    plurals = [f"things{letter}" for letter in "abcdefghij"]
    with custom(space, "others", version("v1", OPEN)) as others:
        others.changed({"metadata": {"labels": None}})
        for plural in plurals:
            assert control.request("POST", DEFINITIONS, definition(space, plural, [version("v1", OPEN)])).status == 201
        found = control.request("GET", selected).object["items"]
        assert [each["spec"]["names"]["plural"] for each in found] == plurals
        assert control.request("DELETE", selected).status == 200
        space.until(lambda: control.request("GET", selected).object["items"] == [], "the labelled ones are gone")
        assert others.is_served("v1")


# Covers: Custom Resource Definition, status sub-resource.
def test_the_status_of_a_definition_is_written_by_itself(space: Space) -> None:
    control = space.cluster.control
    with custom(space, "crates", version("v1", OPEN)) as crates:
        place = f"{crates.definition}/status"
        conditions = control.request("GET", place).object["status"]["conditions"]
        assert {each["type"]: each["status"] for each in conditions} == {"NamesAccepted": "True", "Established": "True"}
        note = {"type": "Noted", "status": "True", "reason": "E2E", "message": "by an update"}

        def replaced() -> bool:
            whole = control.request("GET", place).object
            whole["status"]["conditions"].append(note)
            whole["spec"]["scope"] = "Cluster"
            return control.request("PUT", place, whole).status == 200

        space.until(replaced, "nobody else writes the status meanwhile")
        found = control.request("GET", crates.definition).object
        assert found["spec"]["scope"] == "Namespaced", "the status alone is written"
        noted = next(each for each in found["status"]["conditions"] if each["type"] == "Noted")
        assert noted["message"] == "by an update"
        changed = [{**note, "message": "by a patch"}, *conditions]
        assert control.request("PATCH", place, {"status": {"conditions": changed}}, MERGE).status == 200
        found = control.request("GET", crates.definition).object
        assert any(each.get("message") == "by a patch" for each in found["status"]["conditions"])
        assert crates.is_served("v1")


# Covers: Custom Resource Definition, defaulting.
def test_defaults_are_those_of_the_schema_as_it_is_now(space: Space) -> None:
    def schema(**defaults: str) -> dict[str, Any]:
        fields = {name: {**TEXT, **({"default": defaults[name]} if name in defaults else {})} for name in "ab"}
        return version("v1", {"type": "object", "properties": fields})

    def shows(crates: Custom, name: str, **wanted: str) -> bool:
        found = space.read(crates.path(name))
        return {key: found[key] for key in "ab" if key in found} == wanted

    with custom(space, "crates", schema()) as crates:
        space.made(crates.path(), crates.object("old"))
        assert shows(crates, "old")
        crates.changed({"spec": {"versions": [schema(a="A")]}})
        space.until(lambda: shows(crates, "old", a="A"), "what is in the store is completed when it is read")
        assert space.made(crates.path(), crates.object("new"))["a"] == "A"
        crates.changed({"spec": {"versions": [schema(b="B")]}})
        space.until(lambda: shows(crates, "old", b="B"), "the default that is gone was not stored by reading")
        assert shows(crates, "new", a="A", b="B"), "the default of its time was stored with the object"


# Covers: Custom Resource Definition, discovery.
def test_definitions_are_discovered(space: Space) -> None:
    control = space.cluster.control
    one = {"groupVersion": "apiextensions.k8s.io/v1", "version": "v1"}
    groups = {each["name"]: each for each in control.request("GET", "/apis").object["groups"]}
    assert one in groups["apiextensions.k8s.io"]["versions"]
    own = control.request("GET", "/apis/apiextensions.k8s.io").object
    assert one in own["versions"] and own["preferredVersion"] == one
    resources = control.request("GET", "/apis/apiextensions.k8s.io/v1").object["resources"]
    found = next(each for each in resources if each["name"] == "customresourcedefinitions")
    assert (found["kind"], found["namespaced"], found["shortNames"]) == (
        "CustomResourceDefinition",
        False,
        ["crd", "crds"],
    )


PORT: dict[str, Any] = {"containerPort": {"type": "integer"}, "protocol": TEXT, "name": TEXT}
PORTS: dict[str, Any] = {
    "type": "array",
    "items": {"type": "object", "properties": PORT, "required": ["containerPort", "protocol"]},
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
}
EMBEDDED = {
    "type": "object",
    "x-kubernetes-embedded-resource": True,
    "properties": {"metadata": {"type": "object", "properties": {"name": TEXT}}, "spec": {"type": "object"}},
}
FIELDS = {"foo": TEXT, "cronSpec": {**TEXT, "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"}, "ports": PORTS}
CLOSED = {"type": "object", "properties": {"spec": {"type": "object", "properties": FIELDS}}}
KEEPING = {
    "type": "object",
    "properties": {"spec": {**OPEN, "properties": {**FIELDS, "template": EMBEDDED}}},
}
BODY = """
apiVersion: {version}
kind: Crate
metadata:
  name: {name}
{metadata}{root}spec:
  foo: foo1
{spec}  cronSpec: "* * * * */5"
  ports:
  - name: x
    containerPort: 80
    protocol: TCP
"""


def applied(crates: Custom, name: str, metadata: str = "", root: str = "", spec: str = "") -> Answer:
    """What a strict apply answers."""
    body = BODY.format(version=f"{crates.group}/v1", name=name, metadata=metadata, root=root, spec=spec)
    place = f"{crates.path(name)}?fieldManager=tester&fieldValidation=Strict"
    headers = {"Content-Type": "application/apply-patch+yaml"}
    return crates.space.request("PATCH", place, body.lstrip("\n").encode(), headers)


# Covers: Server side field validation, unknown fields CR no validation schema;
# Server side field validation, valid CR with validation schema;
# Server side field validation, unknown fields CR fails validation.
def test_unknown_fields_of_custom_resources_are_refused_where_there_is_a_schema(space: Space) -> None:
    with custom(space, "crates", version("v1", OPEN)) as crates:
        assert applied(crates, "one", root="unknown: uk1\n").status == 201
        assert space.read(crates.path("one"))["unknown"] == "uk1"
    with custom(space, "crates", version("v1", CLOSED), group=f"closed.{space.name}.example.com") as crates:
        assert applied(crates, "one").status == 201
        refused = applied(crates, "two", root="unknownField: unknown\n")
        assert refused.status == 400 and ".unknownField: field not declared in schema" in refused.object["message"]
        body = crates.object("three", spec={"foo": "a", "bar": "b"})
        refused = space.request("POST", f"{crates.path()}?fieldValidation=Strict", body)
        assert refused.status == 400
        assert refused.object["message"].endswith('strict decoding error: unknown field "spec.bar"')
        warned = space.request("POST", f"{crates.path()}?fieldValidation=Warn", body)
        assert warned.status == 201 and 'unknown field \\"spec.bar\\"' in str(warned.headers["Warning"])
        assert warned.object["spec"] == {"foo": "a"}


# Covers: Server side field validation, CR duplicates; Server side field validation, unknown metadata.
def test_what_is_wrong_is_found_also_where_unknown_fields_are_kept(space: Space) -> None:
    with custom(space, "crates", version("v1", KEEPING)) as crates:
        doubled = applied(crates, "one", spec="  foo: foo2\n  unknown: uk1\n")
        assert doubled.status >= 400 and 'line 7: key "foo" already set in map' in doubled.object["message"]
        below = "  template:\n    apiversion: foo/v1\n    kind: Sub\n    metadata: {unknownSubMeta: unknown, name: s}\n"
        strange = applied(crates, "two", metadata="  unknownMeta: unknown\n", spec=below)
        assert strange.status >= 400
        text = strange.object["message"]
        wanted = (".spec.template.metadata.unknownSubMeta", ".metadata.unknownMeta")
        assert any(f"{each}: field not declared in schema" in text for each in wanted)
        body = crates.object("three", metadata={"unknownMeta": "x"}, spec={"more": 1})
        refused = space.request("POST", f"{crates.path()}?fieldValidation=Strict", body)
        assert refused.object["message"].endswith('strict decoding error: unknown field "metadata.unknownMeta"')
        twice = json.dumps(body).replace('"more": 1', '"more": 1, "more": 2').replace('"unknownMeta"', '"generateName"')
        headers = {"Content-Type": "application/json"}
        refused = space.request("POST", f"{crates.path()}?fieldValidation=Strict", twice.encode(), headers)
        assert refused.object["message"].endswith('strict decoding error: duplicate field "spec.more"')


# Covers: Server side field validation, typed object; Server side field validation, typed unknown metadata.
def test_unknown_and_doubled_fields_of_built_in_kinds_are_refused(space: Space) -> None:
    template = '{"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}'

    def said(metadata: str, spec: str) -> str:
        body = (
            '{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"'
            + metadata
            + '}, "spec": {'
            + spec
            + '"selector": {"matchLabels": {"app": "web"}}, "template": '
            + template
            + "}}"
        )
        place = "apps/v1/deployments?fieldManager=tester&fieldValidation=Strict"
        answer = space.request("POST", place, body.encode(), {"Content-Type": "application/json"})
        assert answer.status == 400 and answer.object["reason"] == "BadRequest"
        return str(answer.object["message"])

    unknown = said("", '"unknownField": "foo", "replicas": 2, "replicas": 3, ')
    assert 'strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas"' in unknown
    assert 'strict decoding error: unknown field "metadata.unknownMeta"' in said(', "unknownMeta": "foo"', "")
    assert space.is_gone("apps/v1/deployments/web")
