"""Looks how the machine is, and helps it: the node's conditions, images that go, one pod after the other that goes."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from boxship.cluster.node.eviction.collecting import Limits, images_to_go
from boxship.cluster.node.eviction.pressure import DISK, INODES, Shortage, Threshold, Watched, conditions, look
from boxship.cluster.node.eviction.ranking import REASON, first_to_go, has_limits, over_limits
from boxship.cluster.node.life.starting import Tools
from boxship.cluster.node.life.values import Ending
from boxship.cluster.node.life.worker import PodWorker
from boxship.cluster.node.runtime import MachineUsage, PodUsage
from boxship.cluster.objects import Object
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
LIMITS_EVERY, IMAGES_EVERY = 3, 30  # looks between two counts of volumes, and of images
OVER = ("Succeeded", "Failed")


class Evictor:
    """One for a node. `changed` is set when the conditions have."""

    def __init__(
        self,
        tools: Tools,
        workers: Mapping[str, PodWorker],
        thresholds: Sequence[Threshold],
        limits: Limits,
        changed: asyncio.Event,
        node: Callable[[], Object],
    ) -> None:
        self._tools = tools
        self._workers = workers
        self._thresholds = thresholds
        self._limits = limits
        self._changed = changed
        self._node = node
        self._watched = Watched()
        self._told: Mapping[str, bool] = {}
        self._going = ""  # the uid of the pod that was sent away last

    def pressures(self) -> Mapping[str, bool]:
        return conditions(self._watched, self._tools.now())

    async def run(self) -> None:
        """Without end."""
        count = 0
        while True:
            try:
                await self._look(count)
            except (BoxshipError, OSError) as error:
                log.warning("cannot see how the node is: %s", error)
            count += 1
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, count: int) -> None:
        machine, usages = await self._tools.runtime.usage()
        shortages, self._watched = look(machine, self._thresholds, self._watched, self._tools.now())
        found = self.pressures()
        if found != self._told:
            self._told = found
            self._changed.set()
        short_of_disk = any(one.threshold.signal in (DISK, INODES) for one in shortages)
        if short_of_disk or count % IMAGES_EVERY == 0:
            await self._collect_images(machine, urgent=short_of_disk)
        if short_of_disk:
            machine, usages = await self._tools.runtime.usage()
            shortages, self._watched = look(machine, self._thresholds, self._watched, self._tools.now())
        if shortages:
            self._relieve(shortages[0], usages)
        if count % LIMITS_EVERY == 0:
            await self._enforce_limits(usages)

    def _relieve(self, shortage: Shortage, usages: Sequence[PodUsage]) -> None:
        """One pod goes; the next when it has gone and that was not enough."""
        before = self._workers.get(self._going)
        if before is not None and before.pod["status"].get("phase") not in OVER:
            return
        resource = shortage.threshold.signal.partition(".")[0]
        node = self._node()
        if node:
            self._tools.tell(node, "Warning", "EvictionThresholdMet", f"Attempting to reclaim {resource}")
        pods = [worker.pod for worker in self._workers.values() if worker.taken is not None and not worker.static]
        victim = first_to_go(shortage, pods, usages)
        if victim is not None:
            self._going = victim.uid
            self._evict(victim.uid, victim.message, shortage.threshold.pod_grace)

    def _evict(self, uid: str, message: str, grace: float) -> None:
        worker = self._workers[uid]
        self._tools.tell(worker.pod, "Warning", REASON, message)
        worker.end(Ending(self._tools.now(), grace, REASON, message, "Failed", disrupts=True))

    async def _enforce_limits(self, usages: Sequence[PodUsage]) -> None:
        for usage in usages:
            worker = self._workers.get(usage.uid)
            if worker is None or worker.taken is None or not has_limits(worker.pod):
                continue
            volumes = {one.name: (one.used, one.limit) for one in await self._tools.volumes.usage(usage.uid)}
            message = over_limits(worker.pod, usage, volumes)
            if message:
                self._evict(usage.uid, message, 0.0)

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
