"""Custom resources and webhooks that run in the cluster: refused, changed, pruned, converted between versions. And an
API of another server, in a pod behind a Service."""

from collections.abc import Iterator

import pytest
from conformance_kit import Space
from custom_kit import OPEN, custom, version
from hooks_kit import Hooks, serving_hooks
from nodes_kit import Cluster

pytestmark = pytest.mark.slow

TEXT = {"type": "string"}
DATA = {"type": "object", "properties": {"data": {"type": "object", "additionalProperties": TEXT}}}


@pytest.fixture(scope="module")
def hooks(suite: Cluster) -> Iterator[Hooks]:
    with serving_hooks(suite, "hooks-custom") as served:
        yield served


# Covers: Admission webhook, deny custom resource create and delete.
def test_custom_resources_are_refused(space: Space, hooks: Hooks) -> None:
    with custom(space, "crates", version("v1", DATA)) as crates:
        unwanted = crates.object("bad", data={"verdict": "no"})
        resource = f"{crates.group}/v1/crates"
        rules = [hooks.webhook("/judge", resource, operations=["CREATE", "UPDATE", "DELETE"])]
        with hooks.configured("Validating", f"{space.name}-crates", rules):
            assert b"the Crate contains unwanted data" in space.request("POST", crates.path(), unwanted).body
            kept = space.made(crates.path(), crates.object("good", data={"verdict": "yes"}))
            kept["data"] = {"verdict": "no"}
            assert b"the Crate contains unwanted data" in space.request("PUT", crates.path("good"), kept).body
            assert space.read(crates.path("good"))["data"] == {"verdict": "yes"}
        space.patched(crates.path("good"), {"data": {"verdict": "no"}})
        with hooks.configured("Validating", f"{space.name}-crates", rules):
            refused = space.request("DELETE", crates.path("good"))
            assert refused.status == 400 and "contains unwanted data" in refused.object["message"]
            assert b"contains unwanted data" in space.request("DELETE", crates.path()).body
            assert "deletionTimestamp" not in space.read(crates.path("good"))["metadata"]
        assert space.request("DELETE", crates.path("good")).status == 200
        assert space.is_gone(crates.path("good"))


# Covers: Admission webhook, mutate custom resource; Admission webhook, mutate custom resource with pruning.
def test_custom_resources_are_changed_and_pruned(space: Space, hooks: Hooks) -> None:
    known = {"type": "object", "properties": {"data": {"type": "object", "properties": {"start": TEXT, "first": TEXT}}}}
    with custom(space, "crates", version("v1", DATA)) as crates, custom(space, "boxes", version("v1", known)) as boxes:
        of_both = [f"{each.group}/v1/{each.plural}" for each in (crates, boxes)]
        rules = [hooks.webhook(path, *of_both) for path in ("/first", "/second")]
        with hooks.configured("Mutating", f"{space.name}-stages", rules):
            made = space.made(crates.path(), crates.object("a", data={"start": "yes"}))
            assert made["data"] == {"start": "yes", "first": "yes", "second": "yes"}
            made = space.made(boxes.path(), boxes.object("a", data={"start": "yes"}))
            assert made["data"] == {"start": "yes", "first": "yes"}
            assert space.read(boxes.path("a"))["data"] == {"start": "yes", "first": "yes"}


# Covers: Admission webhook, mutate custom resource with different stored version.
def test_objects_of_an_older_stored_version_are_changed_too(space: Space, hooks: Hooks) -> None:
    with custom(space, "crates", version("v1", OPEN), version("v2", OPEN, storage=False)) as crates:
        rules = [hooks.webhook("/first", f"{crates.group}/v1/crates", operations=["CREATE", "UPDATE"])]
        with hooks.configured("Mutating", f"{space.name}-stored", rules):
            made = space.made(crates.path(), crates.object("a", data={"start": "yes"}))
            assert made["data"] == {"start": "yes", "first": "yes"}
            crates.changed({"spec": {"versions": [version("v1", OPEN, storage=False), version("v2", OPEN)]}})
            space.until(
                lambda: (
                    space.cluster.control.request("GET", crates.definition).object["status"]["storedVersions"]
                    == ["v1", "v2"]
                ),
                "both versions may be in the store",
            )
            changed = space.patched(crates.path("a"), {"dummy": "test"})
            assert (changed["dummy"], changed["data"]) == ("test", {"start": "yes", "first": "yes"})
            made = space.made(crates.path(version="v2"), crates.object("b", "v2", data={"start": "yes"}))
            assert made["data"] == {"start": "yes", "first": "yes"}, "a rule for v1 is for the same objects in v2"


