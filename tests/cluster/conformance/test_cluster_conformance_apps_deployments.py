"""Deployments: their scale, both strategies, history, rollover, proportional scaling, deadlines."""

from typing import Any

import pytest
from conformance_apps_kit import (
    GATE,
    Object,
    changed,
    condition,
    has,
    names,
    owner,
    pods_of,
    settles,
    watched,
    workload,
)
from conformance_kit import Space

pytestmark = pytest.mark.slow

PATH, SETS = "apps/v1/deployments", "apps/v1/replicasets"
REVISION = "deployment.kubernetes.io/revision"
NONE_READY = {"readyReplicas": 0, "availableReplicas": 0, "unavailableReplicas": 1}
MISSING = {"image": "nowhere/there:is-none", "imagePullPolicy": "Never"}


def rolling(surge: Any, unavailable: Any) -> Object:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def sets_of(space: Space, app: str = "web") -> dict[str, Object]:
    """Replica sets by their revision."""
    found = space.read(f"{SETS}?labelSelector=app%3D{app}")["items"]
    return {one["metadata"].get("annotations", {}).get(REVISION, ""): one for one in found}


def new_template(space: Space, name: str = "web", **container: Any) -> Object:
    """Another template: a variable that grows, and what else is said of the container."""
    now = space.read(f"{PATH}/{name}")["spec"]["template"]["spec"]["containers"][0]
    turn = str(int(next((one["value"] for one in now.get("env", ()) if one["name"] == "TURN"), "0")) + 1)
    change = {"name": "c", "env": [{"name": "TURN", "value": turn}], **container}
    patch = {"spec": {"template": {"spec": {"containers": [change]}}}}
    return space.patched(f"{PATH}/{name}", patch, "application/strategic-merge-patch+json")


def complete(space: Space, name: str = "web") -> bool:
    found = space.read(f"{PATH}/{name}")
    count, status = found["spec"]["replicas"], found["status"]
    told = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    return told == [count] * 3 and status["observedGeneration"] == found["metadata"]["generation"]


def completes(space: Space, name: str = "web") -> Object:
    space.until(lambda: complete(space, name), f"{name} is rolled out")
    return space.read(f"{PATH}/{name}")


# Covers: Deployment, completes the scaling of a Deployment subresource.
def test_the_scale_of_a_deployment(space: Space) -> None:
    space.made(PATH, workload("Deployment", "web", replicas=1))
    completes(space)
    scale = space.read(f"{PATH}/web/scale")
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 1})
    scale["metadata"].pop("resourceVersion")
    scale["spec"]["replicas"] = 2
    assert space.replaced(f"{PATH}/web/scale", scale)["spec"]["replicas"] == 2
    assert space.read(f"{PATH}/web")["spec"]["replicas"] == 2
    kind = "application/strategic-merge-patch+json"
    assert space.patched(f"{PATH}/web/scale", {"spec": {"replicas": 4}}, kind)["spec"]["replicas"] == 4
    completes(space)
    assert space.read(f"{PATH}/web/scale")["status"] == {"replicas": 4, "selector": "app=web"}


# Covers: Deployment Recreate.
def test_recreating_never_mixes_old_and_new(space: Space) -> None:
    pods = {"terminationGracePeriodSeconds": 1}
    script = "trap 'sleep 0.3; exit' TERM; while :; do sleep 0.1; done"
    made = workload("Deployment", "web", script, replicas=2, strategy={"type": "Recreate"}, pods=pods)
    space.made(PATH, made)
    completes(space)
    old = set(names(pods_of(space, "web")))
    since = space.read("pods")["metadata"]["resourceVersion"]
    new_template(space)
    there = set(old)

    def mixed(event: str, found: Object) -> bool:
        name = found["metadata"]["name"]
        there.discard(name) if event == "DELETED" else there.add(name)
        phases = found["status"].get("phase")
        assert name in old or not there & old, f"{name} is {phases} while {there & old} are there"
        return name not in old and condition(found, "Ready").get("status") == "True"

    watched(space, "pods", since, mixed)
    completes(space)
    assert not old & set(names(pods_of(space, "web")))


# Covers: Deployment RollingUpdate.
def test_a_replica_set_is_adopted_and_replaced(space: Space) -> None:
    older = workload("ReplicaSet", "web", replicas=1)
    older["metadata"]["annotations"] = {REVISION: "3546343826724305832"}
    space.made(SETS, older)
    settles(space, f"{SETS}/web", readyReplicas=1)
    container = {"env": [{"name": "TURN", "value": "1"}]}
    made = space.made(PATH, workload("Deployment", "web", replicas=1, pods={"container": container}))
    done = completes(space)
    assert done["metadata"]["annotations"][REVISION] == "3546343826724305833"
    assert owner(space.read(f"{SETS}/web")) == made["metadata"]["uid"]
    settles(space, f"{SETS}/web", replicas=0)
    found = sets_of(space)
    assert sorted(found) == ["3546343826724305832", "3546343826724305833"]
    new = found["3546343826724305833"]["metadata"]
    assert new["name"] == f"web-{new['labels']['pod-template-hash']}"


