"""Claims, volumes and storage classes as the scheduler needs them, and which pods use what. Part of the snapshot.

Source: kubernetes.io, "Persistent Volumes", "Storage Classes" (volume binding mode, allowed topologies).
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.quantity import parse
from boxship.cluster.objects.selectors import IN, LabelSelector, Requirement
from boxship.cluster.scheduler.nodes import Node, term_matches
from boxship.cluster.scheduler.shapes import Key, NodeTerm, Pod, amount_of, node_term, selector_of

SELECTED_NODE = "volume.kubernetes.io/selected-node"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
ZONE_LABELS = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)
ONCE_POD = "ReadWriteOncePod"


class Claim(msgspec.Struct, frozen=True, gc=False):
    key: Key
    uid: str = ""
    volume: str = ""
    bound: bool = False
    lost: bool = False
    deleting: bool = False
    storage_class: str = ""
    modes: frozenset[str] = frozenset()
    volume_mode: str = "Filesystem"
    amount: int = 0  # bytes
    selector: LabelSelector | None = None
    selected_node: str = ""
    owner: str = ""  # uid of the pod that it was made for


class Volume(msgspec.Struct, frozen=True, gc=False):
    name: str
    labels: dict[str, str] = {}
    terms: tuple[NodeTerm, ...] | None = None  # where it can be reached; None: everywhere
    storage_class: str = ""
    modes: frozenset[str] = frozenset()
    volume_mode: str = "Filesystem"
    amount: int = 0
    claim: tuple[str, str, str] = ("", "", "")  # namespace, name, uid
    usable: bool = True
    driver: str = ""  # of CSI
    handle: str = ""

    def reaches(self, node: Node) -> bool:
        return self.terms is None or any(term_matches(term, node) for term in self.terms)

    @property
    def zones(self) -> tuple[Requirement, ...]:
        """What its labels say of where it is; "__" stands between several values."""
        return tuple(
            Requirement(key, IN, tuple(self.labels[key].split("__"))) for key in ZONE_LABELS if self.labels.get(key)
        )


class Class(msgspec.Struct, frozen=True):
    name: str
    provisioner: str = ""
    waits: bool = False  # for the first consumer
    topologies: tuple[tuple[Requirement, ...], ...] = ()

    @property
    def provisions(self) -> bool:
        return bool(self.provisioner) and self.provisioner != NO_PROVISIONER

    def allows(self, node: Node) -> bool:
        """Whether a volume may be made for this node."""
        return not self.topologies or any(all(need.matches(node.labels) for need in term) for term in self.topologies)


class Storage:
    def __init__(self) -> None:
        self.claims: dict[Key, Claim] = {}
        self.volumes: dict[str, Volume] = {}
        self.classes: dict[str, Class] = {}
        self.users: dict[Key, dict[str, int]] = {}  # claim → uid of a pod → place
        self.disks: dict[str, dict[str, int]] = {}  # disk → uid of a pod → place
        self.limits: dict[str, Mapping[str, int]] = {}  # node → driver → volumes at once
        self.limited: frozenset[str] = frozenset()  # drivers with limits
        self.version = 0

    def put_claim(self, key: Key, claim: Claim | None) -> None:
        self.version += 1
        if claim is None:
            self.claims.pop(key, None)
        else:
            self.claims[key] = claim

    def put_volume(self, name: str, volume: Volume | None) -> None:
        self.version += 1
        if volume is None:
            self.volumes.pop(name, None)
        else:
            self.volumes[name] = volume

    def put_class(self, name: str, found: Class | None) -> None:
        self.version += 1
        if found is None:
            self.classes.pop(name, None)
        else:
            self.classes[name] = found

    def put_limits(self, node: str, limits: Mapping[str, int] | None) -> None:
        self.version += 1
        if limits:
            self.limits[node] = limits
        else:
            self.limits.pop(node, None)
        self.limited = frozenset(driver for each in self.limits.values() for driver in each)

    def volume_used(self, key: Key) -> tuple[str, str] | None:
        """The driver of a claim's volume, and what the volume is known by; None: it has no driver of CSI."""
        claim = self.claims.get(key)
        if claim is None:
            return None
        if claim.volume:
            volume = self.volumes.get(claim.volume)
            return (volume.driver, volume.handle) if volume is not None and volume.driver else None
        found = self.classes.get(claim.storage_class)
        if found is None or not found.provisions:
            return None
        return found.provisioner, "/".join(key)

    def seat(self, place: int, pod: Pod, change: int) -> None:
        """A pod comes to a place (1) or leaves it (-1)."""
        namespace = pod.key[0]
        for name, _ in pod.shape.claims:
            _use(self.users, (namespace, name), pod.uid, place, change)
        for disk in pod.shape.disks:
            _use(self.disks, disk, pod.uid, place, change)

    def candidates(self, claim: Claim) -> list[Volume]:
        """Volumes that are there and fit the claim, the smallest first; one that was kept for it before all others."""
        mine = [volume for volume in self.volumes.values() if _is_for(volume, claim)]
        if mine:
            return mine
        fitting = [volume for volume in self.volumes.values() if not volume.claim[1] and fits(volume, claim)]
        return sorted(fitting, key=lambda volume: (volume.amount, volume.name))

    def wanted_volumes(self, claims: Iterable[Claim], node: Node) -> dict[Key, str] | None:
        """For claims that wait for their first consumer: which volume each would take for a pod on this node, "" for
        one that has to be made. None: this node cannot be served."""
        taken: set[str] = set()
        found: dict[Key, str] = {}
        for claim in sorted(claims, key=lambda claim: (claim.amount, claim.key)):
            if claim.selected_node and claim.selected_node != node.name:
                return None
            candidates = (each for each in self.candidates(claim) if each.name not in taken and each.reaches(node))
            volume = None if claim.selected_node else next(candidates, None)
            if volume is not None:
                taken.add(volume.name)
                found[claim.key] = volume.name
                continue
            storage_class = self.classes.get(claim.storage_class)
            if storage_class is None or not storage_class.provisions or not storage_class.allows(node):
                return None
            found[claim.key] = ""
        return found


