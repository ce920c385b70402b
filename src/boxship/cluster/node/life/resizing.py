"""Resources of a running pod change: whether there is room, and what each container has at last. Pure.

What is in force is known from the container's status in the API, so an agent that was killed goes on from there.
Source: documentation "Resize CPU and Memory Resources assigned to Containers" (policies, conditions).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.node.life.values import MAIN, SIDECAR, Memory, Part, Seen
from boxship.cluster.objects import Object, quantity
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.pod_resources import pod_amounts

RESIZED = ("cpu", "memory")
SIDES = ("limits", "requests")
PENDING, IN_PROGRESS = "PodResizePending", "PodResizeInProgress"
INFEASIBLE, DEFERRED = "Infeasible", "Deferred"


class Outlook(msgspec.Struct, frozen=True):
    """`changed`: containers whose resources are not what they should be. `reason` and `message`: why they stay so."""

    changed: tuple[str, ...] = ()
    reason: str = ""
    message: str = ""


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


def is_resize_wanted(parts: Sequence[Part], memory: Memory) -> bool:
    return any(_differs(part, memory) for part in parts)


def outlook(pod: Object, parts: Sequence[Part], seen: Seen, memory: Memory) -> Outlook:
    changed = tuple(part.name for part in parts if _differs(part, memory))
    if not changed or seen.room is None:
        return Outlook()
    wanted = pod_amounts(pod["spec"], "requests")
    room = seen.room
    for name, total, free in (("cpu", room.cpu, room.free_cpu), ("memory", room.memory, room.free_memory)):
        amount = wanted.get(name)
        if amount is None:
            continue
        asked = amount.milli if name == "cpu" else amount.value
        if asked > total:
            message = f"Node didn't have enough capacity: {name}, requested: {asked}, capacity: {total}"
            return Outlook(changed, INFEASIBLE, message)
        if asked > free:
            used = total - free
            message = f"Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {total}"
            return Outlook(changed, DEFERRED, message)
    return Outlook(changed)


def needs_restart(part: Part, memory: Memory) -> bool:
    """Whether one of the changes is of a resource whose policy is RestartContainer."""
    policies = {one["resourceName"]: one["restartPolicy"] for one in part.spec.get("resizePolicy") or ()}
    had, wanted = in_force(part, memory), shown(part.spec)
    return any(
        policies.get(name) == "RestartContainer"
        for name in RESIZED
        if any(_amount(had, side, name) != _amount(wanted, side, name) for side in SIDES)
    )


def allowed(pod: Object, parts: Sequence[Part], memory: Memory, refused: bool) -> Object:
    """The pod with the resources that its containers may have now."""
    if not refused:
        return pod
    kept = {part.name: in_force(part, memory) for part in parts if _differs(part, memory)}
    spec = {**pod["spec"]}
    for field in ("containers", "initContainers"):
        if spec.get(field):
            spec[field] = [
                {**one, "resources": {**(one.get("resources") or {}), **copied(kept[one["name"]])}}
                if one["name"] in kept
                else one
                for one in spec[field]
            ]
    return {**pod, "spec": spec}


def conditions(found: Outlook, busy: bool) -> Mapping[str, tuple[bool, str, str]]:
    """The conditions that are there now; others of these kinds are taken off."""
    wanted: dict[str, tuple[bool, str, str]] = {}
    if found.reason:
        wanted[PENDING] = (True, found.reason, found.message)
    elif busy:
        wanted[IN_PROGRESS] = (True, "", "")
    return wanted


def _differs(part: Part, memory: Memory) -> bool:
    if part.kind not in (MAIN, SIDECAR) or part.current is None:
        return False
    had, wanted = in_force(part, memory), shown(part.spec)
    return any(_amount(had, side, name) != _amount(wanted, side, name) for side in SIDES for name in RESIZED)


def _amount(resources: Mapping[str, Any], side: str, name: str) -> int | None:
    text = (resources.get(side) or {}).get(name)
    return None if text is None else quantity.parse(text).nanos
