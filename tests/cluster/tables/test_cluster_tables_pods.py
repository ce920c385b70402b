"""Pods as table rows: what `kubectl get pods` says of a pod in every state."""

import time
from typing import Any

import pytest

from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.tables import table_of
from boxship.cluster.objects.tables.text import moment

PODS = Resource("", "v1", "Pod", "pods", "pod", True, "pods", "v1")
START = "2026-11-22T12:00:00Z"
NOW = (moment(START) or 0) + 3600


def status(name: str = "c", *, restarts: int = 0, last: str = "", ready: bool = False, **state: Any) -> dict[str, Any]:
    """A container's status; `state` is one of running, waiting, terminated."""
    found: dict[str, Any] = {"name": name, "ready": ready, "restartCount": restarts, "state": state}
    if last:
        found["lastState"] = {"terminated": {"exitCode": 1, "finishedAt": last}}
    return found


def pod(
    *statuses: dict[str, Any],
    containers: int = 1,
    init: tuple[dict[str, Any], ...] = (),
    sidecars: tuple[str, ...] = (),
    phase: str = "Running",
    deleted: bool = False,
    conditions: dict[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "metadata": {"name": "p", "creationTimestamp": START},
        "spec": {"containers": [{"name": f"c{i}", "image": "i"} for i in range(containers)]},
        "status": {"phase": phase, "containerStatuses": list(statuses), **more},
    }
    if init:
        names = [found["name"] for found in init]
        made["spec"]["initContainers"] = [
            {"name": name, "restartPolicy": "Always"} if name in sidecars else {"name": name} for name in names
        ]
        made["status"]["initContainerStatuses"] = list(init)
    if deleted:
        made["metadata"]["deletionTimestamp"] = START
    held = conditions or {}
    made["status"]["conditions"] = [{"type": kind, "status": held[kind]} for kind in held]
    return made


def cells(object: dict[str, Any], now: float = NOW) -> list[Any]:
    found: list[Any] = table_of(PODS, [object], now)[1][0]["cells"]
    return found


RUN: dict[str, Any] = {"startedAt": START}
RUNNING = status(ready=True, running=RUN)
DONE = status(terminated={"exitCode": 0, "reason": "Completed"})
STATES = [
    (pod(phase="Pending"), "0/1", "Pending", "0"),
    (pod(RUNNING), "1/1", "Running", "0"),
    (pod(status(running=RUN)), "0/1", "Running", "0"),
    (pod(RUNNING, status(running=RUN), containers=2), "1/2", "Running", "0"),
    (pod(phase="Pending", reason="Evicted"), "0/1", "Evicted", "0"),
    (pod(status(waiting={"reason": "ContainerCreating"}), phase="Pending"), "0/1", "ContainerCreating", "0"),
    (pod(status(waiting={})), "0/1", "Running", "0"),
    (
        pod(status(waiting={"reason": "CrashLoopBackOff"}, restarts=7, last="2026-11-22T12:55:00Z")),
        "0/1",
        "CrashLoopBackOff",
        "7 (5m ago)",
    ),
    (pod(status(ready=True, running=RUN, restarts=2)), "1/1", "Running", "2"),
    (pod(DONE, phase="Succeeded"), "0/1", "Completed", "0"),
    (pod(status(terminated={"exitCode": 137, "reason": "OOMKilled"})), "0/1", "OOMKilled", "0"),
    (pod(status(terminated={"exitCode": 3})), "0/1", "ExitCode:3", "0"),
    (pod(status(terminated={"exitCode": 137, "signal": 9})), "0/1", "Signal:9", "0"),
    (pod(DONE, RUNNING, containers=2, conditions={"Ready": "True"}), "1/2", "Running", "0"),
    (pod(DONE, RUNNING, containers=2, conditions={"Ready": "False"}), "1/2", "NotReady", "0"),
    (pod(RUNNING, deleted=True), "1/1", "Terminating", "0"),
    (pod(DONE, phase="Succeeded", deleted=True), "0/1", "Completed", "0"),
    (pod(RUNNING, deleted=True, reason="NodeLost"), "1/1", "Unknown", "0"),
    (pod(init=(status("i"),), phase="Pending"), "0/1", "Init:0/1", "0"),
    (pod(init=(status("i", waiting={"reason": "PodInitializing"}),), phase="Pending"), "0/1", "Init:0/1", "0"),
    (
        pod(init=(status("i", terminated={"exitCode": 0}), status("j", running=RUN)), phase="Pending"),
        "0/1",
        "Init:1/2",
        "0",
    ),
    (pod(init=(status("i", waiting={"reason": "ErrImagePull"}),), phase="Pending"), "0/1", "Init:ErrImagePull", "0"),
    (pod(init=(status("i", terminated={"exitCode": 1, "reason": "Error"}),)), "0/1", "Init:Error", "0"),
    (pod(init=(status("i", terminated={"exitCode": 2}),)), "0/1", "Init:ExitCode:2", "0"),
    (pod(init=(status("i", terminated={"exitCode": 2, "signal": 6}),)), "0/1", "Init:Signal:6", "0"),
    (
        pod(init=(status("i", running=RUN, restarts=3, last="2026-11-22T12:59:30Z"),), phase="Pending"),
        "0/1",
        "Init:0/1",
        "3 (30s ago)",
    ),
    # An init container's restarts are forgotten once the pod is initialized.
    (pod(RUNNING, init=(status("i", terminated={"exitCode": 0}, restarts=3),)), "1/1", "Running", "0"),
    # A sidecar counts among the containers, and so do its restarts.
    (
        pod(
            RUNNING,
            init=({**status("s", running=RUN, restarts=2, ready=True), "started": True},),
            sidecars=("s",),
        ),
        "2/2",
        "Running",
        "2",
    ),
    (
        pod(RUNNING, init=({**status("s", running=RUN), "started": True},), sidecars=("s",)),
        "1/2",
        "Running",
        "0",
    ),
    (pod(init=(status("s", running=RUN),), sidecars=("s",), phase="Pending"), "0/2", "Init:0/1", "0"),
    (
        pod(RUNNING, init=(status("i", waiting={"reason": "X"}),), conditions={"Initialized": "True"}),
        "1/1",
        "Init:X",
        "0",
    ),
]


@pytest.mark.parametrize(("object", "ready", "shown", "restarts"), STATES)
def test_state(object: dict[str, Any], ready: str, shown: str, restarts: str) -> None:
    assert cells(object)[:5] == ["p", ready, shown, restarts, "60m"]


def test_gated_pods_say_so() -> None:
    object = pod(phase="Pending")
    object["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]
    assert cells(object)[2] == "SchedulingGated"


def test_wide_columns() -> None:
    object = pod(RUNNING, conditions={"a/b": "True", "c/d": "False"})
    assert cells(object)[5:] == ["<none>"] * 4
    object["spec"].update(nodeName="n1", readinessGates=[{"conditionType": "a/b"}, {"conditionType": "c/d"}])
    object["status"].update(podIPs=[{"ip": "10.0.0.7"}, {"ip": "fd00::7"}], nominatedNodeName="n2")
    assert cells(object)[5:] == ["10.0.0.7", "n1", "n2", "1/2"]
    columns, _ = table_of(PODS, [], NOW)
    names = "Name Ready Status Restarts Age IP Node".split()
    assert [column["name"] for column in columns] == [*names, "Nominated Node", "Readiness Gates"]
    assert [column["priority"] for column in columns] == [0] * 5 + [1] * 4
    assert columns[0]["format"] == "name" and {column["type"] for column in columns} == {"string"}


def test_completed_rows_carry_their_condition() -> None:
    rows = table_of(PODS, [pod(phase="Succeeded"), pod(phase="Failed"), pod(RUNNING)], NOW)[1]
    assert [row.get("conditions", [{}])[0].get("reason") for row in rows] == ["Succeeded", "Failed", None]
    assert rows[0]["conditions"][0]["type"] == "Completed"


def test_a_hundred_pods_take_no_time() -> None:
    pods = [pod(RUNNING, conditions={"Ready": "True", "Initialized": "True"}) for _ in range(100)]
    best = min(_measured(pods) for _ in range(5))
    assert best < 0.005, f"100 pods took {best * 1000:.1f} ms"


def _measured(pods: list[dict[str, Any]]) -> float:
    begun = time.process_time()
    table_of(PODS, pods, NOW)
    return time.process_time() - begun
