"""Containers as users handle them: create, find, rename, remove, update, prune, commit."""

import contextlib
from collections.abc import Callable, Mapping, Sequence

import msgspec

from boxship.engine import checking, names
from boxship.engine.clock import Clock
from boxship.engine.creation import Creation
from boxship.engine.describing import container_event, prune_event
from boxship.engine.events import Events
from boxship.engine.life import Life
from boxship.engine.lives import Lives
from boxship.engine.model import ALIVE, Container, Phase
from boxship.engine.placing import POD, least_memory
from boxship.engine.records import Records
from boxship.engine.removal import Removal
from boxship.engine.states import with_state
from boxship.errors import Conflict, Invalid, NotFound
from boxship.network.networks import Networks
from boxship.runtime import limits
from boxship.runtime.driver import Driver
from boxship.snapshots.overlay import Snapshots
from boxship.spec.container import RestartPolicy

REMOVABLE = frozenset({Phase.CREATED, Phase.EXITED, Phase.DEAD})


class Containers:
    """The nouns' side of containers; `Life` has the verbs of starting and ending."""

    def __init__(
        self,
        records: Records,
        lives: Lives,
        creation: Creation,
        removal: Removal,
        life: Life,
        networks: Networks,
        snapshots: Snapshots,
        driver: Driver,
        events: Events,
        clock: Clock,
    ) -> None:
        self._records = records
        self._lives = lives
        self._creation = creation
        self._removal = removal
        self._life = life
        self._networks = networks
        self._snapshots = snapshots
        self._driver = driver
        self._events = events
        self._clock = clock
        self.create = creation.create

    def get(self, ref: str) -> Container:
        """By id, unique id prefix or name. Raises NotFound or Invalid with Docker's texts."""
        return self._records.get(ref)

    def list(self) -> Sequence[Container]:
        """All containers that are made, newest first."""
        made = (container for container in self._records if container.state.phase is not Phase.CREATING)
        return sorted(made, key=lambda container: container.created_at, reverse=True)

    async def rename(self, ref: str, name: str) -> None:
        """Raises Invalid for a wrong or equal name, Conflict for one that is taken."""
        if not name:
            raise Invalid("Neither old nor new names may be empty")
        wanted = names.check_name(name)
        identifier = self._records.get(ref).id
        async with self._lives.of(identifier).lock:
            container = self._records.get(identifier)
            if container.name == wanted:
                raise Invalid("Renaming a container with the same name as its current name")
            event = container_event(
                msgspec.structs.replace(container, name=wanted),
                "rename",
                self._clock.now(),
                oldName=f"/{container.name}",
            )
            await self._records.rename(container, wanted, event)
            if container.state.phase in ALIVE:
                await self._networks.rename(identifier, wanted)

    async def remove(self, ref: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container; with `force`, kill it first. Raises Conflict where it runs and is not forced."""
        identifier = self._records.get(ref).id
        live = self._lives.of(identifier)
        if force:
            with contextlib.suppress(Conflict):
                await self._life.kill(identifier)
        async with live.lock:
            container = self._records.find(identifier)
            if container is None:
                raise NotFound(f"No such container: {ref}")
            await self._removal.remove(identifier, volumes=volumes)

    async def update(self, ref: str, changes: Mapping[str, object], restart: RestartPolicy | None) -> tuple[str, ...]:
        """Change limits (fields of Resources by name) and the restart policy, live where it runs; warnings.

        Raises Invalid for values that can't be, and leaves everything as it was where the kernel refuses.
        """
        if restart is not None:
            checking.check_restart(restart)
        identifier = self._records.get(ref).id
        async with self._lives.of(identifier).lock:
            container = self._records.get(identifier)
            if container.state.phase not in (*ALIVE, *REMOVABLE, Phase.RESTARTING):
                raise Conflict(f"cannot update container {container.id}: it is {container.state.phase.value}")
            if restart is not None and restart.name != "no" and container.spec.auto_remove:
                raise Conflict("Restart policy cannot be updated because AutoRemove is enabled for the container")
            resources = limits.changed(container.spec.resources, changes)
            warnings = limits.check(resources, self._driver.host, least_memory=least_memory(container.spec))
            spec = msgspec.structs.replace(
                container.spec, resources=resources, restart=restart or container.spec.restart
            )
            changed = msgspec.structs.replace(container, spec=spec)
            handle = self._lives.of(identifier).handle
            if handle is not None and resources != container.spec.resources:
                await self._records.save(with_state(changed, limits_before=container.spec.resources))
                try:
                    await self._driver.update(handle, container.spec.resources, resources)
                except BaseException:
                    await self._records.save(container)
                    raise
            await self._records.save(changed, container_event(container, "update", self._clock.now()))
            return warnings

    async def prune(self, keep: Callable[[Container], bool]) -> tuple[Sequence[str], int]:
        """Remove the containers that don't run and that `keep` doesn't hold: ids, and bytes freed."""
        removed, freed = [], 0
        for container in self.list():
            held = container.spec.network_mode.startswith(POD)  # its pod is not done with it: somebody reads its end
            if held or container.state.phase not in REMOVABLE or keep(container):
                continue
            size = await self._snapshots.usage(container.id)
            try:
                await self.remove(container.id)
            except (Conflict, NotFound):  # started or removed just now
                continue
            removed.append(container.id)
            freed += size
        self._events.publish(prune_event("container", freed, self._clock.now()))
        return removed, freed
