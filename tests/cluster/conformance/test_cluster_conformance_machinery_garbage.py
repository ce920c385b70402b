"""What goes with its owner, what stays, and who waits for whom; and namespaces, which go with all that they have.

Pods ask for a node that is not there, so that none is started: nothing here is about what runs.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from conformance_kit import Space
from custom_kit import OPEN, custom, version
from nodes_kit import Cluster

pytestmark = pytest.mark.slow

HELD = ["example.com/held"]
BOX = {"name": "c", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "600"]}
SPEC = {"nodeSelector": {"no-node": "has-this"}, "containers": [BOX]}
MERGE = {"Content-Type": "application/merge-patch+json"}
_numbers = itertools.count(1)


def controller(space: Space, name: str, replicas: int, app: str = "") -> dict[str, Any]:
    """A replication controller, all of whose pods are there."""
    labels = {"app": app or name}
    template = {"metadata": {"labels": labels}, "spec": SPEC}
    spec = {"replicas": replicas, "selector": labels, "template": template}
    made = space.made("replicationcontrollers", {"metadata": {"name": name}, "spec": spec})
    space.until(lambda: len(pods(space, name)) == replicas, f"{name} has its pods")
    return made


def pods(space: Space, app: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = space.read(f"pods?labelSelector=app={app}")["items"]
    return found


def delete(space: Space, path: str, policy: str) -> None:
    """With a precondition, as who has seen what is deleted."""
    preconditions = {"uid": space.read(path)["metadata"]["uid"]}
    answer = space.request("DELETE", path, {"propagationPolicy": policy, "preconditions": preconditions})
    assert answer.status in (200, 202), answer.body


# Covers: Garbage Collector, delete replication controller, propagation policy background;
# Garbage Collector, delete replication controller, propagation policy orphan.
def test_pods_go_with_their_controller_or_stay(space: Space) -> None:
    controller(space, "going", 2)
    controller(space, "staying", 10)
    names = {each["metadata"]["name"] for each in pods(space, "staying")}
    delete(space, "replicationcontrollers/staying", "Orphan")
    delete(space, "replicationcontrollers/going", "Background")
    space.until(lambda: not pods(space, "going"), "the pods have gone with their controller")
    space.until(lambda: space.is_gone("replicationcontrollers/staying"), "the other controller is gone")
    left = pods(space, "staying")
    assert {each["metadata"]["name"] for each in left} == names
    assert not any("deletionTimestamp" in each["metadata"] for each in left)
    assert not any(each["metadata"].get("ownerReferences") for each in left)


# Covers: Garbage Collector, delete deployment,  propagation policy background;
# Garbage Collector, delete deployment, propagation policy orphan.
def test_replica_sets_go_with_their_deployment_or_stay(space: Space) -> None:
    sets = "apps/v1/replicasets"

    def of(app: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = space.read(f"{sets}?labelSelector=app={app}")["items"]
        return found

    for name in ("going", "staying"):
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": SPEC}
        spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
        space.made("apps/v1/deployments", {"metadata": {"name": name}, "spec": spec})
    for name in ("going", "staying"):
        space.until(lambda name=name: len(pods(space, name)) == 2, f"{name} has its pods")  # type: ignore[misc]
    delete(space, "apps/v1/deployments/staying", "Orphan")
    delete(space, "apps/v1/deployments/going", "Background")
    space.until(lambda: not of("going") and not pods(space, "going"), "replica set and pods have gone")
    space.until(lambda: space.is_gone("apps/v1/deployments/staying"), "the other deployment is gone")
    (left,) = of("staying")
    assert "ownerReferences" not in left["metadata"] and "deletionTimestamp" not in left["metadata"]
    for pod in pods(space, "staying"):
        assert pod["metadata"]["ownerReferences"][0]["uid"] == left["metadata"]["uid"]


# Covers: Garbage Collector, delete replication controller, after owned pods.
def test_a_controller_waits_for_its_pods(space: Space) -> None:
    controller(space, "waiting", 10)
    held = [each["metadata"]["name"] for each in pods(space, "waiting")][:2]
    for name in held:
        space.patched(f"pods/{name}", {"metadata": {"finalizers": HELD}})
    delete(space, "replicationcontrollers/waiting", "Foreground")
    space.until(lambda: len(pods(space, "waiting")) == 2, "all but the held ones are gone")
    metadata = space.read("replicationcontrollers/waiting")["metadata"]
    assert metadata["finalizers"] == ["foregroundDeletion"] and metadata["deletionTimestamp"]
    assert all("deletionTimestamp" in each["metadata"] for each in pods(space, "waiting"))
    for name in held:
        space.patched(f"pods/{name}", {"metadata": {"finalizers": None}})
    space.until(lambda: space.is_gone("replicationcontrollers/waiting"), "the controller has gone with the last pod")
    assert not pods(space, "waiting")


# Covers: Garbage Collector, multiple owners.
def test_what_another_owner_needs_stays(space: Space) -> None:
    controller(space, "first", 10)
    second = controller(space, "second", 0)
    owner = {"apiVersion": "v1", "kind": "ReplicationController", "name": "second", "uid": second["metadata"]["uid"]}
    shared = [each["metadata"]["name"] for each in pods(space, "first")][:5]
    for name in shared:
        change = [{"op": "add", "path": "/metadata/ownerReferences/-", "value": owner}]
        space.patched(f"pods/{name}", change, "application/json-patch+json")
    delete(space, "replicationcontrollers/first", "Foreground")
    space.until(lambda: space.is_gone("replicationcontrollers/first"), "the first controller is gone")
    left = pods(space, "first")
    assert {each["metadata"]["name"] for each in left} == set(shared)
    assert not any("deletionTimestamp" in each["metadata"] for each in left)
    assert all([one["name"] for one in each["metadata"]["ownerReferences"]] == ["second"] for each in left)


# Covers: Garbage Collector, dependency cycle.
@pytest.mark.parametrize("policy", ["Foreground", "Background"])
def test_a_circle_of_owners_goes(space: Space, policy: str) -> None:
    made = {
        name: space.made("pods", {"metadata": {"name": name, "labels": {"app": "circle"}}, "spec": SPEC})
        for name in ("pod1", "pod2", "pod3")
    }
    for name, other in (("pod1", "pod3"), ("pod2", "pod1"), ("pod3", "pod2")):
        owner = {"apiVersion": "v1", "kind": "Pod", "name": other, "uid": made[other]["metadata"]["uid"]}
        reference = {**owner, "controller": True, "blockOwnerDeletion": True}
        space.patched(f"pods/{name}", {"metadata": {"ownerReferences": [reference]}})
    delete(space, "pods/pod1", policy)
    space.until(lambda: not pods(space, "circle"), "all three are gone")


def test_custom_resources_own_and_are_owned(space: Space) -> None:
    """Beyond the list: of custom kinds, each in its own way; and what a CronJob's deletion takes with it."""
    with custom(space, "crates", version("v1", OPEN)) as crates:
        for policy in ("Background", "Foreground", "Orphan"):
            owner = space.made(crates.path(), crates.object(f"{policy.lower()}-owner"))
            reference = {
                "apiVersion": owner["apiVersion"],
                "kind": "Crate",
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "blockOwnerDeletion": True,
            }
            dependent = f"{policy.lower()}-dependent"
            space.made(crates.path(), crates.object(dependent, metadata={"ownerReferences": [reference]}))
            delete(space, crates.path(owner["metadata"]["name"]), policy)
            gone = crates.path(owner["metadata"]["name"])
            space.until(lambda gone=gone: space.is_gone(gone), f"the owner is gone: {policy}")  # type: ignore[misc]
        space.until(lambda: space.is_gone(crates.path("background-dependent")), "the dependent goes too")
        assert space.is_gone(crates.path("foreground-dependent"))
        assert "ownerReferences" not in space.read(crates.path("orphan-dependent"))["metadata"]


