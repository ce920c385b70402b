"""ReplicaSets and ReplicationControllers: pods that are made, adopted, let go, scaled, and told of when refused."""

import pytest
from conformance_apps_kit import changed, condition, has, names, owner, pod, pods_of, settles, watched, workload
from conformance_kit import Space

pytestmark = pytest.mark.slow

SETS, CONTROLLERS = "apps/v1/replicasets", "replicationcontrollers"
BOTH = pytest.mark.parametrize(("kind", "path"), [("ReplicaSet", SETS), ("ReplicationController", CONTROLLERS)])
SERVER = "echo $HOSTNAME > /tmp/index.html; exec httpd -f -p 9376 -h /tmp"


# Covers: Replica Set, run basic image; Replication Controller, run basic image.
@BOTH
def test_each_replica_answers(space: Space, kind: str, path: str) -> None:
    probe = {"httpGet": {"path": "/", "port": 9376}, "periodSeconds": 1}
    pods = {"container": {"readinessProbe": probe, "ports": [{"containerPort": 9376}]}}
    space.made(path, workload(kind, "web", SERVER, replicas=2, pods=pods))
    settles(space, f"{path}/web", replicas=2, readyReplicas=2)
    for name in names(pods_of(space, "web")):
        answer = space.request("GET", f"pods/{name}:9376/proxy/")
        assert (answer.status, answer.body.decode().strip()) == (200, name)


