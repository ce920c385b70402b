"""Whether a pod could run if others of lower priority went, and which: as few whose budget forbids it as possible, then
the least important ones.

Source: kubernetes.io, "Pod Priority and Preemption". Pure: what it tries on the snapshot, it takes back.
"""

from collections.abc import Iterator, Sequence

import msgspec

from boxship.cluster.objects.selectors import LabelSelector
from boxship.cluster.scheduler.deciding import Decision, Profile, kept_before, passes, tally
from boxship.cluster.scheduler.shapes import Pod
from boxship.cluster.scheduler.stages import Rejected, Task, Verdict
from boxship.cluster.scheduler.trials import including, without
from boxship.cluster.scheduler.world import World

PLUGIN = "DefaultPreemption"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


class Budget(msgspec.Struct, frozen=True):
    """A PodDisruptionBudget: how many of its pods may go now. `gone`: pods that it counted already."""

    namespace: str
    selector: LabelSelector
    allowed: int
    gone: frozenset[str] = frozenset()


class Candidate(msgspec.Struct, frozen=True):
    """A node that would take the pod without these."""

    node: str
    place: int
    victims: tuple[Pod, ...]  # the most important first
    violations: int


class Preemption(msgspec.Struct, frozen=True):
    """With a `node`: these pods have to go. Else the message says why that would not help. `keeps`: what was promised
    before still counts."""

    node: str = ""
    victims: tuple[Pod, ...] = ()
    message: str = ""
    keeps: bool = False


def preempt(world: World, decision: Decision, profile: Profile, budgets: Sequence[Budget] = ()) -> Preemption:
    """For a pod that was found no node."""
    return next(found for found in preempting(world, decision, profile, budgets) if found is not None)


def preempting(
    world: World, decision: Decision, profile: Profile, budgets: Sequence[Budget] = ()
) -> Iterator[Preemption | None]:
    """The same in steps, one for each node that is tried, so that others may have their turn between them; None until
    the last."""
    pod = decision.pod
    if pod.shape.never_preempts:
        yield Preemption(message="preemption: not eligible due to preemptionPolicy=Never.")
        return
    if _is_under_way(world, pod):
        why = "not eligible due to a terminating pod on the nominated node."
        yield Preemption(message=f"preemption: {why}", keeps=True)
        return
    task = Task(world, pod)
    verdicts: list[Verdict] = []
    candidates: list[Candidate] = []
    percent, least = profile.candidates
    limit = max(least, len(world.places) * percent // 100)
    lowest = min((each.shape.priority for each in world.pods.values()), default=pod.shape.priority)
    for name, verdict in decision.verdicts.items():
        place = world.places.get(name)
        if place is None:
            continue
        if verdict.final:
            verdicts.append(Verdict(PLUGIN, (NOT_HELPFUL,)))
        elif lowest >= pod.shape.priority:
            verdicts.append(Verdict(PLUGIN, (NO_VICTIMS,)))
        elif len(candidates) < limit:
            found = _victims(task, profile, place, budgets)
            if isinstance(found, Candidate):
                candidates.append(found)
            else:
                verdicts.append(found)
            yield None
    if candidates:
        best = min(candidates, key=_order)
        yield Preemption(best.node, best.victims)
    else:
        reasons = tally(verdicts) or f"{decision.nodes} {NOT_HELPFUL}."
        yield Preemption(message=f"preemption: 0/{decision.nodes} nodes are available: {reasons}")


def _is_under_way(world: World, pod: Pod) -> bool:
    """Whether somebody goes already from the node that was promised."""
    place = world.places.get(pod.nominated)
    return place is not None and any(
        each.deleting and each.shape.priority < pod.shape.priority for each in world.pods_at[place].values()
    )


def _victims(task: Task, profile: Profile, place: int, budgets: Sequence[Budget]) -> Candidate | Verdict:
    """Who has to go from this place: first all that may go, then one after the other may stay if that works."""
    world = task.world
    lower = [each for each in world.pods_at[place].values() if each.shape.priority < task.shape.priority]
    if not lower:
        return Verdict(PLUGIN, (NO_VICTIMS,))
    with including(world, kept_before(world, task.pod)), without(world, lower):
        try:
            if not passes(task, profile, place):
                return _still_broken(task, profile, place)
        except Rejected as rejected:
            return Verdict(PLUGIN, (str(rejected),))
        leaving = [each for each in lower if each.deleting]  # for somebody else: they stay no longer for being spared
        staying = sorted((each for each in lower if not each.deleting), key=_importance)
        forbidden, allowed = _by_budget(staying, budgets)
        victims, violations = [], 0
        for each in (*forbidden, *allowed, *leaving):
            world.put_pod(each)
            if passes(task, profile, place):
                continue
            world.remove_pod(each.uid)
            victims.append(each)
            violations += each in forbidden
    return Candidate(world.node_at(place).name, place, tuple(sorted(victims, key=_importance)), violations)


def _still_broken(task: Task, profile: Profile, place: int) -> Verdict:
    row = slice(place, place + 1)
    for plugin in profile.filters:
        mask = plugin.check(task, row)
        if mask is not None and not mask[0]:
            return plugin.why(task, place)
    return Verdict(PLUGIN, (NOT_HELPFUL,))


def _by_budget(pods: Sequence[Pod], budgets: Sequence[Budget]) -> tuple[list[Pod], list[Pod]]:
    """Those whose going breaks a budget, and the others; in the order given."""
    left = [budget.allowed for budget in budgets]
    forbidden: list[Pod] = []
    allowed: list[Pod] = []
    for pod in pods:
        breaks = False
        for number, budget in enumerate(budgets):
            counts = pod.shape.labels and budget.namespace == pod.key[0] and pod.key[1] not in budget.gone
            if counts and budget.selector.matches(pod.shape.labels):
                left[number] -= 1
                breaks = breaks or left[number] < 0
        (forbidden if breaks else allowed).append(pod)
    return forbidden, allowed


def _importance(pod: Pod) -> tuple[int, str, str]:
    """The most important first: by priority, then who has run longer."""
    return -pod.shape.priority, pod.started, pod.uid


def _order(candidate: Candidate) -> tuple[int, int, int, int, tuple[int, ...], int]:
    """The best node first: fewest broken budgets, least important victims, fewest of them, those that began last."""
    fresh = [victim for victim in candidate.victims if not victim.deleting]
    priorities = [victim.shape.priority for victim in fresh]
    if not priorities:
        return candidate.violations, -(1 << 32), 0, 0, (), candidate.place
    highest = max(priorities)
    earliest = min(victim.started for victim in fresh if victim.shape.priority == highest)
    later = tuple(-ord(letter) for letter in earliest)
    offset = sum(priority + (1 << 31) for priority in priorities)
    return candidate.violations, highest, offset, len(priorities), later, candidate.place
