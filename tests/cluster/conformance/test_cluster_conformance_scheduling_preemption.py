"""Who has to go for whom: the list's cases of priority and preemption. Nodes offer an amount that only a case asks for,
so what others run beside it never goes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conformance_kit import Space
from test_cluster_conformance_scheduling_cases import offer, only, pod

pytestmark = pytest.mark.slow

CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"
PRIORITIES = {"low": 1, "medium": 100, "high": 1000}


@pytest.fixture
def resource(space: Space) -> Iterator[str]:
    """Of which each node offers three; and classes low, medium and high, named after the namespace."""
    name = f"scheduling.k8s.io/{space.name}"
    nodes = [node.name for node in space.cluster.nodes]
    for word, value in PRIORITIES.items():
        classify(space, word, value)
    for node in nodes:
        offer(space, node, name, "3")
    yield name
    for node in nodes:
        offer(space, node, name, None)
    for word in PRIORITIES:
        forget(space, word)


def classify(space: Space, word: str, value: int, **fields: Any) -> Any:
    body = {"metadata": {"name": f"{space.name}-{word}"}, "value": value, **fields}
    answer = space.cluster.control.request("POST", CLASSES, body)
    assert answer.status == 201, answer
    return answer.object


def forget(space: Space, word: str) -> None:
    space.cluster.control.request("DELETE", f"{CLASSES}/{space.name}-{word}")


def ranked(space: Space, name: str, word: str, resource: str, amount: str, **spec: Any) -> Any:
    amounts = {resource: amount}
    return space.made("pods", pod(name, amounts, amounts, priorityClassName=f"{space.name}-{word}", **spec))


def fill(space: Space, resource: str) -> list[str]:
    """Two of three on each node, by one of low priority on the first and of medium priority on the others."""
    nodes = [node.name for node in space.cluster.nodes]
    names = [f"pod-{node}" for node in nodes]
    for number, (node, name) in enumerate(zip(nodes, names, strict=True)):
        ranked(space, name, "medium" if number else "low", resource, "2", affinity=only(node))
    space.until_ready(*names)
    assert [space.pod(name)["spec"]["priority"] for name in names] == [1] + [100] * (len(names) - 1)
    return names


def is_going(space: Space, name: str) -> bool:
    answer = space.request("GET", f"pods/{name}")
    return answer.status == 404 or "deletionTimestamp" in answer.object["metadata"]


# Covers: Scheduler, Basic Preemption.
def test_the_least_important_goes(space: Space, resource: str) -> None:
    first, *others = fill(space, resource)
    ranked(space, "preemptor", "high", resource, "2")
    space.until_ready("preemptor")
    assert is_going(space, first)
    assert space.pod("preemptor")["spec"]["nodeName"] == space.cluster.nodes[0].name
    assert not any(is_going(space, name) for name in others)
    uid = space.pod("preemptor")["metadata"]["uid"]
    told = f"Preempted by pod {uid} on node {space.cluster.nodes[0].name}"

    def is_told() -> bool:
        events = space.events(f"--field-selector=reason=Preempted,involvedObject.name={first}")
        return [event["message"] for event in events] == [told]

    space.until(is_told, "an event says for whom it went", 20)


# Covers: Scheduler, Preemption for critical pod.
def test_a_critical_pod_comes_first(space: Space, resource: str) -> None:
    first, *others = fill(space, resource)
    system = Space(space.cluster, "kube-system")
    name, amounts = f"critical-{space.name}", {resource: "2"}
    try:
        system.made("pods", pod(name, amounts, amounts, priorityClassName="system-cluster-critical"))
        system.until_ready(name)
        assert system.pod(name)["spec"]["priority"] == 2_000_000_000
        assert is_going(space, first)
        assert not any(is_going(space, other) for other in others)
    finally:
        system.kubectl("delete", "pod", name, "--now", "--ignore-not-found", "--wait=false")


# Covers: Verify the DisruptionTarget condition is added to the preempted pod.
def test_who_has_to_go_says_why(space: Space, resource: str) -> None:
    """A finalizer keeps it there to be read."""
    node = space.cluster.nodes[0].name
    amounts = {resource: "3"}
    held = pod("victim", amounts, amounts, affinity=only(node), priorityClassName=f"{space.name}-low")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    space.made("pods", held)
    space.until_ready("victim")
    ranked(space, "preemptor", "high", resource, "3", affinity=only(node))
    space.until(lambda: is_going(space, "victim"), "the victim is told to go", 30)
    conditions = {each["type"]: each for each in space.pod("victim")["status"]["conditions"]}
    told = conditions["DisruptionTarget"]
    assert (told["status"], told["reason"]) == ("True", "PreemptionByScheduler")
    assert told["message"] == "default-scheduler: preempting to accommodate a higher priority pod"
    space.until_ready("preemptor")  # the victim's containers have ended; the finalizer keeps its object alone
    space.patched("pods/victim", {"metadata": {"finalizers": None}})
    space.until(lambda: space.is_gone("pods/victim"), "the victim is gone", 30)


# Covers: Pod preemption verification.
def test_sets_of_four_priorities(space: Space) -> None:
    """Two of the lower ones go, once each, and none of the third: their new pods wait without taking anything."""
    node, resource = space.cluster.nodes[0].name, f"example.com/{space.name}"
    for value in range(1, 5):
        classify(space, f"p{value}", value)
    offer(space, node, resource, "100")
    try:
        for number, amount in ((1, "20"), (2, "30"), (3, "45")):
            template = pod("unnamed", {resource: amount}, {resource: amount}, affinity=only(node))
            template["spec"]["priorityClassName"] = f"{space.name}-p{number}"
            labels = {"name": f"pod{number}"}
            body = {
                "metadata": {"name": f"rs-pod{number}"},
                "spec": {
                    "replicas": 1,
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
                },
            }
            space.made("apps/v1/replicasets", body)
        space.until_pods(3)
        revision = space.request("GET", "pods").object["metadata"]["resourceVersion"]
        ranked(space, "pod4", "p4", resource, "50", affinity=only(node))
        space.until(lambda: space.pod("pod4")["spec"].get("nodeName") == node, "it has the node", 30)
        space.until_ready("pod4")

        def waiting() -> list[str]:
            pods = space.request("GET", "pods").object["items"]
            return sorted(each["metadata"]["labels"]["name"] for each in pods if not each["spec"].get("nodeName"))

        def told() -> bool:
            return all(
                space.cluster.get(
                    "events",
                    "-n",
                    space.name,
                    f"--field-selector=reason=FailedScheduling,involvedObject.name={each['metadata']['name']}",
                )
                for each in space.request("GET", "pods").object["items"]
                if not each["spec"].get("nodeName")
            )

        space.until(lambda: waiting() == ["pod1", "pod2"], "those who went have others in their place", 30)
        space.until(told, "these were looked at, and found no place", 30)
        assert made_since(space, revision) == {"pod1": 1, "pod2": 1}
    finally:
        space.kubectl("delete", "replicasets", "--all", "--wait=false")
        offer(space, node, resource, None)
        for value in range(1, 5):
            forget(space, f"p{value}")


def made_since(space: Space, revision: str) -> dict[str, int]:
    """How many pods of each set were made since, as a watch tells them."""
    found: dict[str, int] = {}
    query = f"pods?watch=1&resourceVersion={revision}&timeoutSeconds=1"
    for line in space.request("GET", query).body.splitlines():
        event = json.loads(line)
        name = event["object"]["metadata"].get("labels", {}).get("name", "")
        if event["type"] == "ADDED" and name:
            found[name] = found.get(name, 0) + 1
    return found


# Covers: Scheduler, Verify PriorityClass endpoints.
def test_priority_classes_and_their_verbs(space: Space) -> None:
    names = [f"{space.name}-one", f"{space.name}-two"]
    made = [classify(space, "one", 1), classify(space, "two", 2)]
    ask = space.cluster.control.request
    try:
        strategic = {"Content-Type": "application/strategic-merge-patch+json"}
        refused = ask("PATCH", f"{CLASSES}/{names[0]}", {"value": 10}, strategic)
        assert refused.status in (403, 422) and "value" in refused.object["message"]
        assert ask("PUT", f"{CLASSES}/{names[1]}", {**made[1], "value": 20}).status in (403, 422)
        assert ask("PUT", f"{CLASSES}/{names[1]}", {**made[1], "preemptionPolicy": "Never"}).status in (403, 422)
        assert ask("PATCH", f"{CLASSES}/{names[0]}", {"description": "another"}, strategic).status == 200
        assert ask("PUT", f"{CLASSES}/{names[1]}", {**made[1], "description": "another"}).status == 200
        listed = {each["metadata"]["name"]: each for each in ask("GET", CLASSES).object["items"]}
        assert {"system-node-critical", "system-cluster-critical", *names} <= set(listed)
        for value, name in enumerate(names, 1):
            found = ask("GET", f"{CLASSES}/{name}").object
            assert (found["value"], found["description"]) == (value, "another") == (listed[name]["value"], "another")
            assert found["preemptionPolicy"] == "PreemptLowerPriority"
        assert ask("DELETE", f"{CLASSES}/system-node-critical").status == 403
    finally:
        for word in ("one", "two"):
            forget(space, word)
