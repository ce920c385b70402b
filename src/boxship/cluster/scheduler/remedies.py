"""For each rule that a node breaks: the smallest change to the pod or to the node after which it is not broken any
more. Pure: the changed pod and node can be looked at as if they were there."""

from collections.abc import Callable, Sequence

import msgspec

from boxship.cluster.objects.quantity import Quantity, of, of_milli
from boxship.cluster.objects.selectors import EXISTS, IN, MISSING, NOT_IN, Requirement
from boxship.cluster.objects.tolerations import Toleration
from boxship.cluster.scheduler.nodes import Node, term_matches, untolerated
from boxship.cluster.scheduler.plugins.neighbours import InterPodAffinity
from boxship.cluster.scheduler.plugins.nodes import HARD, NodeAffinity, NodeName, NodeUnschedulable, TaintToleration
from boxship.cluster.scheduler.plugins.ports import NodePorts, taken
from boxship.cluster.scheduler.plugins.resources import NodeResourcesFit
from boxship.cluster.scheduler.plugins.spreading import PodTopologySpread
from boxship.cluster.scheduler.shapes import NodeTerm, Pod, PodTerm, Shape
from boxship.cluster.scheduler.stages import Task
from boxship.cluster.scheduler.world import PODS

BINARY = "BinarySI"
FAR_OFF = 9  # the cost of what is hardly a small change


class Remedy(msgspec.Struct, frozen=True):
    """One change. `cost` compares changes. `shape` and `node` are what they would be then; None: as now. With `is_sure`
    the rule is known to hold then, as far as it is about these two."""

    text: str
    cost: int = 1
    shape: Shape | None = None
    node: Node | None = None
    is_sure: bool = True


def remedy_of(plugin: str, task: Task, node: Node, place: int) -> Remedy:
    """`task` is of the pod as it is after the changes before this one, `node` likewise."""
    make = REMEDIES.get(plugin)
    if make is None:
        return Remedy(f"change what {plugin} looks at", FAR_OFF, is_sure=False)
    return make(task, node, place)


def _named(task: Task, node: Node, place: int) -> Remedy:
    shape = msgspec.structs.replace(task.shape, node_name=node.name)
    return Remedy(f"let the pod name node {node.name}", FAR_OFF, shape)


def _cordoned(task: Task, node: Node, place: int) -> Remedy:
    return Remedy(f"uncordon node {node.name}", node=msgspec.structs.replace(node, unschedulable=False))


def _tainted(task: Task, node: Node, place: int) -> Remedy:
    tolerations, taints = task.shape.tolerations, []
    while (taint := untolerated(node, tolerations, HARD)) is not None:
        taints.append(taint)
        tolerations = (*tolerations, Toleration(taint.key, "Equal", taint.value, taint.effect))
    shown = ", ".join(f"{taint.key}={taint.value}:{taint.effect}" for taint in taints)
    shape = msgspec.structs.replace(task.shape, tolerations=tolerations)
    return Remedy(f"let the pod tolerate {shown}, or take that taint from node {node.name}", len(taints), shape)


def _unmatched(task: Task, node: Node, place: int) -> Remedy:
    """Labels that the node lacks, by the pod's selector and the term of its affinity that is nearest."""
    needs = list(task.shape.node_selector)
    terms = task.shape.node_terms
    if terms is not None and not any(term_matches(term, node) for term in terms):
        possible = [term for term in terms if _can_be_met(term, node)]
        if not possible:
            text = f"let the pod's node affinity mean node {node.name}"
            return Remedy(text, FAR_OFF, msgspec.structs.replace(task.shape, node_terms=None), is_sure=False)
        needs += min(possible, key=lambda term: _missing(term.labels, node)).labels
    labels, texts = dict(node.labels), []
    for need in needs:
        if need.matches(labels):
            continue
        if need.operator in (NOT_IN, MISSING):
            labels.pop(need.key, None)
            texts.append(f"{need.key}-")
        else:
            labels[need.key] = _value_for(need)
            texts.append(f"{need.key}={labels[need.key]}")
    changed = msgspec.structs.replace(node, labels=labels)
    return Remedy(f"label node {node.name} {' '.join(texts)}", max(len(texts), 1), node=changed)


def _can_be_met(term: NodeTerm, node: Node) -> bool:
    """By labels alone."""
    name = {"metadata.name": node.name}
    return bool(term.labels) and all(need.matches(name) for need in term.names)


def _missing(needs: Sequence[Requirement], node: Node) -> int:
    return sum(not need.matches(node.labels) for need in needs)


def _value_for(need: Requirement) -> str:
    if need.operator == EXISTS:
        return "true"
    if need.operator in (IN, "=", "=="):
        return need.values[0]
    bound = int(need.values[0])
    return str(bound + 1 if need.operator == "gt" else bound - 1)


