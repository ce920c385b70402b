"""How a pod ends: why, in which order its containers are asked to, and what is given back afterwards. Pure.

Source: documentation "Pod Lifecycle" (termination of Pods), "Sidecar Containers" (termination), "Jobs" (deadlines).
"""

from collections.abc import Sequence

import msgspec

from boxship.cluster.node.life import parts as reading
from boxship.cluster.node.life import restarting
from boxship.cluster.node.life.values import (
    CLEAN,
    FINISH,
    INIT,
    LEAVE,
    MAIN,
    PRE_STOP,
    SIDECAR,
    STOP,
    Action,
    Ending,
    Memory,
    Part,
    Seen,
)
from boxship.cluster.node.runtime import EXITED, RUNNING
from boxship.cluster.objects import Object, times

LEAST_GRACE = 2.0  # seconds that a container always has between being asked and being killed
DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"
UNDER_WAY = ("start", "sandbox", "stop", "volumes")  # what has to be through before anything is taken away
OVER = ("Succeeded", "Failed")


def ending_of(pod: Object, parts: Sequence[Part], seen: Seen, memory: Memory) -> Ending | None:
    """Why the pod has to end, and by when: what shortens a grace counts, and the first reason stays."""
    found = _cause(pod, parts, seen, memory)
    had = memory.ending
    if had is None or found is None:
        return had or found
    if found.since + found.grace < had.since + had.grace:
        return msgspec.structs.replace(had, since=found.since, grace=found.grace)
    return had


def _cause(pod: Object, parts: Sequence[Part], seen: Seen, memory: Memory) -> Ending | None:
    grace = reading.grace_of(pod)
    if seen.gone or pod["metadata"].get("deletionTimestamp"):
        return Ending(seen.now, grace)
    if memory.ending is not None:
        return None
    if (pod.get("status") or {}).get("phase") in OVER:
        return Ending(seen.now, grace)
    limit = deadline_of(pod)
    if limit and seen.now >= limit:
        return Ending(seen.now, grace, "DeadlineExceeded", DEADLINE_MESSAGE, "Failed")
    return Ending(seen.now, grace) if is_finished(pod["spec"], parts, seen, memory) else None


def deadline_of(pod: Object) -> float:
    """When activeDeadlineSeconds are over; 0.0: never, or it has not begun."""
    limit, began = pod["spec"].get("activeDeadlineSeconds"), (pod.get("status") or {}).get("startTime")
    return times.moment(began).timestamp() + limit if limit and began else 0.0


def is_finished(spec: Object, parts: Sequence[Part], seen: Seen, memory: Memory) -> bool:
    """Nothing in it will ever run again: an init container has failed for good, or all have ended for good."""
    if any(key.startswith("start/") for key in seen.busy):
        return False
    main = [part for part in parts if part.kind == MAIN]
    if not any(part.current is not None for part in main):
        return any(part.kind == INIT and _ended_for_good(spec, part, memory, failed=True) for part in parts)
    return all(_ended_for_good(spec, part, memory) for part in main)


def _ended_for_good(spec: Object, part: Part, memory: Memory, *, failed: bool = False) -> bool:
    run = part.current
    if run is None or run.phase != EXITED or (failed and run.exit_code == 0):
        return False
    return not restarting.restarts(spec, part, run, memory)


def end(pod: Object, parts: Sequence[Part], seen: Seen, memory: Memory) -> tuple[list[Action], Memory, float]:
    """The next steps, and when to look again."""
    ending = memory.ending
    assert ending is not None
    until = ending.since + ending.grace
    alive = [part for part in parts if part.current is not None and part.current.phase == RUNNING]
    leaves = _leaves(pod, alive, seen, memory)
    actions = [Action(LEAVE, grace=until - seen.now)] if leaves and f"{LEAVE}/" not in seen.busy else []
    again = 0.0
    for number, part in enumerate(alive):
        later = alive[number + 1 :]
        if (leaves or (part.kind == SIDECAR and later)) and seen.now < until:
            step, memory = pre_stop(part, seen, memory, until)
            again = until
        else:
            step, memory = stop(part, seen, memory, until, f"Stopping container {part.name}")
        actions += step
    known = {part.current.id for part in alive if part.current is not None}
    strangers = [one for one in seen.containers if one.phase == RUNNING and one.id not in known]
    for one in strangers:  # an older run, or of a container that the pod does not have any more
        step, memory = stop(Part(MAIN, one.name, {}, (one,)), seen, memory, until, f"Stopping container {one.name}")
        actions += step
    if alive or strangers or any(key.partition("/")[0] in UNDER_WAY for key in seen.busy):
        return actions, memory, again
    if seen.gone or pod["metadata"].get("deletionTimestamp"):
        return [Action(FINISH)], memory, again
    return [] if memory.clean else [Action(CLEAN)], memory, again


def _leaves(pod: Object, alive: Sequence[Part], seen: Seen, memory: Memory) -> bool:
    """Whether it is first waited until nobody new comes to the pod: a deleted one that works, and that was given time.
    The hooks run meanwhile."""
    ending = memory.ending
    if memory.left or ending is None or ending.phase or not pod["metadata"].get("deletionTimestamp"):
        return False
    return ending.grace > 0 and seen.now < ending.since + ending.grace and any(part.kind == MAIN for part in alive)


def stop(part: Part, seen: Seen, memory: Memory, until: float, message: str) -> tuple[list[Action], Memory]:
    """End a running container: its preStop hook first, where there is time. `until`: when it will be killed."""
    run = part.current
    assert run is not None
    asked = memory.stopping.get(run.id)
    if asked is None and seen.now < until:
        step, memory = pre_stop(part, seen, memory, until)
        if step or f"{PRE_STOP}/{run.id}" in seen.busy:
            return step, memory
    if asked is not None and asked <= until + 0.5 and f"{STOP}/{run.id}" in seen.busy:
        return [], memory
    memory = msgspec.structs.replace(memory, stopping={**memory.stopping, run.id: max(until, seen.now)})
    grace = max(until - seen.now, LEAST_GRACE)
    return [Action(STOP, part.name, run.id, run.attempt, grace, message)], memory


def pre_stop(part: Part, seen: Seen, memory: Memory, until: float) -> tuple[list[Action], Memory]:
    run = part.current
    assert run is not None
    hook = (part.spec.get("lifecycle") or {}).get("preStop")
    if not hook or run.id in memory.pre_stopped or f"{PRE_STOP}/{run.id}" in seen.busy:
        return [], memory
    return [Action(PRE_STOP, part.name, run.id, run.attempt, until - seen.now)], memory
