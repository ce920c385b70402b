"""What is published of custom resources, as stock kubectl explains and checks it, and what discovery shows of all."""

import json
import re
from typing import Any

import pytest
from conformance_kit import Space
from custom_kit import OPEN, Custom, custom, customs, definition, version
from nodes_kit import Cluster

pytestmark = pytest.mark.slow

TEXT = {"type": "string"}


def described(text: str, **more: Any) -> dict[str, Any]:
    return {"description": text, "type": "object", **more}


BAR = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {**TEXT, "description": "Name of Bar."},
        "age": {**TEXT, "description": "Age of Bar."},
        "feeling": {**TEXT, "description": "How Bar feels.", "enum": ["Great", "Down"]},
        "bazs": {"type": "array", "items": TEXT, "description": "List of Bazs."},
    },
}
BARS = {"type": "array", "items": BAR, "description": "List of Bars and their specs."}
FOO = described(
    "Foo CRD for Testing",
    properties={
        "spec": described("Specification of Foo", properties={"bars": BARS}),
        "status": described("Status of Foo", properties={"bars": BARS}),
    },
)
WALDO = described(
    "Waldo CRD for Testing",
    properties={"spec": described("Specification of Waldo", properties={"dummy": TEXT})},
)
NESTED = described(
    "preserve-unknown-properties in nested field for Testing",
    properties={"spec": {**OPEN, "properties": {"dummy": TEXT}}},
)


def name_of(kind: Custom, version: str) -> str:
    """Of its definition in OpenAPI: the group backwards."""
    return ".".join([*reversed(kind.group.split(".")), version, kind.kind])


def published(space: Space) -> dict[str, Any]:
    found: dict[str, Any] = space.cluster.control.request("GET", "/openapi/v2").object["definitions"]
    return found


def shows(space: Space, kind: Custom, version: str, schema: dict[str, Any]) -> bool:
    """Whether both documents have the kind with its description and the fields of its spec."""
    of_2 = published(space).get(name_of(kind, version))
    answer = space.cluster.control.request("GET", f"/openapi/v3/apis/{kind.group}/{version}")
    of_3 = answer.object["components"]["schemas"].get(name_of(kind, version)) if answer.status == 200 else None
    return all(
        found is not None
        and found["description"] == schema["description"]
        and found["properties"]["spec"]["properties"] == schema["properties"]["spec"]["properties"]
        and {"apiVersion", "kind", "metadata"} <= found["properties"].keys()
        for found in (of_2, of_3)
    )


def is_published(space: Space, kind: Custom, version: str) -> bool:
    return name_of(kind, version) in published(space)


def taken_by_kubectl(space: Space, kind: Custom, name: str, **fields: Any) -> None:
    """Stock kubectl creates, applies and changes it."""
    text = json.dumps(kind.object(name, **fields))
    space.kubectl("create", "-f", "-", data=text)
    space.kubectl("delete", kind.qualified, name)
    space.kubectl("apply", "-f", "-", data=text)
    assert "unchanged" in space.kubectl("apply", "-f", "-", data=text)
    space.kubectl("delete", kind.qualified, name)


# Covers: Custom Resource OpenAPI Publish, with validation schema.
def test_a_schema_is_kept_and_explained(space: Space) -> None:
    with custom(space, "foos", version("v1", FOO)) as foos:
        space.until(lambda: shows(space, foos, "v1", FOO), "the schema is published")
        taken_by_kubectl(space, foos, "good", spec={"bars": [{"name": "test-bar"}]})
        unknown = json.dumps(foos.object("bad", spec={"foo": True}))
        missing = json.dumps(foos.object("bad", spec={"bars": [{"age": "10"}]}))
        feeling = json.dumps(foos.object("bad", spec={"bars": [{"name": "a", "feeling": "None"}]}))
        for verb in ("create", "apply"):
            assert 'unknown field "spec.foo"' in space.refusal(verb, "-f", "-", data=unknown)
            assert "spec.bars[0].name: Required value" in space.refusal(verb, "-f", "-", data=missing)
            assert 'Unsupported value: "None"' in space.refusal(verb, "-f", "-", data=feeling)
        explained = {
            "foos": r"DESCRIPTION:.*Foo CRD for Testing.*FIELDS:.*apiVersion.*<string>.*APIVersion defines.*spec.*"
            r"<Object>.*Specification of Foo",
            "foos.metadata": r"DESCRIPTION:.*Standard object's metadata.*FIELDS:.*creationTimestamp.*<string>.*"
            r"CreationTimestamp is a timestamp",
            "foos.spec": r"DESCRIPTION:.*Specification of Foo.*FIELDS:.*bars.*<\[\]Object>.*"
            r"List of Bars and their specs",
            "foos.spec.bars": r"FIELD:.*bars.*<\[\]Object>.*DESCRIPTION:.*List of Bars and their specs.*FIELDS:.*bazs.*"
            r"<\[\]string>.*List of Bazs.*name.*<string>.*Name of Bar",
        }
        for words, pattern in explained.items():
            said = space.kubectl("explain", words, f"--api-version={foos.group}/v1")
            assert re.search(pattern, said, re.DOTALL), said
        assert 'field "bars2" does not exist' in space.refusal(
            "explain", "foos.spec.bars2", f"--api-version={foos.group}/v1"
        )


