"""Resources of a running pod change: whether there is room, and what each container has at last. Pure.

What is in force is known from the pod's status in the API, so an agent that was killed goes on from there.
Source: documentation "Resize CPU and Memory Resources assigned to Containers" (policies, conditions), "Resize CPU and
Memory Resources assigned to Pods".
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.node.life.values import MAIN, SIDECAR, Memory, Part, Problem, Seen
from boxship.cluster.node.runtime import RUNNING, Sandbox
from boxship.cluster.objects import Object, quantity
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.pod_resources import pod_amounts

RESIZED = ("cpu", "memory")
SIDES = ("limits", "requests")
PENDING, IN_PROGRESS = "PodResizePending", "PodResizeInProgress"
INFEASIBLE, DEFERRED, ERROR = "Infeasible", "Deferred", "Error"
POD = ""  # among the names of containers: what is said for the pod as a whole


class Outlook(msgspec.Struct, frozen=True):
    """`changed`: containers (or POD) whose resources are not what they should be; `restarts`: those that begin anew for
    it. `reason` and `message`: why they stay so. `is_open`: nobody has looked yet whether there is room."""

    changed: tuple[str, ...] = ()
    restarts: tuple[str, ...] = ()
    reason: str = ""
    message: str = ""
    is_open: bool = False


class Step(msgspec.Struct, frozen=True):
    """A pod whose parts get other resources one after the other: with what is in force, with what is after this step,
    and with all that it should have."""

    was: Object
    then: Object
    last: Object


def of_pod(pod: Object, memory: Memory) -> Object:
    """What is in force for the pod as a whole."""
    known = memory.in_force.get(POD)
    if known is None:
        known = (pod.get("status") or {}).get("resources")
    return shown(pod["spec"]) if known is None else dict(known)


def in_force(part: Part, memory: Memory) -> Object:
    """What the container's newest run has, or what it will be begun with."""
    found = memory.in_force.get(part.name)
    if found is not None:
        return found
    if part.known.get("containerID") and part.known.get("resources") is not None:
        return dict(part.known["resources"])
    return shown(part.spec)


def shown(container: Object) -> Object:
    resources = container.get("resources") or {}
    return {side: dict(resources[side]) for side in SIDES if resources.get(side)}


def changed(pod: Object, parts: Sequence[Part], memory: Memory, sandbox: Sandbox | None) -> tuple[str, ...]:
    """The containers whose resources are not what they should be, and POD."""
    found = tuple(part.name for part in parts if _differs(part, memory))
    if sandbox is None or not sandbox.ready or not _changes(of_pod(pod, memory), shown(pod["spec"])):
        return found
    return (*found, POD)


def outlook(pod: Object, parts: Sequence[Part], seen: Seen, memory: Memory) -> Outlook:
    names = changed(pod, parts, memory, seen.sandbox)
    if not names or seen.room is None:
        return Outlook(is_open=bool(names))
    wanted = pod_amounts(pod["spec"], "requests")
    room = seen.room
    for name, total, free in (("cpu", room.cpu, room.free_cpu), ("memory", room.memory, room.free_memory)):
        amount = wanted.get(name)
        if amount is None:
            continue
        asked = amount.milli if name == "cpu" else amount.value
        if asked > total:
            message = f"Node didn't have enough capacity: {name}, requested: {asked}, capacity: {total}"
            return Outlook(names, (), INFEASIBLE, message)
        if asked > free:
            used = total - free
            message = f"Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {total}"
            return Outlook(names, (), DEFERRED, message)
    return Outlook(names, tuple(part.name for part in parts if _needs_restart(pod, part, memory)))


def _needs_restart(pod: Object, part: Part, memory: Memory) -> bool:
    """Whether one of the changes is of a resource whose policy is RestartContainer; a limit that the container has not
    is the pod's."""
    if part.kind not in (MAIN, SIDECAR) or part.current is None:
        return False
    policies = {one["resourceName"]: one["restartPolicy"] for one in part.spec.get("resizePolicy") or ()}
    wanted = shown(part.spec)
    found = _changes(in_force(part, memory), wanted)
    inherited = {name for side, name in _changes(of_pod(pod, memory), shown(pod["spec"])) if side == "limits"}
    inherited -= (wanted.get("limits") or {}).keys()
    return any(policies.get(name) == "RestartContainer" for name in {name for _, name in found} | inherited)


