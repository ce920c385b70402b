"""A rolling replacement as a state machine: state + event → state and the actions that begin now. Pure: the runner
carries actions out and measures time.

Each replica goes its way through phases; TRANSITIONS says which one follows. The old container is stopped when the new
one has shown that it works (start-first) or just before it starts (stop-first), and is removed only when all replicas
hold: until then the way back is a start of what is still there.
"""

from __future__ import annotations

import enum

from msgspec import Struct, structs

from boxship.compose.planning.actions import (
    Action,
    AwaitContainer,
    RemoveContainer,
    RenameContainer,
    RollPolicy,
    RollService,
    Slot,
    StartContainer,
    StopContainer,
    WatchContainer,
)


class Phase(enum.Enum):
    """Of one replica."""

    WAITING = "waiting"  # the old container is at work, untouched
    CREATING = "creating the new"
    STARTING = "starting the new"
    CHECKING = "waiting until the new is healthy"
    MONITORING = "looking at the new"
    RETIRING = "stopping the old"
    RESTING = "delay before the next"
    HELD = "the new works, the old is kept"
    REVIVING = "starting the old again"
    RECHECKING = "waiting until the old is healthy"
    DROPPING = "stopping the new"
    ERASING = "removing the new"
    RESTORED = "the old works"
    KEPT = "the old works, the failed new one is kept, stopped"
    CLEARING = "removing the old"
    NAMING = "giving the new its name"
    DONE = "replaced"
    STUCK = "neither way went on"


P = Phase
# (start-first?, phase) → the phase after a success, the phase after a failure
TRANSITIONS: dict[tuple[bool, Phase], tuple[Phase, Phase]] = {
    (True, P.CREATING): (P.STARTING, P.REVIVING),
    (True, P.STARTING): (P.CHECKING, P.REVIVING),
    (True, P.CHECKING): (P.MONITORING, P.REVIVING),
    (True, P.MONITORING): (P.RETIRING, P.REVIVING),
    (True, P.RETIRING): (P.RESTING, P.REVIVING),
    (True, P.RESTING): (P.HELD, P.REVIVING),
    (True, P.REVIVING): (P.RECHECKING, P.STUCK),
    (True, P.RECHECKING): (P.DROPPING, P.STUCK),
    (True, P.DROPPING): (P.ERASING, P.STUCK),
    (True, P.ERASING): (P.RESTORED, P.STUCK),
    (False, P.CREATING): (P.RETIRING, P.DROPPING),
    (False, P.RETIRING): (P.STARTING, P.DROPPING),
    (False, P.STARTING): (P.CHECKING, P.DROPPING),
    (False, P.CHECKING): (P.MONITORING, P.DROPPING),
    (False, P.MONITORING): (P.RESTING, P.DROPPING),
    (False, P.RESTING): (P.HELD, P.DROPPING),
    (False, P.DROPPING): (P.REVIVING, P.STUCK),
    (False, P.REVIVING): (P.RECHECKING, P.STUCK),
    (False, P.RECHECKING): (P.ERASING, P.ERASING),  # the old one runs, and the new one was given up already
    (False, P.ERASING): (P.RESTORED, P.STUCK),
    (True, P.CLEARING): (P.NAMING, P.STUCK),
    (True, P.NAMING): (P.DONE, P.STUCK),
    (False, P.CLEARING): (P.NAMING, P.STUCK),
    (False, P.NAMING): (P.DONE, P.STUCK),
}
UPDATE = frozenset({P.CREATING, P.STARTING, P.CHECKING, P.MONITORING, P.RETIRING, P.RESTING})
UNDO = frozenset({P.REVIVING, P.RECHECKING, P.DROPPING, P.ERASING})
REST = frozenset({P.WAITING, P.HELD, P.RESTORED, P.KEPT, P.DONE, P.STUCK})


class Replica(Struct, frozen=True):
    """Where one replica is. `made`: the new container exists; `retired`: the old one was told to stop."""

    phase: Phase = Phase.WAITING
    made: bool = False
    retired: bool = False
    failure: str = ""


class Roll(Struct, frozen=True, kw_only=True):
    """The whole. `failure` is the first that was too much; from then on no further replica begins (`halted`), and with
    `undoing` those that hold go back. `finishing`: the old ones are removed."""

    action: RollService
    replicas: tuple[Replica, ...]
    failure: str = ""
    halted: bool = False
    undoing: bool = False
    undo_failure: str = ""
    finishing: bool = False


class Do(Struct, frozen=True):
    """What begins now for a replica: an action, or a wait of `seconds`. Its end comes back as an Event."""

    replica: int
    phase: Phase
    action: Action | None = None
    seconds: float = 0.0


