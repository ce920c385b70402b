"""All volumes of this node's pods: made, kept up to date, released. Implements `PodVolumes`.

What a pod has is known from its folder alone, so after a kill `prepare` finds what is there and completes it, and
`release` takes everything away. Only what a volume shows is remembered, to change files when their objects change.
"""

import asyncio
import logging
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakValueDictionary

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.node.plan.facts import NodeFacts, shown
from boxship.cluster.node.planning import Mounted, NotPossible, VolumeFigures, VolumeUse
from boxship.cluster.node.volumes import alone, claims, hostpaths, ownership, sources, trees, writing
from boxship.cluster.node.volumes.emptying import disk_use, memory_size
from boxship.cluster.node.volumes.holding import HeldObjects
from boxship.cluster.node.volumes.measuring import Measures, measure
from boxship.cluster.node.volumes.mounts import Mounts
from boxship.cluster.node.volumes.payloads import Files, refused
from boxship.cluster.node.volumes.sources import WRITTEN, Sources, empty_folder, kind_of, memory_folder
from boxship.cluster.node.volumes.tokens import Tokens
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.queue import Queue
from boxship.errors import BoxshipError
from boxship.spec.users import COUNT
from boxship.waiting import in_thread

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
MARKS = ("volumes", "containers")  # a folder with one of these is a pod's, as is one with the name of a uid
UID = re.compile("[0-9a-f-]{32,36}")


class Trees(Protocol):
    """What of the machine that runs containers volumes need."""

    async def reserve_users(self, uid: str) -> int:
        """The machine's id of root in a pod that has users of its own, from its first asking until it is removed."""

    async def mount_image(self, uid: str, reference: str) -> str: ...

    async def unmount_images(self, uid: str) -> None: ...


class Prepared(msgspec.Struct, frozen=True):
    """A pod as it was prepared last."""

    pod: Object
    volumes: Mapping[str, Mounted]
    files: Mapping[str, Files]  # by volume
    behind: Mapping[str, Object]  # the persistent volumes, by volume
    first: int = 0  # the machine's id of the pod's root, where it has users of its own


