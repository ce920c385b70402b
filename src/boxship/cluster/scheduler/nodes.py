"""What of a node decides which pods it takes."""

from collections.abc import Sequence

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.tolerations import Taint, Toleration, covers, taint_of
from boxship.cluster.scheduler.shapes import Amounts, NodeTerm, amounts_of

HOSTNAME = "kubernetes.io/hostname"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
NO_SCHEDULE, NO_EXECUTE, PREFER_NO_SCHEDULE = "NoSchedule", "NoExecute", "PreferNoSchedule"


class Node(msgspec.Struct, frozen=True, gc=False):
    """`images`: bytes by every name an image has there."""

    name: str
    labels: dict[str, str] = {}
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    allocatable: Amounts = {}
    images: dict[str, int] = {}


def node_of(object: Object) -> Node:
    """A node as the API gives it."""
    metadata, spec, status = object["metadata"], object.get("spec") or {}, object.get("status") or {}
    return Node(
        name=metadata["name"],
        labels=metadata.get("labels") or {},
        taints=tuple(taint_of(each) for each in spec.get("taints") or ()),
        unschedulable=bool(spec.get("unschedulable")),
        allocatable=amounts_of(status.get("allocatable")),
        images={
            full_name(name): int(image.get("sizeBytes") or 0)
            for image in status.get("images") or ()
            for name in image.get("names") or ()
        },
    )


def full_name(image: str) -> str:
    """With the tag that is meant where none is written."""
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"


def untolerated(node: Node, tolerations: Sequence[Toleration], effects: Sequence[str]) -> Taint | None:
    """The node's first taint with one of these effects that is not tolerated."""
    for taint in node.taints:
        if taint.effect in effects and not any(covers(each, taint) for each in tolerations):
            return taint
    return None


def term_matches(term: NodeTerm, node: Node) -> bool:
    if not term.labels and not term.names:
        return False
    name = {"metadata.name": node.name}
    return all(need.matches(node.labels) for need in term.labels) and all(need.matches(name) for need in term.names)
