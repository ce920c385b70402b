"""Limits of a namespace, and which node a pod may go to: the list's cases of scheduling, but for preemption."""

from typing import Any

import pytest
from conformance_kit import Space

pytestmark = pytest.mark.slow

LIMITS = {
    "min": {"cpu": "50m", "memory": "100Mi", "ephemeral-storage": "100Gi"},
    "max": {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
    "default": {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
    "defaultRequest": {"cpu": "100m", "memory": "200Mi", "ephemeral-storage": "200Gi"},
}
LOWER = {"cpu": "9m", "memory": "49Mi", "ephemeral-storage": "49Gi"}


def pod(name: str, requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **spec: Any) -> Any:
    """One that sleeps and ends at once."""
    asked = {"requests": requests or {}, "limits": limits or {}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "main",
                    "image": "busybox",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", "600"],
                    "resources": {name: amounts for name, amounts in asked.items() if amounts},
                    **spec.pop("container", {}),
                }
            ],
            **spec,
        },
    }


def limit_range(name: str, **labels: str) -> Any:
    metadata = {"name": name, "labels": labels}
    spec = {"limits": [{"type": "Container", **LIMITS}]}
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": spec}


def resources(made: Any) -> Any:
    return made["spec"]["containers"][0]["resources"]


def scheduled(space: Space, name: str) -> Any:
    """The pod's condition PodScheduled."""
    conditions = space.pod(name)["status"].get("conditions") or ()
    return next((each for each in conditions if each["type"] == "PodScheduled"), {})


def until_told(space: Space, *names: str) -> None:
    """Of all these it is said that no node takes them."""
    space.until(
        lambda: all(scheduled(space, name).get("reason") == "Unschedulable" for name in names),
        f"{', '.join(names)}: told to be unschedulable",
        20,
    )


