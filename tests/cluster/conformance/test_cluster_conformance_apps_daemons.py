"""DaemonSets and their revisions: a pod on every node that is selected, replaced and rolled back with care."""

from collections.abc import Iterator

import pytest
from conformance_apps_kit import GATE, Object, changed, condition, names, owner, pods_of, settles, workload
from conformance_kit import Space

pytestmark = pytest.mark.slow

PATH, REVISIONS = "apps/v1/daemonsets", "apps/v1/controllerrevisions"
HASH = "controller-revision-hash"
COLOUR = "conformance.example.com/colour"
MISSING: Object = {"image": "nowhere/there:is-none", "imagePullPolicy": "Never"}


def places(space: Space) -> list[str]:
    """Where its pods are ready."""
    found = pods_of(space, "log")
    return sorted(one["spec"].get("nodeName", "") for one in found if condition(one, "Ready").get("status") == "True")


def until_places(space: Space, *nodes: str) -> None:
    """A ready pod on each of those, and no other one."""
    space.until(lambda: places(space) == list(nodes) and len(pods_of(space, "log")) == len(nodes), f"pods on {nodes}")


def uids(space: Space) -> dict[str, str]:
    return {one["spec"]["nodeName"]: one["metadata"]["uid"] for one in pods_of(space, "log")}


def new_template(space: Space, **container: object) -> None:
    change = {"spec": {"template": {"spec": {"containers": [{"name": "c", **container}]}}}}
    space.patched(f"{PATH}/log", change, "application/strategic-merge-patch+json")


def env(value: str) -> list[Object]:
    return [{"name": "TURN", "value": value}]


def colour(space: Space, node: str, value: str | None) -> None:
    change = {"metadata": {"labels": {COLOUR: value}}}
    kind = {"Content-Type": "application/merge-patch+json"}
    assert space.cluster.control.request("PATCH", f"/api/v1/nodes/{node}", change, kind).status == 200


@pytest.fixture
def colours(space: Space) -> Iterator[Space]:
    yield space
    for node in ("node1", "node2"):
        colour(space, node, None)


# Covers: DaemonSet-Creation; DaemonSet-FailedPodCreation.
def test_each_node_has_a_pod_that_comes_back(space: Space) -> None:
    space.made(PATH, workload("DaemonSet", "log"))
    until_places(space, "node1", "node2")
    found = settles(space, f"{PATH}/log", desiredNumberScheduled=2, numberReady=2, numberAvailable=2)
    assert found["status"]["updatedNumberScheduled"] == 2 and found["status"]["numberMisscheduled"] == 0
    first, second = names(pods_of(space, "log"))
    space.request("DELETE", f"pods/{first}")
    space.until(lambda: space.is_gone(f"pods/{first}"), "it is gone")
    until_places(space, "node1", "node2")
    space.patched(f"pods/{second}/status", {"status": {"phase": "Failed", "reason": "Own"}})
    space.until(lambda: space.is_gone(f"pods/{second}"), "what failed is taken away")
    until_places(space, "node1", "node2")


# Covers: DaemonSet-NodeSelection.
def test_nodes_are_selected_by_their_labels(colours: Space) -> None:
    space = colours
    rolling = {"type": "RollingUpdate"}
    made = workload("DaemonSet", "log", pods={"nodeSelector": {COLOUR: "blue"}}, updateStrategy=rolling)
    space.made(PATH, made)
    settles(space, f"{PATH}/log", observedGeneration=1, desiredNumberScheduled=0)
    colour(space, "node1", "blue")
    until_places(space, "node1")
    colour(space, "node1", "green")
    until_places(space)
    space.patched(f"{PATH}/log", {"spec": {"template": {"spec": {"nodeSelector": {COLOUR: "green"}}}}})
    until_places(space, "node1")


