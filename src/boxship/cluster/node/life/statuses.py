"""What the API is told of each container of a pod. Pure.

Source: API reference ContainerStatus; documentation "Pod Lifecycle" (container states).
"""

from datetime import UTC, datetime
from typing import Any

from boxship.cluster.node.life import resizing, restarting
from boxship.cluster.node.life.values import INIT, MAIN, SIDECAR, Memory, Part, Seen, Verdict
from boxship.cluster.node.runtime import CREATED, EXITED, RUNNING, ContainerStatus
from boxship.cluster.objects import Object, times
from boxship.cluster.objects.copies import copied

PREFIX = "boxship://"
CREATING, INITIALIZING, CRASHING = "ContainerCreating", "PodInitializing", "CrashLoopBackOff"
SHOWN_SECONDS = 2.0  # a failed pull or start is told as itself for so long, then as a pause between tries
LOST = "The container could not be located when the pod was {}.  The container used to be Running"
SIGNALLED = 128
UNSUPPORTED = "unsupported: "  # begins what no waiting will bring about


def stamp(seconds: float) -> str:
    return times.stamp(datetime.fromtimestamp(seconds, UTC))


def seconds(nanoseconds: int) -> float:
    return nanoseconds / 1e9


def is_started(part: Part, seen: Seen) -> bool:
    """It runs, its postStart hook is through, and its startup probe has succeeded."""
    run = part.current
    if run is None or run.phase != RUNNING or f"start/{part.name}" in seen.busy:
        return False
    return verdict_of(part, run, seen).started


def verdict_of(part: Part, run: ContainerStatus, seen: Seen) -> Verdict:
    """Where nothing was asked yet: what the API has of the same container, else not ready if there is something to
    ask. So an agent's restart disturbs nobody."""
    found = seen.verdicts.get(run.id)
    return found if found is not None else first_verdict(part, run)


def first_verdict(part: Part, run: ContainerStatus) -> Verdict:
    known = part.known if part.known.get("containerID") == PREFIX + run.id else {}
    started = not part.spec.get("startupProbe") or bool(known.get("started"))
    ready = not part.spec.get("readinessProbe") or bool(known.get("ready"))
    return Verdict(started=started, ready=ready)


def status_of(pod: Object, part: Part, seen: Seen, memory: Memory, *, initialized: bool) -> Object:
    run = part.current
    state, last = _states(pod, part, seen, memory, initialized=initialized)
    started = is_started(part, seen)
    if part.kind == INIT:
        ready = run is not None and run.phase == EXITED and run.exit_code == 0
        started = False
    else:
        ready = run is not None and started and part.kind in (MAIN, SIDECAR) and verdict_of(part, run, seen).ready
    found: Object = {
        "name": part.name,
        "state": state,
        "lastState": last,
        "ready": ready,
        "restartCount": restart_count(part),
        "image": part.spec["image"],
        "imageID": run.image_id if run is not None else part.known.get("imageID", ""),
        "started": started,
    }
    identity = PREFIX + run.id if run is not None else part.known.get("containerID", "")
    if identity:
        found["containerID"] = identity
    _add_resources(found, part, memory)
    mounts = [_mount(mount) for mount in part.spec.get("volumeMounts") or ()]
    if mounts:
        found["volumeMounts"] = mounts
    return found


def restart_count(part: Part) -> int:
    if part.current is not None:
        return part.current.attempt
    return int(part.known.get("restartCount") or 0)


def next_attempt(part: Part) -> int:
    """The number of the next run: it goes on counting where the runtime has forgotten what was."""
    run = part.current
    known = int(part.known.get("restartCount") or 0)
    if run is not None:
        return max(run.attempt, known) + (run.phase != CREATED)
    return known + 1 if part.known.get("containerID") else known


