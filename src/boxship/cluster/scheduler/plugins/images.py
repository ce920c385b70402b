"""Rather nodes that have the pod's images, the more so the larger these are and the more nodes have them.

Source: kubernetes.io, "Scheduler Configuration" (ImageLocality).
"""

from functools import partial

import msgspec

from boxship.cluster.scheduler.nodes import Node, full_name
from boxship.cluster.scheduler.stages import HIGHEST, Task
from boxship.cluster.scheduler.vectors import Vector

MIB = 1 << 20
LEAST_BYTES, MOST_BYTES = 23 * MIB, 1000 * MIB  # for a container


class ImageLocality(msgspec.Struct, frozen=True):
    name = "ImageLocality"

    def rate(self, task: Task, feasible: Vector) -> Vector | None:
        world, images = task.world, tuple(full_name(image) for image in task.shape.images)
        total = None
        nodes = len(world.places)
        for image in images:
            sizes = world.column((self.name, image), partial(_size, image))
            have = world.kernel.count(sizes > 0)
            if have:
                part = task.kernel.truncated(sizes * (have / nodes))
                total = part if total is None else total + part
        if total is None:
            return None
        most = MOST_BYTES * task.shape.containers
        held = task.kernel.greatest(task.kernel.least(total, most), LEAST_BYTES)
        return (held - LEAST_BYTES) * HIGHEST // (most - LEAST_BYTES)


def _size(image: str, node: Node) -> int:
    return node.images.get(image, 0)