def inheriting(parts: Sequence[Part]) -> dict[str, str]:
    """The containers that run and have not both limits of their own, with the ids of their runs."""
    found = {}
    for part in parts:
        own = (part.spec.get("resources") or {}).get("limits") or {}
        run = part.current
        if part.kind in (MAIN, SIDECAR) and run is not None and run.phase == RUNNING and not own.keys() >= {*RESIZED}:
            found[part.name] = run.id
    return found


def allowed(pod: Object, parts: Sequence[Part], memory: Memory, refused: bool) -> Object:
    """The pod with the resources that its containers may have now."""
    if not refused:
        return pod
    kept = {part.name: in_force(part, memory) for part in parts if _differs(part, memory)}
    spec = {**pod["spec"]}
    for field in ("containers", "initContainers"):
        if spec.get(field):
            spec[field] = [_with(one, kept[one["name"]]) if one["name"] in kept else one for one in spec[field]]
    if spec.get("resources"):
        spec = _with(spec, of_pod(pod, memory))
    return {**pod, "spec": spec}


def _with(whose: Object, kept: Object) -> Object:
    """With these requests and limits; a side that is not there is one that there is not."""
    others = {key: value for key, value in (whose.get("resources") or {}).items() if key not in SIDES}
    return {**whose, "resources": {**others, **copied(kept)}}


def step_of(pod: Object, parts: Sequence[Part], memory: Memory, name: str) -> Step:
    """In which that container, or POD, gets what it should have."""
    wanted = shown(pod["spec"] if name == POD else next(part.spec for part in parts if part.name == name))
    given = msgspec.structs.replace(memory, in_force={**memory.in_force, name: wanted})
    return Step(allowed(pod, parts, memory, True), allowed(pod, parts, given, True), pod)


def begins_otherwise(parts: Sequence[Part], memory: Memory, name: str) -> bool:
    """Whether a container begins anew with other resources than it had: then the pod's limits are others too."""
    return any(part.name == name and _differs(part, memory) for part in parts)


def conditions(found: Outlook, busy: bool, memory: Memory) -> Mapping[str, tuple[bool, str, str]]:
    """The conditions that are there now; others of these kinds are taken off."""
    wanted: dict[str, tuple[bool, str, str]] = {}
    if found.reason:
        wanted[PENDING] = (True, found.reason, found.message)
    elif memory.resize_problems:
        wanted[IN_PROGRESS] = (True, ERROR, next(iter(memory.resize_problems.values())).message)
    elif busy or found.changed:
        wanted[IN_PROGRESS] = (True, "", "")
    return wanted


def with_problem(memory: Memory, name: str, problem: Problem | None) -> Memory:
    """Remembering why a resize of a container or of POD came to nothing; None: it has been done."""
    others = {key: one for key, one in memory.resize_problems.items() if key != name}
    if problem is None and len(others) == len(memory.resize_problems):
        return memory
    found = others if problem is None else {**others, name: problem}
    return msgspec.structs.replace(memory, resize_problems=found)


def _differs(part: Part, memory: Memory) -> bool:
    if part.kind not in (MAIN, SIDECAR) or part.current is None:
        return False
    return bool(_changes(in_force(part, memory), shown(part.spec)))


def _changes(had: Mapping[str, Any], wanted: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Side and name of each amount that is another one."""
    both = ((side, name) for side in SIDES for name in RESIZED)
    return {(side, name) for side, name in both if _amount(had, side, name) != _amount(wanted, side, name)}


def _amount(resources: Mapping[str, Any], side: str, name: str) -> int | None:
    text = (resources.get(side) or {}).get(name)
    return None if text is None else quantity.parse(text).nanos
