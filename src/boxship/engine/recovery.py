"""What the daemon does first: find every container again, finish what was half-done, take back what can't be.

It must work after kill -9 at any moment, and doing it twice must do no harm.
"""

import asyncio
import logging

import msgspec

from boxship.engine import restarts
from boxship.engine.clock import Clock
from boxship.engine.groups import Groups
from boxship.engine.hooks.hostfiles import write_network_files
from boxship.engine.life import stop_timeout
from boxship.engine.lives import Lives
from boxship.engine.model import ALIVE, Container, Phase, ProcessHandle
from boxship.engine.networks import parted
from boxship.engine.places import Places
from boxship.engine.placing import is_shared
from boxship.engine.pods import Pods
from boxship.engine.records import Records
from boxship.engine.removal import Removal
from boxship.engine.start import Starter
from boxship.engine.states import move, with_state
from boxship.engine.supervisor import KILLED_EXIT, Supervisor
from boxship.errors import BoxshipError
from boxship.network.networks import Networks
from boxship.runtime.driver import Driver
from boxship.runtime.handle import Exit, Handle, Running
from boxship.snapshots.overlay import Snapshots
from boxship.volumes.volumes import Volumes

logger = logging.getLogger(__name__)

PARALLEL = 16  # containers recovered at once


class Recovery:
    """Run once, before any client is served."""

    def __init__(
        self,
        records: Records,
        lives: Lives,
        supervisor: Supervisor,
        starter: Starter,
        removal: Removal,
        pods: Pods,
        snapshots: Snapshots,
        volumes: Volumes,
        networks: Networks,
        driver: Driver,
        groups: Groups,
        places: Places,
        clock: Clock,
    ) -> None:
        self._records = records
        self._lives = lives
        self._supervisor = supervisor
        self._starter = starter
        self._removal = removal
        self._pods = pods
        self._snapshots = snapshots
        self._volumes = volumes
        self._networks = networks
        self._driver = driver
        self._groups = groups
        self._places = places
        self._clock = clock

    async def run(self) -> None:
        """Bring every record and every part of the machine that is ours into agreement."""
        found: dict[str, Running | Exit | None] = {}
        for container in self._records:
            if container.state.phase in ALIVE:
                found[container.id] = await self._driver.recover(self._handle(container))
        running = [identifier for identifier, state in found.items() if isinstance(state, Running)]
        pids = {box.id: box.state.process.pid for box in self._records if box.id in running}
        pods = self._pods.living()
        await self._networks.recover([*running, *pods], pids | pods, self._groups.standings(running))
        await self._groups.forget_unused()
        await self._snapshots.recover([container.id for container in self._records], mounted=running)
        await self._volumes.recover(running)
        await self._driver.sweep(running)
        await self._sweep_folders()
        gate = asyncio.Semaphore(PARALLEL)
        await asyncio.gather(*(self._guarded(gate, box, found.get(box.id)) for box in self._records))
        await self._pods.recover(pods)

    async def start_wanted(self) -> None:
        """Start the containers whose restart policy asks for it when the daemon starts."""
        for container in self._records:
            idle = container.state.phase in (Phase.EXITED,)
            if not idle or not restarts.wants_start_with_daemon(container, container.state.exit_code):
                continue
            async with self._lives.of(container.id).lock:
                current = self._records.find(container.id)
                if current is None or current.state.phase is not Phase.EXITED:
                    continue
                try:
                    await self._supervisor.launch(current, current.state.restart_count)
                except (BoxshipError, OSError) as error:
                    logger.warning("cannot start container %s with the daemon: %s", container.id[:12], error)

    def _handle(self, container: Container) -> Handle:
        return self._driver.handle(
            container.id,
            container.runtime,
            container.state.process,
            container.state.monitor,
            self._places.bundle(container.id),
        )

    async def _guarded(self, gate: asyncio.Semaphore, container: Container, state: "Running | Exit | None") -> None:
        async with gate, self._lives.of(container.id).lock:
            try:
                await self._recover(container, state)
            except (BoxshipError, OSError):
                logger.exception("cannot recover container %s", container.id[:12])

    async def _recover(self, container: Container, state: "Running | Exit | None") -> None:
        match container.state.phase:
            case Phase.CREATING:
                await self._removal.take_back(container.id)
            case Phase.REMOVING:
                await self._removal.finish(container.id)
            case Phase.STARTING:
                await self._take_back_start(container)
            case Phase.RESTARTING:
                self._supervisor.restart_later(container, 0)
            case phase if phase in ALIVE:
                await self._recover_alive(container, state)
            case _:
                if container.spec.auto_remove and container.state.phase is Phase.EXITED:
                    await self._removal.remove(container.id, volumes=True)

    async def _recover_alive(self, container: Container, state: "Running | Exit | None") -> None:
        handle = self._handle(container)
        if isinstance(state, Running):
            if container.state.leaving:
                container = await self._recover_leaving(container)
            if container.state.phase is Phase.STOPPING:  # the stop was never answered; the container goes on
                container = await self._records.save(move(container, Phase.RUNNING, stopped_by_user=False))
            container = await self._finish_update(await self._agree_on_networks(container), handle)
            # The crash may have come between the freezer and the record.
            if container.state.phase is Phase.PAUSED:
                await self._driver.pause(handle)
            else:
                await self._driver.resume(handle)
            await self._groups.follow(container)
            self._groups.watch_opening(container)
            self._supervisor.look_after(container, handle)
            return
        self._lives.of(container.id).handle = handle
        ended = state or Exit(code=KILLED_EXIT, finished_at=self._clock.now(), monitor_lost=True, oom_killed=False)
        await self._supervisor.finish(container, ended)

    async def _recover_leaving(self, container: Container) -> Container:
        """A group's member that waited for its connections stays; one that has got its signal, most likely, is given
        the time of a stop to end."""
        if container.state.phase is Phase.STOPPING or container.state.stopped_by_user:
            self._groups.let_back_later(container, stop_timeout(container))
            return container
        return await self._records.save(with_state(container, leaving=False))

    async def _finish_update(self, container: Container, handle: Handle) -> Container:
        """A live update that was begun is carried out."""
        before = container.state.limits_before
        if before is None:
            return container
        await self._driver.update(handle, before, container.spec.resources)
        return await self._records.save(with_state(container, limits_before=None))

    async def _agree_on_networks(self, container: Container) -> Container:
        """A live connect that was never answered is undone, a disconnect that was begun is finished."""
        if is_shared(container.spec.network_mode):
            return container
        attachment = self._networks.attachment(container.id)
        known = {endpoint.network_id for endpoint in container.endpoints}
        held = {endpoint.network_id for endpoint in attachment.endpoints}
        if known == held:
            return container
        for network_id in held - known:
            attachment = await self._networks.disconnect(container.id, network_id)
        for network_id in known - held:
            container = parted(container, self._networks.get(network_id))
        changed = msgspec.structs.replace(container, endpoints=attachment.endpoints, ports=attachment.ports)
        write_network_files(changed, attachment)
        return await self._records.save(changed)

    async def _take_back_start(self, container: Container) -> None:
        await self._driver.delete(container.id, None)
        await self._starter.release(container)
        before = Phase.EXITED if container.state.finished_at else Phase.CREATED
        await self._records.save(move(container, before, process=ProcessHandle(), monitor=ProcessHandle()))

    async def _sweep_folders(self) -> None:
        """Remove the folders of containers that have no record: a crash came between the two."""
        folder = self._places.data / "containers"
        known = {container.id for container in self._records}
        for path in await asyncio.to_thread(lambda: list(folder.iterdir())):
            if path.name not in known:
                await self._removal.discard_folder(path)
