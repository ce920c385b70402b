"""What of a pod decides where it may go. Pods that are alike in this share one Shape: what was computed for one counts
for all of them.

Source: kubernetes.io, "Assigning Pods to Nodes", "Pod Topology Spread Constraints", "Resource Management for Pods and
Containers". Pure; objects have passed the API's rules, so their fields are what these say.
"""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.objects import Object, selectors
from boxship.cluster.objects.pod_resources import pod_amounts
from boxship.cluster.objects.quantity import Quantity, parse
from boxship.cluster.objects.selectors import LabelSelector, Requirement
from boxship.cluster.objects.tolerations import Toleration, toleration_of

REQUIRED, PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
LARGEST = 1 << 53  # of any amount: a hundred times as much, or a thousand of them, are still numbers of 64 bits
ASSUMED = {"cpu": "100m", "memory": "200Mi"}  # of a container that asks for none, when nodes are compared
OPERATORS = {
    "In": selectors.IN,
    "NotIn": selectors.NOT_IN,
    "Exists": selectors.EXISTS,
    "DoesNotExist": selectors.MISSING,
    "Gt": selectors.GREATER,
    "Lt": selectors.LESS,
}

Amounts = dict[str, int]  # cpu in thousandths, everything else in units
Port = tuple[str, str, int]  # protocol, address ("0.0.0.0": all), port
Key = tuple[str, str]


class NodeTerm(msgspec.Struct, frozen=True, gc=False):
    """All of it must hold of a node; nothing in it: no node."""

    labels: tuple[Requirement, ...] = ()
    names: tuple[Requirement, ...] = ()  # of metadata.name
    weight: int = 0


class PodTerm(msgspec.Struct, frozen=True, gc=False):
    """Pods that are meant, and the label of nodes within whose value they are near. `weight` below zero: not near."""

    key: str
    selector: LabelSelector
    namespaces: frozenset[str]
    namespace_selector: LabelSelector | None = None
    weight: int = 0


class Spread(msgspec.Struct, frozen=True, gc=False):
    """One topology spread constraint. `hard`: DoNotSchedule."""

    key: str
    max_skew: int
    hard: bool
    selector: LabelSelector
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


class Shape(msgspec.Struct, frozen=True, eq=False, weakref=True):
    """Everything that plugins read of a pod. Compared by identity."""

    namespace: str
    labels: dict[str, str]
    requests: Amounts
    scoring: Amounts  # cpu and memory, with what is assumed where nothing is asked for
    priority: int
    never_preempts: bool
    node_name: str
    node_selector: tuple[Requirement, ...]
    node_terms: tuple[NodeTerm, ...] | None  # None: nothing is required
    node_wishes: tuple[NodeTerm, ...]
    near: tuple[PodTerm, ...]
    apart: tuple[PodTerm, ...]
    wishes: tuple[PodTerm, ...]  # preferred: near with a weight above zero, apart with one below
    spreads: tuple[Spread, ...]
    tolerations: tuple[Toleration, ...]
    ports: tuple[Port, ...]
    images: tuple[str, ...]
    containers: int
    claims: tuple[tuple[str, str], ...]  # names; and for which volume of the pod's own it is made, or ""
    disks: tuple[str, ...]  # volumes that name a disk themselves
    profile: str
    owner: tuple[str, str, str]  # kind, name, uid of its controller

    @property
    def has_affinity(self) -> bool:
        return bool(self.near or self.apart or self.wishes)


class Pod(msgspec.Struct, frozen=True, gc=False):
    """One pod, as far as it matters here. `node`: where it is, or is assumed to go."""

    key: Key
    uid: str
    shape: Shape
    node: str = ""
    nominated: str = ""
    created: str = ""
    started: str = ""
    deleting: bool = False
    ended: bool = False
    gates: tuple[str, ...] = ()
    condition: tuple[str, str, str] = ("", "", "")  # PodScheduled's status, reason and message
    version: str = ""

    @property
    def is_waiting(self) -> bool:
        """Whether somebody has to find it a node."""
        return not self.node and not self.deleting and not self.ended


_shapes: "weakref.WeakValueDictionary[bytes, Shape]" = weakref.WeakValueDictionary()
_encode = msgspec.json.Encoder(order="sorted").encode


def pod_of(object: Object) -> Pod:
    """A pod as the API gives it."""
    metadata, spec, status = object["metadata"], object.get("spec") or {}, object.get("status") or {}
    condition: Object = next(
        (each for each in status.get("conditions") or () if each.get("type") == "PodScheduled"), {}
    )
    return Pod(
        key=(metadata.get("namespace", ""), metadata["name"]),
        uid=metadata.get("uid", ""),
        shape=shape_of(metadata, spec, status),
        node=spec.get("nodeName") or "",
        nominated=status.get("nominatedNodeName") or "",
        created=metadata.get("creationTimestamp") or "",
        started=status.get("startTime") or metadata.get("creationTimestamp") or "",
        deleting=bool(metadata.get("deletionTimestamp")),
        ended=status.get("phase") in ("Succeeded", "Failed"),
        gates=tuple(gate.get("name", "") for gate in spec.get("schedulingGates") or ()),
        condition=(condition.get("status", ""), condition.get("reason", ""), condition.get("message", "")),
        version=metadata.get("resourceVersion", ""),
    )


