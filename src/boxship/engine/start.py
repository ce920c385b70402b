"""The start of a container as one ordered list of hooks; each adds its part to a draft, the runtime gets the sum.

Whatever a start takes, `release` gives back in reverse order, after the container's end as after a failure or a crash.
"""

import logging
from typing import Any

import msgspec

from boxship.engine.describing import mount_event, network_event, unmount_event
from boxship.engine.hooks import Draft, Hook
from boxship.engine.hooks.hostfiles import HostFiles
from boxship.engine.hooks.limits import LimitsHook
from boxship.engine.hooks.namespaces import NamespacesHook
from boxship.engine.hooks.network import NetworkHook
from boxship.engine.hooks.process import ProcessHook
from boxship.engine.hooks.rights import RightsHook
from boxship.engine.hooks.rootfs import Rootfs
from boxship.engine.hooks.sharedmemory import SharedMemory
from boxship.engine.hooks.users import UsersHook
from boxship.engine.hooks.volumes import VolumesHook
from boxship.engine.model import Container, Event
from boxship.engine.places import Places
from boxship.engine.pods_records import PodRecords
from boxship.engine.records import Records
from boxship.errors import BoxshipError
from boxship.network.networks import Networks
from boxship.runtime.config import render
from boxship.runtime.driver import Driver
from boxship.runtime.plan import Plan
from boxship.snapshots.overlay import Snapshots
from boxship.volumes.volumes import Volumes

logger = logging.getLogger(__name__)


class Prepared(msgspec.Struct, frozen=True):
    """All that the driver needs, and the record with what the start added to it."""

    container: Container
    config: dict[str, Any]
    options: dict[str, Any]
    warnings: tuple[str, ...]


class Starter:
    """Runs the hooks, and gives back what they took."""

    def __init__(
        self,
        records: Records,
        pods: PodRecords,
        snapshots: Snapshots,
        volumes: Volumes,
        networks: Networks,
        driver: Driver,
        places: Places,
        instance: str,
    ) -> None:
        self._driver = driver
        self._places = places
        self._networks = networks
        self._hooks: tuple[Hook, ...] = (
            Rootfs(snapshots, pods),
            NamespacesHook(records, pods),
            NetworkHook(networks, records, pods),
            HostFiles(),
            ProcessHook(),
            VolumesHook(volumes),
            UsersHook(pods, places),
            RightsHook(),
            SharedMemory(records, pods, places),
            LimitsHook(instance),
        )

    async def prepare(self, container: Container) -> Prepared:
        """Raises what the failing hook raised; the caller then calls `release`."""
        draft = Draft(container=container, plan=Plan(id=container.id))
        for hook in self._hooks:
            draft = await hook.apply(draft)
        container = draft.container
        return Prepared(
            container=container,
            config=render(draft.plan, self._driver.layout),
            options={
                "runtime": container.runtime,
                "bundle": self._places.bundle(container.id),
                "log_path": container.log_path,
                "tty": container.spec.tty,
                "stdin": container.spec.open_stdin,
                "stdin_once": container.spec.stdin_once,
            },
            warnings=draft.warnings,
        )

    async def release(self, container: Container) -> None:
        """Give back in reverse; one hook's failure doesn't keep the others from it."""
        for hook in reversed(self._hooks):
            try:
                await hook.release(container)
            except (BoxshipError, OSError):
                logger.exception("cannot release a part of container %s", container.id[:12])

    def start_events(self, container: Container, now: int) -> list[Event]:
        """The volumes and networks that the container has taken."""
        mounted = [mount_event(container, point, now) for point in container.mounts if point.kind == "volume"]
        return [*mounted, *self._network_events(container, "connect", now)]

    def end_events(self, container: Container, now: int) -> list[Event]:
        """The networks and volumes that the container has left."""
        left = [unmount_event(container, point, now) for point in container.mounts if point.kind == "volume"]
        return [*self._network_events(container, "disconnect", now), *left]

    def _network_events(self, container: Container, action: str, now: int) -> list[Event]:
        return [
            network_event(action, endpoint.network_id, endpoint.network_name, "bridge", now, container.id)
            for endpoint in container.endpoints
        ]
