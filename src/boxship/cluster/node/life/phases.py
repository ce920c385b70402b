"""A pod's phase, its conditions, and its status as a whole, from the statuses of its containers. Pure.

Source: documentation "Pod Lifecycle" (phase, conditions); API reference PodStatus.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.node.life import resizing
from boxship.cluster.node.life.resizing import Outlook
from boxship.cluster.node.life.statuses import stamp, status_of
from boxship.cluster.node.life.values import EPHEMERAL, INIT, MAIN, SIDECAR, Memory, Part, Seen
from boxship.cluster.node.runtime import EXITED
from boxship.cluster.objects import Object
from boxship.cluster.objects.copies import copied

PENDING, ACTIVE, SUCCEEDED, FAILED = "Pending", "Running", "Succeeded", "Failed"
RESIZES = (resizing.PENDING, resizing.IN_PROGRESS)
STATED = ("DeadlineExceeded", "Evicted")  # reasons of pods that the node had taken
Condition = tuple[bool, str, str]  # whether it holds, reason and message


def is_initialized(parts: Sequence[Part], seen: Seen, memory: Memory) -> bool:
    """All init containers are through, all sidecars have started; or it is past that already."""
    since = max(seen.sandbox.created_at if seen.sandbox is not None else 0, memory.epoch)
    if any(part.kind == MAIN and part.current is not None and part.current.created_at >= since for part in parts):
        return True
    for part in parts:
        run = part.current
        if part.kind == INIT and (run is None or run.phase != EXITED or run.exit_code or run.created_at < since):
            return False
        if part.kind == SIDECAR and not (part.known.get("started") or _has_started(part, seen)):
            return False
    return True


def _has_started(part: Part, seen: Seen) -> bool:
    from_probe = seen.verdicts.get(part.current.id) if part.current is not None else None
    if part.current is None or f"start/{part.name}" in seen.busy:
        return False
    return from_probe.started if from_probe is not None else not part.spec.get("startupProbe")


def pod_status(pod: Object, parts: Sequence[Part], seen: Seen, memory: Memory, resize: Outlook) -> Object:
    """The whole status as it should be; what others wrote into it stays."""
    had = pod.get("status") or {}
    status: Object = dict(copied(had))
    initialized = is_initialized(parts, seen, memory)
    shown: dict[str, list[Object]] = {INIT: [], MAIN: [], EPHEMERAL: []}
    for part in parts:
        group = INIT if part.kind == SIDECAR else part.kind
        shown[group].append(status_of(pod, part, seen, memory, initialized=initialized))
    for key, kind in (
        ("initContainerStatuses", INIT),
        ("containerStatuses", MAIN),
        ("ephemeralContainerStatuses", EPHEMERAL),
    ):
        if shown[kind]:
            status[key] = shown[kind]
    phase = phase_of(pod["spec"], parts, shown, seen, memory)
    ending = memory.ending
    if had.get("phase") in (SUCCEEDED, FAILED):
        phase = had["phase"]
    elif ending is not None and ending.phase and not is_active(parts, seen):
        phase = ending.phase
    status["phase"] = phase
    if ending is not None and ending.reason and phase == FAILED:
        status["reason"], status["message"] = ending.reason, ending.message
        if ending.reason not in STATED and not _is_started(parts):
            for key in ("initContainerStatuses", "containerStatuses"):  # a pod that was refused has had none
                status.pop(key, None)
    _add_addresses(status, pod, seen)
    if pod["spec"].get("resources"):
        status["resources"] = resizing.of_pod(pod, memory)
        status["allocatedResources"] = dict(status["resources"].get("requests") or {})
    status.setdefault("startTime", stamp(seen.now))
    generation = pod["metadata"].get("generation")
    if generation:
        status["observedGeneration"] = generation
    wanted = _conditions(pod, shown, phase, seen, initialized=initialized)
    wanted |= resizing.conditions(resize, any(key.startswith("resize/") for key in seen.busy), memory)
    if ending is not None and ending.disrupts:
        wanted["DisruptionTarget"] = (True, "TerminationByKubelet", ending.message)
    others = [one for one in had.get("conditions") or () if one["type"] not in RESIZES]
    known = {one["type"]: one for one in had.get("conditions") or ()}
    status["conditions"] = with_conditions(others, wanted, seen.now, generation, known)
    return status


def is_active(parts: Sequence[Part], seen: Seen) -> bool:
    """Something of it runs, or is about to."""
    starts = any(key.startswith("start/") for key in seen.busy)
    return starts or any(part.kind != EPHEMERAL and _runs(part) for part in parts)


def _runs(part: Part) -> bool:
    return part.current is not None and part.current.phase == "running"


def phase_of(
    spec: Object, parts: Sequence[Part], shown: Mapping[str, Sequence[Object]], seen: Seen, memory: Memory
) -> str:
    if memory.ending is not None and is_active(parts, seen):
        return ACTIVE if _is_started(parts) else PENDING
    if _init_failed(spec, parts, memory):
        return FAILED
    counts = {"running": 0, "waiting": 0, "stopped": 0, "succeeded": 0}
    for one in shown[MAIN]:
        state, last = one["state"], one["lastState"]
        if "running" in state:
            counts["running"] += 1
        elif "terminated" in state:
            counts["stopped"] += 1
            counts["succeeded"] += state["terminated"]["exitCode"] == 0
        else:
            counts["stopped" if "terminated" in last else "waiting"] += 1
    if memory.ending is not None and not _is_started(parts):
        return FAILED
    if _pending_init(parts, shown) and memory.ending is None:
        return PENDING
    if counts["waiting"] and memory.ending is None:
        return PENDING
    if counts["running"]:
        return ACTIVE
    if memory.ending is not None:
        return SUCCEEDED if counts["succeeded"] == len(shown[MAIN]) else FAILED
    return ACTIVE if counts["stopped"] else PENDING


def _is_started(parts: Sequence[Part]) -> bool:
    return any(part.current is not None or part.known.get("containerID") for part in parts if part.kind != EPHEMERAL)


def _init_failed(spec: Object, parts: Sequence[Part], memory: Memory) -> bool:
    """An init container has failed for good, and the pod does not run any more."""
    if memory.ending is None:
        return False
    return any(
        part.kind == INIT and part.current is not None and part.current.phase == EXITED and part.current.exit_code != 0
        for part in parts
    )


def _pending_init(parts: Sequence[Part], shown: Mapping[str, Sequence[Object]]) -> bool:
    if any("running" in one["state"] or one["restartCount"] for one in shown[MAIN]):
        return False
    kinds = {part.name: part.kind for part in parts}
    for one in shown[INIT]:
        if kinds[one["name"]] == SIDECAR:
            if not one["started"]:
                return True
        elif (one["state"].get("terminated") or {}).get("exitCode") != 0:
            return True
    return False


def _add_addresses(status: Object, pod: Object, seen: Seen) -> None:
    if seen.host:
        status["hostIP"] = seen.host[0]
        status["hostIPs"] = [{"ip": address} for address in seen.host]
    sandbox = seen.sandbox
    if sandbox is None or not sandbox.ready:
        return
    addresses = seen.host if pod["spec"].get("hostNetwork") else sandbox.addresses
    if addresses:
        status["podIP"] = addresses[0]
        status["podIPs"] = [{"ip": address} for address in addresses]


def _conditions(
    pod: Object, shown: Mapping[str, Sequence[Object]], phase: str, seen: Seen, *, initialized: bool
) -> dict[str, Condition]:
    sandbox = seen.sandbox
    has_sandbox = sandbox is not None and sandbox.ready
    containers = _containers_ready(pod, shown, phase)
    return {
        "PodReadyToStartContainers": (has_sandbox, "", ""),
        "Initialized": _initialized(pod, shown, phase, initialized=initialized),
        "Ready": _ready(pod, containers),
        "ContainersReady": containers,
        "PodScheduled": (True, "", ""),
    }


def _initialized(pod: Object, shown: Mapping[str, Sequence[Object]], phase: str, *, initialized: bool) -> Condition:
    if phase == SUCCEEDED:
        return (True, "PodCompleted", "")
    if initialized or not pod["spec"].get("initContainers"):
        return (True, "", "")
    sidecars = {one["name"] for one in pod["spec"]["initContainers"] if one.get("restartPolicy") == "Always"}
    missing = [one["name"] for one in shown[INIT] if not (one["started"] if one["name"] in sidecars else one["ready"])]
    return (False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(missing)}]")


def _containers_ready(pod: Object, shown: Mapping[str, Sequence[Object]], phase: str) -> Condition:
    if phase == SUCCEEDED:
        return (False, "PodCompleted", "")
    if phase == FAILED:
        return (False, "PodFailed", "")
    sidecars = {one["name"] for one in pod["spec"].get("initContainers") or () if one.get("restartPolicy") == "Always"}
    counted = [*(one for one in shown[INIT] if one["name"] in sidecars), *shown[MAIN]]
    missing = [one["name"] for one in counted if not one["ready"]]
    if missing:
        return (False, "ContainersNotReady", f"containers with unready status: [{' '.join(missing)}]")
    return (True, "", "")


def _ready(pod: Object, containers: Condition) -> Condition:
    if not containers[0]:
        return containers
    known = {one["type"]: one["status"] for one in (pod.get("status") or {}).get("conditions") or ()}
    missing = []
    for gate in pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        if kind not in known:
            missing.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif known[kind] != "True":
            missing.append(f'the status of pod readiness gate "{kind}" is not "True", but {known[kind]}')
    return (False, "ReadinessGatesNotReady", ", ".join(missing)) if missing else (True, "", "")


def with_conditions(
    had: Sequence[Object],
    wanted: Mapping[str, Condition],
    now: float,
    generation: int | None,
    known: Mapping[str, Object],
) -> list[Object]:
    """The conditions with ours in them; each keeps the time since which it is so."""
    found: list[Object] = []
    for kind, (holds, reason, message) in wanted.items():
        before = known.get(kind) or {}
        status = "True" if holds else "False"
        since = before.get("lastTransitionTime") if before.get("status") == status else None
        one: dict[str, Any] = {"type": kind, "status": status, "lastProbeTime": None}
        one["lastTransitionTime"] = since or stamp(now)
        one |= {key: text for key, text in (("reason", reason), ("message", message)) if text}
        if generation:
            one["observedGeneration"] = generation
        found.append(one)
    return [*found, *(copied(one) for one in had if one["type"] not in wanted)]
