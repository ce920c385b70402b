"""Decides what stands at /dev/shm: a tmpfs of the container's own, one that others may join, another's, or nothing.

What others may join is mounted by the daemon, not by the runtime, and given back at the container's end.
"""

from pathlib import Path

from boxship.engine.hooks import Draft, planned
from boxship.engine.hooks.namespaces import running_peer
from boxship.engine.model import Container
from boxship.engine.places import Places
from boxship.engine.placing import POD
from boxship.engine.pods_records import PodRecords
from boxship.engine.records import Records
from boxship.runtime.plan import NO_SHM
from boxship.runtime.sharedmemory import mount_shared_memory, unmount_shared_memory

DEFAULT_SHM_SIZE = 64 << 20  # bytes


class SharedMemory:
    def __init__(self, records: Records, pods: PodRecords, places: Places) -> None:
        self._records = records
        self._pods = pods
        self._places = places

    async def apply(self, draft: Draft) -> Draft:
        size = draft.container.spec.shm_size or DEFAULT_SHM_SIZE
        if draft.container.spec.ipc_mode == "shareable":
            mount_shared_memory(self._place(draft.container), size)
        return planned(draft, shm_size=size, shm=self._source(draft.container))

    async def release(self, container: Container) -> None:
        if container.spec.ipc_mode == "shareable":
            unmount_shared_memory(self._place(container))

    def _source(self, container: Container) -> str:
        mode = container.spec.ipc_mode
        if mode == "none":
            return NO_SHM
        if mode == "host":
            return "/dev/shm"
        if mode == "shareable":
            return str(self._place(container))
        if mode.startswith(POD):
            return self._pods.ready(mode).shared_memory
        if mode.startswith("container:"):
            return self._source(running_peer(self._records, mode))
        return ""

    def _place(self, container: Container) -> Path:
        return self._places.shared_memory(container.id)
