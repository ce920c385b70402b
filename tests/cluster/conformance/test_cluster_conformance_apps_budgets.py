"""PodDisruptionBudgets: how many may go, who is refused, and pods that no budget counts."""

import functools

import pytest
from conformance_apps_kit import GATE, Object, changed, condition, names, pod, pods_of, settles, watched, workload
from conformance_kit import Space
from control_kit import Answer

pytestmark = pytest.mark.slow

PATH, SETS = "policy/v1/poddisruptionbudgets", "apps/v1/replicasets"
REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."


def budget(space: Space, **spec: object) -> Object:
    selector = {"matchLabels": {"app": "web"}}
    body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"}}
    return space.made(PATH, {**body, "spec": {"selector": selector, **spec}})


def pods(space: Space, count: int) -> None:
    for number in range(count):
        space.made("pods", pod(f"web-{number}", "web"))
    space.until_ready(*(f"web-{number}" for number in range(count)))


def evict(space: Space, name: str) -> Answer:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": space.name}}
    return space.request("POST", f"pods/{name}/eviction", eviction)


def refused(space: Space, name: str) -> None:
    answer = evict(space, name)
    assert answer.status == 429, answer
    assert answer.object["reason"] == "TooManyRequests" and answer.object["message"] == REFUSED
    assert answer.object["details"]["causes"][0]["reason"] == "DisruptionBudget"


# Covers: PodDisruptionBudget: create, update, patch, and delete object.
def test_a_budget_is_changed_and_deleted(space: Space) -> None:
    budget(space, minAvailable="1%")
    settles(space, f"{PATH}/web", observedGeneration=1)

    def raise_it(found: Object) -> None:
        found["spec"]["minAvailable"] = "2%"

    assert changed(space, f"{PATH}/web", raise_it)["spec"]["minAvailable"] == "2%"
    patched = space.patched(f"{PATH}/web", {"spec": {"minAvailable": "3%"}})
    assert (patched["spec"]["minAvailable"], patched["metadata"]["generation"]) == ("3%", 3)
    settles(space, f"{PATH}/web", observedGeneration=3)
    assert space.request("DELETE", f"{PATH}/web").status == 200
    space.until(lambda: space.is_gone(f"{PATH}/web"), "it is gone")


# Covers: PodDisruptionBudget: Status updates.
def test_a_budget_says_how_many_may_go(space: Space) -> None:
    budget(space, minAvailable=1)
    settles(space, f"{PATH}/web", disruptionsAllowed=0, expectedPods=0)
    pods(space, 3)
    found = settles(space, f"{PATH}/web", disruptionsAllowed=2, currentHealthy=3, desiredHealthy=1, expectedPods=3)
    assert condition(found, "DisruptionAllowed")["reason"] == "SufficientPods"


# Covers: PodDisruptionBudget: update and patch status.
def test_a_status_of_a_budget_is_written_by_hand(space: Space) -> None:
    pods(space, 1)
    budget(space, minAvailable=1)
    settles(space, f"{PATH}/web", currentHealthy=1, disruptionsAllowed=0)
    moment = "2026-01-02T03:04:05Z"

    def charge(found: Object) -> None:
        found["status"]["disruptedPods"] = {"web-0": moment}

    written = changed(space, f"{PATH}/web/status", charge)
    assert written["status"]["disruptedPods"] == {"web-0": moment}
    since = written["metadata"]["resourceVersion"]
    patched = space.patched(f"{PATH}/web/status", {"status": {"disruptedPods": None}})
    assert "disruptedPods" not in patched["status"]
    watched(space, PATH, since, lambda _, found: "disruptedPods" not in found["status"])


# Covers: PodDisruptionBudget: block an eviction until the PDB is updated to allow it.
def test_an_eviction_waits_until_the_budget_allows_it(space: Space) -> None:
    pods(space, 3)
    budget(space, minAvailable=3)
    settles(space, f"{PATH}/web", currentHealthy=3, disruptionsAllowed=0)
    refused(space, "web-0")

    def lower(found: Object) -> None:
        found["spec"]["minAvailable"] = 2

    changed(space, f"{PATH}/web", lower)
    settles(space, f"{PATH}/web", observedGeneration=2, disruptionsAllowed=1)
    assert evict(space, "web-0").status == 201
    space.until(lambda: space.is_gone("pods/web-0"), "it goes")
    settles(space, f"{PATH}/web", currentHealthy=2, disruptionsAllowed=0)
    refused(space, "web-1")
    space.patched(f"{PATH}/web", {"spec": {"minAvailable": 3}})
    settles(space, f"{PATH}/web", observedGeneration=3)
    refused(space, "web-1")
    assert space.request("DELETE", f"{PATH}/web").status == 200
    space.until(lambda: evict(space, "web-1").status == 201, "without a budget it goes")