# Covers: Custom Resource Definition Conversion Webhook, conversion custom resource;
# Custom Resource Definition Conversion Webhook, convert mixed version list.
def test_versions_are_converted_by_a_webhook(space: Space, hooks: Hooks) -> None:
    old = {"type": "object", "properties": {"host": TEXT, "port": TEXT}}
    new = {"type": "object", "properties": {"hostPort": TEXT}}
    conversion = {
        "strategy": "Webhook",
        "webhook": {"clientConfig": hooks.config("/convert"), "conversionReviewVersions": ["v1", "v1beta1"]},
    }
    versions = (version("v1", old), version("v2", new, storage=False))
    with custom(space, "places", *versions, conversion=conversion) as places:
        space.made(places.path(), places.object("one", host="localhost", port="8080"))
        found = space.read(places.path("one", "v2"))
        assert found["hostPort"] == "localhost:8080" and "host" not in found
        assert found["apiVersion"] == f"{places.group}/v2"
        places.changed({"spec": {"versions": [version("v1", old, storage=False), version("v2", new)]}})
        space.made(places.path(version="v2"), places.object("two", "v2", hostPort="example.com:80"))
        wanted = {"one": "localhost:8080", "two": "example.com:80"}
        listed = space.read(places.path(version="v2"))["items"]
        assert {each["metadata"]["name"]: each["hostPort"] for each in listed} == wanted
        listed = space.read(places.path(version="v1"))["items"]
        assert {each["metadata"]["name"]: (each["host"], each["port"]) for each in listed} == {
            "one": ("localhost", "8080"),
            "two": ("example.com", "80"),
        }
        assert "hostPort: example.com:80" in space.kubectl("get", f"places.v2.{places.group}", "two", "-o", "yaml")


# Covers: aggregator-supports-the-sample-apiserver.
def test_the_api_of_another_server_is_part_of_ours(space: Space, hooks: Hooks) -> None:
    control = space.cluster.control
    name, services = "v1alpha1.wares.example.com", "/apis/apiregistration.k8s.io/v1/apiservices"
    spec = {"group": "wares.example.com", "version": "v1alpha1", "groupPriorityMinimum": 2000, "versionPriority": 200}
    flunders = "wares.example.com/v1alpha1/flunders"
    made = control.request("POST", services, {"metadata": {"name": name}, "spec": {**spec, **hooks.config()}})
    assert made.status == 201, made.body
    try:
        space.kubectl("wait", "--for=condition=Available", f"apiservice/{name}", "--timeout=60s", timeout=70)
        assert space.read(flunders)["items"] == []
        kubectl = "apiVersion: wares.example.com/v1alpha1\nkind: Flunder\nmetadata: {name: one, labels: {of: it}}\n"
        assert "flunder.wares.example.com/one created" in space.kubectl("create", "-f", "-", data=kubectl)
        assert space.read(f"{flunders}/one")["metadata"]["namespace"] == space.name
        assert space.kubectl("get", "flunders", "-o", "name") == "flunder.wares.example.com/one\n"
        space.kubectl("delete", "flunder", "one", "--wait=false")
        assert space.is_gone(f"{flunders}/one")
        space.made(
            flunders, {"apiVersion": "wares.example.com/v1alpha1", "kind": "Flunder", "metadata": {"name": "two"}}
        )
        assert control.request("DELETE", space.path(flunders)).status == 200
        assert space.read(flunders)["items"] == []
        shown = [each["name"] for each in control.request("GET", "/apis").object["groups"]]
        assert "wares.example.com" in shown
        headers = {"Content-Type": "application/merge-patch+json"}
        change = {"metadata": {"labels": {"changed": "itself"}}}
        changed = control.request("PATCH", f"{services}/{name}", change, headers)
        assert changed.object["metadata"]["labels"] == {"changed": "itself"}
        status = control.request("GET", f"{services}/{name}/status").object
        note = {"type": "Noted", "status": "True", "reason": "E2E", "message": "Set from a test"}
        status["status"]["conditions"].append({**note, "lastTransitionTime": "2026-01-01T00:00:00Z"})
        replaced = control.request("PUT", f"{services}/{name}/status", status).object
        assert {each["type"] for each in replaced["status"]["conditions"]} == {"Available", "Noted"}
    finally:
        assert control.request("DELETE", f"{services}?labelSelector=changed").status == 200
    space.until(lambda: space.request("GET", flunders).status == 404, "the group is gone with its APIService")
