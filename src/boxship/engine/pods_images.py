"""Images whose files pods are shown without running them: mounted read-only, one tree for all pods of a machine but
those with users of their own, which have each its own.

A pod's claim is in the store before anything is mounted, and keeps the image from being removed.
"""

import asyncio
import os
from pathlib import Path

import msgspec

from boxship.engine.places import Places
from boxship.engine.records import Records
from boxship.images.library import Images
from boxship.runtime import sharing
from boxship.snapshots.overlay import Snapshots
from boxship.snapshots.showing import hide
from boxship.spec.users import UserMap
from boxship.store import Delete, Put, Store
from boxship.waiting import in_thread

PREFIX = "pod-images/"
PASSING = ".users"  # ends the name of a namespace that is there only while something is mounted
NOBODY = UserMap()

_decode = msgspec.json.Decoder(tuple[str, ...]).decode


class PodImages:
    """mount and release."""

    def __init__(self, store: Store, records: Records, images: Images, snapshots: Snapshots, places: Places) -> None:
        self._store = store
        self._shown = records.shown_images
        self._images = images
        self._snapshots = snapshots
        self._places = places
        self._mounted: set[str] = set()  # by this run of the daemon
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """Read who is shown what; take away what nobody is shown."""
        for entry in (await self._store.list(PREFIX)).entries:
            self._shown[entry.key.removeprefix(PREFIX)] = _decode(entry.value)
        folder = self._places.run / "images"
        present = os.listdir(folder) if folder.is_dir() else []
        wanted = {
            self._places.shown_image(image, owner).name
            for uid, images in self._shown.items()
            for image in images
            for owner in ("", uid)
        }
        for name in set(present) - wanted:
            leave = sharing.let_go if name.endswith(PASSING) else hide
            await asyncio.to_thread(leave, folder / name)

    async def mount(self, uid: str, reference: str, users: UserMap = NOBODY) -> str:
        """The folder with an image's files, for a pod; `users` are its own, where it has some. Raises NotFound."""
        async with self._lock:
            image = await self._images.resolve(reference)
            shown = self._shown.get(uid, ())
            if image.id not in shown:
                async with self._images.using(image.id):
                    await self._store.commit(Put(PREFIX + uid, msgspec.json.encode((*shown, image.id))))
                    self._shown[uid] = (*shown, image.id)
            target = self._places.shown_image(image.id, uid if users else "")
            if target.name not in self._mounted:
                folders = self._snapshots.folders(image.chain_id) if image.chain_id else []
                await in_thread(self._show, folders, target, users)
                self._mounted.add(target.name)
            return str(target)

    def _show(self, folders: list[str], target: Path, users: UserMap) -> None:
        """The pod's own namespace is not there yet: any with the same ids says who sees what."""
        if not users:
            self._snapshots.show(folders, target, users)
            return
        place = target.with_name(f"{target.name}{PASSING}")
        sharing.make_namespaces({"user": place}, users)
        try:
            self._snapshots.show(folders, target, msgspec.structs.replace(users, path=str(place)))
        finally:
            sharing.let_go(place)

    async def release(self, uid: str) -> None:
        """The pod is shown nothing any longer. None there is fine."""
        async with self._lock:
            gone = self._shown.get(uid)
            if gone is None:
                return
            del self._shown[uid]
            left = {image for images in self._shown.values() for image in images}
            own = [self._places.shown_image(image, uid) for image in gone]
            for target in (*own, *(self._places.shown_image(image) for image in gone if image not in left)):
                self._mounted.discard(target.name)
                await asyncio.to_thread(hide, target)
            await self._store.commit(Delete(PREFIX + uid))
