"""Pods on a real node: hooks, probes, ends and messages as containers really have them, over a kill -9 of the agent."""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nodes_kit import Cluster, running_cluster

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: full}
spec:
  terminationGracePeriodSeconds: 8
  initContainers:
  - {name: first, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo one > /shared/order"],
     volumeMounts: [{name: shared, mountPath: /shared}]}
  - name: side
    image: busybox
    imagePullPolicy: IfNotPresent
    restartPolicy: Always
    command: [sh, -c, "echo side >> /shared/order; trap 'exit 0' TERM; touch /ready; while true; do sleep 0.1; done"]
    startupProbe: {exec: {command: [cat, /ready]}, periodSeconds: 1}
    volumeMounts: [{name: shared, mountPath: /shared}]
  containers:
  - name: web
    image: busybox
    imagePullPolicy: IfNotPresent
    command:
    - sh
    - -c
    - "echo web >> /shared/order; trap 'exit 0' TERM; httpd -p 8080 -h /www; while :; do sleep 0.1; done"
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {httpGet: {path: /index.html, port: http}, periodSeconds: 1}
    livenessProbe: {tcpSocket: {port: http}, periodSeconds: 1}
    lifecycle:
      postStart: {exec: {command: [sh, -c, "echo hook >> /shared/order"]}}
      preStop: {exec: {command: [sh, -c, "echo stopping > /shared/stopped; sleep 0.3"]}}
    volumeMounts: [{name: shared, mountPath: /shared}]
  volumes: [{name: shared, emptyDir: {}}]
---
apiVersion: v1
kind: Pod
metadata: {name: said}
spec:
  restartPolicy: Never
  containers:
  - {name: file, image: busybox, imagePullPolicy: IfNotPresent,
     command: [sh, -c, "echo written > /dev/termination-log"]}
  - {name: log, image: busybox, imagePullPolicy: IfNotPresent, terminationMessagePolicy: FallbackToLogsOnError,
     command: [sh, -c, "echo first; echo last; exit 3"]}
---
apiVersion: v1
kind: Pod
metadata: {name: sick}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: a, image: busybox, imagePullPolicy: IfNotPresent,
     command: [sh, -c, "trap 'exit 7' TERM; while :; do sleep 0.1; done"],
     livenessProbe: {exec: {command: ["false"]}, periodSeconds: 1, failureThreshold: 1}}
---
apiVersion: v1
kind: Pod
metadata: {name: hooked}
spec:
  terminationGracePeriodSeconds: 1
  restartPolicy: Never
  containers:
  - {name: a, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "1000"],
     lifecycle: {postStart: {exec: {command: ["false"]}}}}
---
apiVersion: v1
kind: Pod
metadata: {name: late}
spec:
  activeDeadlineSeconds: 2
  terminationGracePeriodSeconds: 1
  containers: [{name: a, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "1000"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: wrong}
spec:
  containers:
  - {name: a, image: "Not A Name"}
  - {name: b, image: "nowhere.invalid/b:1", imagePullPolicy: Never}
  - {name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [/nothing]}
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="bx") as home, running_cluster(Path(home), nodes=1) as cluster:
        cluster.kubectl("apply", "-f", "-", data=PODS)
        yield cluster


def pod(cluster: Cluster, name: str) -> Any:
    found = cluster.kubectl("get", "pod", name, "-o", "json", check=False)
    return json.loads(found.stdout) if found.returncode == 0 else None


def until(cluster: Cluster, name: str, condition: Callable[[Any], Any], what: str, seconds: float = 20) -> Any:
    """The status that fulfils the condition; of what it asks for, some may not be there yet."""
    last: Any = None

    def holds() -> bool:
        nonlocal last
        last = (pod(cluster, name) or {"status": {}})["status"]
        try:
            return bool(condition(last))
        except (KeyError, IndexError):
            return False

    cluster.until(holds, seconds, what)
    return last