# Namespaces


@pytest.fixture
def another(suite: Cluster) -> Iterator[Space]:
    """A namespace that the test may delete."""
    made = Space(suite, f"another-{next(_numbers)}")
    suite.kubectl("create", "namespace", made.name)
    yield made
    suite.kubectl("delete", "namespace", made.name, "--wait=false", "--ignore-not-found")


def place_of(space: Space, part: str = "") -> str:
    return f"/api/v1/namespaces/{space.name}{part}"


# Covers: Namespace patching; Namespace, apply update to a namespace; Namespace, apply changes to a namespace status;
# Namespace, apply finalizer to a namespace.
def test_a_namespace_and_its_parts_are_changed(another: Space) -> None:
    control, place = another.cluster.control, place_of(another)
    changed = control.request("PATCH", place, {"metadata": {"labels": {"patched": "yes"}}}, MERGE)
    assert changed.object["metadata"]["labels"]["patched"] == "yes"
    whole = changed.object
    whole["metadata"]["labels"]["updated"] = "yes"
    assert (
        control.request("PUT", place, whole).object["metadata"]["labels"].items()
        >= {
            "patched": "yes",
            "updated": "yes",
            "kubernetes.io/metadata.name": another.name,
        }.items()
    )

    assert control.request("GET", f"{place}/status").object["status"] == {"phase": "Active"}
    condition = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "patched by a test"}
    patched = control.request("PATCH", f"{place}/status", {"status": {"conditions": [condition]}}, MERGE)
    assert patched.status == 200 and patched.object["status"]["conditions"][0]["type"] == "StatusPatch"
    whole = control.request("GET", f"{place}/status").object
    whole["status"]["conditions"].append({**condition, "type": "StatusUpdate", "message": "updated by a test"})
    replaced = control.request("PUT", f"{place}/status", whole).object["status"]
    assert [each["type"] for each in replaced["conditions"]] == ["StatusPatch", "StatusUpdate"]
    assert replaced["phase"] == "Active"

    whole = control.request("GET", place).object
    assert whole["spec"]["finalizers"] == ["kubernetes"]
    whole["spec"]["finalizers"].append("example.com/fake")
    found = control.request("PUT", f"{place}/finalize", whole)
    assert found.status == 200 and found.object["spec"]["finalizers"] == ["kubernetes", "example.com/fake"]
    assert control.request("GET", place).object["spec"]["finalizers"] == ["kubernetes", "example.com/fake"]
    whole = found.object
    whole["spec"]["finalizers"] = ["kubernetes"]
    assert control.request("PUT", f"{place}/finalize", whole).object["spec"]["finalizers"] == ["kubernetes"]