class Event(Struct, frozen=True):
    """What began for a replica has ended; `failure` "" is success."""

    replica: int
    failure: str = ""


class Verdict(Struct, frozen=True):
    ok: bool
    text: str = ""


Moved = tuple[Roll, tuple[Do, ...]]


def begin(action: RollService) -> Moved:
    return _schedule(Roll(action=action, replicas=tuple(Replica() for _ in action.slots)))


def advance(roll: Roll, event: Event) -> Moved:
    """Take an event in. What is to begin next, which may be nothing while others are at work."""
    replica = roll.replicas[event.replica]
    if replica.phase in UPDATE:
        replica = _after_update(roll, replica, event.failure)
        if event.failure:
            replica = structs.replace(replica, failure=event.failure)
            roll = _failed(_with(roll, event.replica, replica), event.failure)
        elif roll.undoing:
            replica = structs.replace(replica, phase=_way_back(roll.action.start_first))
    else:
        if event.failure and replica.phase in UNDO:
            roll = _undo_failed(roll, event.failure)
        elif event.failure:
            roll = structs.replace(roll, failure=roll.failure or event.failure)
        phase = _next(roll, replica.phase, event.failure)
        replica = structs.replace(replica, phase=phase, failure=replica.failure or event.failure)
    roll = _with(roll, event.replica, replica)
    roll, dos = _settle(roll, event.replica)
    roll, more = _schedule(roll)
    return roll, (*dos, *more)


def is_over(roll: Roll) -> bool:
    return all(replica.phase in REST for replica in roll.replicas) and not _schedule(roll)[1]


def _with(roll: Roll, index: int, replica: Replica) -> Roll:
    replicas = list(roll.replicas)
    replicas[index] = replica
    return structs.replace(roll, replicas=tuple(replicas))


def _next(roll: Roll, phase: Phase, failure: str) -> Phase:
    success, failed = TRANSITIONS[roll.action.start_first, phase]
    return failed if failure else success


def _way_back(start_first: bool) -> Phase:
    return Phase.REVIVING if start_first else Phase.DROPPING


def _after_update(roll: Roll, replica: Replica, failure: str) -> Replica:
    return structs.replace(
        replica,
        phase=_next(roll, replica.phase, failure),
        made=replica.made or (replica.phase == Phase.CREATING and not failure),
        retired=replica.retired or replica.phase == Phase.RETIRING,
    )


def _failed(roll: Roll, failure: str) -> Roll:
    """A replica could not be replaced: is it too much, and what follows from that?"""
    policy = roll.action.update
    count = sum(bool(replica.failure) for replica in roll.replicas)
    if count / len(roll.replicas) <= policy.max_failure_ratio:
        return roll
    return structs.replace(
        roll,
        failure=roll.failure or failure,
        halted=roll.halted or policy.on_failure != "continue",
        undoing=roll.undoing or policy.on_failure == "rollback",
    )


def _undo_failed(roll: Roll, failure: str) -> Roll:
    goes_on = roll.action.rollback.on_failure == "continue"
    return structs.replace(
        roll, undo_failure=roll.undo_failure or failure, failure=roll.failure or failure, halted=True,
        undoing=roll.undoing and goes_on,
    )  # fmt: skip


def _settle(roll: Roll, index: int) -> Moved:
    """Go over phases that have nothing to do; the action of the one where the replica stands now."""
    while True:
        replica = roll.replicas[index]
        if replica.phase in REST:
            return roll, ()
        if _is_empty(roll, replica):
            roll = _with(roll, index, structs.replace(replica, phase=_next(roll, replica.phase, "")))
            continue
        if replica.phase == Phase.ERASING and replica.failure and roll.action.update.on_failure == "pause":
            return _with(roll, index, structs.replace(replica, phase=Phase.KEPT)), ()
        return roll, (_do(roll, index),)


def _is_empty(roll: Roll, replica: Replica) -> bool:
    phase, policy = replica.phase, roll.action.update
    if phase == Phase.MONITORING:
        return policy.monitor <= 0
    if phase == Phase.RESTING:
        more = any(other.phase == Phase.WAITING for other in roll.replicas)
        return policy.delay <= 0 or not more or roll.halted
    if phase in (Phase.REVIVING, Phase.RECHECKING):
        return not replica.retired
    if phase in (Phase.DROPPING, Phase.ERASING):
        return not replica.made
    return False


