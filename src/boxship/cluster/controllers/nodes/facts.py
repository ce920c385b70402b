"""What controllers keep of a node, and of the lease by which it says that it lives."""

from collections.abc import Mapping

import msgspec

from boxship.cluster.controllers.workloads.times import seconds_of
from boxship.cluster.objects import Object

RESOURCE = "v1/nodes"
LEASES = "coordination.k8s.io/v1/leases"
LEASE_NAMESPACE = "kube-node-lease"
REGION, ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"
OLD_REGION, OLD_ZONE = "failure-domain.beta.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone"
READY = "Ready"


class Node(msgspec.Struct, frozen=True, gc=False):
    """Times are seconds since the epoch."""

    name: str
    uid: str = ""
    version: str = ""
    created: float = 0.0
    zone: str = ""
    unschedulable: bool = False
    taints: tuple[Object, ...] = ()
    conditions: Mapping[str, str] = {}  # type → status
    heartbeat: str = ""  # of the condition Ready
    blocks: tuple[str, ...] = ()

    @property
    def ready(self) -> str:
        """True, False, Unknown; "": it never said."""
        return self.conditions.get(READY, "")

    @property
    def about(self) -> Object:
        """As events name it."""
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, "uid": self.uid}}


def facts_of(node: Object) -> Node:
    metadata, spec, status = node["metadata"], node.get("spec") or {}, node.get("status") or {}
    conditions = {one.get("type", ""): one for one in status.get("conditions") or ()}
    blocks = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    return Node(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        version=metadata.get("resourceVersion", ""),
        created=seconds_of(metadata.get("creationTimestamp")),
        zone=_zone(metadata.get("labels") or {}),
        unschedulable=bool(spec.get("unschedulable")),
        taints=tuple(spec.get("taints") or ()),
        conditions={name: one.get("status", "") for name, one in conditions.items()},
        heartbeat=conditions.get(READY, {}).get("lastHeartbeatTime") or "",
        blocks=tuple(blocks),
    )


def _zone(labels: Mapping[str, str]) -> str:
    region, zone = labels.get(REGION) or labels.get(OLD_REGION), labels.get(ZONE) or labels.get(OLD_ZONE)
    return f"{region or ''}:{zone or ''}" if region or zone else ""


def renewal_of(lease: Object) -> str:
    """What changes when the node lives."""
    return str((lease.get("spec") or {}).get("renewTime") or "")
