"""Why a pod is where it is, or nowhere: each node's verdict with all rules that it breaks, how the possible nodes were
rated, and the smallest changes that would help. Pure, as the decision itself.

Meant for people (`boxship why`) and only on request: it looks closer than a decision has to.
"""

from collections.abc import Sequence

import msgspec

from boxship.cluster.scheduler.deciding import Decision, Profile, broken, decide, passes, passing, ratings
from boxship.cluster.scheduler.nodes import Node
from boxship.cluster.scheduler.preemption import Budget, Preemption, preempt
from boxship.cluster.scheduler.remedies import remedy_of
from boxship.cluster.scheduler.shapes import Pod, Shape
from boxship.cluster.scheduler.stages import Rejected, Task, Verdict
from boxship.cluster.scheduler.trials import without
from boxship.cluster.scheduler.vectors import ALL
from boxship.cluster.scheduler.world import World

LOOKED_AT = 20  # nodes whose remedies are worked out: those that break the fewest rules
SHOWN = 3  # changes


class NodeAnswer(msgspec.Struct, frozen=True):
    """One node. `broken`: all rules that it breaks; none: it can take the pod, and `ratings` say how well (the plugin,
    its weight, 0 to 100)."""

    node: str
    broken: tuple[Verdict, ...] = ()
    ratings: tuple[tuple[str, int, int], ...] = ()
    total: int = 0


class Change(msgspec.Struct, frozen=True):
    """What would let the pod run on this node. `is_tried`: every rule was asked again with it."""

    node: str
    texts: tuple[str, ...]
    cost: int
    is_tried: bool

    @property
    def text(self) -> str:
        return "; ".join(self.texts)


class Explanation(msgspec.Struct, frozen=True):
    decision: Decision
    preemption: Preemption
    nodes: tuple[NodeAnswer, ...]  # the best first
    changes: tuple[Change, ...]  # the smallest first; none where a node was found

    @property
    def message(self) -> str:
        return " ".join(part for part in (self.decision.message, self.preemption.message) if part)


def explain(
    world: World, pod: Pod, profile: Profile, budgets: Sequence[Budget] = (), *, limit: int = LOOKED_AT
) -> Explanation:
    """As if the pod had no node yet. Of many nodes the best `limit` are looked at closely."""
    known = world.pods.get(pod.uid)
    with without(world, [known] if known else []):
        fresh = msgspec.structs.replace(pod, node="")
        decision = decide(world, fresh, profile)
        if decision.node:
            return Explanation(decision, Preemption(), _rated(world, fresh, profile), ())
        preemption = Preemption()
        if profile.preempts and decision.nodes:
            preemption = preempt(world, decision, profile, budgets)
        if decision.rejected or not decision.nodes:
            return Explanation(decision, preemption, (), ())
        task = Task(world, fresh)
        places = _nearest(task, profile, limit)
        answers = [NodeAnswer(world.node_at(place).name, tuple(broken(task, profile, place))) for place in places]
        changes = [change for place in places if (change := change_for(world, fresh, profile, place)) is not None]
        changes.sort(key=lambda change: (change.cost, len(change.texts), change.node))
        return Explanation(decision, preemption, tuple(answers), tuple(changes[:SHOWN]))


def change_for(world: World, pod: Pod, profile: Profile, place: int) -> Change | None:
    """What would let this place take the pod; None where trying shows that it does not. The snapshot is as before."""
    before = world.node_at(place)
    node, shape = before, pod.shape
    texts: list[str] = []
    cost, is_sure = 0, True
    version = world.version
    try:
        for verdict in broken(Task(world, pod), profile, place):
            task = Task(world, _with(pod, shape))
            remedy = remedy_of(verdict.plugin, task, node, place)
            texts.append(remedy.text)
            cost += remedy.cost
            is_sure = is_sure and remedy.is_sure
            shape, node = remedy.shape or shape, remedy.node or node
        if is_sure:
            world.put_node(node)
            if not passes(Task(world, _with(pod, shape)), profile, place):
                return None
    finally:
        _put_back(world, before, version)
    return Change(node.name, tuple(texts), cost, is_sure)


def _with(pod: Pod, shape: Shape) -> Pod:
    return msgspec.structs.replace(pod, shape=shape)


def _put_back(world: World, node: Node, version: int) -> None:
    world.put_node(node)
    world.version = version


def _rated(world: World, pod: Pod, profile: Profile) -> tuple[NodeAnswer, ...]:
    task = Task(world, pod)
    feasible = passing(task, profile)
    rated = ratings(task, profile, feasible)
    answers = []
    for place in world.kernel.places(world.present):
        name = world.node_at(place).name
        if not feasible[place]:
            answers.append(NodeAnswer(name, tuple(broken(task, profile, place)), total=-1))
            continue
        parts = tuple((plugin, weight, 0 if rating is None else int(rating[place])) for plugin, weight, rating in rated)
        answers.append(NodeAnswer(name, ratings=parts, total=sum(weight * rating for _, weight, rating in parts)))
    return tuple(sorted(answers, key=lambda answer: -answer.total))


def _nearest(task: Task, profile: Profile, limit: int) -> list[int]:
    """The places that break the fewest rules. Raises nothing: what rejects the pod as a whole was told before."""
    kernel = task.kernel
    count = kernel.full(task.world.size, 0)
    for plugin in profile.filters:
        try:
            mask = plugin.check(task, ALL)
        except Rejected:
            continue
        if mask is not None:
            count = count + kernel.choose(mask, 0, 1)
    places = kernel.places(task.world.present)
    return sorted(places, key=lambda place: int(count[place]))[:limit]