def shape_of(metadata: Object, spec: Object, status: Object) -> Shape:
    """The one Shape of all pods like this."""
    relevant = _relevant(metadata, spec, status)
    text = _encode(relevant)
    found = _shapes.get(text)
    if found is None:
        found = _shapes[text] = _compiled(relevant)
    return found


def _relevant(metadata: Object, spec: Object, status: Object) -> Object:
    """The part of a pod that decides, as JSON."""
    owner: Object = next((each for each in metadata.get("ownerReferences") or () if each.get("controller")), {})
    volumes: list[Any] = []
    for volume in spec.get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            volumes.append((claim.get("claimName", ""), ""))
        elif "ephemeral" in volume:
            volumes.append((f"{metadata['name']}-{volume['name']}", volume["name"]))
        elif disk := _disk_of(volume):
            volumes.append(disk)
    given = {
        each.get("name"): (each.get("resources") or {}).get("requests") or each.get("allocatedResources")
        for each in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
    }
    refused = any(
        each.get("type") == "PodResizePending" and each.get("reason") == "Infeasible"
        for each in status.get("conditions") or ()
    )

    def part(container: Object) -> Object:
        asked = (container.get("resources") or {}).get("requests") or {}
        return {
            "resources": {"requests": _held(asked, given.get(container.get("name")) or {}, refused)},
            "ports": [_port(port) for port in container.get("ports") or () if port.get("hostPort")],
            "image": container.get("image") or "",
            "restartPolicy": container.get("restartPolicy"),
        }

    kept = {
        name: spec[name]
        for name in (
            "resources overhead priority preemptionPolicy schedulerName nodeSelector affinity tolerations"
            " topologySpreadConstraints"
        ).split()
        if spec.get(name) is not None
    }
    if "resources" in kept:  # of the pod as a whole
        asked = kept["resources"].get("requests") or {}
        kept["resources"] = {
            **kept["resources"],
            "requests": _held(asked, status.get("allocatedResources") or {}, refused),
        }
    return {
        **kept,
        "namespace": metadata.get("namespace", ""),
        "labels": metadata.get("labels") or {},
        "owner": [owner.get("kind", ""), owner.get("name", ""), owner.get("uid", "")],
        "volumes": volumes,
        "containers": [part(container) for container in spec.get("containers") or ()],
        "initContainers": [part(container) for container in spec.get("initContainers") or ()],
    }


def _held(asked: Mapping[str, Any], given: Mapping[str, Any], refused: bool) -> Mapping[str, Any]:
    """While a resize is under way, a container holds the larger of what it has and what it shall have; where that can
    never be, what it has."""
    if refused and given:
        return {name: given.get(name, amount) for name, amount in asked.items()}
    if not given or all(given.get(name) == amount for name, amount in asked.items()):
        return asked
    return {name: max(amount, given.get(name, amount), key=parse) for name, amount in asked.items()}


def _port(port: Object) -> Port:
    return port.get("protocol") or "TCP", port.get("hostIP") or "0.0.0.0", port["hostPort"]


def _disk_of(volume: Object) -> str:
    """A disk that two pods cannot use on one node, as text; "" for other volumes."""
    for kind, field in (("gcePersistentDisk", "pdName"), ("awsElasticBlockStore", "volumeID")):
        if kind in volume:
            return f"{kind}:{volume[kind].get(field)}"
    if "rbd" in volume:
        rbd = volume["rbd"]
        return f"rbd:{','.join(sorted(rbd.get('monitors') or ()))}/{rbd.get('pool', 'rbd')}/{rbd.get('image')}"
    if "iscsi" in volume:
        return f"iscsi:{volume['iscsi'].get('iqn')}"
    return ""


def _compiled(relevant: Object) -> Shape:
    namespace, labels = relevant["namespace"], relevant["labels"]
    affinity = relevant.get("affinity") or {}
    of_nodes = affinity.get("nodeAffinity") or {}
    near, apart = affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}
    required = of_nodes.get(REQUIRED)
    containers = [*relevant["containers"], *relevant["initContainers"]]
    volumes = relevant["volumes"]

    def terms(part: Object, sign: int) -> list[PodTerm]:
        return [
            pod_term(wish.get("podAffinityTerm") or {}, namespace, labels, sign * int(wish.get("weight") or 0))
            for wish in part.get(PREFERRED) or ()
        ]

    return Shape(
        namespace=namespace,
        labels=labels,
        requests=requests_of(relevant),
        scoring=scoring_of(relevant),
        priority=int(relevant.get("priority") or 0),
        never_preempts=relevant.get("preemptionPolicy") == "Never",
        node_name="",
        node_selector=tuple(
            Requirement(key, selectors.EQUALS, (value,))
            for key, value in sorted((relevant.get("nodeSelector") or {}).items())
        ),
        node_terms=None
        if required is None
        else tuple(node_term(each) for each in required.get("nodeSelectorTerms") or ()),
        node_wishes=tuple(
            node_term(wish.get("preference") or {}, int(wish.get("weight") or 0))
            for wish in of_nodes.get(PREFERRED) or ()
        ),
        near=tuple(pod_term(term, namespace, labels) for term in near.get(REQUIRED) or ()),
        apart=tuple(pod_term(term, namespace, labels) for term in apart.get(REQUIRED) or ()),
        wishes=(*terms(near, 1), *terms(apart, -1)),
        spreads=tuple(spread_of(each, labels) for each in relevant.get("topologySpreadConstraints") or ()),
        tolerations=tolerations_of(relevant.get("tolerations")),
        ports=tuple(dict.fromkeys(tuple(port) for container in containers for port in container["ports"])),
        images=tuple(container["image"] for container in containers if container["image"]),
        containers=len(containers),
        claims=tuple(tuple(volume) for volume in volumes if not isinstance(volume, str)),
        disks=tuple(volume for volume in volumes if isinstance(volume, str)),
        profile=relevant.get("schedulerName") or "default-scheduler",
        owner=tuple(relevant["owner"]),
    )


