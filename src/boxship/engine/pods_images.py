"""Images whose files pods are shown without running them: mounted read-only, one tree for all pods of a machine.

A pod's claim is in the store before anything is mounted, and keeps the image from being removed.
"""

import asyncio
import os

import msgspec

from boxship.engine.places import Places
from boxship.engine.records import Records
from boxship.images.library import Images
from boxship.snapshots.overlay import Snapshots
from boxship.snapshots.showing import hide, show
from boxship.store import Delete, Put, Store

PREFIX = "pod-images/"

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
        wanted = {image.removeprefix("sha256:") for images in self._shown.values() for image in images}
        for name in set(present) - wanted:
            await asyncio.to_thread(hide, folder / name)

    async def mount(self, uid: str, reference: str) -> str:
        """The folder with an image's files, for a pod. Raises NotFound."""
        async with self._lock:
            image = await self._images.resolve(reference)
            shown = self._shown.get(uid, ())
            if image.id not in shown:
                async with self._images.using(image.id):
                    await self._store.commit(Put(PREFIX + uid, msgspec.json.encode((*shown, image.id))))
                    self._shown[uid] = (*shown, image.id)
            target = self._places.shown_image(image.id)
            if image.id not in self._mounted:
                folders = self._snapshots.folders(image.chain_id) if image.chain_id else []
                await asyncio.to_thread(show, folders, target)
                self._mounted.add(image.id)
            return str(target)

    async def release(self, uid: str) -> None:
        """The pod is shown nothing any longer. None there is fine."""
        async with self._lock:
            gone = self._shown.get(uid)
            if gone is None:
                return
            del self._shown[uid]
            left = {image for images in self._shown.values() for image in images}
            for image in gone:
                if image not in left:
                    self._mounted.discard(image)
                    await asyncio.to_thread(hide, self._places.shown_image(image))
            await self._store.commit(Delete(PREFIX + uid))
