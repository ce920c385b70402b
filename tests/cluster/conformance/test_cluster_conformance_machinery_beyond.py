"""Beyond the list: what the same area of the original's tests asks, and users of the API would notice."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from conformance_kit import Space
from control_kit import Answer
from custom_kit import DEFINITIONS, OPEN, custom, definition, version
from nodes_kit import Cluster
from watching_kit import watching

pytestmark = pytest.mark.slow

TEXT, COUNT = {"type": "string"}, {"type": "integer"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}


# Requests


def test_time_outs_of_requests(suite: Cluster) -> None:
    wrong = suite.control.request("GET", "/version?timeout=invalid")
    assert wrong.status == 400 and b"invalid" in wrong.body
    assert suite.control.request("GET", "/version?timeout=3h").status == 200
    assert suite.control.request("GET", "/api/v1/namespaces?timeout=invalid").status == 400


def test_the_state_of_the_server_is_told_part_by_part(suite: Cluster) -> None:
    for path in ("/livez", "/readyz", "/healthz"):
        found = suite.control.request("GET", path)
        assert (found.status, found.body) == (200, b"ok")
        told = suite.control.request("GET", f"{path}?verbose").body.decode()
        assert "[+]ping ok\n" in told and told.endswith(f"{path.strip('/')} check passed\n")
        names = re.findall(r"^\[\+\](\S+) ok$", told, re.MULTILINE)
        assert suite.control.request("GET", f"{path}/{names[0]}").body == b"ok"
        without = suite.control.request("GET", f"{path}?verbose&exclude={names[-1]}").body.decode()
        assert f"[+]{names[-1]} excluded: ok" in without


def test_requests_are_classified_by_new_flow_schemas(space: Space) -> None:
    control, root = space.cluster.control, "/apis/flowcontrol.apiserver.k8s.io/v1"
    user = f"{space.name}-user"
    level = {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}}
    rules = [
        {
            "subjects": [{"kind": "User", "user": {"name": user}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }
    ]
    flow = {"priorityLevelConfiguration": {"name": user}, "matchingPrecedence": 900, "rules": rules}
    try:
        uids = [
            control.request("POST", f"{root}/{plural}", {"metadata": {"name": user}, "spec": spec}).object["metadata"][
                "uid"
            ]
            for plural, spec in (("prioritylevelconfigurations", level), ("flowschemas", flow))
        ]

        def marks(name: str) -> list[str | None]:
            found = control.request("GET", "/version", headers={"Impersonate-User": name}).headers
            return [found.get(f"X-Kubernetes-Pf-{word}-Uid") for word in ("PriorityLevel", "FlowSchema")]

        space.until(lambda: marks(user) == uids, "requests of the user belong to the new level")
        assert all(one and one not in uids for one in marks("someone-else"))
    finally:
        for plural in ("flowschemas", "prioritylevelconfigurations"):
            control.request("DELETE", f"{root}/{plural}/{user}")


def test_a_watch_may_begin_with_all_that_there_is(space: Space) -> None:
    for name in ("one", "two"):
        space.made("configmaps", {"metadata": {"name": name, "labels": {"watched": "yes"}}})
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    with watching(space.cluster, space.path("configmaps"), labelSelector="watched", **query) as seen:
        seen.until(("ADDED", "one"), ("ADDED", "two"), ("BOOKMARK", ""))
        assert seen.events[2]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        space.made("configmaps", {"metadata": {"name": "three", "labels": {"watched": "yes"}}})
        seen.until_count(4)
        assert seen.told[3] == ("ADDED", "three") and int(seen.versions[3]) > int(seen.versions[2])


# Custom resources


def test_fields_of_custom_resources_select(space: Space) -> None:
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"color": TEXT, "size": TEXT, "port": COUNT}}},
    }
    fields = [{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.size"}]
    with custom(space, "shirts", version("v1", schema, selectableFields=fields)) as shirts:
        path = space.path(shirts.path())
        with watching(space.cluster, path, fieldSelector="spec.color=blue") as seen:
            for name, color, size in (("a", "blue", "S"), ("b", "blue", "M"), ("c", "green", "M")):
                space.made(shirts.path(), shirts.object(name, spec={"color": color, "size": size}))
            seen.until(("ADDED", "a"), ("ADDED", "b"))
            space.patched(shirts.path("b"), {"spec": {"color": "green"}})
            seen.until(("ADDED", "a"), ("ADDED", "b"), ("DELETED", "b"))

        def selected(selector: str) -> list[str]:
            words = ("get", shirts.qualified, "--field-selector", selector, "-o", "name")
            return [line.rpartition("/")[2] for line in space.kubectl(*words).split()]

        assert selected("spec.color=green") == ["b", "c"]
        assert selected("spec.color=green,spec.size!=S,metadata.name=c") == ["c"]
        assert "field label not supported: spec.port" in space.refusal(
            "get", shirts.qualified, "--field-selector", "spec.port=80"
        )
        space.kubectl("delete", shirts.qualified, "--field-selector", "spec.color=green")
        assert selected("spec.size!=none") == ["a"]


def test_rules_of_custom_resources(space: Space) -> None:
    """Rules, transitions, an old fault that may stay, and rules that do not compile."""

    def schema(rule: str, **more: Any) -> dict[str, Any]:
        spec = {
            "type": "object",
            "x-kubernetes-validations": [{"rule": rule, **more}],
            "properties": {
                "x": COUNT,
                "y": COUNT,
                "list": {"type": "array", "items": {"type": "array", "items": TEXT}},
            },
        }
        return {"type": "object", "properties": {"spec": spec}}

    with custom(space, "rules", version("v1", schema("self.x < 10", message="too large")), kind="Ruled") as rules:
        refused = space.request("POST", rules.path(), rules.object("a", spec={"x": 11}))
        assert refused.status == 422 and 'spec: Invalid value: "object": too large' in refused.object["message"]
        space.made(rules.path(), rules.object("a", spec={"x": 9, "y": 1}))
        rules.changed({"spec": {"versions": [version("v1", schema("self.x >= oldSelf.x"))]}})
        merge = {"Content-Type": "application/merge-patch+json"}

        def refuses() -> bool:
            answer = space.request("PATCH", rules.path("a"), {"spec": {"x": 8}}, merge)
            return answer.status == 422 and "failed rule: self.x >= oldSelf.x" in answer.object["message"]

        space.until(refuses, "the new rule holds")
        assert space.patched(rules.path("a"), {"spec": {"x": 20}})["spec"]["x"] == 20
        maximum = {
            "type": "object",
            "properties": {"spec": {"type": "object", "properties": {"x": {**COUNT, "maximum": 10}}}},
        }
        maximum["properties"]["spec"]["properties"]["y"] = COUNT  # type: ignore[index]
        rules.changed({"spec": {"versions": [version("v1", maximum)]}})
        space.until(
            lambda: space.request("POST", rules.path(), rules.object("b", spec={"x": 20})).status == 422, "it holds"
        )
        assert space.patched(rules.path("a"), {"spec": {"y": 2}})["spec"] == {"x": 20, "y": 2}, "an old fault may stay"
        assert space.request("PATCH", rules.path("a"), {"spec": {"x": 21}}, merge).status == 422

    control = space.cluster.control
    for rule, why in (
        ("self.z > 1", "undefined field 'z'"),
        ("self.x +", "Syntax error"),
    ):
        wrong = definition(space, "wrongs", [version("v1", schema(rule))])
        answer = control.request("POST", DEFINITIONS, wrong)
        assert answer.status == 422 and why in answer.object["message"], answer.body


# Server-side apply


def applied(
    space: Space, path: str, body: Mapping[str, Any], manager: str, *, force: bool = False, part: str = ""
) -> Answer:
    query = f"fieldManager={manager}" + ("&force=true" if force else "")
    return space.request("PATCH", f"{path}/{body['metadata']['name']}{part}?{query}", json.dumps(body).encode(), APPLY)


def deployment(name: str, image: str = "busybox", **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    box = {"name": "c", "image": image, "ports": [{"containerPort": 80, "protocol": "TCP"}]}
    template = {"metadata": {"labels": labels}, "spec": {"nodeSelector": {"no-node": "it"}, "containers": [box]}}
    wanted = {"selector": {"matchLabels": labels}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels}, "spec": wanted}


def test_fields_belong_to_who_applied_them(space: Space) -> None:
    path = "apps/v1/deployments"
    first = deployment("web", replicas=2)
    made = applied(space, path, first, "one")
    assert made.status == 201 and made.object["metadata"]["managedFields"][0]["operation"] == "Apply"
    assert applied(space, path, first, "one").object["metadata"]["generation"] == 1
    conflicting = applied(space, path, deployment("web", replicas=3), "two")
    assert conflicting.status == 409 and conflicting.object["details"]["causes"][0]["field"] == ".spec.replicas"
    assert 'conflict with "one"' in conflicting.object["message"]
    forced = applied(space, path, deployment("web", replicas=3), "two", force=True)
    assert forced.object["spec"]["replicas"] == 3
    # What both have stays when one of them leaves it out; what nobody has any more goes.
    fewer = deployment("web")
    del fewer["metadata"]["labels"]
    left = applied(space, path, fewer, "two").object
    assert left["metadata"]["labels"] == {"app": "web"} and left["spec"]["replicas"] == 1
    assert applied(space, path, fewer, "one").object["metadata"].get("labels") is None
    # A part of the object has owners of its own, and a scale is a change like any other.
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 4}}
    assert applied(space, path, scale, "scaler", part="/scale").object["spec"]["replicas"] == 4
    assert applied(space, path, deployment("web", replicas=5), "one").status == 409
    condition = {"type": "MyOwn", "status": "True"}
    status = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "status": {"conditions": [condition]},
    }
    shown = applied(space, path, status, "teller", part="/status").object
    assert "MyOwn" in {each["type"] for each in shown["status"]["conditions"]}
    parts = {(each["manager"], each.get("subresource", "")) for each in shown["metadata"]["managedFields"]}
    assert {("scaler", "scale"), ("teller", "status"), ("one", ""), ("two", "")} <= parts


def test_custom_resources_are_applied_by_their_schema(space: Space) -> None:
    item = {"type": "object", "properties": {"name": TEXT, "value": TEXT}, "required": ["name"]}
    keyed = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"items": keyed}}}}
    with custom(space, "crates", version("v1", schema)) as crates:

        def crate(**values: str) -> dict[str, Any]:
            items = [{"name": name, "value": value} for name, value in values.items()]
            return crates.object("one", spec={"items": items})

        assert applied(space, crates.path(), crate(a="1", b="2"), "one").status == 201
        assert applied(space, crates.path(), crate(c="3"), "two").status == 200
        assert applied(space, crates.path(), crate(b="4"), "two").status == 409
        left = applied(space, crates.path(), crate(a="5"), "one").object["spec"]["items"]
        assert [(each["name"], each["value"]) for each in left] == [("a", "5"), ("c", "3")]


# Published


def test_the_third_openapi_is_there_for_every_group(space: Space) -> None:
    control = space.cluster.control
    index = control.request("GET", "/openapi/v3").object["paths"]
    groups = control.request("GET", "/apis").object["groups"]
    for group in groups:
        if group["name"].endswith("example.com"):
            continue  # of other tests, which come and go
        for each in group["versions"]:
            assert f"apis/{each['groupVersion']}" in index
    place = index["apis/apps/v1"]["serverRelativeURL"]
    found = control.request("GET", place)
    assert found.object["openapi"].startswith("3.0") and "/apis/apps/v1/deployments" in str(list(found.object["paths"]))
    assert "immutable" in found.headers["Cache-Control"]
    etag = found.headers["ETag"]
    assert control.request("GET", place, headers={"If-None-Match": etag}).status == 304
    with custom(space, "crates", version("v1", OPEN)) as crates:
        path = f"apis/{crates.group}/v1"
        space.until(lambda: path in control.request("GET", "/openapi/v3").object["paths"], "the kind is published")
        document = control.request("GET", f"/openapi/v3/{path}").object
        assert f"/{path}/namespaces/{{namespace}}/crates/{{name}}" in document["paths"]
    space.until(lambda: path not in control.request("GET", "/openapi/v3").object["paths"], "it is gone with the kind")