def told(cluster: Cluster, name: str, *texts: str) -> None:
    """Events are written beside the status, so a little later."""

    def holds() -> bool:
        found = cluster.kubectl("get", "events", "--field-selector", f"involvedObject.name={name}").stdout
        return all(text in found for text in texts)

    cluster.until(holds, 10, f"events of {name} say {texts}")


def states(status: Any, key: str = "containerStatuses") -> dict[str, Any]:
    return {one["name"]: one for one in status.get(key) or ()}


def is_ready(status: Any) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ())


def test_a_pod_with_everything_comes_in_order(cluster: Cluster) -> None:
    until(cluster, "full", is_ready, "the pod is ready")
    order = cluster.kubectl("exec", "full", "-c", "web", "--", "cat", "/shared/order").stdout.split()
    assert order[:2] == ["one", "side"] and set(order[2:]) == {"web", "hook"}


def test_what_containers_said_at_their_end(cluster: Cluster) -> None:
    status = until(cluster, "said", lambda status: status["phase"] == "Failed", "the pod has failed")
    ended = {name: one["state"]["terminated"] for name, one in states(status).items()}
    assert (ended["file"]["message"], ended["file"]["exitCode"]) == ("written\n", 0)
    assert (ended["log"]["message"], ended["log"]["reason"]) == ("first\nlast\n", "Error")
    assert cluster.kubectl("logs", "said", "-c", "log").stdout == "first\nlast\n"


def test_a_sick_container_is_restarted(cluster: Cluster) -> None:
    status = until(cluster, "sick", lambda status: states(status)["a"]["restartCount"] >= 1, "it was restarted")
    assert states(status)["a"]["lastState"]["terminated"]["exitCode"] == 7
    told(cluster, "sick", "Liveness probe failed", "Container a failed liveness probe, will be restarted")


def test_a_hook_that_fails_ends_the_container(cluster: Cluster) -> None:
    until(cluster, "hooked", lambda status: status["phase"] == "Failed", "the pod has failed")
    told(cluster, "hooked", "PostStartHook failed")


def test_a_deadline_passes(cluster: Cluster) -> None:
    status = until(cluster, "late", lambda status: status["phase"] == "Failed", "the pod has failed")
    assert status["reason"] == "DeadlineExceeded"


def test_what_cannot_begin_says_why(cluster: Cluster) -> None:
    def reasons(status: Any) -> list[str]:
        return [(one["state"].get("waiting") or {}).get("reason") for one in states(status).values()]

    wanted = ["InvalidImageName", "ErrImageNeverPull"]
    status = until(cluster, "wrong", lambda status: reasons(status)[:2] == wanted, "the reasons are told")
    assert reasons(status)[2] in ("RunContainerError", "CreateContainerError", "CrashLoopBackOff", None)


def test_an_agent_that_is_killed_disturbs_nothing(cluster: Cluster) -> None:
    before = pod(cluster, "full")["status"]
    cluster.nodes[0].kill()
    cluster.nodes[0].start()
    cluster.kubectl("run", "after", "--image=busybox", "--image-pull-policy=IfNotPresent", "--", "sleep", "1000")
    until(cluster, "after", is_ready, "the agent is at work again")
    after = pod(cluster, "full")["status"]
    for key in ("containerStatuses", "initContainerStatuses"):
        assert {name: one["containerID"] for name, one in states(before, key).items()} == {
            name: one["containerID"] for name, one in states(after, key).items()
        }
    assert is_ready(after) and after["podIP"] == before["podIP"]
    cluster.kubectl("delete", "pod", "after", "--grace-period=1", "--wait=false")


def test_a_killed_agent_goes_on_with_what_was_ending(cluster: Cluster) -> None:
    cluster.kubectl("delete", "pod", "--all", "--wait=false")
    cluster.nodes[0].kill()
    cluster.nodes[0].start()
    cluster.until(
        lambda: not json.loads(cluster.kubectl("get", "pods", "-o", "json").stdout)["items"], 25, "all are gone"
    )
    cluster.until(lambda: cluster.nodes[0].docker("ps", "-aq").stdout == "", 10, "nothing is left of them")
