"""Looks how the machine is, and helps it: the node's conditions, images and ended containers that go, one pod after the
other that goes. Beside that, pods that use more of the disk than they may: their files are counted apart from the
looks, for however many files a pod makes, nobody else may wait for the count."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from boxship.cluster.node.eviction.collecting import Limits, ended_to_go, images_to_go
from boxship.cluster.node.eviction.pressure import (
    DISK,
    HELD_SECONDS,
    INODES,
    Shortage,
    Threshold,
    Watched,
    conditions,
    look,
)
from boxship.cluster.node.eviction.ranking import REASON, first_to_go, has_limits, over_limits
from boxship.cluster.node.life.starting import Tools
from boxship.cluster.node.life.values import Ending
from boxship.cluster.node.life.worker import PodWorker
from boxship.cluster.node.planning import VolumeUse
from boxship.cluster.node.runtime import MachineUsage, PodUsage
from boxship.cluster.objects import Object
from boxship.errors import BoxshipError
from boxship.waiting.together import together

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
COUNT_SECONDS = 30.0  # between two counts of what pods have on the disk
FRESH_SECONDS = 5.0  # that a look waits for a count, where the disk is short
FREE_SECONDS, FREE_LOOKS = 1.0, 5  # that the disk has for what was removed
CLEAN_SECONDS = 60.0  # that a pod which was sent away has to go, and its files
IMAGES_EVERY = 30  # looks


class Evictor:
    """One for a node. `changed` is set when the conditions have; they hold for `held` seconds after a shortage."""

    def __init__(
        self,
        tools: Tools,
        workers: Mapping[str, PodWorker],
        thresholds: Sequence[Threshold],
        limits: Limits,
        changed: asyncio.Event,
        node: Callable[[], Object],
        held: float = HELD_SECONDS,
    ) -> None:
        self._tools = tools
        self._workers = workers
        self._thresholds = thresholds
        self._limits = limits
        self._changed = changed
        self._node = node
        self._held = held
        self._watched = Watched()
        self._told: Mapping[str, bool] = {}
        self._going = ""  # the uid of the pod that was sent away last
        self._waits_until = 0.0
        self._volumes: dict[str, Sequence[VolumeUse]] = {}
        self._count_now, self._counted = asyncio.Event(), asyncio.Event()

    def pressures(self) -> Mapping[str, bool]:
        return conditions(self._watched, self._tools.now(), self._held)

    async def run(self) -> None:
        """Without end."""
        await together((self._keep_looking(), self._keep_counting()))

    async def _keep_looking(self) -> None:
        count = 0
        while True:
            await self._attempt("see how the node is", self._look(count))
            count += 1
            await asyncio.sleep(LOOK_SECONDS)

    async def _keep_counting(self) -> None:
        while True:
            await self._attempt("count what pods have on the disk", self._count())
            self._counted.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._count_now.wait(), COUNT_SECONDS)
            self._count_now.clear()

    async def _attempt(self, what: str, work: Awaitable[None]) -> None:
        """Whatever goes wrong, the next look is not far."""
        try:
            await work
        except (BoxshipError, OSError) as error:
            log.warning("cannot %s: %s", what, error)
        except Exception:
            log.exception("cannot %s", what)

    async def _look(self, count: int) -> None:
        machine, usages = await self._tools.runtime.usage()
        shortages, self._watched = look(machine, self._thresholds, self._watched, self._tools.now())
        self._tell()
        short_of_disk = any(one.threshold.signal in (DISK, INODES) for one in shortages)
        if short_of_disk:
            await self._attempt("remove ended containers", self._remove_ended())
        if short_of_disk or count % IMAGES_EVERY == 0:
            await self._attempt("remove images", self._collect_images(machine, urgent=short_of_disk))
        if short_of_disk:
            shortages = await self._freed()
            if shortages:
                _, usages = await self._tools.runtime.usage(fresh=True)
                usages = await self._with_volumes(usages)
        if shortages:
            self._relieve(shortages[0], usages)

    async def _freed(self) -> Sequence[Shortage]:
        """What is short still when what was removed has had the time to go: the disk frees large files by and by."""
        shortages: Sequence[Shortage] = ()
        for _ in range(FREE_LOOKS):
            machine, _ = await self._tools.runtime.usage()
            shortages, self._watched = look(machine, self._thresholds, self._watched, self._tools.now())
            if not any(one.threshold.signal in (DISK, INODES) for one in shortages):
                break
            await asyncio.sleep(FREE_SECONDS)
        return shortages

    def _tell(self) -> None:
        found = self.pressures()
        if found != self._told:
            self._told = found
            self._changed.set()

    def _relieve(self, shortage: Shortage, usages: Sequence[PodUsage]) -> None:
        """One pod goes; the next when that has gone with its files, and it was not enough."""
        before, now = self._workers.get(self._going), self._tools.now()
        if before is not None and not before.is_clean and now < self._waits_until:
            return
        resource = shortage.threshold.signal.partition(".")[0]
        node = self._node()
        if node:
            self._tools.tell(node, "Warning", "EvictionThresholdMet", f"Attempting to reclaim {resource}")
        pods = [worker.pod for worker in self._workers.values() if worker.taken is not None and not worker.static]
        victim = first_to_go(shortage, pods, usages)
        if victim is not None:
            self._going, self._waits_until = victim.uid, now + shortage.threshold.pod_grace + CLEAN_SECONDS
            self._evict(victim.uid, victim.message, shortage.threshold.pod_grace)

    def _evict(self, uid: str, message: str, grace: float) -> None:
        worker = self._workers[uid]
        self._tools.tell(worker.pod, "Warning", REASON, message)
        worker.end(Ending(self._tools.now(), grace, REASON, message, "Failed", disrupts=True))

    async def _with_volumes(self, usages: Sequence[PodUsage]) -> Sequence[PodUsage]:
        """What the pods' own volumes take is theirs, too: as it is now, or as it was counted last where there are too
        many files to wait for."""
        self._counted.clear()
        self._count_now.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._counted.wait(), FRESH_SECONDS)
        return [with_volumes(usage, self._volumes.get(usage.uid, ())) for usage in usages]

    async def _count(self) -> None:
        _, usages = await self._tools.runtime.usage()
        for uid in self._volumes.keys() - self._workers.keys():
            del self._volumes[uid]
        for usage in usages:
            worker = self._workers.get(usage.uid)
            if worker is None or worker.taken is None:
                continue
            self._volumes[usage.uid] = found = await self._tools.volumes.usage(usage.uid)
            if not has_limits(worker.pod) or worker.taken is None:
                continue
            message = over_limits(worker.pod, usage, {one.name: (one.used, one.limit) for one in found})
            if message and usage.uid in self._workers:
                self._evict(usage.uid, message, 0.0)

    async def _remove_ended(self) -> None:
        """What has ended takes room for its logs and files alone."""
        runtime = self._tools.runtime
        over = {uid for uid, worker in self._workers.items() if worker.is_over}
        for run in ended_to_go(await runtime.containers(), over, self._workers.keys()):
            await self._attempt(f"remove container {run.id}", runtime.remove(run.id))

    async def _collect_images(self, machine: MachineUsage, *, urgent: bool) -> None:
        runtime, records = self._tools.runtime, self._tools.images.records
        began = time.time()
        images = await runtime.images()
        await records.recover(runtime.images)
        await records.prune(images, began)
        used = {run.image_id for run in await runtime.containers()}
        for image in images_to_go(images, used, machine, self._limits, self._tools.now(), urgent=urgent):
            if image.nodes and not await runtime.is_elsewhere(image):
                continue
            try:
                await runtime.remove_image(image.id)
            except BoxshipError as error:  # a container that is no pod's may use it
                log.info("cannot remove image %s: %s", image.id, error)


def with_volumes(usage: PodUsage, volumes: Sequence[VolumeUse]) -> PodUsage:
    disk = usage.pod.disk + sum(one.used for one in volumes)
    inodes = usage.pod.inodes + sum(one.inodes for one in volumes)
    return msgspec.structs.replace(usage, pod=msgspec.structs.replace(usage.pod, disk=disk, inodes=inodes))
