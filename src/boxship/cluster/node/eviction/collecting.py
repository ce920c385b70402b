"""Which images go when the disk is nearly full. Pure.

Source: documentation "Garbage Collection" (unused containers and images). Other than the original, an image that was
built or loaded here never goes, as nobody could bring it back (a copy that another node gave does, while that node has
the image), and a large disk is not emptied while much is free.
"""

from collections.abc import Collection, Sequence

import msgspec

from boxship.cluster.node.runtime import ImageStatus, MachineUsage

GIB = 1 << 30
LEAST_AGE_SECONDS = 120.0  # since an image was last used


class Limits(msgspec.Struct, frozen=True):
    """From `high` percent on images go until `low` is reached; not while more than `free` bytes are."""

    high: float = 85.0
    low: float = 80.0
    free: int = 10 * GIB


def images_to_go(
    images: Sequence[ImageStatus],
    used: Collection[str],
    machine: MachineUsage,
    limits: Limits,
    now: float,
    *,
    urgent: bool,
) -> Sequence[ImageStatus]:
    """The longest unused first. `used`: ids that containers have. `urgent`: the node is short of disk already."""
    if machine.disk_capacity <= 0:
        return ()
    share = 100 * (1 - machine.disk_available / machine.disk_capacity)
    if not urgent and (share < limits.high or machine.disk_available > limits.free):
        return ()
    wanted = machine.disk_capacity * (1 - limits.low / 100) - machine.disk_available
    found = []
    for image in sorted(images, key=lambda one: one.used_at):
        if _is_kept(image) or image.id in used or now - image.used_at / 1e9 < LEAST_AGE_SECONDS:
            continue
        if wanted <= 0:
            break
        found.append(image)
        wanted -= image.size
    return found


def _is_kept(image: ImageStatus) -> bool:
    """There is a name under which it cannot be had again."""
    local = {name for name in image.names if image.is_local(name)}
    return not local <= set(image.nodes) if local else image.local
