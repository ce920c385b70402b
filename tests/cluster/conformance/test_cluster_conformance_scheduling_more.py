"""What the list does not ask of scheduling and users notice: gates, taints, pods apart, promises that are not kept,
refusals by the node, other schedulers."""

from typing import Any

import pytest
from conformance_kit import Space
from test_cluster_conformance_scheduling_cases import only, pod, scheduled, until_told
from test_cluster_conformance_scheduling_preemption import classify, fill, forget, is_going, ranked, resource

pytestmark = pytest.mark.slow

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
HOSTNAME = "kubernetes.io/hostname"

__all__ = ["resource"]  # the fixture


def hosted(node: str) -> Any:
    return {HOSTNAME: node}


def place(space: Space, name: str) -> str:
    return str(space.pod(name)["spec"].get("nodeName") or "")


def test_a_gated_pod_is_narrowed_and_let_go(space: Space) -> None:
    node = space.cluster.nodes[-1].name
    gates = [{"name": "example.com/one"}, {"name": "example.com/two"}]
    space.made("pods", pod("gated", schedulingGates=gates))
    shown = space.kubectl("get", "pod", "gated", "--no-headers").split()
    assert shown[2] == "SchedulingGated"
    assert scheduled(space, "gated")["reason"] == "SchedulingGated"
    bound = {"metadata": {"name": "gated"}, "target": {"kind": "Node", "name": node}}
    assert space.request("POST", "pods/gated/binding", bound).status == 409
    linux = {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}
    affinity = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [linux]}}}
    space.patched("pods/gated", {"spec": {"affinity": affinity}})
    space.patched("pods/gated", {"spec": {"nodeSelector": hosted(node)}})
    other = {"spec": {"nodeSelector": hosted("another")}}
    kind = {"Content-Type": "application/merge-patch+json"}
    assert space.request("PATCH", "pods/gated", other, kind).status == 422
    space.patched("pods/gated", {"spec": {"schedulingGates": gates[1:]}})
    assert scheduled(space, "gated")["reason"] == "SchedulingGated"
    late = {"spec": {"schedulingGates": [*gates[1:], {"name": "example.com/late"}]}}
    assert space.request("PATCH", "pods/gated", late, kind).status == 422
    space.patched("pods/gated", {"spec": {"schedulingGates": None}})
    space.until_ready("gated")
    assert place(space, "gated") == node


def test_taints_keep_away_and_drive_out(space: Space) -> None:
    node, key = space.cluster.nodes[-1].name, f"example.com/{space.name}"
    space.made("pods", pod("plain", nodeSelector=hosted(node)))
    patient = {"key": key, "operator": "Equal", "value": "yes", "effect": "NoExecute", "tolerationSeconds": 1}
    space.made("pods", pod("patient", nodeSelector=hosted(node), tolerations=[patient]))
    stays = {"key": key, "operator": "Exists"}
    space.made("pods", pod("stays", nodeSelector=hosted(node), tolerations=[stays]))
    space.until_ready("plain", "patient", "stays")
    try:
        space.kubectl("taint", "node", node, f"{key}=yes:NoExecute")
        space.until(lambda: is_going(space, "plain"), "who does not tolerate it goes", 30)
        space.until(lambda: is_going(space, "patient"), "who does for a while goes then", 30)
        space.made("pods", pod("late", nodeSelector=hosted(node)))
        space.made("pods", pod("tolerant", nodeSelector=hosted(node), tolerations=[stays]))
        space.until_ready("stays", "tolerant")
        until_told(space, "late")
        told = scheduled(space, "late")["message"]
        assert "1 node(s) had untolerated taint(s)" in told, told
        events = "--field-selector=reason=TaintManagerEviction,involvedObject.name=plain"
        gone = f"Marking for deletion Pod {space.name}/plain"
        space.until(lambda: gone in [each["message"] for each in space.events(events)], "an event says so", 20)
    finally:
        space.kubectl("taint", "node", node, f"{key}-")
    space.until_ready("late", seconds=30)


def test_pods_apart_and_pods_near_those_of_other_namespaces(space: Space) -> None:
    nodes = len(space.cluster.nodes)
    alike = {"matchLabels": {"app": "apart"}}
    affinity = {"podAntiAffinity": {REQUIRED: [{"topologyKey": HOSTNAME, "labelSelector": alike}]}}
    names = [f"apart-{number}" for number in range(nodes + 1)]
    for name in names:
        made = pod(name, affinity=affinity)
        made["metadata"]["labels"] = {"app": "apart"}
        space.made("pods", made)
    space.until(lambda: sum(bool(place(space, name)) for name in names) == nodes, "each node has one", 30)
    (left,) = (name for name in names if not place(space, name))
    until_told(space, left)
    told = scheduled(space, left)["message"]
    assert told.startswith(f"0/{nodes} nodes are available: {nodes} node(s) didn't match pod anti-affinity rules."), (
        told
    )
    near = {"topologyKey": HOSTNAME, "labelSelector": alike, "namespaceSelector": {"matchLabels": {"team": space.name}}}
    space.made("pods", pod("near", affinity={"podAffinity": {REQUIRED: [near]}}))
    until_told(space, "near")
    space.cluster.kubectl("label", "namespace", space.name, f"team={space.name}")  # its own is looked at by labels too
    space.until(lambda: place(space, "near"), "the namespace is among those that are meant", 30)
    first = next(name for name in names if name != left)
    freed = place(space, first)
    space.kubectl("delete", "pod", first, "--now")
    space.until(lambda: place(space, left) == freed, "the place that is free is taken", 30)


