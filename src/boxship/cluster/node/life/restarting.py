"""Whether a container that has ended is started again, and when. Pure.

Source: documentation "Pod Lifecycle" (container restart policy, individual restart rules, back-off).
"""

import msgspec

from boxship.cluster.node.life.values import EPHEMERAL, INIT, SIDECAR, BackOff, Memory, Part, Problem
from boxship.cluster.node.runtime import ContainerStatus
from boxship.cluster.objects import Object

FIRST_SECONDS, LONGEST_SECONDS = 10.0, 300.0
FORGET_SECONDS = 2 * LONGEST_SECONDS  # without an end: the next one waits as the first
RESTART, RESTART_ALL = "Restart", "RestartAllContainers"
ENDS = ("RunContainerError", "PostStartHookError")  # problems of a start that count as an end of the container


def policy_of(spec: Object, part: Part) -> str:
    """Always, OnFailure or Never, for one container."""
    if part.kind == EPHEMERAL:
        return "Never"
    if part.kind == SIDECAR:
        return "Always"
    own = part.spec.get("restartPolicy")
    policy = str(own or spec.get("restartPolicy") or "Always")
    return "OnFailure" if part.kind == INIT and policy == "Always" else policy


def rule_for(part: Part, exit_code: int) -> str:
    """The action of the first of its restart rules that this exit code meets, "" for none."""
    for rule in part.spec.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        within = exit_code in (codes.get("values") or ())
        if within == (codes.get("operator") == "In"):
            return str(rule.get("action") or "")
    return ""


def restarts(spec: Object, part: Part, ended: ContainerStatus, memory: Memory) -> bool:
    kill = memory.kills.get(ended.id)
    if kill is not None and kill.restart:
        return True
    if rule_for(part, ended.exit_code) in (RESTART, RESTART_ALL):
        return True
    policy = policy_of(spec, part)
    return policy == "Always" or (policy == "OnFailure" and ended.exit_code != 0)


def waits_until(back_off: BackOff | None, ended_at: float) -> float:
    """Until when a container that ended then must wait; not later than its end: it need not."""
    if back_off is None or ended_at - back_off.since > FORGET_SECONDS:
        return ended_at
    return ended_at + back_off.seconds


def raised(back_off: BackOff | None, ended_at: float, now: float) -> BackOff:
    """What counts after this restart."""
    if back_off is None or ended_at - back_off.since > FORGET_SECONDS:
        return BackOff(FIRST_SECONDS, now)
    return BackOff(min(back_off.seconds * 2, LONGEST_SECONDS), now)


def next_pause(before: Problem | None, now: float, first: float, longest: float) -> float:
    """Seconds until something that failed is tried again; it doubles as long as it goes on failing."""
    if before is None or not before.seconds or now - before.until > FORGET_SECONDS:
        return first
    return min(before.seconds * 2, longest)


def with_problem(memory: Memory, name: str, problem: Problem | None) -> Memory:
    problems = dict(memory.problems)
    if problem is None:
        if name not in problems:
            return memory
        del problems[name]
    else:
        problems[name] = problem
    return msgspec.structs.replace(memory, problems=problems)
