"""`boxship why TYPE/NAME`: what is wrong, each node's verdict, and what would help."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_kit import Control, running_control

from boxship.cli.kube.diagnosing import diagnose
from boxship.cli.kube.needing import needs
from daemons import surroundings, until

BOXSHIP = str(Path(sys.executable).parent / "boxship")
READY_NODE = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}


def pod(*containers: Any, phase: str = "Running", spec: Any = None, **status: Any) -> Any:
    return {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"nodeName": "n", "containers": [{"name": "c"}], **(spec or {})},
        "status": {"phase": phase, "containerStatuses": list(containers), **status},
    }


def container(state: Any, **more: Any) -> Any:
    return {"name": "c", "image": "web:1", "state": state, "ready": False, "restartCount": 0, **more}


def event(reason: str, message: str) -> Any:
    return {"reason": reason, "message": message}


@pytest.mark.parametrize(
    ("made", "events", "about", "text", "next"),
    [
        (
            pod(container({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}})),
            [],
            "container c",
            "cannot be had (ImagePullBackOff): Back-off pulling image",
            "boxship build -t web:1 .",
        ),
        (
            pod(
                container(
                    {"waiting": {"reason": "CrashLoopBackOff"}},
                    restartCount=4,
                    lastState={"terminated": {"exitCode": 127, "reason": "Error"}},
                )
            ),
            [],
            "container c",
            "(4 restarts so far), and waits before the next try. It ended with exit code 127: its command",
            "boxship logs pod/p -c c --previous",
        ),
        (
            pod(
                container(
                    {"waiting": {"reason": "CrashLoopBackOff"}},
                    lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                )
            ),
            [],
            "container c",
            "more memory than its limit",
            "",
        ),
        (
            pod(container({"waiting": {"reason": "CreateContainerConfigError", "message": 'configmap "a" not found'}})),
            [],
            "container c",
            'configmap "a" not found',
            "make what the message names",
        ),
        (
            pod(container({"waiting": {"reason": "ContainerCreating"}}), phase="Pending"),
            [event("FailedMount", 'MountVolume.SetUp failed for volume "v": secret "s" not found')],
            "volumes",
            'secret "s" not found',
            "make what the message names",
        ),
        (
            pod(container({"running": {}}, started=False)),
            [event("Unhealthy", "Startup probe failed: dial tcp: connection refused")],
            "container c",
            "startup probe has not passed yet: Startup probe failed: dial tcp: connection refused",
            "boxship logs pod/p -c c",
        ),
        (
            pod(
                container({"running": {}}, started=True),
                spec={"containers": [{"name": "c", "readinessProbe": {"exec": {}}}]},
            ),
            [event("Unhealthy", "Readiness probe failed: HTTP 503")],
            "container c",
            "readiness probe",
            "is the probe's port, path or command right?",
        ),
        (
            pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
            [],
            "pod",
            "It has failed: Evicted: The node was low on resource: memory.",
            "free or add what its node is short of",
        ),
        (
            pod(
                container({"waiting": {"reason": "PodInitializing"}}),
                phase="Pending",
                initContainerStatuses=[{"name": "i", "state": {"running": {"startedAt": "T"}}, "ready": False}],
            ),
            [],
            "init container i",
            "It runs since T; the containers after it start when it has ended.",
            "boxship logs pod/p -c i",
        ),
    ],
)
def test_diagnoses(made: Any, events: list[Any], about: str, text: str, next: str) -> None:
    found = diagnose(made, events, READY_NODE)
    assert [(one.about, text in one.text, next in one.next) for one in found] == [(about, True, True)], [
        (one.about, one.text, one.next) for one in found
    ]


def test_a_container_that_is_being_killed_and_a_claim_that_is_not_there() -> None:
    made = pod(container({"running": {"startedAt": "2026-01-01T00:00:00Z"}}, ready=True, started=True))
    killing = event("Killing", "Container c failed liveness probe, will be restarted")
    (found,) = diagnose(made, [{**killing, "lastTimestamp": "2026-01-01T00:01:00Z"}], READY_NODE)
    assert found.text == "Container c failed liveness probe, will be restarted."
    assert not diagnose(made, [{**killing, "lastTimestamp": "2025-12-31T00:01:00Z"}], READY_NODE)
    waiting = pod(phase="Pending", spec={"nodeName": ""})
    (found,) = diagnose(waiting, [], None, [{"metadata": {"name": "v"}, "missing": True}])
    assert (found.about, found.text) == ("claim v", "There is no such claim.")


def test_each_container_hears_of_its_own_probe() -> None:
    def unhealthy(name: str, text: str) -> Any:
        return {**event("Unhealthy", text), "involvedObject": {"fieldPath": f"spec.containers{{{name}}}"}}

    statuses = [{**container({"running": {}}, started=True), "name": name} for name in ("a", "b")]
    spec = {"containers": [{"name": name, "readinessProbe": {"exec": {}}} for name in ("a", "b")]}
    events = [unhealthy("a", "Readiness probe failed: one"), unhealthy("b", "Readiness probe failed: two")]
    found = diagnose(pod(*statuses, spec=spec), events, READY_NODE)
    assert ["one" in found[0].text, "two" in found[1].text] == [True, True] and "two" not in found[0].text


def test_what_is_well_has_no_findings() -> None:
    assert not diagnose(pod(container({"running": {}}, ready=True, started=True)), [], READY_NODE)
    assert not diagnose(pod(container({"waiting": {"reason": "ContainerCreating"}}), phase="Pending"), [], READY_NODE)


def test_the_node_the_gates_and_the_budget() -> None:
    silent = {"status": {"conditions": [{"type": "Ready", "status": "Unknown", "message": "it says nothing"}]}}
    budget = {"metadata": {"name": "b"}, "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 2}}
    made = pod(
        container({"running": {}}, ready=True, started=True),
        spec={"readinessGates": [{"conditionType": "example.com/up"}]},
    )
    found = diagnose(made, [], silent, budgets=[budget])
    assert [one.about for one in found] == ["node n", "readiness gate", "budget b"]
    assert "it says nothing" in found[0].text and "example.com/up" in found[1].text and "1 are healthy" in found[2].text
    assert "no such node" in diagnose(made, [], None)[0].text
    waiting = pod(phase="Pending", spec={"nodeName": "", "schedulingGates": [{"name": "g"}]})
    claim = {"metadata": {"name": "v"}, "spec": {}, "status": {"phase": "Pending"}}
    assert [one.about for one in diagnose(waiting, [], None, [claim])] == ["scheduling", "claim v"]


class Beside:
    """Implements Around over a few objects. `hidden` may not be read."""

    def __init__(self, hidden: str = "", **objects: list[Any]) -> None:
        self.hidden, self.objects = hidden, objects

    def one(self, resource: str, name: str) -> Any:
        if resource == self.hidden:
            return {}
        return next((one for one in self.objects.get(resource, []) if one["metadata"]["name"] == name), None)

    def all(self, resource: str, labels: Any = None) -> Any:
        def fits(one: Any) -> bool:
            return (labels or {}).items() <= (one["metadata"].get("labels") or {}).items()

        return None if resource == self.hidden else [one for one in self.objects.get(resource, []) if fits(one)]


def thing(name: str, labels: Any = None, annotations: Any = None, **more: Any) -> Any:
    return {"metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}}, **more}


BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
INGRESS = thing("i", kind="Ingress", spec={"defaultBackend": BACKEND, "tls": [{"secretName": "pair"}]})
DEFAULT = thing(
    "b", None, {"ingressclass.kubernetes.io/is-default-class": "true"}, spec={"controller": "boxship.io/ingress"}
)
SERVICE = thing("web", spec={"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}, kind="Service")
SLICE = thing("web-1", {"kubernetes.io/service-name": "web"}, endpoints=[{"conditions": {"ready": True}}])
PAIR = thing("pair", type="kubernetes.io/tls", data={"tls.crt": "eA==", "tls.key": "eA=="})
CLAIM = thing("data", kind="PersistentVolumeClaim", spec={"storageClassName": "fast"}, status={"phase": "Pending"})


@pytest.mark.parametrize(
    ("made", "around", "texts"),
    [
        (INGRESS, Beside(), ["no default one: nobody serves it", "no service web", "no secret pair"]),
        (INGRESS, Beside(ingressclasses=[DEFAULT], services=[SERVICE], secrets=[PAIR]), ["web has no ready endpoint"]),
        (INGRESS, Beside(ingressclasses=[DEFAULT], services=[SERVICE], secrets=[PAIR], endpointslices=[SLICE]), []),
        (INGRESS, Beside("secrets", ingressclasses=[DEFAULT], services=[SERVICE], endpointslices=[SLICE]), []),
        (
            {**INGRESS, "spec": {**INGRESS["spec"], "ingressClassName": "nginx"}},
            Beside(
                ingressclasses=[DEFAULT],
                services=[thing("web", spec={"ports": [{"port": 8080}]})],
                secrets=[thing("pair", type="Opaque")],
            ),
            ["no class nginx", "Service web has no port 80", "of the type Opaque, not kubernetes.io/tls"],
        ),
        (SERVICE, Beside(pods=[thing("p", {"app": "wep"})]), ["No pod has its labels app=web"]),
        (
            SERVICE,
            Beside(pods=[thing("p", {"app": "web"}, spec={"containers": [{"ports": [{"name": "web"}]}]})]),
            ["a port called http", "None of its 1 pod is ready"],
        ),
        (thing("e", kind="Service", spec={"ports": [{"port": 80}]}), Beside(), ["no selector, and nobody"]),
        (CLAIM, Beside(), ["There is no storage class fast"]),
        (
            CLAIM,
            Beside(storageclasses=[thing("fast", volumeBindingMode="WaitForFirstConsumer")]),
            ["waits for the first pod"],
        ),
        (CLAIM, Beside(storageclasses=[thing("fast")]), []),
        (
            {
                **CLAIM,
                "spec": {
                    "volumeName": "v",
                    "accessModes": ["ReadWriteMany"],
                    "resources": {"requests": {"storage": "2Gi"}},
                },
            },
            Beside(
                persistentvolumes=[thing("v", spec={"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]})]
            ),
            ["has 1Gi, and the claim asks for 2Gi", "does not offer ReadWriteMany"],
        ),
        (thing("d", kind="Deployment", spec={"paused": True, "replicas": 0}), Beside(), ["paused", "to have no pods"]),
        (
            thing("d", kind="Deployment", spec={"replicas": 2}, status={"replicas": 2, "updatedReplicas": 1}),
            Beside(),
            ["1 of 2 pods"],
        ),
        (thing("c", kind="CronJob", spec={"suspend": True}), Beside(), ["suspended"]),
        (thing("n", kind="Node", spec={"unschedulable": True}), Beside(), ["cordoned"]),
    ],
)
def test_what_an_object_lacks(made: Any, around: Beside, texts: list[str]) -> None:
    found = [one.text for one in needs(made, around)]
    assert len(found) == len(texts) and all(text in one for text, one in zip(texts, found, strict=True)), found


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("why")) as control:
        yield control


def why(control: Control, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**surroundings(), "KUBECONFIG": str(control.kubeconfig), "HOME": str(control.home)}
    return subprocess.run(
        [BOXSHIP, "why", *words], capture_output=True, text=True, timeout=60, env=environment, check=False
    )


def node(control: Control, name: str, cpu: str, taint: str = "") -> None:
    made: Any = {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}}
    if taint:
        made["spec"] = {"taints": [{"key": taint, "effect": "NoSchedule"}]}
    assert control.request("POST", "/api/v1/nodes", made).status == 201
    status = {
        "allocatable": {"cpu": cpu, "memory": "4Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}],
    }
    status["capacity"] = status["allocatable"]
    answer = control.request(
        "PATCH",
        f"/api/v1/nodes/{name}/status",
        {"status": status},
        {"Content-Type": "application/merge-patch+json"},
    )
    assert answer.status == 200, answer.body


def test_a_pod_that_fits_nowhere(control: Control) -> None:
    node(control, "small", "1")
    node(control, "tainted", "8", taint="gpu")
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "web", "resources": {"requests": {"cpu": "2"}}}]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    made = {"metadata": {"name": "web"}, "spec": spec}
    assert control.request("POST", "/apis/apps/v1/namespaces/default/deployments", made).status == 201

    def name() -> str:
        items = control.request("GET", "/api/v1/namespaces/default/pods").object["items"]
        return str(items[0]["metadata"]["name"]) if items else ""

    until(lambda: name() != "", 10, "its pod is made")

    def told() -> bool:
        return "untolerated taint" in why(control, f"pod/{name()}").stdout

    until(told, 10, lambda: why(control, f"pod/{name()}").stdout)
    done = why(control, f"pod/{name()}")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == f"pod default/{name()} is Pending, not ready, on no node."
    assert "0/2 nodes are available" in lines[1]
    words = [line.split() for line in lines[2:5]]
    assert words[0] == ["NODE", "RULE", "WHY", "NOT"]
    assert ["small", "NodeResourcesFit", "Insufficient", "cpu"] in words
    assert any(line[:2] == ["tainted", "TaintToleration"] for line in words)
    assert any("let the pod tolerate gpu=:NoSchedule" in line for line in lines[5:])
    assert any("ask for 1 cpu instead of 2" in line for line in lines[5:])
    events = control.request("GET", "/api/v1/namespaces/default/events").object["items"]
    notes = [one["message"] for one in events if one["reason"] == "FailedScheduling"]
    assert any("Smallest change that would help: " in note for note in notes), notes
    of_owner = why(control, "deployment/web")
    assert of_owner.returncode == 1 and f"pod default/{name()} is Pending" in of_owner.stdout
    assert "condition Available: It is False: MinimumReplicasUnavailable" in of_owner.stdout


def test_what_keeps_pods_from_being_made(control: Control) -> None:
    hard = {"hard": {"pods": "0"}}
    path = "/api/v1/namespaces"
    assert control.request("POST", path, {"metadata": {"name": "full"}}).status == 201
    made = {"metadata": {"name": "q"}, "spec": hard}
    assert control.request("POST", f"{path}/full/resourcequotas", made).status == 201
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "web"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "a"}}, "template": template}
    made = {"metadata": {"name": "a"}, "spec": spec}
    assert control.request("POST", "/apis/apps/v1/namespaces/full/deployments", made).status == 201
    until(lambda: "exceeded quota: q" in why(control, "-n", "full", "deployment/a").stdout, 10, "it names the quota")


def test_what_is_not_there(control: Control) -> None:
    missing = why(control, "pod/none")
    assert missing.returncode == 1 and "not found" in missing.stderr


def test_an_ingress_to_nowhere(control: Control) -> None:
    entry = {"path": "/x", "pathType": "Prefix", "backend": {"service": {"name": "gone", "port": {"number": 80}}}}
    rule = {"host": "a.test", "http": {"paths": [entry]}}
    spec = {"rules": [rule], "ingressClassName": "nobody", "tls": [{"hosts": ["a.test"], "secretName": "missing"}]}
    path = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
    assert control.request("POST", path, {"metadata": {"name": "way"}, "spec": spec}).status == 201
    done = why(control, "ing/way")
    assert done.returncode == 1
    for text in (
        "class: There is no class nobody",
        "a.test/x: There is no service gone",
        "tls missing: There is no secret",
    ):
        assert text in done.stdout
    assert control.request("DELETE", f"{path}/way").status == 200