# Covers: Replica Set, adopt matching pods and release non matching pods; Replication Controller, adopt matching pods;
# Replication Controller, release pods.
@BOTH
def test_orphans_are_taken_and_others_let_go(space: Space, kind: str, path: str) -> None:
    space.made("pods", pod("stray", "web"))
    made = space.made(path, workload(kind, "web", replicas=1))
    uid = made["metadata"]["uid"]
    space.until(lambda: owner(space.pod("stray")) == uid, "the orphan is adopted")
    assert names(pods_of(space, "web")) == ["stray"]
    reference = space.pod("stray")["metadata"]["ownerReferences"]
    assert reference == [
        {
            "apiVersion": made["apiVersion"],
            "kind": kind,
            "name": "web",
            "uid": uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    space.patched("pods/stray", {"metadata": {"labels": {"app": "else"}}})
    space.until(lambda: not owner(space.pod("stray")), "it is let go")
    space.until(lambda: len(pods_of(space, "web")) == 1, "another takes its place")


# Covers: ReplicaSet, completes the scaling of a ReplicaSet subresource; Replication Controller, get and update
# ReplicationController scale.
@BOTH
def test_the_scale_is_read_and_written(space: Space, kind: str, path: str) -> None:
    space.made(path, workload(kind, "web", replicas=1))
    settles(space, f"{path}/web", replicas=1, readyReplicas=1)
    scale = space.read(f"{path}/web/scale")
    assert (scale["apiVersion"], scale["kind"], scale["spec"]) == ("autoscaling/v1", "Scale", {"replicas": 1})
    assert scale["status"] == {"replicas": 1, "selector": "app=web"}
    scale["spec"]["replicas"] = 2
    assert space.replaced(f"{path}/web/scale", scale)["spec"] == {"replicas": 2}
    settles(space, f"{path}/web", replicas=2, readyReplicas=2)
    assert space.read(f"{path}/web")["spec"]["replicas"] == 2
    scale = space.patched(f"{path}/web/scale", {"spec": {"replicas": 3}})
    assert scale["spec"] == {"replicas": 3} and "resourceVersion" in scale["metadata"]
    settles(space, f"{path}/web", replicas=3, readyReplicas=3)


# Covers: ReplicaSet, is created, Replaced and Patched.
def test_a_set_is_replaced_and_patched(space: Space) -> None:
    space.made(SETS, workload("ReplicaSet", "web", replicas=1))
    settles(space, f"{SETS}/web", readyReplicas=1)
    space.patched(f"{SETS}/web/scale", {"spec": {"replicas": 2}})
    settles(space, f"{SETS}/web", replicas=2, availableReplicas=2)
    container = {"name": "c", "image": "busybox:other"}
    change = {
        "metadata": {"labels": {"has": "patch"}},
        "spec": {"replicas": 3, "template": {"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}},
    }
    patched = space.patched(f"{SETS}/web", change, "application/strategic-merge-patch+json")
    assert patched["metadata"]["labels"] == {"app": "web", "has": "patch"}
    assert patched["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 1
    found = patched["spec"]["template"]["spec"]["containers"][0]
    assert found["image"] == "busybox:other" and found["command"]  # merged by its name
    settles(space, f"{SETS}/web", replicas=3)


# Covers: ReplicaSet, list and delete a collection of ReplicaSets.
def test_sets_are_listed_and_deleted_together(space: Space) -> None:
    made = workload("ReplicaSet", "web", replicas=3)
    made["metadata"]["labels"]["group"] = space.name
    space.made(SETS, made)
    settles(space, f"{SETS}/web", readyReplicas=3)
    everywhere = space.cluster.control.request("GET", f"/apis/{SETS}?labelSelector=group%3D{space.name}")
    assert names(everywhere.object["items"]) == ["web"]
    assert space.request("DELETE", f"{SETS}?labelSelector=group%3D{space.name}").status == 200
    space.until(lambda: space.is_gone(f"{SETS}/web"), "it is gone")
    space.until(lambda: not pods_of(space, "web"), "and so are its pods")


# Covers: Replication Controller, check for issues like exceeding allocated quota.
@BOTH
def test_what_a_quota_refuses_is_told(space: Space, kind: str, path: str) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "two"}, "spec": {"hard": {"pods": "2"}}}
    space.made("resourcequotas", quota)
    space.until(lambda: space.read("resourcequotas/two").get("status", {}).get("hard"), "the quota is known")
    space.made(path, workload(kind, "web", replicas=3))
    space.until(lambda: condition(space.read(f"{path}/web"), "ReplicaFailure"), "the failure is told")
    told = condition(space.read(f"{path}/web"), "ReplicaFailure")
    assert (told["status"], told["reason"]) == ("True", "FailedCreate") and "exceeded quota: two" in told["message"]
    assert len(pods_of(space, "web")) == 2
    changed(space, f"{path}/web", lambda found: found["spec"].update(replicas=2))
    space.until(lambda: not condition(space.read(f"{path}/web"), "ReplicaFailure"), "it is told no more")
    settles(space, f"{path}/web", replicas=2, readyReplicas=2)


# Covers: Replication Controller, lifecycle.
def test_the_life_of_a_replication_controller(space: Space) -> None:
    path = f"{CONTROLLERS}/web"
    version = space.made(CONTROLLERS, workload("ReplicationController", "web", replicas=1))["metadata"][
        "resourceVersion"
    ]
    added = space.read(f"{CONTROLLERS}?labelSelector=app%3Dweb")
    assert names(added["items"]) == ["web"]
    watched(space, CONTROLLERS, version, lambda _, found: (found["status"].get("readyReplicas") or 0) == 1)
    patched = space.patched(path, {"metadata": {"labels": {"has": "patch"}}}, "application/strategic-merge-patch+json")
    assert patched["metadata"]["labels"]["has"] == "patch"
    told = space.patched(f"{path}/status", {"status": {"readyReplicas": 0, "availableReplicas": 0}})
    assert told["status"].get("readyReplicas", 0) == 0  # so the one that wrote it sees it
    since = told["metadata"]["resourceVersion"]
    watched(space, CONTROLLERS, since, lambda _, found: (found["status"].get("readyReplicas") or 0) == 1)
    assert space.read(f"{path}/status")["kind"] == "ReplicationController"
    space.patched(f"{path}/scale", {"spec": {"replicas": 2}})
    watched(space, CONTROLLERS, since, lambda _, found: (found["status"].get("readyReplicas") or 0) == 2)

    def annotate(found: dict[str, object]) -> None:
        found["metadata"]["annotations"] = {"has": "update"}  # type: ignore[index]

    since = changed(space, path, annotate)["metadata"]["resourceVersion"]
    everywhere = space.cluster.control.request("GET", f"/api/v1/{CONTROLLERS}?labelSelector=has%3Dpatch")
    assert [one["metadata"]["annotations"]["has"] for one in everywhere.object["items"]] == ["update"]
    assert space.request("DELETE", f"{CONTROLLERS}?labelSelector=has%3Dpatch").status == 200
    watched(space, CONTROLLERS, since, lambda event, _: event == "DELETED")
    space.until(lambda: not any(map(owner, pods_of(space, "web"))), "its pods stay, as nobody said otherwise")
    assert len(pods_of(space, "web")) == 2


def test_pods_that_end_are_counted_until_they_are_gone(space: Space) -> None:
    pods = {"terminationGracePeriodSeconds": 300}
    space.made(SETS, workload("ReplicaSet", "slow", "trap : TERM; while :; do sleep 1; done", replicas=2, pods=pods))
    settles(space, f"{SETS}/slow", readyReplicas=2)
    space.patched(f"{SETS}/slow/scale", {"spec": {"replicas": 0}})
    settles(space, f"{SETS}/slow", replicas=0, terminatingReplicas=2)
    for name in names(pods_of(space, "slow")):
        space.request("DELETE", f"pods/{name}", {"gracePeriodSeconds": 0})
    settles(space, f"{SETS}/slow", replicas=0, terminatingReplicas=0)
    assert has(space, f"{SETS}/slow", readyReplicas=0)
