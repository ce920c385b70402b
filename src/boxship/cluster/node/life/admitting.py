"""Whether the node takes a pod that was bound to it: the scheduler may have decided on what is not so any more, and
whoever sets spec.nodeName asks no scheduler. Pure.

Source: documentation "Assigning Pods to Nodes" (nodeName), "Pod Lifecycle"; the original's reasons are what controllers
and people look for.
"""

from collections.abc import Mapping, Sequence

import msgspec

from boxship.cluster.node.life.values import Ending, Room
from boxship.cluster.objects import Object, quantity
from boxship.cluster.objects.pod_resources import Amounts, add, pod_amounts
from boxship.cluster.objects.tolerations import tolerates

REFUSED = "Pod was rejected: "
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


Ports = frozenset[tuple[str, str, int]]  # protocol, address ("" for all) and number


class Taken(msgspec.Struct, frozen=True):
    """What one pod of the node asks for."""

    amounts: Amounts = {}
    ports: Ports = frozenset()


def taken_by(pod: Object) -> Taken:
    return Taken(pod_amounts(pod["spec"], "requests"), _ports(pod))


def refusal_of(pod: Object, node: Object, others: Sequence[Taken], now: float) -> Ending | None:
    """Why the pod fails at once; None: it is welcome. `others` are the pods that the node has taken already."""
    for check in (_wrong_system, _wrong_labels, _not_tolerated, _taken_ports, _too_much):
        found = check(pod, node, others)
        if found is not None:
            reason, message = found
            return Ending(now, 0.0, reason, REFUSED + message, "Failed")
    return None


def room_for(allocatable: Mapping[str, str], others: Sequence[Taken]) -> Room:
    used = amounts_of(others)
    cpu, memory = (quantity.parse(allocatable.get(name) or "0") for name in ("cpu", "memory"))
    used_cpu, used_memory = (used.get(name, quantity.ZERO) for name in ("cpu", "memory"))
    return Room(cpu.milli, memory.value, cpu.milli - used_cpu.milli, memory.value - used_memory.value)


def amounts_of(pods: Sequence[Taken]) -> Amounts:
    used: Amounts = {}
    for pod in pods:
        add(used, pod.amounts)
    return used


def _wrong_system(pod: Object, node: Object, others: Sequence[Taken]) -> tuple[str, str] | None:
    system = (pod["spec"].get("os") or {}).get("name")
    if system in (None, "linux"):
        return None
    return "PodOSNotSupported", f"Failed to admit pod as the OS field doesn't match node OS: {system}"


def _wrong_labels(pod: Object, node: Object, others: Sequence[Taken]) -> tuple[str, str] | None:
    refused = "NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    spec, metadata = pod["spec"], node["metadata"]
    labels = metadata.get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return refused
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED)
    if required is None:
        return None
    terms = required.get("nodeSelectorTerms") or ()
    return None if any(_term_fits(term, labels, metadata["name"]) for term in terms) else refused


def _term_fits(term: Object, labels: Mapping[str, str], name: str) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(_holds(one, labels) for one in expressions) and all(
        _holds(one, {"metadata.name": name}) for one in fields
    )


def _holds(one: Object, labels: Mapping[str, str]) -> bool:
    operator, values = one["operator"], one.get("values") or []
    found = labels.get(one["key"])
    if operator in ("Gt", "Lt"):
        try:
            number, limit = int(found or ""), int(values[0])
        except (ValueError, IndexError):
            return False
        return number > limit if operator == "Gt" else number < limit
    if operator == "Exists":
        return found is not None
    if operator == "DoesNotExist":
        return found is None
    return bool((found in values) == (operator == "In"))


def _not_tolerated(pod: Object, node: Object, others: Sequence[Taken]) -> tuple[str, str] | None:
    """NoExecute taints alone: what may not be scheduled any more may still be bound."""
    for taint in (node.get("spec") or {}).get("taints") or ():
        if taint.get("effect") != "NoExecute":
            continue
        if not any(tolerates(one, taint) for one in pod["spec"].get("tolerations") or ()):
            return (
                "TaintToleration",
                "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
            )
    return None


def _taken_ports(pod: Object, node: Object, others: Sequence[Taken]) -> tuple[str, str] | None:
    refused = "NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
    for protocol, address, port in _ports(pod):
        for other in others:
            for held in other.ports:
                if (protocol, port) == (held[0], held[2]) and (address == held[1] or not address or not held[1]):
                    return refused
    return None


def _ports(pod: Object) -> Ports:
    found = set()
    for container in (*(pod["spec"].get("initContainers") or ()), *(pod["spec"].get("containers") or ())):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                address = port.get("hostIP") or ""
                found.add((port.get("protocol") or "TCP", "" if address == "0.0.0.0" else address, port["hostPort"]))
    return frozenset(found)


def _too_much(pod: Object, node: Object, others: Sequence[Taken]) -> tuple[str, str] | None:
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    if "pods" in allocatable and len(others) + 1 > quantity.parse(allocatable["pods"]).value:
        limit = quantity.parse(allocatable["pods"]).value
        return (
            "OutOfpods",
            f"Node didn't have enough resource: pods, requested: 1, used: {len(others)}, capacity: {limit}",
        )
    used = amounts_of(others)
    for name, amount in pod_amounts(pod["spec"], "requests").items():
        if not amount or name.startswith("hugepages-") or name not in allocatable:
            continue
        total, taken = quantity.parse(allocatable[name]), used.get(name, quantity.ZERO)
        if amount + taken > total:
            asked, had, limit = (one.milli if name == "cpu" else one.value for one in (amount, taken, total))
            message = f"Node didn't have enough resource: {name}, requested: {asked}, used: {had}, capacity: {limit}"
            return f"OutOf{name}", message
    return None
