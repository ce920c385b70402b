"""How many volumes of a driver a node can have at once, as its CSINode says. A volume that is there counts once, for
whomever it is there.

Source: kubernetes.io, "Node-specific Volume Limits"; API reference CSINode.
"""

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from boxship.cluster.scheduler.plugins.volumes import claims_of
from boxship.cluster.scheduler.stages import Task, Verdict
from boxship.cluster.scheduler.vectors import Vector

Volumes = Mapping[str, frozenset[str]]  # driver → volumes


class NodeVolumeLimits(msgspec.Struct, frozen=True):
    name = "NodeVolumeLimits"
    local = False

    def check(self, task: Task, rows: slice) -> Vector | None:
        if not task.shape.claims or not task.world.storage.limits:
            return None
        full: frozenset[int] = task.once(self.name, lambda: frozenset(self._full(task)))
        if not full:
            return None
        found = task.kernel.full(task.world.size, True)
        for place in full:
            found[place] = False
        return found[rows]

    def why(self, task: Task, place: int) -> Verdict:
        return Verdict(self.name, ("node(s) exceed max volume count",))

    def _full(self, task: Task) -> set[int]:
        """Places that have no room for the pod's volumes."""
        world, storage = task.world, task.world.storage
        wanted = {driver: volumes for driver, volumes in _by_driver(task).items() if driver in storage.limited}
        if not wanted:
            return set()
        there = _in_use(task, frozenset(wanted))
        full = set()
        for node, limits in storage.limits.items():
            place = world.places.get(node)
            if place is None:
                continue
            for driver, volumes in wanted.items():
                used = there[place, driver]
                if driver in limits and volumes - used and len(used | volumes) > limits[driver]:
                    full.add(place)
        return full


def _by_driver(task: Task) -> dict[str, frozenset[str]]:
    """The volumes that the pod brings; one that is to be made is known by its claim."""
    found: dict[str, set[str]] = defaultdict(set)
    for claim in claims_of(task):
        known = task.world.storage.volume_used(claim.key)
        if known is not None:
            found[known[0]].add(known[1])
    return {driver: frozenset(volumes) for driver, volumes in found.items()}


def _in_use(task: Task, drivers: frozenset[str]) -> dict[tuple[int, str], set[str]]:
    """The volumes of these drivers at each place."""
    storage = task.world.storage
    found: dict[tuple[int, str], set[str]] = defaultdict(set)
    for key, users in storage.users.items():
        known = storage.volume_used(key)
        if known is None or known[0] not in drivers:
            continue
        for place in users.values():
            found[place, known[0]].add(known[1])
    return found
