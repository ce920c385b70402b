"""What pods, their containers and the machine use, all at once: files of the kernel, read in one thread.

How much a container wrote is counted by walking its files, so that is remembered for a while; and nobody waits long for
the walk, as a container may make as many files as it likes.
"""

import asyncio
import logging
import os

import msgspec

from boxship.engine.clock import Clock
from boxship.engine.lives import Lives
from boxship.engine.model import ALIVE
from boxship.engine.places import Places
from boxship.engine.placing import POD
from boxship.engine.pods_records import PodRecords
from boxship.engine.records import Records
from boxship.errors import BoxshipError
from boxship.logs.generations import generations
from boxship.network.networks import Networks
from boxship.runtime.driver import Driver
from boxship.runtime.machine import GroupSample, MachineSample, group, machine
from boxship.snapshots.overlay import Snapshots
from boxship.spec.container import SECOND

logger = logging.getLogger(__name__)

DISK_AGE = 30 * SECOND  # how old a count of written bytes may be
WAIT_SECONDS = 5.0  # for a count; then what was counted before counts


class ContainerUse(msgspec.Struct, frozen=True):
    """`written` are the bytes of the writable layer, `logs` those of the log's files; `inodes` of both."""

    id: str
    group: GroupSample
    written: int
    logs: int
    inodes: int = 0


class PodUse(msgspec.Struct, frozen=True):
    uid: str
    group: GroupSample
    received: int
    sent: int
    containers: tuple[ContainerUse, ...]


class PodUsage:
    """machine and pods."""

    def __init__(
        self,
        pods: PodRecords,
        records: Records,
        lives: Lives,
        driver: Driver,
        networks: Networks,
        snapshots: Snapshots,
        places: Places,
        clock: Clock,
    ) -> None:
        self._pods = pods
        self._records = records
        self._lives = lives
        self._driver = driver
        self._networks = networks
        self._snapshots = snapshots
        self._places = places
        self._clock = clock
        self._written: dict[str, tuple[int, int]] = {}
        self._counted_at = 0
        self._counting: asyncio.Task[None] | None = None

    async def machine(self) -> MachineSample:
        return await asyncio.to_thread(machine, self._places.data)

    async def pods(self, *, fresh: bool = False) -> tuple[PodUse, ...]:
        """One for each pod that is ready. `fresh`: what was written is counted now."""
        ready = {POD + pod.spec.uid: pod for pod in self._pods if pod.ready}
        members: dict[str, list[tuple[str, str, str]]] = {mode: [] for mode in ready}
        for box in self._records:
            mode, handle = box.spec.network_mode, self._lives.of(box.id).handle
            if mode in members and box.state.phase in ALIVE and handle is not None:
                members[mode].append((box.id, handle.cgroup, box.log_path))
        await self._count([identifier for boxes in members.values() for identifier, _, _ in boxes], fresh)
        traffic = await self._networks.traffic([pod.id for pod in ready.values()])
        return await asyncio.to_thread(
            lambda: tuple(
                PodUse(
                    pod.spec.uid,
                    group(self._driver.layout, pod.spec.cgroup) if pod.spec.cgroup else GroupSample(),
                    *traffic.get(pod.id, (0, 0)),
                    tuple(self._container(*box) for box in members[mode]),
                )
                for mode, pod in ready.items()
            )
        )

    def _container(self, identifier: str, path: str, log_path: str) -> ContainerUse:
        written, inodes = self._written.get(identifier, (0, 0))
        logs, files = log_use(log_path)
        return ContainerUse(identifier, group(self._driver.layout, path), written, logs, inodes + files)

    async def _count(self, identifiers: list[str], fresh: bool) -> None:
        """Walk the writable layers, where the last walk is too long ago or was without one of them."""
        age = self._clock.monotonic() - self._counted_at
        if not fresh and age < DISK_AGE and all(identifier in self._written for identifier in identifiers):
            return
        if self._counting is None or self._counting.done():
            self._counting = asyncio.ensure_future(self._walk(identifiers))
        await asyncio.wait({self._counting}, timeout=WAIT_SECONDS)

    async def _walk(self, identifiers: list[str]) -> None:
        """What cannot be counted stays as it was: the rest of what is asked for must not fail with it."""
        began = self._clock.monotonic()
        try:
            self._written = await self._snapshots.measures(identifiers)
        except BoxshipError as error:
            logger.warning("cannot count what containers have written: %s", error)
        self._counted_at = began


def log_use(path: str) -> tuple[int, int]:
    """Bytes and number of all files of a log."""
    total = files = 0
    for each in generations(path) if path else ():
        try:
            total += os.stat(each.path).st_size
        except FileNotFoundError:
            continue
        files += 1
    return total, files