def _use(users: dict[Any, dict[str, int]], key: Hashable, uid: str, place: int, change: int) -> None:
    if change > 0:
        users.setdefault(key, {})[uid] = place
        return
    left = users.get(key, {})
    left.pop(uid, None)
    if not left:
        users.pop(key, None)


def _is_for(volume: Volume, claim: Claim) -> bool:
    namespace, name, uid = volume.claim
    return (namespace, name) == claim.key and uid in ("", claim.uid) and volume.usable


def fits(volume: Volume, claim: Claim) -> bool:
    return (
        volume.usable
        and volume.storage_class == claim.storage_class
        and volume.amount >= claim.amount
        and volume.volume_mode == claim.volume_mode
        and claim.modes <= volume.modes
        and (claim.selector is None or claim.selector.matches(volume.labels))
    )


def claim_of(object: Object) -> Claim:
    metadata, spec, status = object["metadata"], object.get("spec") or {}, object.get("status") or {}
    annotations = metadata.get("annotations") or {}
    owner: Object = next((each for each in metadata.get("ownerReferences") or () if each.get("controller")), {})
    requests = (spec.get("resources") or {}).get("requests") or {}
    volume, phase = spec.get("volumeName") or "", status.get("phase")
    return Claim(
        key=(metadata["namespace"], metadata["name"]),
        uid=metadata.get("uid", ""),
        volume=volume,
        bound=bool(volume) and (phase == "Bound" or BIND_COMPLETED in annotations),
        lost=phase == "Lost",
        deleting=bool(metadata.get("deletionTimestamp")),
        storage_class=spec.get("storageClassName") or "",
        modes=frozenset(spec.get("accessModes") or ()),
        volume_mode=spec.get("volumeMode") or "Filesystem",
        amount=_bytes(requests),
        selector=selector_of(spec["selector"]) if spec.get("selector") is not None else None,
        selected_node=annotations.get(SELECTED_NODE, ""),
        owner=owner.get("uid", "") if owner.get("kind") == "Pod" else "",
    )


def volume_of(object: Object) -> Volume:
    metadata, spec, status = object["metadata"], object.get("spec") or {}, object.get("status") or {}
    required = (spec.get("nodeAffinity") or {}).get("required")
    reference = spec.get("claimRef") or {}
    return Volume(
        name=metadata["name"],
        labels=metadata.get("labels") or {},
        terms=None if required is None else tuple(node_term(each) for each in required.get("nodeSelectorTerms") or ()),
        storage_class=spec.get("storageClassName") or "",
        modes=frozenset(spec.get("accessModes") or ()),
        volume_mode=spec.get("volumeMode") or "Filesystem",
        amount=_bytes(spec.get("capacity") or {}),
        claim=(reference.get("namespace", ""), reference.get("name", ""), reference.get("uid", "")),
        usable=status.get("phase", "Available") in ("Available", "Pending", "Bound")
        and not metadata.get("deletionTimestamp"),
        driver=(spec.get("csi") or {}).get("driver") or "",
        handle=(spec.get("csi") or {}).get("volumeHandle") or "",
    )


def limits_of(object: Object) -> dict[str, int]:
    """Of a CSINode: how many volumes of each driver, where it says so."""
    return {
        driver["name"]: int((driver.get("allocatable") or {})["count"])
        for driver in (object.get("spec") or {}).get("drivers") or ()
        if (driver.get("allocatable") or {}).get("count") is not None
    }


def class_of(object: Object) -> Class:
    return Class(
        name=object["metadata"]["name"],
        provisioner=object.get("provisioner") or "",
        waits=object.get("volumeBindingMode") == "WaitForFirstConsumer",
        topologies=tuple(
            tuple(
                Requirement(each.get("key", ""), IN, tuple(each.get("values") or ()))
                for each in term.get("matchLabelExpressions") or ()
            )
            for term in object.get("allowedTopologies") or ()
        ),
    )


def _bytes(amounts: Mapping[str, str]) -> int:
    return amount_of("storage", parse(amounts.get("storage", "0")))