# Covers: LimitRange, resources.
def test_a_limit_range_fills_in_and_refuses(space: Space) -> None:
    made = space.made("limitranges", limit_range("limits"))
    assert made["spec"]["limits"][0] == {"type": "Container", **LIMITS}
    bare = space.made("pods", pod("bare"))
    assert resources(bare) == {"requests": LIMITS["defaultRequest"], "limits": LIMITS["default"]}
    some = space.made("pods", pod("some", {"memory": "150Mi", "ephemeral-storage": "150Gi"}, {"cpu": "300m"}))
    assert resources(some) == {  # a limit that is given is the request too
        "requests": {"cpu": "300m", "memory": "150Mi", "ephemeral-storage": "150Gi"},
        "limits": {"cpu": "300m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
    }
    small = pod("small", {"cpu": "10m", "memory": "50Mi", "ephemeral-storage": "50Gi"})
    large = pod("large", {"cpu": "600m", "memory": "600Mi", "ephemeral-storage": "600Gi"})
    refused = space.request("POST", "pods", small)
    assert refused.status == 403
    assert "minimum cpu usage per Container is 50m, but request is 10m" in refused.object["message"]
    assert "minimum memory usage per Container is 100Mi, but request is 50Mi" in refused.object["message"]
    assert space.request("POST", "pods", large).status in (403, 422)

    made["spec"]["limits"][0]["min"] = LOWER
    assert space.replaced("limitranges/limits", made)["spec"]["limits"][0]["min"] == LOWER
    space.until(lambda: space.request("POST", "pods", small).status == 201, "the lower minimum holds", 20)
    assert space.request("POST", "pods", large).status in (403, 422)

    assert space.request("DELETE", "limitranges/limits").status == 200
    assert space.is_gone("limitranges/limits")
    space.until(lambda: space.request("POST", "pods", large).status == 201, "no limit holds any more", 30)


# Covers: LimitRange, list, patch and delete a LimitRange by collection.
def test_limit_ranges_of_two_namespaces(space: Space) -> None:
    other, key = f"{space.name}-other", f"{space.name}-limits"
    space.cluster.kubectl("create", "namespace", other)
    try:
        made = space.made("limitranges", limit_range("limits", suite=key, **{key: "created"}))
        there = Space(space.cluster, other)
        there.made("limitranges", limit_range("limits", suite=key, **{key: "created"}))
        assert len(space.cluster.get("limitranges", "-A", "-l", f"suite={key}")) == 2
        change = {
            "metadata": {"creationTimestamp": made["metadata"]["creationTimestamp"], "labels": {key: "patched"}},
            "spec": {"limits": [{**made["spec"]["limits"][0], "min": LOWER}]},
        }
        patched = space.patched("limitranges/limits", change, "application/strategic-merge-patch+json")
        assert patched["metadata"]["labels"] == {"suite": key, key: "patched"}
        assert [limit["min"] for limit in patched["spec"]["limits"]] == [LOWER]
        assert space.request("DELETE", f"limitranges?labelSelector={key}=patched").status == 200
        space.until(lambda: space.is_gone("limitranges/limits"), "the patched one is gone", 10)
        left = space.cluster.get("limitranges", "-A", "-l", f"suite={key}")
        assert [each["metadata"]["namespace"] for each in left] == [other]
    finally:
        space.cluster.kubectl("delete", "namespace", other, "--wait=false")


# Covers: Scheduler, resource limits.
def test_no_more_than_the_nodes_have(space: Space) -> None:
    """Each node is filled to seven tenths with an amount of its own; then half of one finds no place, and something
    smaller does."""
    resource = f"example.com/{space.name}"
    names = [node.name for node in space.cluster.nodes]
    for name in names:
        offer(space, name, resource, "10")
    try:
        for name in names:
            amounts = {resource: "7"}
            space.made("pods", pod(f"filler-{name}", amounts, amounts, affinity=only(name)))
        space.until_ready(*(f"filler-{name}" for name in names))
        assert [space.pod(f"filler-{name}")["spec"]["nodeName"] for name in names] == names
        space.made("pods", pod("additional", {resource: "5"}, {resource: "5"}))
        space.made("pods", pod("little", {resource: "3"}, {resource: "3"}))
        space.until_ready("little")
        until_told(space, "additional")
        told = scheduled(space, "additional")["message"]
        assert told.startswith(f"0/{len(names)} nodes are available: {len(names)} Insufficient {resource}."), told
        failed = "--field-selector=reason=FailedScheduling,involvedObject.name=additional"
        space.until(lambda: any(told in event["message"] for event in space.events(failed)), "an event says so", 20)
        assert not space.pod("additional")["spec"].get("nodeName")
        space.kubectl("delete", "pod", f"filler-{names[0]}", "--now")
        space.until_ready("additional", seconds=20)
    finally:
        for name in names:
            offer(space, name, resource, None)


# Covers: Scheduler, node selector matching; Scheduler, node selector not matching.
def test_a_node_selector_is_kept(space: Space) -> None:
    key, node = f"example.com/{space.name}", space.cluster.nodes[-1].name
    space.made("pods", pod("nowhere", nodeSelector={key: "no"}))
    space.made("pods", pod("early", nodeSelector={key: "42"}))
    until_told(space, "nowhere", "early")
    try:
        space.kubectl("label", "node", node, f"{key}=42")
        space.made("pods", pod("late", nodeSelector={key: "42"}))
        space.until_ready("early", "late", seconds=30)
        assert {space.pod(name)["spec"]["nodeName"] for name in ("early", "late")} == {node}
        told, count = scheduled(space, "nowhere")["message"], len(space.cluster.nodes)
        why = f"0/{count} nodes are available: {count} node(s) didn't match Pod's node affinity/selector."
        assert told.startswith(why), told
        assert not space.pod("nowhere")["spec"].get("nodeName")
    finally:
        space.kubectl("label", "node", node, f"{key}-")


# Covers: Scheduling, HostPort and Protocol match, HostIPs different but one is default HostIP (0.0.0.0).
def test_a_port_of_all_addresses_is_taken_for_each(space: Space) -> None:
    """And other protocols, ports and addresses beside each other are none of the same."""
    node = space.cluster.nodes[0]

    def taking(name: str, port: int, address: str, protocol: str = "TCP") -> None:
        taken = {"containerPort": 8080, "hostPort": port, "hostIP": address, "protocol": protocol}
        place = {"kubernetes.io/hostname": node.name}
        space.made("pods", pod(name, container={"ports": [taken]}, nodeSelector=place))

    taking("all", 54322, "0.0.0.0")
    taking("one", 54321, "127.0.0.1")
    space.until_ready("all", "one")
    taking("same", 54322, node.address)
    taking("another-address", 54321, node.address)
    taking("another-protocol", 54321, node.address, "UDP")
    space.until_ready("another-address", "another-protocol")
    until_told(space, "same")
    told = scheduled(space, "same")["message"]
    assert "1 node(s) didn't have free ports for the requested pod ports" in told, told
    assert not space.pod("same")["spec"].get("nodeName")
    space.kubectl("delete", "pod", "all", "--now")
    space.until_ready("same", seconds=30)


def only(node: str) -> Any:
    """An affinity for the node of this name."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    required = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def offer(space: Space, node: str, resource: str, amount: str | None) -> None:
    """The node has so much of an extended resource, as an administrator says so; None: none of it any more."""
    patch = {"status": {"capacity": {resource: amount}}}
    kind = {"Content-Type": "application/merge-patch+json"}
    answer = space.cluster.control.request("PATCH", f"/api/v1/nodes/{node}/status", patch, kind)
    assert answer.status == 200, answer

    def allocatable() -> bool:
        status = space.cluster.control.request("GET", f"/api/v1/nodes/{node}").object["status"]
        return bool(status["allocatable"].get(resource) == amount)

    space.until(allocatable, f"node {node} offers {resource}: {amount}", 20)