def _occupied(task: Task, node: Node, place: int) -> Remedy:
    held = [port for port in task.shape.ports if place in taken(task.world, (port,))]
    shown = ", ".join(f"{port}/{protocol}" for protocol, _, port in held)
    left = tuple(port for port in task.shape.ports if port not in held)
    shape = msgspec.structs.replace(task.shape, ports=left)
    return Remedy(f"use another host port than {shown}, which is taken on node {node.name}", 2, shape)


def _too_large(task: Task, node: Node, place: int) -> Remedy:
    world, texts, cost = task.world, [], 0
    requests, allocatable = dict(task.shape.requests), dict(node.allocatable)
    if world.used(PODS)[place] >= allocatable.get(PODS, 0):
        texts.append(f"let a pod of node {node.name} go, which takes {allocatable.get(PODS, 0)} at most")
        allocatable[PODS] = int(world.used(PODS)[place]) + 1
        cost += 3
    for resource, amount in task.shape.requests.items():
        left = allocatable.get(resource, 0) - int(world.used(resource)[place])
        if amount <= left:
            continue
        asked = shown(resource, amount)
        if left > 0:
            texts.append(f"ask for {shown(resource, left)} {resource} instead of {asked}, as node {node.name} has left")
            requests[resource] = left
            cost += 1 + (amount - left) * 4 // amount
        else:
            texts.append(f"give node {node.name} {shown(resource, amount - left)} {resource} more, or free it there")
            allocatable[resource] = allocatable.get(resource, 0) + amount - left
            cost += 5
    shape = msgspec.structs.replace(task.shape, requests=requests)
    return Remedy(" and ".join(texts), cost, shape, msgspec.structs.replace(node, allocatable=allocatable))


def shown(resource: str, amount: int) -> str:
    """An amount as people write it."""
    if resource == "cpu":
        return of_milli(amount).text
    if resource in ("memory", "ephemeral-storage") and amount % 1024 == 0:
        return Quantity(of(amount).nanos, BINARY).text
    return str(amount)


def _crooked(task: Task, node: Node, place: int) -> Remedy:
    labels, texts, cost = dict(node.labels), [], 0
    hard = [each for each in task.shape.spreads if each.hard]
    for spread in hard:
        if spread.key not in labels:
            labels[spread.key] = node.name
            texts.append(f"label node {node.name} {spread.key}=…")
            cost += 1
    if texts:
        changed = msgspec.structs.replace(node, labels=labels)
        return Remedy(" and ".join(texts), cost, node=changed, is_sure=False)
    spreads = list(task.shape.spreads)
    for spread in hard:
        skew = PodTopologySpread().skew(task, spread, hard, place)
        if skew > spread.max_skew:
            spreads[spreads.index(spread)] = msgspec.structs.replace(spread, max_skew=skew)
            texts.append(f"raise maxSkew of {spread.key} from {spread.max_skew} to {skew}")
            cost += 1 + skew - spread.max_skew
    return Remedy(" and ".join(texts), cost, msgspec.structs.replace(task.shape, spreads=tuple(spreads)))


def _neighbourhood(task: Task, node: Node, place: int) -> Remedy:
    """Who is in the way, or who is missing."""
    world, shape = task.world, task.shape
    in_the_way: list[Pod] = []
    for term in shape.apart:
        in_the_way += [each for each in _pods_around(task, term, place) if world.means(term, each.shape)]
    for part, term in world.held_against(shape):
        if part == "apart":
            in_the_way += [each for each in _pods_around(task, term, place) if term in each.shape.apart]
    if in_the_way:
        names = list(dict.fromkeys("/".join(pod.key) for pod in in_the_way))
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        text = f"move pod {names[0]}{more} away from node {node.name}, or drop the required anti-affinity"
        return Remedy(text, 2 + len(names), is_sure=False)
    term = shape.near[0]
    text = f"run a pod that matches {term.selector.text or 'anything'} within {term.key} of node {node.name}"
    return Remedy(text, 4, is_sure=False)


def _pods_around(task: Task, term: PodTerm, place: int) -> list[Pod]:
    world = task.world
    value = world.node_at(place).labels.get(term.key)
    if value is None:
        return []
    return [
        pod
        for at, node in enumerate(world.nodes)
        if node is not None and node.labels.get(term.key) == value
        for pod in world.pods_at[at].values()
    ]


REMEDIES: dict[str, Callable[[Task, Node, int], Remedy]] = {
    NodeName.name: _named,
    NodeUnschedulable.name: _cordoned,
    TaintToleration.name: _tainted,
    NodeAffinity.name: _unmatched,
    NodePorts.name: _occupied,
    NodeResourcesFit.name: _too_large,
    PodTopologySpread.name: _crooked,
    InterPodAffinity.name: _neighbourhood,
}
