"""A pod's life as one pure function: what it should be, what is there, what is remembered, what time it is → what is to
be done next, and what the API is to be told. Nothing is done here, and nothing is read.

A pod that lives goes through STEPS, in that order; each step may keep the later ones waiting. A pod that ends is in
`ending`. Source: documentation "Pod Lifecycle", "Init Containers", "Sidecar Containers", "Ephemeral Containers".
"""

from collections.abc import Callable, Sequence

import msgspec

from boxship.cluster.node.life import ending, phases, resizing, restarting
from boxship.cluster.node.life.parts import grace_of, hash_of, parts_of
from boxship.cluster.node.life.resizing import Outlook
from boxship.cluster.node.life.statuses import is_started, next_attempt, seconds
from boxship.cluster.node.life.values import (
    EPHEMERAL,
    INIT,
    MAIN,
    REMOVE,
    RESIZE,
    SANDBOX,
    SIDECAR,
    START,
    Action,
    Decision,
    Kill,
    Memory,
    Part,
    Seen,
)
from boxship.cluster.node.runtime import CREATED, EXITED, RUNNING, ContainerStatus
from boxship.cluster.objects import Object

DEFERRED_SECONDS = 10.0  # between looks whether there is room for a resize by now
KEPT_RUNS = 2  # of each container: the newest, and the one before for its logs


def decide(pod: Object, seen: Seen, memory: Memory) -> Decision:
    parts = parts_of(pod, seen.containers)
    memory = _tidied(memory, seen)
    memory = msgspec.structs.replace(memory, ending=ending.ending_of(pod, parts, seen, memory))
    resize = resizing.outlook(pod, parts, seen, memory) if memory.ending is None else resizing.Outlook()
    for name in memory.resize_problems.keys() - set(resize.changed):
        memory = resizing.with_problem(memory, name, None)
    if memory.ending is not None:
        actions, memory, again = ending.end(pod, parts, seen, memory)
    else:
        step = _Step(pod, parts, seen, memory, resize)
        for rule in STEPS:
            if not rule(step):
                break
        actions, memory, again = step.actions, step.memory, step.again
        if resize.reason == resizing.DEFERRED:
            again = _sooner(again, seen.now + DEFERRED_SECONDS)
        again = _sooner(again, ending.deadline_of(pod))
    begun = tuple(action for action in actions if _is_new(action, seen))
    shown = msgspec.structs.replace(seen, busy=seen.busy | {action.key for action in begun})
    status = phases.pod_status(pod, parts, shown, memory, resize)
    again = _sooner(again, _shown_anew(seen, memory))
    if resize.is_open:
        again = seen.now
    return Decision(status, begun, memory, again, bool(resize.reason) or resize.is_open)


class _Step:
    """What the rules collect."""

    def __init__(self, pod: Object, parts: Sequence[Part], seen: Seen, memory: Memory, resize: Outlook) -> None:
        self.pod, self.parts, self.seen, self.memory, self.resize = pod, parts, seen, memory, resize
        self.actions: list[Action] = []
        self.again = 0.0

    def is_over(self, part: Part) -> bool:
        """It has ended for good, though in an earlier sandbox."""
        run = part.current
        if run is None or run.phase != EXITED or run.created_at < self.memory.epoch:
            return False
        return not restarting.restarts(self.pod["spec"], part, run, self.memory)

    def look_again(self, when: float) -> None:
        self.again = _sooner(self.again, when)

    def run_of(self, part: Part) -> ContainerStatus | None:
        """Its newest run in the pod's present life: in the sandbox that is there now, since all were restarted."""
        run, sandbox = part.current, self.seen.sandbox
        if run is None or sandbox is None or run.created_at < max(sandbox.created_at, self.memory.epoch):
            return None
        return run

    def is_held(self, name: str) -> bool:
        """Whether something went wrong with it that is not to be tried again yet."""
        problem = self.memory.problems.get(name)
        if problem is None or problem.until <= self.seen.now:
            return False
        self.look_again(problem.until)
        return True

    def may_resize(self, name: str) -> bool:
        """Whether that container, or the pod, is to have other resources now. One after the other: each changes the
        pod's limits too."""
        if name not in self.resize.changed or self.resize.reason:
            return False
        if any(key.startswith(f"{RESIZE}/") for key in self.seen.busy):
            return False
        if any(action.verb == RESIZE for action in self.actions):
            return False
        problem = self.memory.resize_problems.get(name)
        if problem is None or problem.until <= self.seen.now:
            return True
        self.look_again(problem.until)
        return False

    def start(self, part: Part) -> None:
        if f"{START}/{part.name}" not in self.seen.busy and not self.is_held(part.name):
            self.actions.append(Action(START, part.name, attempt=next_attempt(part)))

    def restart(self, part: Part, ended: ContainerStatus) -> None:
        problem = self.memory.problems.get(part.name)
        counts = problem is None or problem.reason in restarting.ENDS
        if f"{START}/{part.name}" in self.seen.busy or (not counts and self.is_held(part.name)):
            return
        back_off = self.memory.back_offs.get(part.name)
        ended_at = seconds(ended.finished_at)
        until = restarting.waits_until(back_off, ended_at)
        if self.seen.now < until:
            self.look_again(until)
            return
        if counts:
            raised = restarting.raised(back_off, ended_at, self.seen.now)
            self.memory = msgspec.structs.replace(self.memory, back_offs={**self.memory.back_offs, part.name: raised})
        self.actions.append(Action(START, part.name, attempt=next_attempt(part)))

    def kill(self, part: Part, run: ContainerStatus, kill: Kill) -> None:
        """Begin to end it, or go on with that."""
        kill = self.memory.kills.get(run.id, kill)
        self.memory = msgspec.structs.replace(self.memory, kills={**self.memory.kills, run.id: kill})
        until = kill.since + kill.grace
        actions, self.memory = ending.stop(part, self.seen, self.memory, until, kill.message)
        self.actions += actions


