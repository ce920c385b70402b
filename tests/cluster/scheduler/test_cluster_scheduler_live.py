"""The scheduler of a real control plane, with nodes that only the test made: pods get nodes, those that do not are told
why, and kubectl shows it."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from control_kit import Control, running_control
from scheduler_kit import HOSTNAME

from daemons import until

SECONDS = 20.0
PODS = "/api/v1/namespaces/default/pods"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
NODES = {"a": ("2", "30"), "b": ("2", "30")}


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("scheduler")) as control:
        for name, (cpu, pods) in NODES.items():
            amounts = {"cpu": cpu, "memory": "4Gi", "pods": pods}
            node = {"metadata": {"name": name, "labels": {HOSTNAME: name}}}
            assert ask(control, "POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", **node})
            ready = [{"type": "Ready", "status": "True", "reason": "Test", "message": ""}]
            status = {"capacity": amounts, "allocatable": amounts, "conditions": ready}
            patch(control, f"/api/v1/nodes/{name}/status", {"status": status})
            patch(control, f"/api/v1/nodes/{name}", {"spec": {"taints": None}})
        yield control


def ask(control: Control, method: str, path: str, body: Any = None) -> Any:
    answer = control.request(method, path, body)
    assert answer.status < 300, answer.body
    return answer.object


def patch(control: Control, path: str, body: Any) -> Any:
    answer = control.request("PATCH", path, body, {"Content-Type": "application/merge-patch+json"})
    assert answer.status < 300, answer.body
    return answer.object


def make(control: Control, name: str, cpu: str = "10m", **spec: Any) -> None:
    """A pod; its account may have to be waited for."""
    container = {"name": "main", "image": "app", "resources": {"requests": {"cpu": cpu}}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], **spec},
    }
    until(lambda: control.request("POST", PODS, pod).status in (201, 409), SECONDS, f"pod {name} is made")


def get(control: Control, name: str) -> Any:
    answer = control.request("GET", f"{PODS}/{name}")
    return answer.object if answer.status == 200 else {"metadata": {}, "spec": {}, "status": {}}


def node_of(control: Control, name: str) -> str:
    found: str = get(control, name)["spec"].get("nodeName", "")
    return found


def scheduled(control: Control, name: str) -> Any:
    """The condition PodScheduled."""
    conditions = get(control, name)["status"].get("conditions", [])
    return next((each for each in conditions if each["type"] == "PodScheduled"), {})


def bound(control: Control, *names: str) -> None:
    until(lambda: all(node_of(control, name) for name in names), SECONDS, lambda: f"bound: {control.said()}")


def remove(control: Control, *names: str) -> None:
    for name in names:
        ask(control, "DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")


def test_pods_get_nodes_and_kubectl_shows_it(control: Control) -> None:
    make(control, "plain")
    control.kubectl("wait", "pod/plain", "--for=condition=PodScheduled", "--timeout=20s", check=True)
    place = node_of(control, "plain")
    note = f"Successfully assigned default/plain to {place}"
    until(lambda: note in control.kubectl("describe", "pod", "plain").stdout, SECONDS, "the event is told")
    listed = control.kubectl("get", "events", "--field-selector=reason=Scheduled", "-o", "json", check=True).stdout
    event = json.loads(listed)["items"][0]
    assert (event["reportingComponent"], event["action"], event["type"]) == ("default-scheduler", "Binding", "Normal")
    remove(control, "plain")


def test_who_finds_no_node_says_why_until_one_is_there(control: Control) -> None:
    make(control, "large", cpu="8")
    make(control, "picky", nodeSelector={"disk": "ssd"})
    make(control, "others", schedulerName="somebody-else")
    until(lambda: scheduled(control, "large").get("reason") == "Unschedulable", SECONDS, "it is told")
    told = "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: "
    assert scheduled(control, "large")["message"] == f"{told}2 Preemption is not helpful for scheduling."
    until(lambda: told in control.kubectl("describe", "pod", "large").stdout, SECONDS, "the event is told")
    until(lambda: "node affinity/selector" in scheduled(control, "picky").get("message", ""), SECONDS, "it is told")
    patch(control, "/api/v1/nodes/b/status", {"status": {"allocatable": {"cpu": "9"}, "capacity": {"cpu": "9"}}})
    bound(control, "large")
    patch(control, "/api/v1/nodes/a", {"metadata": {"labels": {"disk": "ssd"}}})
    bound(control, "picky")
    assert (node_of(control, "large"), node_of(control, "picky")) == ("b", "a")
    assert scheduled(control, "large")["status"] == "True"
    assert not node_of(control, "others") and not scheduled(control, "others")
    remove(control, "large", "picky", "others")
    patch(control, "/api/v1/nodes/b/status", {"status": {"allocatable": {"cpu": "2"}, "capacity": {"cpu": "2"}}})


def test_gates_hold_a_pod_back(control: Control) -> None:
    make(control, "gated", schedulingGates=[{"name": "example.com/wait"}])
    make(control, "free")
    bound(control, "free")
    assert not node_of(control, "gated") and scheduled(control, "gated")["reason"] == "SchedulingGated"
    patch(control, f"{PODS}/gated", {"spec": {"schedulingGates": None}})
    bound(control, "gated")
    remove(control, "gated", "free")


def test_who_matters_more_goes_first(control: Control) -> None:
    high = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000}
    ask(control, "POST", "/apis/scheduling.k8s.io/v1/priorityclasses", high)
    make(control, "low-a", cpu="1500m", nodeSelector={HOSTNAME: "a"})
    make(control, "low-b", cpu="1500m", nodeSelector={HOSTNAME: "b"})
    bound(control, "low-a", "low-b")
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "guard"},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "low-a"}}},
    }
    ask(control, "POST", "/apis/policy/v1/namespaces/default/poddisruptionbudgets", budget)
    make(control, "important", cpu="1", priorityClassName="high")
    until(
        lambda: get(control, "important")["status"].get("nominatedNodeName") == "b",
        SECONDS,
        lambda: f"it is promised a node: {get(control, 'important')['status']} {control.said()}",
    )
    until(lambda: "deletionTimestamp" in get(control, "low-b")["metadata"], SECONDS, "the other one has to go")
    conditions = {each["type"]: each for each in get(control, "low-b")["status"]["conditions"]}
    assert conditions["DisruptionTarget"]["reason"] == "PreemptionByScheduler"
    assert "deletionTimestamp" not in get(control, "low-a")["metadata"]
    shown = control.kubectl("get", "pod", "important", "-o", "wide", "--no-headers", check=True).stdout.split()
    assert shown[-2] == "b"  # NOMINATED NODE
    make(control, "small", cpu="1")  # what is kept free for another is not for it
    until(lambda: scheduled(control, "small").get("reason") == "Unschedulable", SECONDS, "it is told")
    remove(control, "low-b")  # as its node agent would
    bound(control, "important")
    assert node_of(control, "important") == "b"
    until(lambda: "Preempted by pod" in control.kubectl("get", "events").stdout, SECONDS, "the event is told")
    remove(control, "low-a", "important")
    bound(control, "small")
    remove(control, "small")


def test_a_volume_is_made_for_the_node_before_the_pod_comes(control: Control) -> None:
    storage = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "later"},
        "provisioner": "example.com/by-the-test",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    ask(control, "POST", "/apis/storage.k8s.io/v1/storageclasses", storage)
    asked = {
        "storageClassName": "later",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": asked}
    made = ask(control, "POST", CLAIMS, claim)
    make(control, "db", volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}])
    selected = "volume.kubernetes.io/selected-node"

    def place() -> str:
        found: str = ask(control, "GET", f"{CLAIMS}/data")["metadata"].get("annotations", {}).get(selected, "")
        return found

    until(lambda: place() in NODES, SECONDS, lambda: f"a node is selected: {control.said()}")
    assert not node_of(control, "db")
    reference = {"kind": "PersistentVolumeClaim", "namespace": "default", "name": "data"}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "pv-data"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "later",
            "hostPath": {"path": "/tmp/x"},
            "claimRef": {**reference, "uid": made["metadata"]["uid"]},
        },
    }
    ask(control, "POST", "/api/v1/persistentvolumes", volume)
    control.request(
        "PATCH", f"{CLAIMS}/data", {"spec": {"volumeName": "pv-data"}}, {"Content-Type": "application/merge-patch+json"}
    )
    patch(control, f"{CLAIMS}/data/status", {"status": {"phase": "Bound"}})
    bound(control, "db")
    assert node_of(control, "db") == place()
    remove(control, "db")


def test_nothing_is_lost_or_given_twice_when_it_is_killed(control: Control) -> None:
    names = [f"many-{number}" for number in range(60)]
    for name in names[:30]:
        make(control, name, cpu="70m")
    control.kill()
    control.start()
    for name in names[30:]:
        make(control, name, cpu="70m")

    def settled() -> bool:
        items = ask(control, "GET", PODS)["items"]
        return sum("nodeName" in item["spec"] for item in items) >= 56

    until(settled, SECONDS, lambda: f"all that fit have a node: {control.said()}")
    until(
        lambda: sum(bool(scheduled(control, name).get("message")) for name in names) == 4,
        SECONDS,
        "the others are told",
    )
    items = ask(control, "GET", PODS)["items"]
    places = Counter(item["spec"].get("nodeName", "") for item in items)
    assert places == {"a": 28, "b": 28, "": 4}  # 2 cores each


def test_its_figures(control: Control) -> None:
    text = control.request("GET", "/metrics").body.decode()
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("scheduler_"))
    assert float(figures['scheduler_schedule_attempts_total{result="scheduled"}']) > 0
    assert float(figures['scheduler_schedule_attempts_total{result="error"}']) == 0
    assert {
        f'scheduler_pending_pods{{queue="{queue}"}}' for queue in ("active", "backoff", "unschedulable")
    } <= figures.keys()