def _states(pod: Object, part: Part, seen: Seen, memory: Memory, *, initialized: bool) -> tuple[Object, Object]:
    """`state` and `lastState`."""
    run = part.current
    if part.kind == INIT and _stays_ended(pod, part):
        return copied(part.known["state"]), copied(part.known.get("lastState") or {})
    last = terminated(part.previous, seen) if part.previous is not None else _last_known(part)
    ended = memory.ending is not None
    if run is not None and run.phase == RUNNING:
        if f"start/{part.name}" in seen.busy and part.spec.get("lifecycle", {}).get("postStart"):
            return waiting(CREATING if initialized or part.kind != MAIN else INITIALIZING), last
        return {"running": {"startedAt": stamp(seconds(run.started_at))}}, last
    if run is not None and run.phase == EXITED:
        if ended or not restarting.restarts(pod["spec"], part, run, memory):
            return terminated(run, seen), last
        reason = _why_waiting(pod, part, seen, memory)
        kill = memory.kills.get(run.id)
        if reason is None and kill is not None and kill.restart:
            reason = (CREATING, "")  # what has ended for good, by its policy, could not be told to run again
        return (waiting(*reason), terminated(run, seen)) if reason else (terminated(run, seen), last)
    if run is None and ended and "terminated" in (part.known.get("state") or {}):
        return copied(part.known["state"]), last
    if run is None and "running" in (part.known.get("state") or {}):
        lost = {
            "exitCode": 137,
            "reason": "ContainerStatusUnknown",
            "message": LOST.format("deleted" if not ended else "terminated"),
            "startedAt": None,
            "finishedAt": None,
            "containerID": part.known.get("containerID", ""),
        }
        if ended:
            return {"terminated": lost}, last
        last = {"terminated": lost}
    reason = _why_waiting(pod, part, seen, memory)
    if reason is None:
        reason = (CREATING if initialized or part.kind not in (MAIN, INIT, SIDECAR) else INITIALIZING, "")
    return waiting(*reason), last


def _stays_ended(pod: Object, part: Part) -> bool:
    """An init container that is through runs again in a new sandbox; the API takes no word of that."""
    ended = (part.known.get("state") or {}).get("terminated")
    if ended is None or pod["spec"].get("restartPolicy", "Always") == "Always" or part.spec.get("restartPolicy"):
        return False
    return not ended.get("exitCode") or pod["spec"].get("restartPolicy") == "Never"


def _last_known(part: Part) -> Object:
    """What the API says of the run before the first that the runtime knows."""
    run, known = part.current, part.known
    state = known.get("state") or {}
    if run is not None and known.get("containerID") not in (None, "", PREFIX + run.id) and "terminated" in state:
        return dict(copied(state))
    return dict(copied(known.get("lastState") or {}))


def _why_waiting(pod: Object, part: Part, seen: Seen, memory: Memory) -> tuple[str, str] | None:
    run, problem = part.current, memory.problems.get(part.name)
    of_all = memory.problems.get("")
    if problem is None and of_all is not None and (of_all.image or UNSUPPORTED in of_all.message):
        problem = of_all
    ended = run is not None and run.phase == EXITED and f"start/{part.name}" not in seen.busy
    waits = ended and problem is not None and problem.reason in restarting.ENDS
    if problem is not None and not (waits and seen.now >= problem.since + SHOWN_SECONDS):
        if problem.image and problem.reason == "ErrImagePull" and seen.now >= problem.since + SHOWN_SECONDS:
            return "ImagePullBackOff", f'Back-off pulling image "{problem.image}": ErrImagePull: {problem.message}'
        return problem.reason, problem.message
    if run is not None and ended:
        back_off = memory.back_offs.get(part.name)
        if back_off is not None and seen.now < restarting.waits_until(back_off, seconds(run.finished_at)):
            return CRASHING, crash_message(pod, part.name, back_off.seconds)
    return None


def crash_message(pod: Object, name: str, pause: float) -> str:
    metadata = pod["metadata"]
    where = f"{metadata['name']}_{metadata.get('namespace', '')}({metadata['uid']})"
    shown = f"{int(pause) // 60}m{int(pause) % 60}s" if pause >= 60 else f"{int(pause)}s"
    return f"back-off {shown} restarting failed container={name} pod={where}"


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def terminated(run: ContainerStatus, seen: Seen) -> Object:
    reason = run.reason
    if run.oom_killed:
        reason = "OOMKilled"
    elif not reason:
        reason = "Completed" if run.exit_code == 0 else "Error"
    found: dict[str, Any] = {
        "exitCode": run.exit_code,
        "reason": reason,
        "startedAt": stamp(seconds(run.started_at)),  # 1970 where it never was, as the original has it
        "finishedAt": stamp(seconds(run.finished_at)) if run.finished_at else None,
        "containerID": PREFIX + run.id,
    }
    message = seen.messages.get(run.id, "") or run.message
    if message:
        found["message"] = message
    return {"terminated": found}


def _add_resources(found: Object, part: Part, memory: Memory) -> None:
    resources = resizing.in_force(part, memory) if part.kind in (MAIN, SIDECAR) else resizing.shown(part.spec)
    if part.kind in (MAIN, SIDECAR) or resources:
        found["resources"] = copied(resources)
    if resources.get("requests"):
        found["allocatedResources"] = dict(resources["requests"])


def _mount(mount: Object) -> Object:
    found: Object = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        found["readOnly"] = True
        wanted = mount.get("recursiveReadOnly") or "Disabled"
        found["recursiveReadOnly"] = "Enabled" if wanted in ("Enabled", "IfPossible") else "Disabled"
    return found
