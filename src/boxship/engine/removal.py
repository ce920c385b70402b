"""Takes containers away, whole: also those that a crash or a failed creation left half-made."""

import asyncio
import logging
import shutil
from functools import partial
from pathlib import Path

from boxship.engine.clock import Clock
from boxship.engine.describing import container_event
from boxship.engine.groups import Groups, group_of
from boxship.engine.images import uses_of
from boxship.engine.lives import Lives
from boxship.engine.model import ALIVE, Container, Phase
from boxship.engine.places import Places
from boxship.engine.records import Records
from boxship.engine.states import move
from boxship.errors import BoxshipError, Conflict, NotFound
from boxship.images.library import Images
from boxship.snapshots.overlay import Snapshots
from boxship.volumes.volumes import Volumes

logger = logging.getLogger(__name__)


class Removal:
    """Gives back what belongs to a container alone, then its record."""

    def __init__(
        self,
        records: Records,
        lives: Lives,
        snapshots: Snapshots,
        volumes: Volumes,
        images: Images,
        places: Places,
        clock: Clock,
        groups: Groups,
    ) -> None:
        self._records = records
        self._lives = lives
        self._snapshots = snapshots
        self._volumes = volumes
        self._images = images
        self._places = places
        self._clock = clock
        self._groups = groups

    async def remove(self, container_id: str, *, volumes: bool) -> None:
        """Remove a container that doesn't run; the caller holds its lock.

        Raises Conflict where it runs, or where another removal is under way.
        """
        container = self._records.get(container_id)
        phase = container.state.phase
        if phase is Phase.CREATING:  # it is not there before its creation has been answered
            raise NotFound(f"No such container: {container.name}")
        if phase in ALIVE:  # "starting" under its lock is a start that could not even be taken back in the store
            state = "paused" if phase is Phase.PAUSED else "running"
            raise Conflict(
                f'cannot remove container "/{container.name}": container is {state}: '
                "stop the container before removing or force remove"
            )
        if phase is Phase.REMOVING:
            raise Conflict(f"removal of container {container.name} is already in progress")
        await self._records.save(move(container, Phase.REMOVING, remove_volumes=volumes))
        await self.finish(container_id)

    async def finish(self, container_id: str) -> None:
        """Carry a removal to its end; every step may have been done already."""
        container = self._records.get(container_id)
        try:
            await self._give_back(container, volumes=container.state.remove_volumes)
        except (BoxshipError, OSError) as error:
            await self._records.save(move(container, Phase.DEAD, error=str(error)))
            raise
        await self._records.delete(container, container_event(container, "destroy", self._clock.now()))
        self._lives.forget(container_id)
        if group_of(container):
            await self._groups.forget_unused()
        await self._images.collect(partial(uses_of, self._records))

    async def take_back(self, container_id: str) -> None:
        """Undo a creation that failed, with the volumes that it made for itself."""
        container = self._records.find(container_id)
        if container is None:
            return
        try:
            await self._give_back(container, volumes=True)
        except (BoxshipError, OSError):
            logger.exception("cannot take back container %s", container_id[:12])
        await self._records.delete(container)
        self._lives.forget(container_id)

    async def _give_back(self, container: Container, *, volumes: bool) -> None:
        await self._snapshots.remove(container.id)
        await self.discard_folder(self._places.container(container.id))
        if not volumes:
            return
        shared = {point.name for box in self._records if box.id != container.id for point in box.mounts}
        for point in container.mounts:
            if point.anonymous and point.name not in shared:
                try:
                    await self._volumes.remove(point.name)
                except NotFound:
                    continue

    async def discard_folder(self, folder: Path) -> None:
        """Delete a container's folder, which may be gone already."""
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
