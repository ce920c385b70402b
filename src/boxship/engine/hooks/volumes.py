"""Mounts the container's volumes, host folders and tmpfs."""

import os

from boxship.engine.hooks import Draft, planned
from boxship.engine.model import Container, MountPoint
from boxship.spec.mount import Mount
from boxship.volumes.volumes import Volumes

TMPFS_DEFAULTS = ("nosuid", "nodev", "noexec")


class VolumesHook:
    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes

    async def apply(self, draft: Draft) -> Draft:
        mounts = []
        for point in draft.container.mounts:
            mounts.append(await self._mount(point, draft.container.id))
        return planned(draft, mounts=(*draft.plan.mounts, *mounts))

    async def release(self, container: Container) -> None:
        for point in container.mounts:
            if point.kind == "volume":
                await self._volumes.release(point.name, container.id)

    async def _mount(self, point: MountPoint, user: str) -> Mount:
        if point.kind == "tmpfs":
            return Mount("tmpfs", "tmpfs", point.target, point.options or TMPFS_DEFAULTS)
        source = point.source
        if point.kind == "volume":
            source = str(await self._volumes.mount(point.name, user, subpath=point.subpath))
        options = point.options or ("rbind", "rprivate")
        if "rro" in options and not os.path.isdir(source):
            options = tuple("ro" if word == "rro" else word for word in options)  # a file has nothing below it
        return Mount("bind", source, point.target, options)