def test_what_a_promise_kept_free_is_given_to_others(space: Space, resource: str) -> None:
    """The promised pod is deleted before it could use the node: who waited for that need not wait for anything else."""
    node = space.cluster.nodes[0].name
    amounts = {resource: "1"}
    held = pod("holder", amounts, amounts, affinity=only(node), priorityClassName=f"{space.name}-low")
    held["spec"]["terminationGracePeriodSeconds"] = 120
    space.made("pods", held)
    space.until_ready("holder")
    ranked(space, "promised", "high", resource, "3", affinity=only(node))
    space.until(lambda: space.pod("promised")["status"].get("nominatedNodeName") == node, "it is promised", 30)
    ranked(space, "waits", "medium", resource, "2", affinity=only(node))
    until_told(space, "waits")
    space.kubectl("delete", "pod", "promised", "--now")
    space.until(lambda: place(space, "waits") == node, "what was kept free is free", 20)
    assert "nominatedNodeName" not in space.pod("waits")["status"]
    assert is_going(space, "holder") and not space.is_gone("pods/holder")
    space.kubectl("delete", "pod", "holder", "--grace-period=0", "--force")


def test_who_never_preempts_waits(space: Space, resource: str) -> None:
    names = fill(space, resource)
    classify(space, "patient", 5000, preemptionPolicy="Never")
    try:
        made = ranked(space, "patient", "patient", resource, "2")
        assert (made["spec"]["priority"], made["spec"]["preemptionPolicy"]) == (5000, "Never")
        until_told(space, "patient")
        told = scheduled(space, "patient")["message"]
        assert told.endswith("preemption: not eligible due to preemptionPolicy=Never."), told
        assert not any(is_going(space, name) for name in names)
    finally:
        forget(space, "patient")


@pytest.mark.parametrize(
    ("reason", "requests", "spec", "told"),
    [
        ("OutOfcpu", {"cpu": "999"}, {}, "Node didn't have enough resource: cpu, requested: 999000, used: "),
        ("NodeAffinity", {}, {"nodeSelector": {"no": "such"}}, "node(s) didn't match Pod's node affinity/selector"),
    ],
)
def test_a_node_refuses_what_was_forced_on_it(
    space: Space, reason: str, requests: dict[str, str], spec: Any, told: str
) -> None:
    space.made("pods", pod("forced", requests, nodeName=space.cluster.nodes[0].name, **spec))
    status = space.until_phase("forced", "Failed", seconds=30)["status"]
    assert status["reason"] == reason
    assert status["message"].startswith("Pod was rejected: ") and told in status["message"]
    assert space.kubectl("get", "pod", "forced", "--no-headers").split()[2] == reason
    failed = f"--field-selector=reason={reason},involvedObject.name=forced"
    space.until(lambda: space.events(failed), "an event says so", 20)


def test_a_foreign_scheduler_binds(space: Space) -> None:
    node = space.cluster.nodes[-1].name
    space.made("pods", pod("foreign", schedulerName="somebody"))
    space.made("pods", pod("ours"))
    space.until_ready("ours")
    assert not place(space, "foreign") and not scheduled(space, "foreign")
    metadata = {"name": "foreign", "annotations": {"by": "somebody"}}
    bound = {"metadata": metadata, "target": {"kind": "Node", "name": node}}
    assert space.request("POST", "pods/foreign/binding", bound).status == 201
    space.until_ready("foreign")
    assert place(space, "foreign") == node and space.pod("foreign")["metadata"]["annotations"]["by"] == "somebody"
    again = space.request("POST", "pods/foreign/binding", bound)
    assert again.status == 409 and f'pod foreign is already assigned to node "{node}"' in again.object["message"]


def test_an_autoscaler_says_what_it_lacks(space: Space) -> None:
    def scaler(name: str, kind: str, **spec: Any) -> Any:
        version = "apps/v1" if kind == "Deployment" else "example.com/v1"
        target = {"apiVersion": version, "kind": kind, "name": "absent"}
        return {"metadata": {"name": name}, "spec": {"scaleTargetRef": target, "maxReplicas": 3, **spec}}

    path = "autoscaling/v2/horizontalpodautoscalers"
    refused = space.request("POST", path, scaler("zero", "Deployment", minReplicas=0))
    assert refused.status == 422
    assert "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1" in refused.object["message"]
    crossed = space.request("POST", path, scaler("crossed", "Deployment", minReplicas=4))
    assert crossed.status == 422
    space.made(path, scaler("absent", "Deployment"))
    space.made(path, scaler("odd", "Odd"))
    unable = "the HPA controller was unable to get the target's current scale: "
    no_kind = (
        'unable to determine resource for scale target reference: no matches for kind "Odd" in group "example.com"'
    )
    told = {"absent": 'deployments.apps "absent" not found', "odd": no_kind}

    def conditions() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in told:
            listed = (space.read(f"{path}/{name}").get("status") or {}).get("conditions") or ()
            found[name] = next((each for each in listed if each["type"] == "AbleToScale"), {})
        return found

    space.until(lambda: all(each.get("reason") == "FailedGetScale" for each in conditions().values()), "it is told", 30)
    assert {name: each["message"] for name, each in conditions().items()} == {
        name: f"{unable}{text}" for name, text in told.items()
    }
    failed = "--field-selector=reason=FailedGetScale,involvedObject.name=absent"
    space.until(lambda: space.events(failed), "an event says so", 20)
