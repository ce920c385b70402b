"""Puts a container into its pod's user namespace: all that it mounts is shown with the owners that files have in there.

Comes after everything that adds mounts. What it shows is mounted by the daemon and given back at the container's end.
"""

import msgspec

from boxship.engine.hooks import Draft, planned
from boxship.engine.model import Container
from boxship.engine.places import Places
from boxship.engine.pods_records import PodRecords
from boxship.runtime.mapping import clear_mapped, plain, show_mapped, show_root
from boxship.waiting import in_thread


class UsersHook:
    def __init__(self, pods: PodRecords, places: Places) -> None:
        self._pods = pods
        self._places = places

    async def apply(self, draft: Draft) -> Draft:
        users, mounts = self._pods.users_of(draft.container.spec.network_mode), draft.plan.mounts
        if not users:
            return planned(draft, mounts=tuple(plain(mount) for mount in mounts))
        identity = draft.plan.identity
        users.check((identity.uid, identity.gid, *identity.groups))
        folder = self._places.mapped(draft.container.id)
        rootfs = await in_thread(show_root, folder, draft.plan.rootfs)
        shown = await in_thread(show_mapped, folder, mounts, users)
        container = msgspec.structs.replace(draft.container, users=users)
        return planned(msgspec.structs.replace(draft, container=container), mounts=shown, users=users, rootfs=rootfs)

    async def release(self, container: Container) -> None:
        if container.spec.network_mode.startswith("pod:"):
            folder = self._places.mapped(container.id)
            if folder.exists():
                await in_thread(clear_mapped, folder)