def _schedule(roll: Roll) -> Moved:
    """Let further replicas begin, or go back, or finish, as many as the policy allows."""
    dos: tuple[Do, ...] = ()
    if roll.finishing:
        return roll, dos
    active = sum(replica.phase not in REST for replica in roll.replicas)
    for index, replica in enumerate(roll.replicas):
        start = _may_begin(roll, replica, active)
        if start is None:
            continue
        roll, more = _settle(_with(roll, index, structs.replace(replica, phase=start)), index)
        active += bool(more)
        dos += more
    if active or any(_may_begin(roll, replica, 0) for replica in roll.replicas):
        return roll, dos
    roll = structs.replace(roll, finishing=True)
    for index, replica in enumerate(roll.replicas):
        if replica.phase == Phase.HELD:
            roll, more = _settle(_with(roll, index, structs.replace(replica, phase=Phase.CLEARING)), index)
            dos += more
    return roll, dos


def _may_begin(roll: Roll, replica: Replica, active: int) -> Phase | None:
    """The phase that a replica at rest may go to, with so many at work."""
    if replica.phase == Phase.WAITING and not roll.halted and _has_room(roll.action.update, active):
        return Phase.CREATING
    if replica.phase == Phase.HELD and roll.undoing and _has_room(roll.action.rollback, active):
        return _way_back(roll.action.start_first)
    return None


def _has_room(policy: RollPolicy, active: int) -> bool:
    return policy.parallelism <= 0 or active < policy.parallelism


def _do(roll: Roll, index: int) -> Do:
    slot, phase = roll.action.slots[index], roll.replicas[index].phase
    if phase == Phase.RESTING:
        return Do(index, phase, seconds=roll.action.update.delay)
    return Do(index, phase, _action(roll.action, slot, phase))


def _action(roll: RollService, slot: Slot, phase: Phase) -> Action:
    service, new = roll.service, f"new:{slot.create.name}"
    own_volumes = not slot.create.inherit
    actions: dict[Phase, Action] = {
        Phase.CREATING: slot.create,
        Phase.STARTING: StartContainer(service=service, container=new, name=slot.final),
        Phase.CHECKING: AwaitContainer(
            service=service, container=new, name=slot.final, condition="healthy", seconds=roll.wait_seconds, steady=True
        ),
        Phase.MONITORING: WatchContainer(service=service, container=new, name=slot.final, seconds=roll.update.monitor),
        Phase.RETIRING: StopContainer(service=service, container=slot.old, name=slot.name, seconds=roll.stop_seconds),
        Phase.REVIVING: StartContainer(service=service, container=slot.old, name=slot.name),
        Phase.RECHECKING: AwaitContainer(
            service=service,
            container=slot.old,
            name=slot.name,
            condition="healthy",
            seconds=roll.wait_seconds,
            steady=True,
        ),
        Phase.DROPPING: StopContainer(service=service, container=new, name=slot.final, seconds=roll.stop_seconds),
        Phase.ERASING: RemoveContainer(
            service=service, container=new, name=slot.final, volumes=own_volumes, force=True
        ),
        Phase.CLEARING: RemoveContainer(
            service=service, container=slot.old, name=slot.name, volumes=own_volumes, force=True
        ),
        Phase.NAMING: RenameContainer(service=service, container=new, name=slot.final),
    }
    return actions[phase]


def verdict(roll: Roll) -> Verdict:
    """How it ended, in one sentence."""
    name, total = roll.action.service, len(roll.replicas)
    done = sum(replica.phase == Phase.DONE for replica in roll.replicas)
    failures = [replica.failure for replica in roll.replicas if replica.failure]
    if roll.undo_failure:
        text = f'update of service "{name}" failed: {roll.failure}; it could not be taken back: {roll.undo_failure}'
        return Verdict(False, text)
    if not roll.failure:
        if not failures:
            return Verdict(True)
        return Verdict(True, f'service "{name}": {len(failures)} of {total} replicas stay as they were: {failures[0]}')
    if any(replica.phase == Phase.STUCK for replica in roll.replicas):
        return Verdict(False, f'update of service "{name}" could not be finished: {roll.failure}')
    how = roll.action.update.on_failure
    if how == "rollback":
        return Verdict(False, f'update of service "{name}" failed and was rolled back: {roll.failure}')
    if how == "pause":
        return Verdict(
            False, f'update of service "{name}" failed and is paused with {done} of {total} replaced: {roll.failure}'
        )
    return Verdict(False, f'update of service "{name}" failed for {len(failures)} of {total} replicas: {roll.failure}')


def holder(roll: Roll, index: int) -> str:
    """The container that is the replica in the end: "new:NAME" or the old one's id."""
    slot, phase = roll.action.slots[index], roll.replicas[index].phase
    new = phase in (Phase.DONE, Phase.HELD, Phase.CLEARING, Phase.NAMING)
    return f"new:{slot.create.name}" if new else slot.old