# Covers: Deployment RevisionHistoryLimit.
def test_old_replica_sets_go(space: Space) -> None:
    space.made(SETS, workload("ReplicaSet", "web", replicas=1))
    settles(space, f"{SETS}/web", readyReplicas=1)
    pods = {"container": {"env": [{"name": "TURN", "value": "1"}]}}
    space.made(PATH, workload("Deployment", "web", replicas=1, revisionHistoryLimit=0, pods=pods))
    space.until(lambda: space.is_gone(f"{SETS}/web"), "no history is kept")
    completes(space)
    assert len(sets_of(space)) == 1 and len(pods_of(space, "web")) == 1


# Covers: Deployment Rollover.
def test_a_rollout_that_hangs_is_rolled_over(space: Space) -> None:
    space.made(SETS, workload("ReplicaSet", "web", replicas=1))
    settles(space, f"{SETS}/web", readyReplicas=1)
    pods = {"container": MISSING}
    made = workload("Deployment", "web", replicas=1, strategy=rolling(1, 0), minReadySeconds=1, pods=pods)
    space.made(PATH, made)
    settles(space, f"{PATH}/web", replicas=2, updatedReplicas=1, availableReplicas=1)
    hanging = sets_of(space)["1"]["metadata"]["name"]
    new_template(space, image="busybox", imagePullPolicy="IfNotPresent")
    completes(space)
    assert has(space, f"{SETS}/{hanging}", replicas=0) and has(space, f"{SETS}/web", replicas=0)
    assert space.read(f"{SETS}/{hanging}")["spec"]["replicas"] == 0
    assert len(pods_of(space, "web")) == 1


# Covers: Deployment Proportional Scaling.
def test_scaling_in_the_middle_is_shared(space: Space) -> None:
    space.made(PATH, workload("Deployment", "web", replicas=10, strategy=rolling(3, 2)))
    completes(space)
    first = sets_of(space)["1"]["metadata"]["name"]
    new_template(space, **MISSING)
    settles(space, f"{PATH}/web", replicas=13, updatedReplicas=5, availableReplicas=8)
    second = sets_of(space)["2"]["metadata"]["name"]
    assert [space.read(f"{SETS}/{name}")["spec"]["replicas"] for name in (first, second)] == [8, 5]
    space.patched(f"{PATH}/web/scale", {"spec": {"replicas": 30}})
    sizes = [20, 13]  # 33 pods at most, dealt out as 8 to 5
    space.until(
        lambda: [space.read(f"{SETS}/{name}")["spec"]["replicas"] for name in (first, second)] == sizes,
        f"the sets have {sizes}",
    )


