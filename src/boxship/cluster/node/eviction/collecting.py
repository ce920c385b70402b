"""Which images go when the disk is nearly full, and which ended containers. Pure.

Source: documentation "Garbage Collection" (unused containers and images). Other than the original, an image that was
built or loaded here never goes, as nobody could bring it back (a copy that another node gave does, while that node has
the image), and a large disk is not emptied while much is free.
"""

from collections.abc import Collection, Sequence

import msgspec

from boxship.cluster.node.runtime import EXITED, ContainerStatus, ImageStatus, MachineUsage

GIB = 1 << 30


class Limits(msgspec.Struct, frozen=True):
    """From `high` percent on images go until `low` is reached; not while more than `free` bytes are. `age`: seconds
    for which an image must have been unused."""

    high: float = 85.0
    low: float = 80.0
    free: int = 10 * GIB
    age: float = 120.0


def images_to_go(
    images: Sequence[ImageStatus],
    used: Collection[str],
    machine: MachineUsage,
    limits: Limits,
    now: float,
    *,
    urgent: bool,
) -> Sequence[ImageStatus]:
    """The longest unused first. `used`: ids that containers have. `urgent`: the node is short of disk already; then all
    go that are unused."""
    if machine.disk_capacity <= 0:
        return ()
    share = 100 * (1 - machine.disk_available / machine.disk_capacity)
    if not urgent and (share < limits.high or machine.disk_available > limits.free):
        return ()
    wanted = machine.disk_capacity * (1 - limits.low / 100) - machine.disk_available
    found = []
    for image in sorted(images, key=lambda one: one.used_at):
        if _is_kept(image) or image.id in used or now - image.used_at / 1e9 < limits.age:
            continue
        if wanted <= 0 and not urgent:
            break
        found.append(image)
        wanted -= image.size
    return found


def ended_to_go(
    runs: Sequence[ContainerStatus], over: Collection[str], known: Collection[str]
) -> Sequence[ContainerStatus]:
    """Of pods that are `over` all; of the other `known` ones those that ran before the newest of their container."""
    newest: dict[tuple[str, str], int] = {}
    for run in runs:
        key = (run.uid, run.name)
        newest[key] = max(newest.get(key, 0), run.attempt)
    return [
        run
        for run in runs
        if run.phase == EXITED and run.uid in known and (run.uid in over or run.attempt < newest[run.uid, run.name])
    ]


def _is_kept(image: ImageStatus) -> bool:
    """There is a name under which it cannot be had again."""
    local = {name for name in image.names if image.is_local(name)}
    return not local <= set(image.nodes) if local else image.local
