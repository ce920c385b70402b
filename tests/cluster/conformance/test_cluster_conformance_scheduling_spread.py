"""Pods that are spread, also by preemption; nodes to be avoided and not forbidden; overhead and storage that count."""

from collections import Counter
from typing import Any

import pytest
from conformance_kit import Space
from test_cluster_conformance_scheduling_cases import offer, pod, scheduled, until_told
from test_cluster_conformance_scheduling_preemption import is_going, ranked, resource

pytestmark = pytest.mark.slow

HOSTNAME = "kubernetes.io/hostname"

__all__ = ["resource"]  # the fixture


def spread(**labels: str) -> Any:
    return {
        "maxSkew": 1,
        "topologyKey": HOSTNAME,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": labels},
    }


def places(space: Space, labels: str = "") -> "Counter[str]":
    found = space.request("GET", f"pods?labelSelector={labels}").object["items"]
    return Counter(each["spec"].get("nodeName", "") for each in found)


def deployment(name: str, replicas: int, **spec: Any) -> Any:
    template = {"metadata": {"labels": {"app": name}}, "spec": pod("unnamed", **spec)["spec"]}
    selector = {"matchLabels": {"app": name}}
    return {"metadata": {"name": name}, "spec": {"replicas": replicas, "selector": selector, "template": template}}


def test_pods_are_spread_and_each_revision_by_itself(space: Space) -> None:
    count = len(space.cluster.nodes)
    constraint = {**spread(app="even"), "matchLabelKeys": ["pod-template-hash"]}
    space.made("apps/v1/deployments", deployment("even", 2 * count, topologySpreadConstraints=[constraint]))
    space.until_pods(2 * count, "app=even")
    assert set(places(space, "app=even").values()) == {2}
    space.kubectl("set", "env", "deployment/even", "A=b")
    space.kubectl("rollout", "status", "deployment/even", "--timeout=90s", timeout=100)
    space.until_pods(2 * count, "app=even")
    assert set(places(space, "app=even").values()) == {2}
    (made,) = {
        str(each["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchExpressions"])
        for each in space.request("GET", "pods?labelSelector=app=even").object["items"]
    }
    assert "pod-template-hash" in made and "'In'" in made  # the API has put the pod's own value into the selector


def test_fewer_domains_than_demanded(space: Space) -> None:
    count = len(space.cluster.nodes)
    constraint = {**spread(app="few"), "minDomains": count + 1}
    space.made("apps/v1/deployments", deployment("few", count + 1, topologySpreadConstraints=[constraint]))
    space.until(lambda: len(places(space, "app=few") - Counter({"": 99})) == count, "each node has one", 30)
    (left,) = (
        each["metadata"]["name"]
        for each in space.request("GET", "pods?labelSelector=app=few").object["items"]
        if not each["spec"].get("nodeName")
    )
    until_told(space, left)
    why = f"0/{count} nodes are available: {count} node(s) didn't match pod topology spread constraints."
    assert scheduled(space, left)["message"].startswith(why)