# Covers: Custom Resource OpenAPI Publish, with x-kubernetes-preserve-unknown-fields in object;
# Custom Resource OpenAPI Publish, with x-kubernetes-preserve-unknown-fields at root;
# Custom Resource OpenAPI Publish, with x-kubernetes-preserve-unknown-fields in embedded object.
def test_what_a_schema_leaves_open_is_taken(space: Space) -> None:
    rooted = {**OPEN, "description": "preserve-unknown-properties at root for Testing"}
    made = [
        definition(space, plural, [version("v1", schema)])
        for plural, schema in (("empties", OPEN), ("roots", rooted), ("nesteds", NESTED))
    ]
    with customs(space, *made) as (empties, roots, nesteds):
        kinds = (empties, roots, nesteds)
        space.until(lambda: all(is_published(space, kind, "v1") for kind in kinds), "all are published")
        taken_by_kubectl(space, empties, "one", a={"b": [{"c": "d"}]})
        taken_by_kubectl(space, roots, "one", a={"b": [{"c": "d"}]})
        taken_by_kubectl(space, nesteds, "one", spec={"b": [{"c": "d"}]})

        def explain(kind: Custom) -> str:
            return space.kubectl("explain", kind.plural, f"--api-version={kind.group}/v1")

        assert re.search(r"DESCRIPTION:\n +<empty>", explain(empties))
        assert re.search(r"KIND: +Root\n", explain(roots))
        explained = explain(nesteds)
        assert re.search(r"DESCRIPTION:.*preserve-unknown-properties in nested field for Testing", explained, re.DOTALL)
        found = published(space)[name_of(nesteds, "v1")]["properties"]["spec"]
        assert found["x-kubernetes-preserve-unknown-fields"] and "properties" not in found, "kubectl takes all of it"


# Covers: Custom Resource OpenAPI Publish, varying groups; Custom Resource OpenAPI Publish, varying versions;
# Custom Resource OpenAPI Publish, varying kinds.
def test_all_kinds_versions_and_groups_are_published(space: Space) -> None:
    both = [version("v2", FOO), version("v3", FOO, storage=False)]
    made = [
        definition(space, "foos", both),
        definition(space, "waldos", [version("v2", WALDO)]),
        definition(space, "foos", [version("v1beta1", FOO)], group=f"other.{space.name}.example.com"),
    ]
    with customs(space, *made) as (foos, waldos, others):
        space.until(
            lambda: (
                shows(space, foos, "v2", FOO)
                and shows(space, foos, "v3", FOO)
                and shows(space, waldos, "v2", WALDO)
                and shows(space, others, "v1beta1", FOO)
            ),
            "all are published",
        )
    space.until(
        lambda: not any(is_published(space, kind, "v2") for kind in (foos, waldos)), "what is gone is not published"
    )


# Covers: Custom Resource OpenAPI Publish, version rename; Custom Resource OpenAPI Publish, stop serving version.
def test_what_is_published_follows_the_versions(space: Space) -> None:
    with custom(space, "foos", version("v2", FOO), version("v3", FOO, storage=False)) as foos:
        space.until(lambda: shows(space, foos, "v2", FOO) and shows(space, foos, "v3", FOO), "both are published")
        others = {name: found for name, found in published(space).items() if name.startswith("io.k8s.")}
        foos.changed({"spec": {"versions": [version("v2", FOO), version("v4", FOO, storage=False)]}})
        space.until(
            lambda: shows(space, foos, "v4", FOO) and not is_published(space, foos, "v3"), "v3 is now called v4"
        )
        assert shows(space, foos, "v2", FOO)
        unserved = {**version("v4", FOO, storage=False), "served": False}
        foos.changed({"spec": {"versions": [version("v2", FOO), unserved]}})
        space.until(lambda: not is_published(space, foos, "v4"), "what is not served is not published")
        assert shows(space, foos, "v2", FOO)
        assert {name: found for name, found in published(space).items() if name in others} == others


