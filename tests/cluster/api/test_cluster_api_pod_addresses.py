"""PodAddress: what nodes see of all pods is read, listed and watched as pods are, and tells nothing that pods run."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cluster_api_kit import Asker, running

from boxship.cluster.api.request import View
from boxship.cluster.objects import pod_addresses
from boxship.cluster.objects.failure import Failure
from boxship.cluster.proxy.walls import pod_facts
from boxship.store.memory import MemoryStore

PATH = "node.boxship.io/v1/podaddresses"
HIDDEN = "hidden-word"


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    async with running(MemoryStore()) as asker:
        yield asker


def pod(name: str, node: str = "one") -> dict[str, Any]:
    """It says the hidden word wherever a pod can."""
    ports = [{"name": "web", "containerPort": 80}, {"containerPort": 81}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}, "annotations": {"a": HIDDEN}},
        "spec": {
            "nodeName": node,
            "containers": [
                {"name": "c", "image": HIDDEN, "ports": ports, "env": [{"name": "A", "value": HIDDEN}]},
                {"name": "d", "image": HIDDEN, "command": [HIDDEN]},
            ],
            "volumes": [{"name": HIDDEN, "secret": {"secretName": HIDDEN}}],
        },
    }


async def running_pod(asker: Asker, name: str, address: str, node: str = "one") -> None:
    await asker.create("v1/pods", "default", pod(name, node))
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "message": HIDDEN}
    await asker.patch("v1/pods/status", "default", name, {"status": status})


async def test_only_what_neighbours_may_know_is_shown(asker: Asker) -> None:
    await running_pod(asker, "a", "10.0.0.1")
    shown = await asker.get(PATH, "default", "a")
    whole = await asker.get("v1/pods", "default", "a")
    assert (shown["kind"], shown["apiVersion"]) == ("PodAddress", "node.boxship.io/v1")
    kept = ("name", "namespace", "uid", "resourceVersion", "labels", "creationTimestamp")
    assert shown["metadata"] == {key: whole["metadata"][key] for key in kept}
    web = {"name": "web", "containerPort": 80, "protocol": "TCP"}
    assert shown["spec"] == {"nodeName": "one", "containers": [{"name": "c", "ports": [web]}]}
    assert shown["status"] == {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}
    assert pod_facts(shown) == pod_facts(whole)


@pytest.mark.parametrize("form", ["whole", "metadata", "table"])
async def test_no_form_of_an_answer_tells_more(asker: Asker, form: str) -> None:
    await running_pod(asker, "a", "10.0.0.1")
    for include in ("Object", "Metadata") if form == "table" else ("Metadata",):
        view = View(form, include)
        one = await asker.ask("get", PATH, "default", "a", view=view)
        many = await asker.ask("list", PATH, view=view)
        watch = await asker.watch(PATH, version="", view=view)
        await asker.patch("v1/pods", "default", "a", {"metadata": {"labels": {"more": include}}})
        told = json.dumps([one, many, await watch.next(), await watch.next()])
        await watch.close()
        assert HIDDEN not in told and '"a"' in told
        assert "10.0.0.1" in told or form == "metadata"


async def test_lists_and_watches_mean_what_they_mean_for_pods(asker: Asker) -> None:
    await running_pod(asker, "a", "10.0.0.1")
    await running_pod(asker, "b", "10.0.0.2", "two")
    pods = await asker.list("v1/pods")
    listed = await asker.list(PATH)
    assert listed["kind"] == "PodAddressList"
    assert listed["metadata"]["resourceVersion"] == pods["metadata"]["resourceVersion"]
    assert [each["metadata"]["uid"] for each in listed["items"]] == [each["metadata"]["uid"] for each in pods["items"]]
    here = await asker.list(PATH, field_selector="spec.nodeName=two")
    assert [each["metadata"]["name"] for each in here["items"]] == ["b"]
    watch = await asker.watch(PATH, version=listed["metadata"]["resourceVersion"], label_selector="app=a")
    await asker.patch("v1/pods", "default", "a", {"metadata": {"annotations": {"a": "other"}}})
    await asker.delete("v1/pods", "default", "b")
    await asker.patch("v1/pods", "default", "a", {"metadata": {"labels": {"app": "b"}}})
    first, second = await watch.next(), await watch.next()
    assert [first["type"], second["type"]] == ["MODIFIED", "DELETED"]
    assert second["object"]["kind"] == "PodAddress" and second["object"]["metadata"]["labels"] == {"app": "a"}
    await watch.close()


@pytest.mark.parametrize("verb", ["create", "update", "patch", "delete", "deletecollection"])
async def test_nothing_can_be_written_by_it(asker: Asker, verb: str) -> None:
    await running_pod(asker, "a", "10.0.0.1")
    with pytest.raises(Failure) as refused:
        await asker.ask(verb, PATH, "default", "a")
    assert refused.value.code == 405


async def test_nothing_else_can_be_selected_by(asker: Asker) -> None:
    for field in ("spec.serviceAccountName", "spec.schedulerName", "status.nominatedNodeName"):
        with pytest.raises(Failure, match="field label not supported"):
            await asker.list(PATH, field_selector=f"{field}=x")


def test_what_is_cut_of_a_pod_that_says_little() -> None:
    value = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}'
    assert pod_addresses.cut(value) == (
        b'{"kind":"PodAddress","apiVersion":"node.boxship.io/v1","metadata":{"name":"a"},"spec":{},"status":{}}'
    )
