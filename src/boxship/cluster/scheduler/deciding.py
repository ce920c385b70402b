"""A pod's way through the stages: may it be looked at, which nodes pass all rules, which of them is best. Pure: reads
the snapshot, changes nothing (what it tries, it takes back).
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from boxship.cluster.scheduler.plugins import FILTERS, SCHEDULING_GATES, SCORES
from boxship.cluster.scheduler.shapes import Pod
from boxship.cluster.scheduler.sheets import Sheet, sheet_of
from boxship.cluster.scheduler.stages import Filter, Rejected, Score, Task, Verdict, WhyEach
from boxship.cluster.scheduler.trials import including
from boxship.cluster.scheduler.vectors import ALL, Vector
from boxship.cluster.scheduler.world import PODS, World

MANY_PODS = 1_000_000  # more than one node has
NO_NODES = "no nodes available to schedule pods"


class Profile(msgspec.Struct, frozen=True):
    """The rules for pods that name this scheduler. `candidates`: nodes that preemption tries, in percent of all and at
    least so many."""

    name: str = "default-scheduler"
    filters: tuple[Filter, ...] = FILTERS
    scores: tuple[tuple[Score, int], ...] = SCORES
    preempts: bool = True
    candidates: tuple[int, int] = (10, 100)


class Decision(msgspec.Struct, frozen=True):
    """What came of one look. With a `node` it goes there. Else `verdicts` says of each node why not; `rejected` is a
    reason that counts for all of them. `plugins`: whose rules stand in the way."""

    pod: Pod
    node: str = ""
    verdicts: dict[str, Verdict] = {}
    rejected: str = ""
    plugins: frozenset[str] = frozenset()
    nodes: int = 0
    score: int = 0

    @property
    def message(self) -> str:
        """As the original tells it, without what preemption says."""
        if not self.nodes:
            return NO_NODES
        reasons = f"{self.rejected}." if self.rejected else tally(self.verdicts.values())
        return f"0/{self.nodes} nodes are available" + (f": {reasons}" if reasons else "")


def tally(verdicts: Iterable[Verdict]) -> str:
    """How many nodes for each reason: "1 Insufficient cpu, 2 node(s) were unschedulable."."""
    counts = Counter(reason for verdict in verdicts for reason in verdict.reasons)
    listed = sorted(f"{count} {reason}" for reason, count in counts.items())
    return f"{', '.join(listed)}." if listed else ""


def decide(world: World, pod: Pod, profile: Profile) -> Decision:
    """Where the pod goes, or why nowhere. The same for the same snapshot."""
    nodes = len(world.places)
    if pod.gates:
        why = f"waiting for scheduling gates: [{' '.join(pod.gates)}]"
        return Decision(pod, rejected=why, plugins=frozenset([SCHEDULING_GATES]), nodes=nodes)
    if not nodes:
        return Decision(pod, nodes=0)
    task = Task(world, pod)
    failed: list[tuple[Filter, Vector]] = []
    try:
        feasible = passing(task, profile, failed)
    except Rejected as rejected:
        return Decision(pod, rejected=str(rejected), plugins=frozenset([rejected.plugin]), nodes=nodes)
    if not world.kernel.any(feasible):
        verdicts = verdicts_of(task, failed)
        plugins = frozenset(verdict.plugin for verdict in verdicts.values())
        return Decision(pod, verdicts=verdicts, plugins=plugins, nodes=nodes)
    place, score = _best(task, profile, feasible)
    return Decision(pod, node=world.node_at(place).name, nodes=nodes, score=score)


def place_all(world: World, pods: Sequence[Pod], profile: Profile) -> list[Decision]:
    """One after the other, each as if the ones before were there already. The snapshot has them afterwards."""
    decisions = []
    for pod in pods:
        decision = decide(world, pod, profile)
        decisions.append(decision)
        if decision.node:
            world.put_pod(msgspec.structs.replace(pod, node=decision.node))
    return decisions


def passing(task: Task, profile: Profile, failed: list[tuple[Filter, Vector]] | None = None) -> Vector:
    """The places that pass every rule; with the pods that nodes are kept free for, and without. Where there are none,
    `failed` gets each rule with the places that broke it first. Raises Rejected."""
    world = task.world
    found = _filtered(task, profile)
    kept = kept_before(world, task.pod)
    if kept and world.kernel.any(found):
        found = found & world.present  # one of its own: the sheet's changes now
        with including(world, kept):
            found = found & _filtered(task, profile)
            if failed is not None and not world.kernel.any(found):
                failed += _failed(task, profile.filters)
                return found
    if failed is not None and not world.kernel.any(found):
        failed += _failed(task, profile.filters)
    return found


def passes(task: Task, profile: Profile, place: int) -> bool:
    """Whether one place passes every rule. Raises Rejected."""
    row = slice(place, place + 1)
    return all(mask is None or bool(mask[0]) for mask in (plugin.check(task, row) for plugin in profile.filters))


def broken(task: Task, profile: Profile, place: int) -> list[Verdict]:
    """All rules that one place breaks. Raises Rejected."""
    row = slice(place, place + 1)
    found = []
    for plugin in profile.filters:
        mask = plugin.check(task, row)
        if mask is not None and not mask[0]:
            found.append(plugin.why(task, place))
    return found


def kept_before(world: World, pod: Pod) -> list[Pod]:
    """Pods for which nodes are kept free and which go before this one, each with that node."""
    return [
        msgspec.structs.replace(each, node=each.nominated)
        for each in world.nominated.values()
        if each.uid != pod.uid and each.shape.priority >= pod.shape.priority and each.uid not in world.pods
    ]


def verdicts_of(task: Task, failed: Sequence[tuple[Filter, Vector]]) -> dict[str, Verdict]:
    """By node, the first rule that it breaks."""
    world = task.world
    found: dict[str, Verdict] = {}
    for plugin, mask in failed:
        places = world.kernel.places(mask)
        whys = plugin.why_each(task, places) if isinstance(plugin, WhyEach) else None
        for number, place in enumerate(places):
            name = world.node_at(place).name
            if name not in found:
                verdict = plugin.why(task, place) if whys is None else whys[number]
                found[name] = verdict if verdict.reasons else _why(task, plugin, place)
    return found


def ratings(task: Task, profile: Profile, feasible: Vector) -> list[tuple[str, int, Vector | None]]:
    """Of each plugin: its name, its weight, its rating of each place (None: all the same)."""
    return [(plugin.name, weight, plugin.rate(task, feasible)) for plugin, weight in profile.scores]


def _filtered(task: Task, profile: Profile) -> Vector:
    found = _sheet(task, profile).passed
    for plugin in profile.filters:
        if not plugin.local:
            mask = plugin.check(task, ALL)
            if mask is not None:
                found = found & mask
    return found


def _failed(task: Task, filters: Sequence[Filter]) -> list[tuple[Filter, Vector]]:
    """In order, each rule with the places that passed the ones before and not this one."""
    left, failed = task.world.present, []
    for plugin in filters:
        mask = plugin.check(task, ALL)
        if mask is not None:
            failed.append((plugin, left & ~mask))
            left = left & mask
    return failed


def _sheet(task: Task, profile: Profile) -> Sheet:
    return sheet_of(task, profile, profile.filters, profile.scores)


def _why(task: Task, plugin: Filter, place: int) -> Verdict:
    """Of a place that fails only beside the pods that it is kept free for."""
    with including(task.world, kept_before(task.world, task.pod)):
        return plugin.why(task, place)


def _best(task: Task, profile: Profile, feasible: Vector) -> tuple[int, int]:
    """The place with the best rating; of equals the one with the fewest pods, of these the first."""
    world, kernel = task.world, task.kernel
    if kernel.count(feasible) == 1:
        return kernel.best(feasible), 0
    sheet = _sheet(task, profile)
    total = sheet.total
    for plugin, weight in sheet.others:
        rating = plugin.rate(task, feasible)
        if rating is not None:
            total = total + rating * weight
    order = total * MANY_PODS + (MANY_PODS - 1 - kernel.least(world.used(PODS), MANY_PODS - 1))
    place = kernel.best(kernel.choose(feasible, order, -1))
    return place, int(total[place])
