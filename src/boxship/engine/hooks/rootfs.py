"""Mounts the container's root filesystem."""

from boxship.engine.hooks import Draft, planned
from boxship.engine.model import Container
from boxship.engine.pods_records import PodRecords
from boxship.snapshots.overlay import Snapshots


class Rootfs:
    def __init__(self, snapshots: Snapshots, pods: PodRecords) -> None:
        self._snapshots = snapshots
        self._pods = pods

    async def apply(self, draft: Draft) -> Draft:
        # A container that goes away with its process needs nothing of it on the disk, so nothing is synced for it.
        spec = draft.container.spec
        users = self._pods.users_of(spec.network_mode)
        rootfs = await self._snapshots.mount(draft.container.id, volatile=spec.auto_remove, users=users)
        return planned(draft, rootfs=str(rootfs), read_only=spec.read_only_rootfs)

    async def release(self, container: Container) -> None:
        await self._snapshots.unmount(container.id)