class NodeVolumes:
    def __init__(self, client: Client, held: HeldObjects, *, trees: Trees, mounts: Mounts, facts: NodeFacts) -> None:
        self._client = client
        self._held = held
        self._trees = trees
        self._mounts = mounts
        self._facts = facts
        self._tokens = Tokens(client)
        self._sources = Sources(client, held, self._tokens, facts)
        self._prepared: dict[str, Prepared] = {}
        self._measures = Measures()
        self._taking = asyncio.Lock()  # for who takes volumes that one pod alone may have
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._due: Queue[str] = Queue()

    async def prepare(self, pod: Object) -> Mapping[str, Mounted]:
        uid = pod["metadata"]["uid"]
        async with self._lock(uid):
            known = self._prepared.get(uid)
            if known is None or _shown(known.pod) != _shown(pod) or self._has_lost(known):
                self._held.hold(uid, set(sources.places_of(pod)))
                known = await self._make(pod, known)
                self._prepared[uid] = known
                self._plan_renewal(uid)
            return known.volumes

    def _has_lost(self, known: Prepared) -> bool:
        """Whether a folder of files that were written is gone, whoever took it away: it is made again."""
        root, uid = self._facts.root, known.pod["metadata"]["uid"]
        return not all(memory_folder(root, uid, name).is_dir() for name in known.files)

    async def release(self, uid: str) -> None:
        async with self._lock(uid):
            self._held.drop(uid)
            self._tokens.forget(uid)
            await self._trees.unmount_images(uid)
            await asyncio.to_thread(self._remove, uid)
            self._prepared.pop(uid, None)
            self._measures.forget(uid)

    def _lock(self, uid: str) -> asyncio.Lock:
        """The one that all have who use it or wait for it."""
        return self._locks.setdefault(uid, asyncio.Lock())

    async def usage(self, uid: str) -> Sequence[VolumeUse]:
        known = self._prepared.get(uid)
        return await asyncio.to_thread(disk_use, self._facts.root, known.pod) if known is not None else ()

    async def figures(self, uid: str) -> Sequence[VolumeFigures]:
        """How full a pod's volumes are; () for one that is not here."""
        known = self._prepared.get(uid)
        if known is None:
            return ()
        return await self._measures.of(uid, lambda: measure(known.pod, known.volumes, known.behind))

    def uses(self, path: str) -> bool:
        """Whether a pod that is prepared here has it."""
        return any(one.path == path for known in self._prepared.values() for one in known.volumes.values())

    def known(self) -> Collection[str]:
        root = self._facts.root
        found = {path.parent.name for mark in MARKS for path in root.glob(f"*/{mark}")}
        found |= {path.name for path in root.glob("*") if UID.fullmatch(path.name)}
        return found | {path.name for path in (root / "memory").glob("*")}

    async def run(self) -> None:
        """Without end: files follow what they show."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._held.run())
            tasks.create_task(self._follow())
            tasks.create_task(self._renew())

    async def _follow(self) -> None:
        while True:
            place = await self._held.changed.take()
            for uid in self._held.holders(place):
                self._due.add(uid)
            self._held.changed.done(place)

    async def _renew(self) -> None:
        while True:
            uid = await self._due.take()
            try:
                await self._update(uid)
            except (BoxshipError, OSError) as error:
                log.warning("cannot update the volumes of pod %s: %s", uid, error)
                self._due.add_later(uid, RETRY_SECONDS)
            finally:
                self._due.done(uid)

    async def _update(self, uid: str) -> None:
        """Write what has changed."""
        if uid not in self._prepared:
            return
        async with self._lock(uid):
            known = self._prepared.get(uid)
            if known is not None:
                files = await self._files(known.pod, known.files)
                if files != known.files:
                    await asyncio.to_thread(self._write, known.pod, files, known.first)
                    self._prepared[uid] = msgspec.structs.replace(known, files=files)
                self._plan_renewal(uid)

    def _plan_renewal(self, uid: str) -> None:
        seconds = self._tokens.due(uid)
        if seconds is not None:
            self._due.add_later(uid, max(seconds, RETRY_SECONDS))

    async def _make(self, pod: Object, before: Prepared | None) -> Prepared:
        """Raises NotPossible."""
        volumes, uid = pod["spec"].get("volumes") or (), pod["metadata"]["uid"]
        files = await self._files(pod, before.files if before is not None else {})
        first = await self._first_user(pod)
        behind = {
            volume["name"]: await claims.volume_of(self._client, pod, volume)
            for volume in volumes
            if kind_of(volume) in ("persistentVolumeClaim", "ephemeral")
        }
        await self._take_alone(uid, behind)
        images = {
            volume["name"]: await self._image(pod, volume, first) for volume in volumes if kind_of(volume) == "image"
        }

        def work() -> dict[str, Mounted]:
            (self._facts.root / uid / "volumes").mkdir(mode=0o750, parents=True, exist_ok=True)
            self._write(pod, files, first)
            rest = [volume for volume in volumes if volume["name"] not in images]
            return images | {one["name"]: self._mounted(pod, one, behind, first, fresh=before is None) for one in rest}

        try:
            return Prepared(pod, await asyncio.to_thread(work), files, behind, first)
        except (BoxshipError, OSError) as error:
            raise NotPossible("FailedMount", f"cannot make the pod's volumes: {error}") from error

    async def _take_alone(self, uid: str, behind: Mapping[str, Object]) -> None:
        """Raises NotPossible."""
        wanted = {one["metadata"]["uid"]: name for name, one in behind.items() if alone.is_alone(one)}
        if not wanted:
            return
        async with self._taking:
            try:
                taken = await in_thread(alone.take, self._facts.root, uid, wanted)
            except OSError as error:
                raise NotPossible("FailedMount", f"cannot make the pod's volumes: {error}") from error
        if taken:
            why = "volume uses the ReadWriteOncePod access mode and is already in use by another pod"
            raise refused(taken, why)

    async def _first_user(self, pod: Object) -> int:
        """Raises NotPossible."""
        if pod["spec"].get("hostUsers") is not False:
            return 0
        if wrong := ownership.strangers(pod["spec"]):
            why = f"{wrong[0]} is none of the users of a pod with hostUsers: false, who are 0 to {COUNT - 1}"
            raise NotPossible("FailedCreatePodSandBox", f"Failed to create pod sandbox: {why}")
        try:
            return await self._trees.reserve_users(pod["metadata"]["uid"])
        except BoxshipError as error:
            raise NotPossible("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}") from error

    async def _image(self, pod: Object, volume: Mapping[str, Any], first: int) -> Mounted:
        """The agent has pulled it before. Raises NotPossible."""
        reference = str(volume["image"].get("reference") or "")
        try:
            tree = await self._trees.mount_image(pod["metadata"]["uid"], reference)
            return Mounted("image", tree, read_only=True, owner=first)
        except BoxshipError as error:
            raise refused(volume["name"], f'image "{reference}": {error}') from error

    async def _files(self, pod: Object, before: Mapping[str, Files]) -> dict[str, Files]:
        """What is gone by now stays as it was. Raises NotPossible."""
        found: dict[str, Files] = {}
        for volume in pod["spec"].get("volumes") or ():
            name = volume["name"]
            if kind_of(volume) not in WRITTEN:
                continue
            try:
                found[name] = await self._sources.files_of(pod, volume)
            except NotPossible as why:
                if name not in before:
                    raise
                log.warning("cannot update volume %s of pod %s: %s", name, shown(pod), why)
                found[name] = before[name]
        return found

    def _write(self, pod: Object, files: Mapping[str, Files], first: int) -> None:
        """Blocking."""
        if not files:
            return
        root, uid = self._facts.root, pod["metadata"]["uid"]
        self._mounts.memory(root / "memory", mode=0o711)
        (root / "memory" / uid).mkdir(mode=0o711, exist_ok=True)
        for name, wanted in files.items():
            writing.write(memory_folder(root, uid, name), wanted, group=_group(pod), first=first)

    def _mounted(
        self, pod: Object, volume: Mapping[str, Any], behind: Mapping[str, Object], first: int, *, fresh: bool
    ) -> Mounted:
        """Blocking. Raises NotPossible."""
        name, kind, uid = volume["name"], kind_of(volume), pod["metadata"]["uid"]
        if kind in WRITTEN:
            return Mounted("folder", str(memory_folder(self._facts.root, uid, name)), read_only=True, owner=first)
        if kind == "emptyDir":
            return self._empty(pod, volume, first, fresh=fresh)
        if kind == "hostPath":
            return hostpaths.host_path(name, volume["hostPath"], self._facts.root)
        if name in behind:
            found = claims.folder_behind(behind[name], volume, self._facts)
            if found.owned and fresh and not found.read_only:
                self._own(pod, Path(found.path))
            return Mounted(found.kind, found.path, found.read_only)
        raise refused(name, f"unsupported: volumes of kind {kind}")

    def _empty(self, pod: Object, volume: Mapping[str, Any], first: int, *, fresh: bool) -> Mounted:
        source: Mapping[str, Any] = volume.get("emptyDir") or {}
        medium = source.get("medium") or ""
        path = empty_folder(self._facts.root, pod["metadata"]["uid"], volume["name"])
        if medium == "Memory":
            size = memory_size(pod, source, self._facts.memory_bytes)
            self._mounts.memory(path, size=size, mode=0o777, owner=first)
        elif medium:
            raise refused(volume["name"], f"unsupported: emptyDir.medium {medium}")
        elif not path.is_dir():
            path.mkdir(mode=0o777)
            path.chmod(0o777)
        first = first if medium else 0  # on the disk are the ids as the pod knows them
        if fresh:
            self._own(pod, path, first)
        return Mounted("memory" if medium else "folder", str(path), owner=first)

    def _own(self, pod: Object, path: Path, first: int = 0) -> None:
        if _group(pod) >= 0:
            context = pod["spec"].get("securityContext") or {}
            ownership.own(path, first + _group(pod), policy=context.get("fsGroupChangePolicy") or "")

    def _remove(self, uid: str) -> None:
        """Blocking. First what is mounted, then what lies there: nothing is removed through a mount."""
        folder = self._facts.root / uid
        for place in (*folder.glob("volume-subpaths/*/*/*"), *folder.glob("volumes/*")):
            self._mounts.unmount(place)
        for place in folder.glob("volume-subpaths/*/*/*"):
            place.rmdir() if place.is_dir() else place.unlink()  # refused where something is mounted still
        for place in (folder, self._facts.root / "memory" / uid):
            if os.path.lexists(place):
                trees.remove(place)


def _group(pod: Object) -> int:
    """The pod's fsGroup, -1 for none."""
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return -1 if group is None else int(group)


def _shown(pod: Object) -> tuple[Any, ...]:
    """What volumes show of a pod and what may change while it lives."""
    metadata = pod["metadata"]
    return metadata.get("labels"), metadata.get("annotations"), pod["spec"].get("volumes")
