"""StatefulSets as the list asks for them: order, halting, bursts, rolling updates with and without a partition."""

import functools

import pytest
from conformance_apps_kit import (
    GATE,
    Object,
    changed,
    condition,
    names,
    pod,
    pods_of,
    settles,
    workload,
)
from conformance_kit import Space
from watching_kit import watching

pytestmark = pytest.mark.slow

PATH = "apps/v1/statefulsets"
HASH = "controller-revision-hash"
ENV = "/spec/template/spec/containers/0/env"
READY = "touch /ready; "


def stateful(space: Space, script: str = "", *, gated: bool = False, **spec: object) -> Object:
    """Three members of a headless service; `gated`: each is ready while its file /ready is there."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "db"},
        "spec": {"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 80}]},
    }
    space.made("services", service)
    spec = {"replicas": 3, "serviceName": "db", **spec}
    idle = "trap exit TERM; while :; do sleep 1000 & wait; done"
    pods: Object = {"container": {"readinessProbe": GATE}} if gated else {}
    return space.made(PATH, workload("StatefulSet", "db", script + idle, pods=pods, **spec))


def is_ready(found: Object) -> bool:
    return condition(found, "Ready").get("status") == "True" and "deletionTimestamp" not in found["metadata"]


def is_there(space: Space, name: str) -> bool:
    return not space.is_gone(f"pods/{name}")


def until_members(space: Space, ready: str, unready: str = "") -> None:
    """Those ordinals are there: "012", ready or not."""

    def there() -> bool:
        found = {one["metadata"]["name"].removeprefix("db-"): is_ready(one) for one in pods_of(space, "db")}
        return found == {**dict.fromkeys(ready, True), **dict.fromkeys(unready, False)}

    space.until(there, f"members {ready} are ready, {unready} are not")


def set_ready(space: Space, ordinals: str, yes: bool) -> None:
    for one in ordinals:
        space.shell(f"db-{one}", "touch /ready" if yes else "rm -f /ready")


def hashes(space: Space) -> dict[str, str]:
    return {one["metadata"]["name"]: one["metadata"]["labels"][HASH] for one in pods_of(space, "db")}


def new_template(space: Space, turn: str) -> None:
    container = {"name": "c", "env": [{"name": "TURN", "value": turn}]}
    change = {"spec": {"template": {"spec": {"containers": [container]}}}}
    space.patched(f"{PATH}/db", change, "application/strategic-merge-patch+json")


def is_in_order(events: list[Object], kind: str, wanted: list[str]) -> bool:
    return [one["object"]["metadata"]["name"] for one in events if one["type"] == kind] == wanted


# Covers: StatefulSet, Scaling.
def test_members_come_and_go_in_order_and_halt_when_one_is_ill(space: Space) -> None:
    with watching(space.cluster, space.path("pods"), labelSelector="app=db") as seen:
        stateful(space, gated=True, replicas=1)
        until_members(space, "", "0")
        set_ready(space, "0", True)
        until_members(space, "0")
        set_ready(space, "0", False)
        until_members(space, "", "0")
        space.patched(f"{PATH}/db/scale", {"spec": {"replicas": 3}})
        settles(space, f"{PATH}/db", observedGeneration=2, replicas=1)
        assert names(pods_of(space, "db")) == ["db-0"]  # it halts
        for one in "012":
            space.until(functools.partial(is_there, space, f"db-{one}"), "the next one comes")
            space.until_phase(f"db-{one}", "Running")
            set_ready(space, one, True)
        until_members(space, "012")
        assert is_in_order(seen.events, "ADDED", ["db-0", "db-1", "db-2"])
        set_ready(space, "012", False)
        until_members(space, "", "012")
        space.patched(f"{PATH}/db/scale", {"spec": {"replicas": 0}})
        settles(space, f"{PATH}/db", observedGeneration=3, replicas=3)
        assert len(pods_of(space, "db")) == 3  # it halts
        set_ready(space, "012", True)
        space.until(lambda: not pods_of(space, "db"), "all are gone")
        space.until(lambda: is_in_order(seen.events, "DELETED", ["db-2", "db-1", "db-0"]), "downwards")


# Covers: StatefulSet, Burst Scaling.
def test_parallel_members_do_not_wait_for_each_other(space: Space) -> None:
    stateful(space, gated=True, replicas=1, podManagementPolicy="Parallel")
    until_members(space, "", "0")
    space.patched(f"{PATH}/db/scale", {"spec": {"replicas": 3}})
    until_members(space, "", "012")
    for one in "012":
        space.until_phase(f"db-{one}", "Running")
    set_ready(space, "012", True)
    until_members(space, "012")
    set_ready(space, "0", False)
    until_members(space, "12", "0")
    space.patched(f"{PATH}/db/scale", {"spec": {"replicas": 0}})
    space.until(lambda: not pods_of(space, "db"), "all are gone, whatever their health")
    settles(space, f"{PATH}/db", replicas=0)


# Covers: StatefulSet, Recreate Failed Pod.
def test_a_member_that_cannot_run_is_made_anew(space: Space) -> None:
    ports = {"ports": [{"containerPort": 21017, "hostPort": 21017}]}
    space.made("pods", pod("first", "other", nodeName="node1", container=ports))
    space.until_ready("first")
    pods = {"nodeName": "node1", "container": ports}
    space.made(PATH, workload("StatefulSet", "db", replicas=1, serviceName="db", pods=pods))
    uids: set[str] = set()

    def came_twice() -> bool:
        uids.update(one["metadata"]["uid"] for one in pods_of(space, "db"))
        return len(uids) > 1

    space.until(came_twice, "a failed member is deleted and made again")
    space.request("DELETE", "pods/first")
    settles(space, f"{PATH}/db", readyReplicas=1)
    assert names(pods_of(space, "db")) == ["db-0"]


# Covers: StatefulSet resource Replica scaling.
def test_the_scale_of_a_stateful_set(space: Space) -> None:
    stateful(space, replicas=1)
    settles(space, f"{PATH}/db", readyReplicas=1)
    scale = space.read(f"{PATH}/db/scale")
    assert scale["spec"] == {"replicas": 1} and scale["status"] == {"replicas": 1, "selector": "app=db"}
    scale["metadata"].pop("resourceVersion")
    scale["spec"]["replicas"] = 2
    assert space.replaced(f"{PATH}/db/scale", scale)["spec"]["replicas"] == 2
    assert space.read(f"{PATH}/db")["spec"]["replicas"] == 2
    kind = "application/strategic-merge-patch+json"
    assert space.patched(f"{PATH}/db/scale", {"spec": {"replicas": 4}}, kind)["spec"]["replicas"] == 4
    settles(space, f"{PATH}/db", readyReplicas=4)


# Covers: StatefulSet, Rolling Update.
def test_members_are_replaced_one_by_one_and_rolled_back(space: Space) -> None:
    stateful(space, READY, gated=True)
    first = settles(space, f"{PATH}/db", readyReplicas=3)["status"]
    assert first["currentRevision"] == first["updateRevision"]
    with watching(space.cluster, space.path("pods"), labelSelector="app=db") as seen:
        began = len(seen.events)
        set_ready(space, "1", False)  # one that is ill is waited for
        until_members(space, "02", "1")
        new_template(space, "1")
        told = settles(space, f"{PATH}/db", observedGeneration=2, readyReplicas=2)["status"]
        assert told["currentRevision"] == first["currentRevision"] != told["updateRevision"]
        assert set(hashes(space).values()) == {first["currentRevision"]}
        set_ready(space, "1", True)
        settles(space, f"{PATH}/db", readyReplicas=3, updatedReplicas=3, currentRevision=told["updateRevision"])
        order = [one["object"]["metadata"]["name"] for one in seen.events[began:] if one["type"] == "DELETED"]
        assert order == ["db-2", "db-1", "db-0"]
    revisions = space.read("apps/v1/controllerrevisions")["items"]
    assert sorted(one["revision"] for one in revisions) == [1, 2]
    space.patched(f"{PATH}/db", [{"op": "remove", "path": ENV}], "application/json-patch+json")
    wanted = first["updateRevision"]
    settles(space, f"{PATH}/db", readyReplicas=3, currentRevision=wanted, updateRevision=wanted)
    assert set(hashes(space).values()) == {wanted}
    found = {one["metadata"]["name"]: one["revision"] for one in space.read("apps/v1/controllerrevisions")["items"]}
    assert sorted(found.values()) == [2, 3] and found[wanted] == 3  # the same one, newer


# Covers: StatefulSet, Rolling Update with Partition.
def test_a_partition_holds_members_back(space: Space) -> None:
    def partition(ordinal: int) -> Object:
        return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": ordinal}}}

    stateful(space, **partition(3))
    old = settles(space, f"{PATH}/db", readyReplicas=3)["status"]["currentRevision"]
    new_template(space, "1")

    def has_two() -> bool:
        return bool(space.read(f"{PATH}/db")["status"]["updateRevision"] != old)

    space.until(has_two, "the new revision is known")
    new = space.read(f"{PATH}/db")["status"]["updateRevision"]
    assert set(hashes(space).values()) == {old}

    def until_hashes(*wanted: str) -> None:
        members = {f"db-{ordinal}": one for ordinal, one in enumerate(wanted)}
        space.until(lambda: hashes(space) == members, f"members have {wanted}")
        settles(space, f"{PATH}/db", readyReplicas=3)

    space.patched(f"{PATH}/db", {"spec": partition(2)})
    until_hashes(old, old, new)
    gone = [space.pod(name)["metadata"]["uid"] for name in ("db-0", "db-2")]
    for name in ("db-0", "db-2"):
        space.request("DELETE", f"pods/{name}")
    space.until(lambda: not set(gone) & {one["metadata"]["uid"] for one in pods_of(space, "db")}, "they went")
    until_hashes(old, old, new)  # each came back as it was
    told = space.read(f"{PATH}/db")["status"]
    assert (told["currentReplicas"], told["updatedReplicas"]) == (2, 1)
    space.patched(f"{PATH}/db", {"spec": partition(1)})
    until_hashes(old, new, new)
    space.patched(f"{PATH}/db", {"spec": partition(0)})
    until_hashes(new, new, new)
    settles(space, f"{PATH}/db", currentRevision=new, updateRevision=new, updatedReplicas=3)


# Covers: StatefulSet, list, patch and delete a collection of StatefulSets.
def test_stateful_sets_are_patched_and_deleted_together(space: Space) -> None:
    stateful(space, replicas=1)
    settles(space, f"{PATH}/db", readyReplicas=1)

    def relabel(found: Object) -> None:
        found["metadata"]["labels"]["has"] = "update"

    changed(space, f"{PATH}/db", relabel)
    space.patched(f"{PATH}/db", {"spec": {"replicas": 2}})
    settles(space, f"{PATH}/db", readyReplicas=2)
    everywhere = space.cluster.control.request("GET", f"/apis/{PATH}?labelSelector=has%3Dupdate").object
    assert [one["spec"]["replicas"] for one in everywhere["items"]] == [2]
    assert space.request("DELETE", f"{PATH}?labelSelector=has%3Dupdate").status == 200
    space.until(lambda: space.is_gone(f"{PATH}/db") and not pods_of(space, "db"), "all is gone")
