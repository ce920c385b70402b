"""Leases, pod templates and nodes as objects; pods that leave a tainted node in their own time."""

import datetime
from typing import Any

import pytest
from conformance_kit import Space
from nodes_kit import condition

pytestmark = pytest.mark.slow

STRATEGIC = "application/strategic-merge-patch+json"
LEASES = "coordination.k8s.io/v1/leases"
TAINT = "conformance.boxship.io/leave"


# Covers: lease API should be available.
def test_leases(space: Space) -> None:
    now = "2026-01-02T03:04:05.000006Z"
    spec = {
        "holderIdentity": "me",
        "leaseDurationSeconds": 30,
        "acquireTime": now,
        "renewTime": now,
        "leaseTransitions": 0,
    }
    space.made(LEASES, {"metadata": {"name": "one"}, "spec": spec})
    found = space.read(f"{LEASES}/one")
    assert found["spec"] == spec
    later = {**spec, "holderIdentity": "you", "renewTime": "2026-01-02T03:04:06.000000Z", "leaseTransitions": 1}
    found["spec"] = later
    space.replaced(f"{LEASES}/one", found)
    assert space.read(f"{LEASES}/one")["spec"] == later
    space.patched(f"{LEASES}/one", {"spec": {"leaseDurationSeconds": 60, "holderIdentity": "other"}}, STRATEGIC)
    assert space.read(f"{LEASES}/one")["spec"] == {**later, "leaseDurationSeconds": 60, "holderIdentity": "other"}
    space.made(LEASES, {"metadata": {"name": "two", "labels": {"kind": "second"}}, "spec": spec})
    assert [one["metadata"]["name"] for one in space.get("leases")] == ["one", "two"]
    assert space.request("DELETE", f"{LEASES}?labelSelector=kind%3Dsecond").status == 200
    assert [one["metadata"]["name"] for one in space.get("leases")] == ["one"]
    assert space.request("DELETE", f"{LEASES}/one").status == 200
    assert space.request("GET", f"{LEASES}/one").object["reason"] == "NotFound"


# Covers: PodTemplate lifecycle; PodTemplate, replace; PodTemplate, delete a collection.
def test_pod_templates(space: Space) -> None:
    def template(name: str, **labels: str) -> dict[str, Any]:
        containers = [{"name": "nginx", "image": "busybox"}]
        return {"metadata": {"name": name, "labels": labels}, "template": {"spec": {"containers": containers}}}

    for name in ("one", "two", "three"):
        space.made("podtemplates", template(name, static="true"))
    change = {"metadata": {"labels": {"podtemplate": "patched"}}}
    space.patched("podtemplates/one", change, STRATEGIC)
    found = space.read("podtemplates/one")
    assert found["metadata"]["labels"] == {"static": "true", "podtemplate": "patched"}
    everywhere = space.cluster.get("podtemplates", "-A", "-l", "podtemplate=patched")
    assert [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in everywhere] == [(space.name, "one")]
    found["metadata"]["annotations"] = {"updated": "true"}
    assert space.replaced("podtemplates/one", found)["metadata"]["annotations"] == {"updated": "true"}
    assert space.request("DELETE", "podtemplates/one").status == 200
    assert space.get("podtemplates", "-l", "podtemplate=patched") == []
    assert len(space.get("podtemplates", "-l", "static=true")) == 2
    assert space.request("DELETE", "podtemplates?labelSelector=static%3Dtrue").status == 200
    assert space.get("podtemplates", "-l", "static=true") == []


# Covers: Node, resource lifecycle.
def test_the_life_of_a_node(space: Space) -> None:
    """Of one that no machine stands behind."""
    ask, name = space.cluster.control.request, f"fake-{space.name}"
    path = f"/api/v1/nodes/{name}"
    made = ask("POST", "/api/v1/nodes", {"metadata": {"name": name}, "spec": {"unschedulable": True}})
    assert made.status == 201
    assert ask("GET", path).object["metadata"]["name"] == name
    patched = ask("PATCH", path, {"metadata": {"labels": {name: "patched"}}}, {"Content-Type": STRATEGIC})
    assert patched.object["metadata"]["labels"][name] == "patched"
    assert [one["metadata"]["name"] for one in space.get("nodes", "-l", f"{name}=patched")] == [name]

    def updated() -> bool:
        """Controllers write to it, too."""
        whole = ask("GET", path).object
        whole["metadata"]["labels"][name] = "updated"
        answer = ask("PUT", path, whole)
        assert answer.status in (200, 409), answer.body
        return bool(answer.status == 200 and answer.object["metadata"]["labels"][name] == "updated")

    space.until(updated, "it is updated")
    assert ask("DELETE", path).status == 200
    space.until(lambda: ask("GET", path).status == 404, "it is gone")


def sleeper(name: str, node: str, *seconds: int) -> dict[str, Any]:
    """A pod on that node; `seconds`: how long it tolerates the taint."""
    tolerated = [
        {"key": TAINT, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": each} for each in seconds
    ]
    container = {"name": "c", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "600"]}
    spec = {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [container], "tolerations": tolerated}
    return {"metadata": {"name": name}, "spec": spec}


# Covers: Pod Eviction, Toleration limits; Taint, Pod Eviction on taint removal.
def test_a_tainted_node_is_left_in_time(space: Space) -> None:
    """One after 1 s and one much later; the taint goes before that, so the latter stays."""
    for name, seconds in (("short", 1), ("long", 20), ("least", 2)):
        space.made("pods", sleeper(name, "node2", seconds, *([30] if name == "least" else [])))
    space.made("pods", sleeper("elsewhere", "node1", 1))
    space.until_ready("short", "long", "least", "elsewhere")
    space.cluster.kubectl("taint", "node", "node2", f"{TAINT}=now:NoExecute")
    try:
        tainted = datetime.datetime.now(datetime.UTC)
        space.until(lambda: space.is_gone("pods/short") and space.is_gone("pods/least"), "those with short patience go")
        assert (datetime.datetime.now(datetime.UTC) - tainted).total_seconds() > 0.5
        assert "deletionTimestamp" not in space.pod("long")["metadata"]
    finally:
        space.cluster.kubectl("taint", "node", "node2", f"{TAINT}-")
    space.until(lambda: any("Cancelling" in one["message"] for one in space.events()), "its eviction is cancelled")
    assert condition(space.pod("long"), "Ready") == condition(space.pod("elsewhere"), "Ready") == "True"
