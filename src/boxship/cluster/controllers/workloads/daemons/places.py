"""Which nodes a daemon set is for, and the pod that runs on one of them. Pure.

Tainted nodes are no place for new pods, but one that is there stays unless the taint drives it out. The scheduler
binds the pods, so each names its node by affinity.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.controllers.workloads.making import pod_of, with_labels
from boxship.cluster.controllers.workloads.revisions import HASH
from boxship.cluster.objects import Object
from boxship.cluster.objects.selectors import EXISTS, GREATER, IN, LESS, MISSING, NOT_IN, Requirement
from boxship.cluster.objects.tolerations import tolerates

OPERATORS = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": MISSING, "Gt": GREATER, "Lt": LESS}
NODE = "node.kubernetes.io/"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
GENERATION = "pod-template-generation"
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


class Node(msgspec.Struct, frozen=True, gc=False):
    name: str
    labels: Mapping[str, str]
    taints: tuple[Object, ...]


def facts_of(node: Object) -> Node:
    metadata = node["metadata"]
    return Node(metadata["name"], metadata.get("labels") or {}, tuple((node.get("spec") or {}).get("taints") or ()))


class Place(msgspec.Struct, frozen=True):
    """What a node is to a daemon set."""

    wanted: bool  # a pod is to run there
    stays: bool  # one that runs there may go on


def tolerations(spec: Object) -> list[Object]:
    """A pod's own ones, and those that every daemon has."""

    def exists(name: str, effect: str) -> Object:
        return {"key": f"{NODE}{name}", "operator": "Exists", "effect": effect}

    made = [exists("not-ready", "NoExecute"), exists("unreachable", "NoExecute")]
    made += [exists(f"{what}-pressure", "NoSchedule") for what in ("disk", "memory", "pid")]
    made.append(exists("unschedulable", "NoSchedule"))
    if spec.get("hostNetwork"):
        made.append(exists("network-unavailable", "NoSchedule"))
    known = list(spec.get("tolerations") or ())
    return known + [one for one in made if one not in known]


def place(daemons: Object, node: Node) -> Place:
    spec = daemons["spec"]["template"].get("spec") or {}
    if spec.get("nodeName") not in (None, "", node.name) or not _is_selected(spec, node):
        return Place(False, False)
    tolerated = tolerations(spec)
    open_taints = [taint for taint in node.taints if not any(tolerates(one, taint) for one in tolerated)]
    drives_out = any(taint.get("effect") == "NoExecute" for taint in open_taints)
    keeps_out = drives_out or any(taint.get("effect") == "NoSchedule" for taint in open_taints)
    return Place(not keeps_out, not drives_out)


def _is_selected(spec: Object, node: Node) -> bool:
    wanted = spec.get("nodeSelector") or {}
    if any(node.labels.get(key) != value for key, value in wanted.items()):
        return False
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED)
    if required is None:
        return True
    return any(_term(term, node) for term in required.get("nodeSelectorTerms") or ())


def _term(term: Object, node: Node) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return _all(expressions, node.labels) and _all(fields, {"metadata.name": node.name})


def _all(expressions: Sequence[Object], labels: Mapping[str, str]) -> bool:
    return all(
        one.get("operator") in OPERATORS
        and Requirement(one["key"], OPERATORS[one["operator"]], tuple(one.get("values") or ())).matches(labels)
        for one in expressions
    )


def make_pod(daemons: Object, node: str, revision: str) -> Object:
    pod = pod_of(daemons["spec"]["template"], daemons)
    generation = (daemons["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION)
    with_labels(pod, {HASH: revision, **({GENERATION: generation} if generation else {})})
    spec = pod["spec"]
    spec["tolerations"] = tolerations(spec)
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    affinity: dict[str, Any] = {**(spec.get("affinity") or {})}
    affinity["nodeAffinity"] = {**(affinity.get("nodeAffinity") or {}), REQUIRED: {"nodeSelectorTerms": [term]}}
    spec["affinity"] = affinity
    return pod
