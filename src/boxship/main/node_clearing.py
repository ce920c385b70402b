"""Takes away what a cluster put on this machine: pods with their containers, volumes and logs, and their network. Every
step may be done again; what is gone already is fine."""

import asyncio
import contextlib
import logging
import os
import re
import shutil
from pathlib import Path

from boxship.engine import Engine
from boxship.errors import BoxshipError, Conflict, NotFound
from boxship.main.node_addresses import is_ours, site_of
from boxship.main.node_ingress import clear_ingress
from boxship.main.node_record import NodeRecord
from boxship.main.rooms import Rooms
from boxship.network.cluster import ClusterNetwork
from boxship.volumes.mountpoints import MountPoints

log = logging.getLogger("boxshipd.node")

NETWORK, FOLDER = "pods", "pods"


async def clear(engine: Engine, rooms: Rooms, record: NodeRecord) -> None:
    """All of it but the record and the certificates, which the caller takes away at last."""
    await clear_ingress(rooms)
    await clear_pods(engine)
    with contextlib.suppress(NotFound):
        found = engine.networks.get(NETWORK)
        if is_ours(found):
            network = ClusterNetwork(rooms.instance, found, site_of(record))
            try:
                await network.leave()
            finally:
                await network.close()
            await engine.networks.remove(NETWORK)
    await asyncio.to_thread(_remove_tree, rooms.data / FOLDER)


async def clear_pods(engine: Engine) -> None:
    """Every pod, killed where it runs."""
    room = asyncio.Semaphore(8)

    async def clear_one(uid: str) -> None:
        async with room:
            try:
                await engine.pods.remove(uid)
            except BoxshipError as error:
                log.warning("cannot remove pod %s: %s", uid, error)

    await asyncio.gather(*(clear_one(pod.spec.uid) for pod in engine.pods.list()))


def _remove_tree(folder: Path) -> None:
    """A folder in which there may be mounts. Raises Conflict where one stays: what lies behind it is not ours."""
    if not folder.exists():
        return
    points = MountPoints()
    for place in reversed(_mounts_below(folder)):
        points.unmount(place)
    if left := _mounts_below(folder):
        raise Conflict(f"cannot remove {folder}: {left[0]} is still mounted")
    shutil.rmtree(folder)


def _mounts_below(folder: Path) -> list[Path]:
    """In the order in which they were mounted."""
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    places = [Path(os.fsdecode(_plain(line.split()[4]))) for line in lines]
    return [place for place in places if place.is_relative_to(folder)]


def _plain(text: bytes) -> bytes:
    """The kernel writes blanks and the like as \\040."""
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), text)
