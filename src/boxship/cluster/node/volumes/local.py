"""Folders behind persistent volumes that were provisioned on this node (storage class "local").

The control plane writes the volume, with a path below the node's own folder for them, a label that names the node and
a finalizer. The node makes the folder when a pod first uses it, and takes it away when the volume is to go: first the
folder, then the finalizer, so a kill in between leaves a folder that is removed again, never one that is forgotten.
It must never touch a path that is not directly below that folder.
"""

import asyncio
import logging
import os
from pathlib import Path
from typing import Protocol

from boxship.cluster.access import Client
from boxship.cluster.node.plan.facts import NodeFacts, local_volumes
from boxship.cluster.node.volumes.trees import remove
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

VOLUMES = "v1/persistentvolumes"
NODE_LABEL = "boxship.io/local-volume-node"
FINALIZER = "boxship.io/local-volume"
PROTECTION = "kubernetes.io/pv-protection"
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds
LOOK_AGAIN = 0.2  # seconds

PROVISIONER = "boxship.io/local"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"


def own_folder(volume: Object, facts: NodeFacts) -> Path | None:
    """The folder of a volume that was provisioned on this node; None for any other volume."""
    metadata, spec = volume["metadata"], volume.get("spec") or {}
    if (metadata.get("annotations") or {}).get(PROVISIONED_BY) != PROVISIONER:
        return None
    path = Path(str((spec.get("local") or {}).get("path") or ""))
    right = path.parent == local_volumes(facts.root) and path.name == metadata["name"]
    return path if right and path.name not in ("", ".", "..") else None


def make_folder(volume: Object, facts: NodeFacts) -> None:
    """Where it is one of ours. Blocking."""
    path = own_folder(volume, facts)
    if path is None or path.is_dir():
        return
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    path.mkdir(mode=0o777)
    os.chmod(path, 0o777)


def is_to_go(volume: Object) -> bool:
    """Whether its folder is to be removed now: not while anybody may use it."""
    metadata = volume["metadata"]
    finalizers = metadata.get("finalizers") or ()
    return bool(metadata.get("deletionTimestamp")) and FINALIZER in finalizers and PROTECTION not in finalizers


class Users(Protocol):
    def uses(self, path: str) -> bool:
        """Whether a pod of this node has it: also one that the API has forgotten and that is not ended yet."""


class LocalVolumes:
    """Removes the folders of this node's volumes that are to go."""

    def __init__(self, client: Client, users: Users, facts: NodeFacts) -> None:
        self._users = users
        self._client = client
        self._facts = facts
        self._queue: Queue[Key] = Queue()
        self._cache = Cache(client, VOLUMES, labels=f"{NODE_LABEL}={facts.node}")
        self._cache.subscribe(self._changed)

    async def run(self) -> None:
        """Without end."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._cache.run())
            tasks.create_task(self._work())

    async def _work(self) -> None:
        pause = FIRST_PAUSE
        while True:
            key = await self._queue.take()
            try:
                await self._remove(key)
                pause = FIRST_PAUSE
            except (BoxshipError, OSError) as error:
                log.warning("cannot remove local volume %s: %s", key[1], error)
                self._queue.add_later(key, pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            finally:
                self._queue.done(key)

    async def _remove(self, key: Key) -> None:
        volume = self._cache.get(key)
        if volume is None or not is_to_go(volume):
            return
        path = own_folder(volume, self._facts)
        if path is not None and self._users.uses(str(path)):
            self._queue.add_later(key, LOOK_AGAIN)
            return
        if path is not None and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete" and path.is_dir():
            await asyncio.to_thread(remove, path)
        finalizers = volume["metadata"]["finalizers"]
        at = f"/metadata/finalizers/{finalizers.index(FINALIZER)}"
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": volume["metadata"]["uid"]},
            {"op": "test", "path": at, "value": FINALIZER},
            {"op": "remove", "path": at},
        ]
        try:
            await self._client.patch(VOLUMES, "", key[1], patch)
        except Failure as failure:
            if failure.reason != "NotFound":
                raise

    def _changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is not None and is_to_go(new):
            self._queue.add(key)