# Covers: namespace-deletion-removes-pods; namespace-deletion-removes-services.
def test_pods_and_services_go_with_their_namespace(another: Space) -> None:
    """The pod runs; the namespace is made anew under the same name, and is empty."""
    another.until(lambda: not another.is_gone("serviceaccounts/default"), "the account is there")
    spec = {"terminationGracePeriodSeconds": 0, "containers": [BOX]}
    another.made("pods", {"metadata": {"name": "web"}, "spec": spec})
    another.made("services", {"metadata": {"name": "web"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}})
    another.until_phase("web", "Running")
    another.cluster.kubectl("delete", "namespace", another.name)
    assert another.cluster.control.request("GET", place_of(another)).status == 404
    another.cluster.kubectl("create", "namespace", another.name)
    assert another.read("pods")["items"] == [] and another.read("services")["items"] == []


def test_pods_go_before_all_else_of_their_namespace(another: Space) -> None:
    """Beyond the list: what pods may need is there until the last of them has gone."""
    another.until(lambda: not another.is_gone("serviceaccounts/default"), "the account is there")
    another.made("pods", {"metadata": {"name": "held", "finalizers": HELD}, "spec": SPEC})
    another.made("configmaps", {"metadata": {"name": "needed"}})
    control = another.cluster.control
    assert control.request("DELETE", place_of(another)).status == 200
    another.until(lambda: "deletionTimestamp" in another.pod("held")["metadata"], "the pod is to go")

    def told() -> bool:
        status = control.request("GET", place_of(another)).object["status"]
        return any(
            each["type"] == "NamespaceContentRemaining" and each["status"] == "True"
            for each in status.get("conditions", ())
        )

    another.until(told, "what is left is told")
    assert "deletionTimestamp" not in another.read("configmaps/needed")["metadata"]
    another.patched("pods/held", {"metadata": {"finalizers": None}})
    another.until(lambda: control.request("GET", place_of(another)).status == 404, "the namespace is gone")