@pytest.mark.parametrize(
    ("spec", "allowed"),
    [
        ({"minAvailable": "90%"}, 0),
        ({"minAvailable": "75%"}, 1),
        ({"maxUnavailable": "10%"}, 1),
        ({"maxUnavailable": "0%"}, 0),
        ({"maxUnavailable": 2}, 2),
        ({"minAvailable": 10}, 0),
        ({"minAvailable": 0}, 4),
    ],
)
def test_shares_and_numbers_of_a_set(space: Space, spec: Object, allowed: int) -> None:
    space.made(SETS, workload("ReplicaSet", "web", replicas=4))
    settles(space, f"{SETS}/web", readyReplicas=4)
    budget(space, **spec)
    settles(space, f"{PATH}/web", observedGeneration=1, currentHealthy=4, disruptionsAllowed=allowed, expectedPods=4)
    name = names(pods_of(space, "web"))[0]
    if allowed:
        assert evict(space, name).status == 201
    else:
        refused(space, name)


def test_shares_of_pods_that_nobody_manages(space: Space) -> None:
    pods(space, 2)
    budget(space, maxUnavailable=1)
    space.until(
        lambda: "UnmanagedPods" in [one["reason"] for one in space.events("--field-selector=involvedObject.name=web")],
        "it is told",
    )
    settles(space, f"{PATH}/web", disruptionsAllowed=0)
    refused(space, "web-0")


def test_who_is_ill_and_may_go(space: Space) -> None:
    """By default an ill pod may go only where enough others are well; AlwaysAllow lets it go whatever the others."""
    gated = {"container": {"readinessProbe": GATE}}
    space.made(SETS, workload("ReplicaSet", "web", replicas=2, pods=gated))
    settles(space, f"{SETS}/web", replicas=2)
    for name in names(pods_of(space, "web")):
        space.until_phase(name, "Running")
    budget(space, minAvailable=1)
    settles(space, f"{PATH}/web", currentHealthy=0, desiredHealthy=1, expectedPods=2)
    first, second = names(pods_of(space, "web"))
    refused(space, first)
    space.shell(first, "touch /ready")
    settles(space, f"{PATH}/web", currentHealthy=1, disruptionsAllowed=0)
    refused(space, first)
    assert evict(space, second).status == 201
    space.until(lambda: space.is_gone(f"pods/{second}"), "the ill one goes")
    space.shell(first, "rm /ready")
    settles(space, f"{PATH}/web", currentHealthy=0)
    space.until_phase(first, "Running")
    refused(space, first)
    space.patched(f"{PATH}/web", {"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}})
    settles(space, f"{PATH}/web", observedGeneration=2)
    assert evict(space, first).status == 201


def test_two_budgets_for_one_pod(space: Space) -> None:
    pods(space, 1)
    made = budget(space, minAvailable=0)
    second = {key: made[key] for key in ("apiVersion", "kind", "spec")}
    space.made(PATH, {**second, "metadata": {"name": "second"}})
    answer = evict(space, "web-0")
    assert answer.status == 500 and b"more than one PodDisruptionBudget" in answer.body


def test_pods_that_have_ended_or_wait_may_always_go(space: Space) -> None:
    space.made("pods", pod("web-0", "web", "exit 0", restartPolicy="Never"))
    space.made("pods", pod("web-1", "web", nodeSelector={"no": "where"}))
    space.until_phase("web-0", "Succeeded")
    budget(space, minAvailable=2)
    settles(space, f"{PATH}/web", observedGeneration=1, disruptionsAllowed=0)
    for name in ("web-0", "web-1"):
        assert evict(space, name).status == 201
        space.until(functools.partial(space.is_gone, f"pods/{name}"), "it goes")


def test_an_empty_selector_means_all_and_none_means_nothing(space: Space) -> None:
    pods(space, 1)
    body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget"}
    space.made(PATH, {**body, "metadata": {"name": "none"}, "spec": {"minAvailable": 1}})
    settles(space, f"{PATH}/none", observedGeneration=1, expectedPods=0)
    space.made(PATH, {**body, "metadata": {"name": "all"}, "spec": {"minAvailable": 1, "selector": {}}})
    settles(space, f"{PATH}/all", expectedPods=1, currentHealthy=1)
    refused(space, "web-0")
