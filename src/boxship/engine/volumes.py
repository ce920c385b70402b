"""Volumes as users handle them: the volumes room, with the checks that need containers, and events."""

from collections.abc import Callable, Mapping, Sequence

from boxship.engine.clock import Clock
from boxship.engine.describing import prune_event
from boxship.engine.events import Events
from boxship.engine.model import Event
from boxship.engine.records import Records
from boxship.errors import Conflict, NotFound
from boxship.volumes.model import Volume
from boxship.volumes.volumes import Volumes


class EngineVolumes:
    """create, get, list, remove, prune, users, usage."""

    def __init__(self, volumes: Volumes, records: Records, events: Events, clock: Clock) -> None:
        self._volumes = volumes
        self._records = records
        self._events = events
        self._clock = clock

    async def create(
        self, name: str | None, driver: str, options: Mapping[str, str], labels: Mapping[str, str]
    ) -> Volume:
        """A volume; the one that is there where the name is taken by an equal one."""
        known = {volume.name for volume in self._volumes.list()}
        volume = await self._volumes.create(name, driver or "local", dict(options), dict(labels))
        if volume.name not in known:
            self._publish("create", volume)
        return volume

    def get(self, name: str) -> Volume:
        """Raises NotFound with Docker's text."""
        return self._volumes.get(name)

    def list(self) -> Sequence[Volume]:
        return self._volumes.list()

    def users(self, name: str) -> Sequence[str]:
        """Ids of the containers that mount it, running or not."""
        return [box.id for box in self._records if any(point.name == name for point in box.mounts)]

    async def usage(self, name: str) -> int:
        """Bytes on disk."""
        return await self._volumes.usage(name)

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Raises NotFound (unless forced) or Conflict where a container mounts it."""
        try:
            volume = self._volumes.get(name)
        except NotFound:
            if force:
                return
            raise
        users = self.users(volume.name)
        if users:
            raise Conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")
        await self._volumes.remove(volume.name)
        self._publish("destroy", volume)

    async def prune(self, keep: Callable[[Volume], bool]) -> tuple[Sequence[str], int]:
        """Remove the volumes that no container mounts and that `keep` doesn't hold: names, and bytes freed."""
        removed: list[str] = []
        freed = 0
        for volume in self._volumes.list():
            if keep(volume) or self.users(volume.name):
                continue
            size = await self._volumes.usage(volume.name)
            try:
                await self.remove(volume.name)
            except (Conflict, NotFound):  # taken or removed just now
                continue
            removed.append(volume.name)
            freed += size
        self._events.publish(prune_event("volume", freed, self._clock.now()))
        return removed, freed

    def _publish(self, action: str, volume: Volume) -> None:
        self._events.publish(
            Event(
                kind="volume",
                action=action,
                actor=volume.name,
                attributes={"driver": volume.driver},
                time=self._clock.now(),
            )
        )
