"""Mounts the container's root filesystem."""

from boxship.engine.hooks import Draft, planned
from boxship.engine.model import Container
from boxship.snapshots.overlay import Snapshots


class Rootfs:
    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    async def apply(self, draft: Draft) -> Draft:
        # A container that goes away with its process needs nothing of it on the disk, so nothing is synced for it.
        rootfs = await self._snapshots.mount(draft.container.id, volatile=draft.container.spec.auto_remove)
        return planned(draft, rootfs=str(rootfs), read_only=draft.container.spec.read_only_rootfs)

    async def release(self, container: Container) -> None:
        await self._snapshots.unmount(container.id)
