"""Deletions: preconditions, grace, finalizers, propagation, collections, namespaces."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from cluster_api_kit import Asker, config_map, running

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure

PATH = "v1/configmaps"


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    async with running() as asker:
        yield asker


def pod(name: str, **spec: Any) -> Object:
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": {"app": "a"}},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }


async def test_preconditions(asker: Asker) -> None:
    made = (await asker.create(PATH, "default", config_map("a")))["metadata"]
    with pytest.raises(Failure, match="does not match the UID in record"):
        await asker.delete(PATH, "default", "a", precondition_uid="x")
    with pytest.raises(Failure, match="does not match the ResourceVersion in record") as caught:
        await asker.delete(PATH, "default", "a", precondition_version="99")
    assert caught.value.code == 409
    gone = await asker.delete(
        PATH, "default", "a", precondition_uid=made["uid"], precondition_version=made["resourceVersion"]
    )
    assert gone == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "a", "kind": "configmaps", "uid": made["uid"]},
    }


async def test_finalizers_hold_an_object(asker: Asker) -> None:
    await asker.create(PATH, "default", config_map("a", finalizers=["example.com/one"]))
    held = await asker.delete(PATH, "default", "a")
    assert held["metadata"]["deletionTimestamp"] == "2026-11-22T12:00:00Z"
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    assert (await asker.delete(PATH, "default", "a"))["metadata"]["resourceVersion"] == "2"
    with pytest.raises(Failure, match="no new finalizers can be added if the object is being deleted"):
        await asker.patch(PATH, "default", "a", {"metadata": {"finalizers": ["example.com/one", "example.com/two"]}})
    watch = await asker.watch(PATH, version="2")
    answer = await asker.patch(PATH, "default", "a", {"metadata": {"finalizers": None}})
    assert "finalizers" not in answer["metadata"]
    assert (await watch.next())["type"] == "DELETED"
    await watch.close()
    with pytest.raises(Failure, match="not found"):
        await asker.get(PATH, "default", "a")


async def test_propagation_policies_set_finalizers(asker: Asker) -> None:
    for name, policy, finalizer in (("a", "Foreground", "foregroundDeletion"), ("b", "Orphan", "orphan")):
        await asker.create(PATH, "default", config_map(name))
        held = await asker.delete(PATH, "default", name, propagation=policy)
        assert held["metadata"]["finalizers"] == [finalizer]
    await asker.create(PATH, "default", config_map("c"))
    assert (await asker.delete(PATH, "default", "c", propagation="Background"))["kind"] == "Status"
    changed = await asker.delete(PATH, "default", "b", propagation="Background")
    assert changed["metadata"]["name"] == "b" if changed["kind"] == "ConfigMap" else changed["status"] == "Success"
    await asker.create(PATH, "default", config_map("d"))
    with pytest.raises(Failure, match='Unsupported value: "x"'):
        await asker.delete(PATH, "default", "d", propagation="x")


async def test_the_oldest_workloads_leave_their_pods_behind(asker: Asker) -> None:
    """Where nobody says otherwise: by a propagation policy, or by a finalizer that is there."""
    path = "v1/replicationcontrollers"
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}

    def controller(name: str, **metadata: Any) -> Object:
        head = {"kind": "ReplicationController", "apiVersion": "v1", "metadata": {"name": name, **metadata}}
        return {**head, "spec": {"selector": {"app": "a"}, "template": template}}

    await asker.create(path, "default", controller("a"))
    assert (await asker.delete(path, "default", "a"))["metadata"]["finalizers"] == ["orphan"]
    await asker.create(path, "default", controller("b"))
    assert (await asker.delete(path, "default", "b", propagation="Background"))["kind"] == "Status"
    await asker.create(path, "default", controller("c"))
    held = await asker.delete(path, "default", "c", propagation="Foreground")
    assert held["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert (await asker.delete(path, "default", "c"))["metadata"]["finalizers"] == ["foregroundDeletion"]


async def test_pods_have_a_grace_period(asker: Asker) -> None:
    await asker.create("v1/pods", "default", pod("a"))
    assert (await asker.delete("v1/pods", "default", "a"))["metadata"]["name"] == "a"
    await asker.create("v1/pods", "default", pod("b", nodeName="n", terminationGracePeriodSeconds=40))
    first = (await asker.delete("v1/pods", "default", "b"))["metadata"]
    assert (first["deletionTimestamp"], first["deletionGracePeriodSeconds"]) == ("2026-11-22T12:00:40Z", 40)
    asker.clock.forward(5)
    assert (await asker.delete("v1/pods", "default", "b"))["metadata"]["resourceVersion"] == first["resourceVersion"]
    shorter = (await asker.delete("v1/pods", "default", "b", grace=10))["metadata"]
    assert (shorter["deletionTimestamp"], shorter["deletionGracePeriodSeconds"]) == ("2026-11-22T12:00:10Z", 10)
    await asker.delete("v1/pods", "default", "b", grace=0)
    assert (await asker.list("v1/pods"))["items"] == []


async def test_collections(asker: Asker) -> None:
    for number in range(45):
        await asker.create(PATH, "default", config_map(f"a{number}", labels={"odd": str(number % 2)}))
    await asker.create(PATH, "other", config_map("kept", labels={"odd": "1"}))
    gone = await asker.ask("deletecollection", PATH, "default", label_selector="odd=1")
    assert gone["kind"] == "ConfigMapList" and len(gone["items"]) == 22
    assert len((await asker.list(PATH, "default"))["items"]) == 23
    await asker.ask("deletecollection", PATH)
    assert (await asker.list(PATH))["items"] == []


async def test_a_namespace_waits_for_its_controller(asker: Asker) -> None:
    path = "v1/namespaces"
    made = await asker.create(path, "", {"metadata": {"name": "n"}})
    assert made["spec"]["finalizers"] == ["kubernetes"] and made["status"]["phase"] == "Active"
    going = await asker.delete(path, "", "n")
    assert going["status"]["phase"] == "Terminating"
    assert going["metadata"]["deletionTimestamp"]
    assert (await asker.delete(path, "", "n"))["metadata"]["resourceVersion"] == going["metadata"]["resourceVersion"]
    empty = {**going, "spec": {"finalizers": []}}
    final = await asker.update(f"{path}/finalize", "", empty)
    assert not final["spec"].get("finalizers")
    with pytest.raises(Failure, match="not found"):
        await asker.get(path, "", "n")


async def test_a_pods_finalizer_goes_after_its_grace(asker: Asker) -> None:
    held = pod("a", nodeName="n")
    held["metadata"]["finalizers"] = ["example.com/x"]
    await asker.create("v1/pods", "default", held)
    await asker.delete("v1/pods", "default", "a")
    await asker.patch("v1/pods", "default", "a", {"metadata": {"finalizers": None}})
    assert (await asker.get("v1/pods", "default", "a"))["metadata"]["deletionGracePeriodSeconds"] == 30
    await asker.delete("v1/pods", "default", "a", grace=0)
    assert (await asker.list("v1/pods"))["items"] == []