def _make_sandbox(step: _Step) -> bool:
    sandbox = step.seen.sandbox
    if f"{SANDBOX}/" in step.seen.busy:
        return False
    if sandbox is not None and sandbox.ready:
        return True
    if any(key.startswith(f"{START}/") for key in step.seen.busy):
        return False  # it was meant for the sandbox before, and is to fail before there is another
    if not step.is_held(""):
        attempt = 0 if sandbox is None else sandbox.spec.attempt + 1
        step.actions.append(Action(SANDBOX, attempt=attempt))
    return False


def _restart_all(step: _Step) -> bool:
    """A container has ended with an exit code whose rule restarts the whole pod: all end, then all begin anew."""
    for part in step.parts:
        run = step.run_of(part)
        if run is None or run.phase != EXITED or restarting.rule_for(part, run.exit_code) != restarting.RESTART_ALL:
            continue
        back_off, ended_at = step.memory.back_offs.get(part.name), seconds(run.finished_at)
        until = restarting.waits_until(back_off, ended_at)
        if step.seen.now < until:
            step.look_again(until)
            return False
        if any(key.startswith(f"{START}/") for key in step.seen.busy):
            return False  # it belongs to the life that is to end
        back_offs = {**step.memory.back_offs, part.name: restarting.raised(back_off, ended_at, step.seen.now)}
        newest = max(one.created_at for one in step.seen.containers)
        step.memory = msgspec.structs.replace(step.memory, back_offs=back_offs, epoch=newest + 1)
        break
    return True


def _end_old(step: _Step) -> bool:
    """What still runs of an earlier life of the pod ends before anything of it begins anew."""
    since = max(step.seen.sandbox.created_at if step.seen.sandbox is not None else 0, step.memory.epoch)
    found = False
    for part in step.parts:
        for run in part.runs:
            if run.phase != RUNNING or part.kind == EPHEMERAL or (run is part.current and run.created_at >= since):
                continue
            found = True
            message = f"Container {part.name} will be restarted with all containers of the pod"
            kill = Kill(step.seen.now, grace_of(step.pod), message, restart=True)
            step.kill(msgspec.structs.replace(part, runs=(run,)), run, kill)
    return not found


def _begin_ephemeral(step: _Step) -> bool:
    for part in step.parts:
        if part.kind == EPHEMERAL and not part.known.get("containerID"):
            run = part.current
            if run is None or run.phase == CREATED:
                step.start(part)
    return True