def test_nodes_are_selected_by_affinity(colours: Space) -> None:
    space = colours
    term = {"matchExpressions": [{"key": COLOUR, "operator": "In", "values": ["blue"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    space.made(PATH, workload("DaemonSet", "log", pods={"affinity": {"nodeAffinity": required}}))
    settles(space, f"{PATH}/log", observedGeneration=1, desiredNumberScheduled=0)
    colour(space, "node2", "blue")
    until_places(space, "node2")
    colour(space, "node2", None)
    until_places(space)


# Covers: DaemonSet-RollingUpdate.
def test_pods_follow_their_template(space: Space) -> None:
    space.made(PATH, workload("DaemonSet", "log", updateStrategy={"type": "RollingUpdate"}))
    until_places(space, "node1", "node2")
    first = {one["metadata"]["labels"][HASH] for one in pods_of(space, "log")}
    new_template(space, env=env("1"))
    settles(space, f"{PATH}/log", observedGeneration=2, updatedNumberScheduled=2, numberAvailable=2)
    until_places(space, "node1", "node2")
    second = {one["metadata"]["labels"][HASH] for one in pods_of(space, "log")}
    found = {one["metadata"]["labels"][HASH]: one["revision"] for one in space.read(REVISIONS)["items"]}
    assert found == {first.pop(): 1, second.pop(): 2}


# Covers: DaemonSet-Rollback.
def test_going_back_restarts_nothing_that_is_right(space: Space) -> None:
    space.made(PATH, workload("DaemonSet", "log"))
    until_places(space, "node1", "node2")
    before = uids(space)
    new_template(space, **MISSING)
    settles(space, f"{PATH}/log", observedGeneration=2, updatedNumberScheduled=1, numberReady=1, numberUnavailable=1)
    space.kubectl("rollout", "undo", "ds/log")
    settles(space, f"{PATH}/log", observedGeneration=3, updatedNumberScheduled=2, numberAvailable=2)
    until_places(space, "node1", "node2")
    after = uids(space)
    assert len(set(before.items()) & set(after.items())) == 1, "the pod that never changed goes on"


# Covers: ControllerRevision, resource lifecycle.
def test_the_life_of_a_revision(space: Space) -> None:
    made = workload("DaemonSet", "log", updateStrategy={"type": "OnDelete"})
    uid = space.made(PATH, made)["metadata"]["uid"]
    until_places(space, "node1", "node2")
    selected = f"{REVISIONS}?labelSelector=app%3Dlog"

    def until_revisions(*numbers: int) -> list[Object]:
        space.until(lambda: sorted(one["revision"] for one in space.read(selected)["items"]) == list(numbers), "both")
        return list(space.read(selected)["items"])

    (first,) = until_revisions(1)
    assert owner(first) == uid and first["data"]["spec"]["template"]["$patch"] == "replace"
    name = first["metadata"]["name"]
    change = {"metadata": {"labels": {"has": "patch"}}}
    patched = space.patched(f"{REVISIONS}/{name}", change, "application/strategic-merge-patch+json")
    assert patched["metadata"]["labels"]["has"] == "patch"
    labels = {"app": "log", HASH: "own"}
    metadata = {"name": "log-own", "labels": labels, "ownerReferences": first["metadata"]["ownerReferences"]}
    head = {"apiVersion": "apps/v1", "kind": "ControllerRevision"}
    space.made(REVISIONS, {**head, "metadata": metadata, "data": first["data"], "revision": 2})
    until_revisions(1, 2)
    assert space.request("DELETE", f"{REVISIONS}/{name}").status == 200
    until_revisions(2)

    def relabel(found: Object) -> None:
        found["metadata"]["labels"]["has"] = "update"

    assert changed(space, f"{REVISIONS}/log-own", relabel)["metadata"]["labels"]["has"] == "update"
    refused = space.request("PUT", f"{REVISIONS}/log-own", {**space.read(f"{REVISIONS}/log-own"), "data": {"a": 1}})
    assert refused.status == 422 and b"immutable" in refused.body
    space.patched(f"{PATH}/log", {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}})
    until_revisions(2, 3)
    everywhere = space.cluster.control.request("GET", f"/apis/{REVISIONS}?labelSelector=has%3Dupdate").object
    assert names(everywhere["items"]) == ["log-own"]
    assert space.request("DELETE", f"{REVISIONS}?labelSelector=has%3Dupdate").status == 200
    until_revisions(3)


def test_surging_keeps_the_old_until_the_new_is_ready(space: Space) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}}
    space.made(PATH, workload("DaemonSet", "log", updateStrategy=rolling))
    until_places(space, "node1", "node2")
    old = set(uids(space).values())
    new_template(space, readinessProbe=GATE)
    settles(space, f"{PATH}/log", updatedNumberScheduled=2, numberAvailable=2)
    assert old < {one["metadata"]["uid"] for one in pods_of(space, "log")}  # both, on each node
    new = [one["metadata"]["name"] for one in pods_of(space, "log") if one["metadata"]["uid"] not in old]
    for name in new:
        space.until_phase(name, "Running")
        space.shell(name, "touch /ready")
    space.until(lambda: names(pods_of(space, "log")) == sorted(new), "the old ones go")
    settles(space, f"{PATH}/log", updatedNumberScheduled=2, numberAvailable=2)


def test_daemons_come_on_nodes_that_take_nothing_else(space: Space) -> None:
    """A cordoned node gets its daemons; a taint that drives out takes them away."""
    try:
        space.kubectl("cordon", "node2")
        space.made(PATH, workload("DaemonSet", "log"))
        until_places(space, "node1", "node2")
        space.kubectl("taint", "node", "node2", "own=now:NoSchedule")
        settles(space, f"{PATH}/log", desiredNumberScheduled=1, numberMisscheduled=1)
        until_places(space, "node1", "node2")  # what is there stays
        space.kubectl("taint", "node", "node2", "own=now:NoExecute")
        until_places(space, "node1")
    finally:
        space.cluster.kubectl("taint", "node", "node2", "own-", check=False)
        space.kubectl("uncordon", "node2")
    until_places(space, "node1", "node2")


def test_orphans_are_taken_and_others_let_go(space: Space) -> None:
    space.made(PATH, workload("DaemonSet", "log"))
    until_places(space, "node1", "node2")
    before = uids(space)
    made = space.read(f"{PATH}/log")
    space.kubectl("delete", "ds", "log", "--cascade=orphan")
    space.until(lambda: not any(map(owner, pods_of(space, "log"))), "the pods are nobody's")
    again = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "log"}, "spec": made["spec"]}
    uid = space.made(PATH, again)["metadata"]["uid"]
    space.until(lambda: {owner(one) for one in pods_of(space, "log")} == {uid}, "they are taken")
    settles(space, f"{PATH}/log", observedGeneration=1, updatedNumberScheduled=2, numberAvailable=2)
    assert uids(space) == before
    assert [owner(one) for one in space.read(REVISIONS)["items"]] == [uid]
    name = names(pods_of(space, "log"))[0]
    space.patched(f"pods/{name}", {"metadata": {"labels": {"app": "else"}}})
    space.until(lambda: not owner(space.pod(name)), "one that is not its own any more is let go")
    until_places(space, "node1", "node2")
