"""A pod goes where its volumes are, or where they can be made.

Source: kubernetes.io, "Persistent Volumes", "Storage Classes" (volumeBindingMode, allowedTopologies), "Dynamic Volume
Provisioning" (topology).
"""

import msgspec

from boxship.cluster.scheduler.stages import Rejected, Task, Verdict
from boxship.cluster.scheduler.storage import ONCE_POD, Claim, Volume
from boxship.cluster.scheduler.vectors import Vector

ELSEWHERE = "node(s) had volume node affinity conflict"
NOTHING_FITS = "node(s) didn't find available persistent volumes to bind"
VANISHED = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


class VolumeBinding(msgspec.Struct, frozen=True):
    name = "VolumeBinding"
    local = False

    def check(self, task: Task, rows: slice) -> Vector | None:
        if not task.shape.claims:
            return None
        found = None
        for part in (self._reached(task), self._served(task)):
            if part is not None:
                found = part if found is None else found & part
        return None if found is None else found[rows]

    def why(self, task: Task, place: int) -> Verdict:
        reasons = []
        volumes = bound_volumes(task)
        if any(volume is None for volume in volumes):
            reasons.append(VANISHED)
        elif any(volume is not None and not volume.reaches(task.world.node_at(place)) for volume in volumes):
            reasons.append(ELSEWHERE)
        served = self._served(task)
        if served is not None and not served[place]:
            reasons.append(NOTHING_FITS)
        return Verdict(self.name, tuple(reasons), final=True)

    def _reached(self, task: Task) -> Vector | None:
        """Where all bound volumes can be reached."""
        found = None
        for volume in bound_volumes(task):
            if volume is None:
                return task.kernel.full(task.world.size, False)
            if volume.terms is not None:
                key = (self.name, volume.terms)
                mask = task.world.column(key, volume.reaches, False)
                found = mask if found is None else found & mask
        return found

    def _served(self, task: Task) -> Vector | None:
        """Where volumes are found or can be made for the claims that wait for a node."""
        claims = waiting_claims(task)
        if not claims:
            return None
        world = task.world
        key = (self.name, "served", world.storage.version, tuple(claims))
        return world.column(key, lambda node: world.storage.wanted_volumes(claims, node) is not None, False)


class VolumeZone(msgspec.Struct, frozen=True):
    """Volumes whose labels say which zone they are in. Nodes that say nothing of zones pass."""

    name = "VolumeZone"
    local = False

    def check(self, task: Task, rows: slice) -> Vector | None:
        if not task.shape.claims:
            return None
        zones = tuple(need for volume in bound_volumes(task) if volume is not None for need in volume.zones)
        if not zones:
            return None

        def inside(labels: dict[str, str]) -> bool:
            return not any(need.key in labels for need in zones) or all(need.matches(labels) for need in zones)

        return task.world.column((self.name, zones), lambda node: inside(node.labels), False)[rows]

    def why(self, task: Task, place: int) -> Verdict:
        return Verdict(self.name, ("node(s) had no available volume zone",), final=True)


class VolumeRestrictions(msgspec.Struct, frozen=True):
    """Claims for one pod only, and disks that one node's pods cannot share."""

    name = "VolumeRestrictions"
    local = False

    def check(self, task: Task, rows: slice) -> Vector | None:
        world, shape = task.world, task.shape
        if not shape.claims and not shape.disks:
            return None
        held = {place for claim in _single_claims(task) for place in world.storage.users.get(claim.key, {}).values()}
        if held:  # whoever has it, has it alone, on whichever node
            return task.kernel.full(world.size, False)[rows]
        busy = {place for disk in shape.disks for place in world.storage.disks.get(disk, {}).values()}
        if not busy:
            return None
        free = task.kernel.full(world.size, True)
        for place in busy:
            free[place] = False
        return free[rows]

    def why(self, task: Task, place: int) -> Verdict:
        if any(task.world.storage.users.get(claim.key) for claim in _single_claims(task)):
            text = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
            return Verdict(self.name, (text,))
        return Verdict(self.name, ("node(s) had no available disk",))


def claims_of(task: Task) -> tuple[Claim, ...]:
    """Raises Rejected where one of them is not there, or not in order."""
    return task.once("claims", lambda: tuple(_claim(task, name, made_for) for name, made_for in task.shape.claims))


def bound_volumes(task: Task) -> list[Volume | None]:
    """None: the claim is bound to what is not there."""
    volumes = task.world.storage.volumes
    return [volumes.get(claim.volume) for claim in claims_of(task) if claim.bound]


def waiting_claims(task: Task) -> list[Claim]:
    """Those that are bound when the pod has a node. Raises Rejected where one should be bound already."""
    found = []
    for claim in claims_of(task):
        if claim.bound:
            continue
        storage_class = task.world.storage.classes.get(claim.storage_class)
        if claim.volume or storage_class is None or not storage_class.waits:
            raise Rejected(VolumeBinding.name, "pod has unbound immediate PersistentVolumeClaims")
        found.append(claim)
    return found


def _claim(task: Task, name: str, made_for: str) -> Claim:
    claim = task.world.storage.claims.get((task.shape.namespace, name))
    shown = f'persistentvolumeclaim "{name}"'
    if claim is None:
        if made_for:
            why = f"waiting for ephemeral volume controller to create the {shown}"
            raise Rejected(VolumeBinding.name, why)
        raise Rejected(VolumeBinding.name, f"{shown} not found")
    if made_for and claim.owner and claim.owner != task.pod.uid:
        why = f"PVC {claim.key[0]}/{name} was not created for pod {'/'.join(task.key)} (pod is not owner)"
        raise Rejected(VolumeBinding.name, why)
    if claim.lost:
        why = f'{shown} bound to non-existent persistentvolume "{claim.volume}"'
        raise Rejected(VolumeBinding.name, why)
    if claim.deleting:
        raise Rejected(VolumeBinding.name, f"{shown} is being deleted")
    return claim


def _single_claims(task: Task) -> list[Claim]:
    return [claim for claim in claims_of(task) if ONCE_POD in claim.modes]
