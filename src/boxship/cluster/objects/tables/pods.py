"""Pods and their templates as table rows: the status that `kubectl get pods` shows is computed here, of phases,
reasons, init containers, sidecars and exit codes, in the original's order of precedence."""

from collections.abc import Mapping
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.tables.columns import AGE, CONTAINERS, IMAGES, NAME, Column, View
from boxship.cluster.objects.tables.text import (
    NONE,
    age,
    condition,
    containers_text,
    duration,
    items,
    labels_text,
    moment,
    name_of,
    number,
    part,
    text,
)

SUCCEEDED = [
    {"type": "Completed", "status": "True", "reason": "Succeeded", "message": "The pod has completed successfully."}
]
FAILED = [{"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}]


class Restarts(msgspec.Struct):
    """How often containers were restarted, and when the last one ended."""

    count: int = 0
    last: float | None = None

    def add(self, status: Any) -> None:
        self.count += number(status, "restartCount")
        ended = moment(part(status, "lastState", "terminated").get("finishedAt"))
        if ended is not None and (self.last is None or ended > self.last):
            self.last = ended

    def shown(self, now: float) -> str:
        if self.count and self.last is not None:
            return f"{self.count} ({duration(now - self.last)} ago)"
        return str(self.count)


class Progress(msgspec.Struct):
    """What is found out about a pod on the way through its containers."""

    reason: str
    ready: int = 0
    initializing: bool = False
    restarts: Restarts = msgspec.field(default_factory=Restarts)
    sidecar_restarts: Restarts = msgspec.field(default_factory=Restarts)


def _ending(terminated: Mapping[str, Any]) -> str:
    """Why a container ended: the runtime's word, else the signal, else the exit code."""
    if text(terminated, "reason"):
        return text(terminated, "reason")
    if number(terminated, "signal"):
        return f"Signal:{number(terminated, 'signal')}"
    return f"ExitCode:{number(terminated, 'exitCode')}"


def _through_init_containers(pod: Object, sidecars: set[str], progress: Progress) -> None:
    total = len(items(pod, "spec", "initContainers"))
    for index, status in enumerate(items(pod, "status", "initContainerStatuses")):
        progress.restarts.add(status)
        sidecar = text(status, "name") in sidecars
        if sidecar:
            progress.sidecar_restarts.add(status)
        state = part(status, "state")
        terminated, waiting = state.get("terminated"), text(state, "waiting", "reason")
        if isinstance(terminated, dict) and number(terminated, "exitCode") == 0:
            continue
        if sidecar and part(status).get("started"):
            progress.ready += bool(part(status).get("ready"))
            continue
        if isinstance(terminated, dict):
            progress.reason = f"Init:{_ending(terminated)}"
        elif waiting and waiting != "PodInitializing":
            progress.reason = f"Init:{waiting}"
        else:
            progress.reason = f"Init:{index}/{total}"
        progress.initializing = True
        return


def _through_containers(pod: Object, progress: Progress) -> None:
    progress.restarts = progress.sidecar_restarts
    running = False
    for status in reversed(items(pod, "status", "containerStatuses")):
        progress.restarts.add(status)
        state = part(status, "state")
        terminated, waiting = state.get("terminated"), text(state, "waiting", "reason")
        if waiting:
            progress.reason = waiting
        elif isinstance(terminated, dict):
            progress.reason = _ending(terminated)
        elif part(status).get("ready") and isinstance(state.get("running"), dict):
            running = True
            progress.ready += 1
    if progress.reason == "Completed" and running:
        progress.reason = "Running" if condition(pod, "Ready").get("status") == "True" else "NotReady"


def _progress(pod: Object, sidecars: set[str]) -> Progress:
    phase, told = text(pod, "status", "phase"), text(pod, "status", "reason")
    progress = Progress(told or phase)
    if condition(pod, "PodScheduled").get("reason") == "SchedulingGated":
        progress.reason = "SchedulingGated"
    _through_init_containers(pod, sidecars, progress)
    if not progress.initializing or condition(pod, "Initialized").get("status") == "True":
        _through_containers(pod, progress)
    if part(pod, "metadata").get("deletionTimestamp"):
        if told == "NodeLost":
            progress.reason = "Unknown"
        elif phase not in ("Succeeded", "Failed"):
            progress.reason = "Terminating"
    return progress


def _gates(pod: Object) -> str:
    gates = items(pod, "spec", "readinessGates")
    passed = sum(condition(pod, text(gate, "conditionType")).get("status") == "True" for gate in gates)
    return f"{passed}/{len(gates)}" if gates else NONE


def pod_cells(pod: Object, now: float) -> list[Any]:
    sidecars = {
        text(container, "name")
        for container in items(pod, "spec", "initContainers")
        if part(container).get("restartPolicy") == "Always"
    }
    progress = _progress(pod, sidecars)
    addresses = items(pod, "status", "podIPs")
    return [
        name_of(pod),
        f"{progress.ready}/{len(items(pod, 'spec', 'containers')) + len(sidecars)}",
        progress.reason,
        progress.restarts.shown(now),
        age(pod, now),
        (text(addresses[0], "ip") if addresses else "") or NONE,
        text(pod, "spec", "nodeName") or NONE,
        text(pod, "status", "nominatedNodeName") or NONE,
        _gates(pod),
    ]


def pod_conditions(pod: Object) -> list[dict[str, str]]:
    return {"Succeeded": SUCCEEDED, "Failed": FAILED}.get(text(pod, "status", "phase"), [])


def template_cells(template: Object, now: float) -> list[Any]:
    names, images = containers_text(part(template, "template", "spec"))
    return [name_of(template), names, images, labels_text(part(template, "template", "metadata", "labels"))]


POD = View(
    (
        NAME,
        Column("Ready", description="The aggregate readiness state of this pod for accepting traffic."),
        Column("Status", description="The aggregate status of the containers in this pod."),
        Column(
            "Restarts",
            description="The number of times the containers in this pod have been restarted and when the last "
            "container in this pod has restarted.",
        ),
        AGE,
        Column("IP", description="The first address of the pod.", priority=1),
        Column("Node", description="The node that the pod is bound to.", priority=1),
        Column("Nominated Node", description="The node that is being freed for the pod.", priority=1),
        Column("Readiness Gates", description="Further conditions of readiness that are met.", priority=1),
    ),
    pod_cells,
    conditions=pod_conditions,
)
POD_TEMPLATE = View(
    (
        NAME,
        Column("Containers", description=CONTAINERS.description),
        Column("Images", description=IMAGES.description),
        Column("Pod Labels", description="The labels for the pod template."),
    ),
    template_cells,
)

ADDRESS = View(
    (
        NAME,
        Column("IP", description="The pod's first address."),
        Column("Node", description="Where the pod runs."),
        AGE,
    ),
    lambda pod, now: [
        name_of(pod),
        text(pod, "status", "podIP") or NONE,
        text(pod, "spec", "nodeName") or NONE,
        age(pod, now),
    ],
)
VIEWS = {("", "Pod"): POD, ("", "PodTemplate"): POD_TEMPLATE, ("node.boxship.io", "PodAddress"): ADDRESS}
