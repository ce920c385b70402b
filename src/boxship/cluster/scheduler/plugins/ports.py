"""Ports of the node that a pod asks for must be free there. Source: kubernetes.io, "Configuration Best Practices"."""

import msgspec

from boxship.cluster.scheduler.shapes import Port
from boxship.cluster.scheduler.stages import Task, Verdict
from boxship.cluster.scheduler.vectors import Vector
from boxship.cluster.scheduler.world import World

EVERY = ("0.0.0.0", "::")


class NodePorts(msgspec.Struct, frozen=True):
    name = "NodePorts"
    local = True

    def check(self, task: Task, rows: slice) -> Vector | None:
        if not task.shape.ports:
            return None
        free: Vector = task.once(self.name, lambda: self._free(task))
        return free[rows]

    def why(self, task: Task, place: int) -> Verdict:
        return Verdict(self.name, ("node(s) didn't have free ports for the requested pod ports",))

    def _free(self, task: Task) -> Vector:
        free = task.kernel.full(task.world.size, True)
        for place in taken(task.world, task.shape.ports):
            free[place] = False
        return free


def taken(world: World, ports: tuple[Port, ...]) -> set[int]:
    """The places where one of the ports is used."""
    return {
        place
        for protocol, address, port in ports
        for held in world.ports.get(port, {}).values()
        for (other, where), place in held.items()
        if other == protocol and (address == where or address in EVERY or where in EVERY)
    }