# Covers: Discovery, confirm the groupVersion and a resource from each apiGroup;
# Discovery, confirm the PreferredVersion for each api group.
def test_every_group_has_its_documents(suite: Cluster) -> None:
    groups = suite.control.request("GET", "/apis").object["groups"]
    groups = [group for group in groups if not group["name"].endswith("example.com")]  # others' tests come and go
    assert len(groups) > 15
    for group in groups:
        preferred = group["preferredVersion"]
        assert preferred in group["versions"]
        assert suite.control.request("GET", f"/apis/{group['name']}").object["preferredVersion"] == preferred
        for each in group["versions"]:
            assert each["groupVersion"] == f"{group['name']}/{each['version']}"
            found = suite.control.request("GET", f"/apis/{each['groupVersion']}").object
            assert (found["kind"], found["groupVersion"]) == ("APIResourceList", each["groupVersion"])
            assert any(one["verbs"] and one["kind"] for one in found["resources"])


AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
EXPECTED = {
    "": {"v1": {"namespaces", "nodes", "pods", "services", "secrets", "configmaps"}},
    "apps": {"v1": {"deployments", "daemonsets", "statefulsets", "replicasets"}},
    "batch": {"v1": {"jobs", "cronjobs"}},
    "admissionregistration.k8s.io": {"v1": {"validatingwebhookconfigurations", "mutatingwebhookconfigurations"}},
    "apiextensions.k8s.io": {"v1": {"customresourcedefinitions"}},
    "apiregistration.k8s.io": {"v1": {"apiservices"}},
}


def aggregated(cluster: Cluster, path: str) -> dict[str, dict[str, set[str]]]:
    """Groups, their versions, and the resources of each, of one request."""
    answer = cluster.control.request("GET", path, headers={"Accept": f"{AGGREGATED},application/json"})
    assert AGGREGATED in str(answer.headers["Content-Type"]) and answer.object["kind"] == "APIGroupDiscoveryList"
    assert answer.object["apiVersion"] == "apidiscovery.k8s.io/v2"
    return {
        group["metadata"].get("name", ""): {
            each["version"]: {one["resource"] for one in each["resources"]} for each in group["versions"]
        }
        for group in answer.object["items"]
    }


# Covers: Aggregated Discovery Interface; Aggregated Discovery Interface CRDs;
# Aggregated Discovery Endpoint Accept Headers; Aggregated Discovery Endpoint Accept Headers CRDs.
def test_discovery_in_one_document(space: Space) -> None:
    found = {**aggregated(space.cluster, "/api"), **aggregated(space.cluster, "/apis")}
    for group, versions in EXPECTED.items():
        for name, resources in versions.items():
            assert resources <= found[group][name]
    for path in ("/api", "/apis"):
        plain = space.cluster.control.request("GET", path, headers={"Accept": "application/json"})
        assert plain.object["kind"] == ("APIVersions" if path == "/api" else "APIGroupList")
    with custom(space, "crates", version("v1", OPEN)) as crates:
        space.until(
            lambda: aggregated(space.cluster, "/apis").get(crates.group) == {"v1": {"crates"}}, "the kind is discovered"
        )
        assert f"crates.{crates.group}" in space.kubectl("api-resources", "--api-group", crates.group, "-o", "name")
    space.until(lambda: crates.group not in aggregated(space.cluster, "/apis"), "the group is gone with its kind")


# Covers: Confirm a server version.
def test_the_version_is_two_numbers(suite: Cluster) -> None:
    found = suite.control.request("GET", "/version").object
    assert re.fullmatch(r"\d+", found["major"]) and re.fullmatch(r"\d+", found["minor"])
    assert found["gitVersion"].startswith(f"v{found['major']}.{found['minor']}.")


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


# Covers: API metadata HTTP return.
def test_what_is_stored_nowhere_has_no_table(suite: Cluster) -> None:
    review = {"spec": {"user": "bob", "resourceAttributes": {"verb": "list", "resource": "pods"}}}
    place = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    assert suite.control.request("POST", place, review, {"Accept": TABLE}).status == 406
    found = suite.control.request("GET", "/api/v1/nodes", headers={"Accept": TABLE}).object
    assert (found["kind"], len(found["rows"])) == ("Table", 2)
    assert (
        found["columnDefinitions"][0]["name"] == "Name"
        and found["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    )
    first = suite.control.request("GET", "/api/v1/nodes?limit=1", headers={"Accept": TABLE}).object
    assert len(first["rows"]) == 1 and first["metadata"]["continue"] and first["metadata"]["resourceVersion"]