def test_as_many_go_as_the_spread_demands(space: Space) -> None:
    """One would do for the room; two have to go for the balance."""
    amount = f"example.com/{space.name}"
    nodes = [node.name for node in space.cluster.nodes][:2]
    field = {"key": "metadata.name", "operator": "In", "values": nodes}
    two = {"nodeSelectorTerms": [{"matchExpressions": [{**field, "key": HOSTNAME}]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": two}}
    classes = {"low": 1, "medium": 100, "high": 1000}
    for word, value in classes.items():
        metadata = {"name": f"{space.name}-{word}"}
        body = {"metadata": metadata, "value": value}
        assert space.cluster.control.request("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", body).status == 201

    def make(name: str, word: str, asked: str, **spec: Any) -> None:
        made = pod(
            name, {amount: asked}, {amount: asked}, priorityClassName=f"{space.name}-{word}", affinity=affinity, **spec
        )
        made["metadata"]["labels"] = {"app": "spread"}
        space.made("pods", made)

    try:
        for node in nodes:
            offer(space, node, amount, "10")
        make("high", "high", "9")
        space.until_ready("high")
        for name in ("low-1", "low-2", "low-3"):
            make(name, "low", "3")
        space.until_ready("low-1", "low-2", "low-3")
        make("medium", "medium", "3", topologySpreadConstraints=[spread(app="spread")])
        space.until_ready("high", "medium")
        space.until(lambda: sum(places(space).values()) == 3, "two of the low ones are gone", 30)
        kinds = sorted(
            each["metadata"]["name"].partition("-")[0] for each in space.request("GET", "pods").object["items"]
        )
        assert kinds == ["high", "low", "medium"]
    finally:
        space.kubectl("delete", "pods", "--all", "--now")
        for node in nodes:
            offer(space, node, amount, None)
        for word in classes:
            path = f"/apis/scheduling.k8s.io/v1/priorityclasses/{space.name}-{word}"
            space.cluster.control.request("DELETE", path)


def test_a_node_to_be_avoided_is_taken_last(space: Space) -> None:
    first, *others = (node.name for node in space.cluster.nodes)
    key = f"example.com/{space.name}"
    space.kubectl("taint", "node", first, f"{key}=slow:PreferNoSchedule")
    try:
        for number in range(4):
            space.made("pods", pod(f"free-{number}"))
        space.until(lambda: not places(space)[""], "all have nodes", 30)
        assert places(space)[first] == 0
        wanted = {"key": HOSTNAME, "operator": "In", "values": [first]}
        affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [wanted]}
        ]}}}  # fmt: skip
        space.made("pods", pod("must", affinity=affinity))
        space.until(lambda: places(space)[first] == 1, "who has to be there is", 30)
        assert sum(places(space)[other] for other in others) == 4
    finally:
        space.kubectl("taint", "node", first, f"{key}-")


def test_overhead_and_storage_count(space: Space, resource: str) -> None:
    """The overhead of a runtime class is added to what a pod asks for; a node has so much of a disk."""
    node = space.cluster.nodes[0].name
    heavy = {
        "metadata": {"name": f"{space.name}-heavy"},
        "handler": "crun",
        "overhead": {"podFixed": {resource: "2"}},
        "scheduling": {"nodeSelector": {HOSTNAME: node}},
    }
    classes = "/apis/node.k8s.io/v1/runtimeclasses"
    answer = space.cluster.control.request("POST", classes, heavy)
    assert answer.status == 201, answer
    try:
        amounts = {resource: "1"}
        fits = space.made("pods", pod("fits", amounts, amounts, runtimeClassName=f"{space.name}-heavy"))
        assert fits["spec"]["overhead"] == {resource: "2"} and fits["spec"]["nodeSelector"] == {HOSTNAME: node}
        space.until(lambda: space.pod("fits")["spec"].get("nodeName") == node, "it has the three that there are", 30)
        space.made("pods", pod("more", amounts, amounts, runtimeClassName=f"{space.name}-heavy"))
        space.made("pods", pod("disk", {"ephemeral-storage": "999Ti"}))
        until_told(space, "more", "disk")
        assert f"1 Insufficient {resource}" in scheduled(space, "more")["message"]
        count = len(space.cluster.nodes)
        told = f"0/{count} nodes are available: {count} Insufficient ephemeral-storage."
        assert scheduled(space, "disk")["message"].startswith(told)
    finally:
        space.cluster.control.request("DELETE", f"{classes}/{space.name}-heavy")


def test_each_goes_only_once_for_several_of_higher_priority(space: Space, resource: str) -> None:
    """Three promised at once, and no victim too many; those in between go after the ones that matter more."""
    names = [f"low-{number}" for number in range(3 * len(space.cluster.nodes))]
    for name in names:
        ranked(space, name, "low", resource, "1")
    space.until_ready(*names)
    for number in range(2):
        ranked(space, f"medium-{number}", "medium", resource, "1")
    for number in range(2):
        ranked(space, f"high-{number}", "high", resource, "1")
    space.until_ready("high-0", "high-1", "medium-0", "medium-1")
    assert sum(is_going(space, name) for name in names) == 4
    left = [name for name in names if not is_going(space, name)]
    space.until_ready(*left)