# Covers: Deployment, completes the lifecycle of a Deployment.
def test_the_life_of_a_deployment(space: Space) -> None:
    space.made(PATH, workload("Deployment", "web", replicas=2))
    completes(space)
    patched = space.patched(f"{PATH}/web", {"metadata": {"labels": {"has": "patch"}}, "spec": {"replicas": 1}})
    assert patched["metadata"]["labels"]["has"] == "patch"
    completes(space)
    everywhere = space.cluster.control.request("GET", f"/apis/{PATH}?labelSelector=has%3Dpatch").object["items"]
    assert [one["metadata"]["namespace"] for one in everywhere] == [space.name]

    def update(found: Object) -> None:
        found["metadata"]["labels"]["has"] = "update"
        found["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "TURN", "value": "9"}]

    changed(space, f"{PATH}/web", update)
    done = completes(space)
    assert done["metadata"]["annotations"][REVISION] == "2"
    told = space.read(f"{PATH}/web/status")["status"]
    assert {one["type"]: one["status"] for one in told["conditions"]} == {"Available": "True", "Progressing": "True"}
    since = space.patched(f"{PATH}/web/status", {"status": NONE_READY})["metadata"]["resourceVersion"]
    watched(space, PATH, since, lambda _, found: found["status"].get("readyReplicas") == 1)
    assert space.request("DELETE", f"{PATH}?labelSelector=has%3Dupdate").status == 200
    watched(space, PATH, since, lambda event, _: event == "DELETED")
    space.until(lambda: not sets_of(space) and not pods_of(space, "web"), "sets and pods go with it")


def test_a_deadline_passes_and_the_rollout_recovers(space: Space) -> None:
    made = workload("Deployment", "web", replicas=1, progressDeadlineSeconds=1, pods={"container": MISSING})
    space.made(PATH, made)
    space.until(
        lambda: condition(space.read(f"{PATH}/web"), "Progressing").get("reason") == "ProgressDeadlineExceeded",
        "the deadline is told",
    )
    told = condition(space.read(f"{PATH}/web"), "Progressing")
    assert told["status"] == "False" and "has timed out progressing" in told["message"]
    assert "exceeded its progress deadline" in space.refusal("rollout", "status", "deployment/web", "--timeout=20s")
    new_template(space, image="busybox", imagePullPolicy="IfNotPresent")
    space.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    assert condition(space.read(f"{PATH}/web"), "Progressing")["reason"] == "NewReplicaSetAvailable"


def test_a_pod_counts_when_it_was_ready_for_a_while(space: Space) -> None:
    made = workload("Deployment", "web", replicas=2, minReadySeconds=500, strategy=rolling(1, 0))
    space.made(PATH, made)
    settles(space, f"{PATH}/web", readyReplicas=2, availableReplicas=0, unavailableReplicas=2)
    assert condition(space.read(f"{PATH}/web"), "Available")["status"] == "False"
    space.patched(f"{PATH}/web", {"spec": {"minReadySeconds": 0}})
    settles(space, f"{PATH}/web", availableReplicas=2, unavailableReplicas=0)
    assert len(sets_of(space)) == 1
    space.patched(f"{PATH}/web", {"spec": {"minReadySeconds": 500}})
    settles(space, f"{PATH}/web", availableReplicas=0)
    new_template(space)  # none of the old ones may go: none is available
    settles(space, f"{PATH}/web", replicas=3, updatedReplicas=1, readyReplicas=3)


def test_rollouts_end_whatever_is_changed_and_deleted_meanwhile(space: Space) -> None:
    space.made(PATH, workload("Deployment", "web", replicas=4, strategy=rolling("25%", "25%"), revisionHistoryLimit=2))
    for turn in range(4):
        new_template(space)
        if turn == 1:
            space.patched(f"{PATH}/web", {"spec": {"paused": True}})
            space.patched(f"{PATH}/web/scale", {"spec": {"replicas": 6}})
            space.patched(f"{PATH}/web", {"spec": {"paused": False}})
        for one in names(pods_of(space, "web"))[turn::3]:
            space.request("DELETE", f"pods/{one}")
    completes(space)
    space.until(lambda: len(sets_of(space)) == 3, "the history is as long as it may be")
    assert max(map(int, sets_of(space))) == int(space.read(f"{PATH}/web")["metadata"]["annotations"][REVISION])
    space.kubectl("rollout", "undo", "deployment/web")
    completes(space)


def test_pods_that_end_are_told_beside_the_others(space: Space) -> None:
    pods = {"terminationGracePeriodSeconds": 300}
    script = "trap : TERM; while :; do sleep 1; done"
    space.made(PATH, workload("Deployment", "web", script, replicas=2, strategy=rolling(2, 0), pods=pods))
    completes(space)
    old = names(pods_of(space, "web"))
    new_template(space)
    settles(space, f"{PATH}/web", replicas=2, updatedReplicas=2, availableReplicas=2, terminatingReplicas=2)
    for name in old:
        space.request("DELETE", f"pods/{name}", {"gracePeriodSeconds": 0})
    settles(space, f"{PATH}/web", terminatingReplicas=0)
    space.patched(f"{PATH}/web/scale", {"spec": {"replicas": 0}})
    settles(space, f"{PATH}/web", replicas=0)
    for name in names(pods_of(space, "web")):
        space.request("DELETE", f"pods/{name}", {"gracePeriodSeconds": 0})


def test_a_gate_holds_a_rollout(space: Space) -> None:
    """The old pods serve until the new ones are ready."""
    space.made(PATH, workload("Deployment", "web", replicas=2, strategy=rolling(1, 0)))
    completes(space)
    new_template(space, readinessProbe=GATE)
    settles(space, f"{PATH}/web", replicas=3, updatedReplicas=1, readyReplicas=2)

    def opened() -> bool:
        for pod in pods_of(space, "web"):
            if condition(pod, "Ready").get("status") != "True" and pod["status"].get("phase") == "Running":
                words = ("-n", space.name, "exec", pod["metadata"]["name"], "--", "touch", "/ready")
                space.cluster.kubectl(*words, check=False)
        assert space.read(f"{PATH}/web")["status"].get("availableReplicas", 0) >= 2
        return complete(space)

    space.until(opened, "it is rolled out as its pods become ready")


def test_orphans_of_a_deployment_are_taken_over(space: Space) -> None:
    made = workload("Deployment", "web", replicas=1)
    space.made(PATH, made)
    completes(space)
    (replicas,), old = names(list(sets_of(space).values())), names(pods_of(space, "web"))
    space.kubectl("delete", "deployment", "web", "--cascade=orphan")
    space.until(lambda: not owner(space.read(f"{SETS}/{replicas}")), "the set is nobody's")
    uid = space.made(PATH, made)["metadata"]["uid"]
    space.until(lambda: owner(space.read(f"{SETS}/{replicas}")) == uid, "and the new one's")
    completes(space)
    assert names(pods_of(space, "web")) == old and len(sets_of(space)) == 1