def _initialize(step: _Step) -> bool:
    """Init containers one after the other; a sidecar lets the next begin as soon as it has started. Has one of the next
    begun, the sidecar may end and wait as it will."""
    past = any(part.kind == MAIN and step.run_of(part) is not None for part in step.parts)
    first = [part for part in step.parts if part.kind in (SIDECAR, INIT)]
    begun = max((number for number, part in enumerate(first) if step.run_of(part) is not None), default=0)
    for number, part in enumerate(first):
        if part.kind == SIDECAR:
            _keep(step, part)
            if number >= begun and not past and not (step.run_of(part) and is_started(part, step.seen)):
                return False
        elif part.kind == INIT and not past:
            run = step.run_of(part)
            if run is None or run.phase == CREATED:
                step.start(part)
                return False
            if run.phase != EXITED:
                return False
            if run.exit_code != 0:
                if restarting.restarts(step.pod["spec"], part, run, step.memory):
                    step.restart(part, run)
                return False
    return True


def _keep_running(step: _Step) -> bool:
    for part in step.parts:
        if part.kind == MAIN:
            _keep(step, part)
    return True


def _keep(step: _Step, part: Part) -> None:
    run = step.run_of(part)
    if run is None and part.kind == MAIN and step.is_over(part):
        return
    if run is None or run.phase == CREATED:
        step.start(part)
    elif run.phase == EXITED:
        if restarting.restarts(step.pod["spec"], part, run, step.memory):
            step.restart(part, run)
    elif run.phase == RUNNING:
        kill = step.memory.kills.get(run.id) or _why_kill(step, part, run)
        if kill is not None:
            step.kill(part, run, kill)
        elif step.may_resize(part.name):
            step.actions.append(Action(RESIZE, part.name, run.id, run.attempt))


def _why_kill(step: _Step, part: Part, run: ContainerStatus) -> Kill | None:
    verdict = step.seen.verdicts.get(run.id)
    if f"{START}/{part.name}" in step.seen.busy:
        return None
    if verdict is not None and verdict.failed:
        grace = grace_of(step.pod) if verdict.grace is None else verdict.grace
        message = f"Container {part.name} failed {verdict.failed} probe"
        again = restarting.policy_of(step.pod["spec"], part) != "Never"  # also one that then ends well: it was sick
        return Kill(step.seen.now, grace, f"{message}, will be restarted" if again else message, restart=again)
    if part.name in step.resize.restarts:
        message = f"Container {part.name} resize requires restart"
        return Kill(step.seen.now, grace_of(step.pod), message, restart=True)
    if run.hash and run.hash != hash_of(part.spec):
        message = f"Container {part.name} definition changed, will be restarted"
        return Kill(step.seen.now, grace_of(step.pod), message, restart=True)
    return None


def _resize_pod(step: _Step) -> bool:
    """What is said for the pod as a whole is another amount now."""
    if step.may_resize(resizing.POD):
        step.actions.append(Action(RESIZE))
    return True


def _forget_runs(step: _Step) -> bool:
    for part in step.parts:
        for run in part.runs[KEPT_RUNS:]:
            if run.phase != RUNNING:
                step.actions.append(Action(REMOVE, part.name, run.id, run.attempt))
    return True


STEPS: tuple[Callable[[_Step], bool], ...] = (
    _make_sandbox,
    _restart_all,
    _end_old,
    _begin_ephemeral,
    _initialize,
    _keep_running,
    _resize_pod,
    _forget_runs,
)


def _is_new(action: Action, seen: Seen) -> bool:
    """A shorter grace may be said while it is being stopped; else what is under way is not begun again."""
    return action.verb == "stop" or action.key not in seen.busy


def _tidied(memory: Memory, seen: Seen) -> Memory:
    """Without what concerns containers that are not there any more."""
    ids = {container.id for container in seen.containers}
    if ids >= memory.kills.keys() and ids >= memory.stopping.keys() and ids >= memory.pre_stopped:
        return memory
    return msgspec.structs.replace(
        memory,
        kills={id: kill for id, kill in memory.kills.items() if id in ids},
        stopping={id: until for id, until in memory.stopping.items() if id in ids},
        pre_stopped=memory.pre_stopped & ids,
    )


def _shown_anew(seen: Seen, memory: Memory) -> float:
    """When a failed pull or start is to be told as a pause between tries."""
    found = 0.0
    for problem in memory.problems.values():
        when = problem.since + 2.0
        if (problem.image or problem.reason in restarting.ENDS) and when > seen.now:
            found = _sooner(found, when)
    return found


def _sooner(one: float, other: float) -> float:
    return min(one, other) if one and other else one or other