def tolerations_of(listed: Sequence[Object] | None) -> tuple[Toleration, ...]:
    return tuple(toleration_of(each) for each in listed or ())


def amount_of(name: str, quantity: Quantity) -> int:
    return max(0, min(quantity.milli if name == "cpu" else quantity.value, LARGEST))


def amounts_of(texts: Mapping[str, Any] | None) -> Amounts:
    return {name: amount_of(name, parse(text)) for name, text in (texts or {}).items()}


def requests_of(spec: Object) -> Amounts:
    """What the pod takes from a node, its overhead with it."""
    found = {name: amount_of(name, quantity) for name, quantity in pod_amounts(spec, "requests").items()}
    return {name: amount for name, amount in found.items() if amount}


def scoring_of(spec: Object) -> Amounts:
    """Its cpu and memory for comparing nodes: who asks for nothing needs something all the same."""

    def filled(container: Object) -> Object:
        asked = (container.get("resources") or {}).get("requests") or {}
        return {**container, "resources": {"requests": {**ASSUMED, **asked}}}

    of_pod = (spec.get("resources") or {}).get("requests") or {}
    whole = {
        **spec,
        "containers": [filled(container) for container in spec.get("containers") or ()],
        "initContainers": [filled(container) for container in spec.get("initContainers") or ()],
    }
    found = pod_amounts(whole, "requests")
    return {name: amount_of(name, found.get(name) or parse(of_pod.get(name, "0"))) for name in ASSUMED}


def node_term(term: Object, weight: int = 0) -> NodeTerm:
    return NodeTerm(
        labels=tuple(_requirement(each) for each in term.get("matchExpressions") or ()),
        names=tuple(_requirement(each) for each in term.get("matchFields") or ()),
        weight=weight,
    )


def pod_term(term: Object, namespace: str, labels: Mapping[str, str], weight: int = 0) -> PodTerm:
    """Of a pod with these labels in this namespace."""
    namespaces, selector = term.get("namespaces") or (), term.get("namespaceSelector")
    own = not namespaces and selector is None
    return PodTerm(
        key=term.get("topologyKey") or "",
        selector=selector_of(
            term.get("labelSelector"), labels, term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
        ),
        namespaces=frozenset([namespace] if own else namespaces),
        namespace_selector=None if selector is None else selector_of(selector),
        weight=weight,
    )


def spread_of(constraint: Object, labels: Mapping[str, str]) -> Spread:
    return Spread(
        key=constraint.get("topologyKey") or "",
        max_skew=int(constraint.get("maxSkew") or 1),
        hard=constraint.get("whenUnsatisfiable") != "ScheduleAnyway",
        selector=selector_of(constraint.get("labelSelector"), labels, constraint.get("matchLabelKeys") or ()),
        min_domains=int(constraint.get("minDomains") or 1),
        honor_affinity=constraint.get("nodeAffinityPolicy") != "Ignore",
        honor_taints=constraint.get("nodeTaintsPolicy") == "Honor",
    )


def selector_of(
    selector: Object | None,
    labels: Mapping[str, str] | None = None,
    same: Sequence[str] = (),
    different: Sequence[str] = (),
) -> LabelSelector:
    """A LabelSelector, with the pod's own values of some keys."""
    if selector is None:
        return selectors.NOTHING
    found = [Requirement(key, selectors.EQUALS, (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    found += [_requirement(each) for each in selector.get("matchExpressions") or ()]
    for keys, operator in ((same, selectors.IN), (different, selectors.NOT_IN)):
        found += [Requirement(key, operator, (labels[key],)) for key in keys if labels and key in labels]
    return LabelSelector(tuple(dict.fromkeys(sorted(found, key=lambda one: (one.key, one.operator, one.values)))))


def _requirement(expression: Object) -> Requirement:
    return Requirement(
        expression.get("key", ""), OPERATORS[expression.get("operator", "")], tuple(expression.get("values") or ())
    )
