"""Is everything there that the records name, and is it what it was? What is found says what a user can do about it.

It runs beside everything else and holds nothing up; what it finds is asked again of the claims and records at the
moment in which it is told, so that what others remove or bring meanwhile is no finding. With `repair` it does what
cannot lose anything: a damaged blob is moved into quarantine, so that the next pull or push brings it again; a layer
that is gone is unpacked again from its blob; what nobody needs goes. It must never delete what a record names.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

import msgspec

from boxship.content import Content, Garbage, Lease, layer_key
from boxship.content.garbage import LAYER
from boxship.content.scrubbing import scrub
from boxship.engine.model import ALIVE, Phase
from boxship.engine.records import Records
from boxship.errors import BoxshipError, NotFound
from boxship.images.examining import layer_at, troubles, users_of
from boxship.images.library import Images
from boxship.images.unpack import restore
from boxship.snapshots.overlay import Snapshots
from boxship.spec import digest as digests
from boxship.volumes.volumes import Volumes

LOOKS_AT_ONCE = 100  # things looked at in one step of the loop
Witness = Callable[[str], Sequence[str]]
RESTORED = "unpacked again"
RATE = 200 << 20  # bytes a second that a check reads, unless asked otherwise
ADVICE = {
    "images": "pull or load the image again",
    "registry": "push to the repository again",
    "build cache": "build again, or prune the build cache",
    "signatures": "sign or pull the image again",
    "interrupted pulls": "pull again",
}

log = logging.getLogger(__name__)


class Found(msgspec.Struct, frozen=True):
    """One thing that is not as it should be. `users` need it; `repaired` says what was done, "" for nothing."""

    what: str
    problem: str
    users: tuple[str, ...] = ()
    advice: str = ""
    repaired: str = ""


class Looked(msgspec.Struct, frozen=True):
    """How far a part of the check is: `done` of `total`, bytes for blobs, else things."""

    part: str
    done: int
    total: int


class Inspection:
    """Checks the store of one engine."""

    def __init__(
        self,
        content: Content,
        garbage: Garbage,
        snapshots: Snapshots,
        images: Images,
        volumes: Volumes,
        records: Records,
        witness: Witness | None = None,
    ) -> None:
        """`witness` tells which things of others need a blob, by names that people know."""
        self._witness = witness
        self._content = content
        self._garbage = garbage
        self._snapshots = snapshots
        self._images = images
        self._volumes = volumes
        self._records = records
        self._running = asyncio.Lock()
        self._told: set[str] = set()  # blobs that this check has told of

    async def run(self, *, repair: bool = False, rate: int = RATE) -> AsyncGenerator[Looked | Found, None]:
        """Check everything; `rate` in bytes a second, 0 for no bound. A second check waits for the first."""
        async with self._running:
            self._told.clear()
            steps = (
                self._blobs(repair, rate),
                self._missing(),
                self._layers(repair),
                self._orphans(repair),
                self._quarantine(repair),
                self._others(),
            )
            for step in steps:
                async for event in step:
                    yield event

    async def _blobs(self, repair: bool, rate: int) -> AsyncGenerator[Looked | Found, None]:
        total = await self._content.usage()
        done = 0
        yield Looked("blobs", done, total)
        async for blob in scrub(self._content, self._garbage, rate, quarantine=repair):
            done += blob.size
            yield Looked("blobs", done, max(total, done))
            if blob.problem:
                self._told.add(blob.digest)
                yield await self._found(
                    f"blob {blob.digest}",
                    blob.problem,
                    blob.digest,
                    "moved to content/quarantine" if repair else "",
                    "" if repair else "run the check with --repair; then ",
                )

    async def _missing(self) -> AsyncGenerator[Looked | Found, None]:
        """What somebody claims and is not there. Layers come in their own step."""
        keys = [key for key in self._garbage.claims if not key.startswith(LAYER)]
        yield Looked("references", 0, len(keys))
        for count, key in enumerate(keys):
            if count % LOOKS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if not self._content.exists(key) and self._garbage.claims.get(key) and key not in self._told:
                yield await self._found(f"blob {key}", "it is not there", key)
        yield Looked("references", len(keys), len(keys))

    async def _layers(self, repair: bool) -> AsyncGenerator[Looked | Found, None]:
        chains = sorted(key.removeprefix(LAYER) for key in self._garbage.claims if key.startswith(LAYER))
        for count, chain_id in enumerate(chains):
            if count % LOOKS_AT_ONCE == 0:
                yield Looked("layers", count, len(chains))
            async with self._garbage.lease() as lease:
                if not self._garbage.claims.get(layer_key(chain_id)):
                    continue  # it has gone meanwhile
                await lease.add(layer_key(chain_id))
                if problem := await self._examine(chain_id, lease):
                    done = await self._restore(chain_id) if repair else ""
                    hint = "run the check with --repair, or " if not repair else ""
                    yield await self._found(f"layer {chain_id}", problem, layer_key(chain_id), done, hint)
        yield Looked("layers", len(chains), len(chains))

    async def _examine(self, chain_id: str, lease: Lease) -> str:
        """What is wrong with a layer that is claimed and leased. Only images need those below it: a layer of the build
        cache may have lost its base, and waits for a build that brings it again."""
        key = layer_key(chain_id)
        of_images = self._garbage.owners["images"]
        if not await self._snapshots.examine_layer(chain_id, below=key in of_images):
            return ""
        known = layer_at(self._images.catalog, chain_id)
        if known is not None and (below := known[1].parent) is not None:
            await lease.add(layer_key(below))  # it may have been on its way out while this one was looked at
        problem = await self._snapshots.examine_layer(chain_id, below=key in of_images)
        return problem if self._garbage.claims.get(key) else ""

    async def _restore(self, chain_id: str) -> str:
        """Unpack a layer again, and those below it where they need it too, if no container runs on it and its blob is
        whole; what was done."""
        known = layer_at(self._images.catalog, chain_id)
        if known is None or self._runs_on(chain_id):
            return ""
        layer, place = known
        below = place.parent
        if below is not None and await self._snapshots.examine_layer(below) and not await self._restore(below):
            return ""
        if await self._snapshots.examine_layer(chain_id):
            try:
                await restore(self._content, self._snapshots, layer, place)
            except BoxshipError as error:
                log.warning("cannot unpack layer %s again: %s", chain_id, error)
                return ""
        return RESTORED

    def _runs_on(self, chain_id: str) -> bool:
        """Whether a container lives whose image has the layer."""
        catalog = self._images.catalog
        images = {box.image_id for box in self._records if box.state.phase in ALIVE and catalog.has(box.image_id)}
        return any(layer.chain_id == chain_id for image in images for layer in catalog.record(image).layers)

    async def _orphans(self, repair: bool) -> AsyncGenerator[Looked | Found, None]:
        """What nobody claims and nobody makes, and does not go by itself."""
        keys = [*await self._content.list(), *map(layer_key, self._snapshots.layers())]
        lost = []
        for count, key in enumerate(keys):
            if count % LOOKS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if self._is_lost(key):
                lost.append(key)
        for key in lost:
            if not self._is_lost(key):
                continue
            what = f"layer {key.removeprefix(LAYER)}" if key.startswith(LAYER) else f"blob {key}"
            yield Found(
                what, "nobody needs it", (), "" if repair else "--repair removes it", "removed" if repair else ""
            )
        if repair and lost:
            await self._garbage.sweep()
        for path in await self._content.strays():
            yield Found(f"{self._content.root / path}", "it is no blob", (), "look what it is, and remove it yourself")

    def _is_lost(self, key: str) -> bool:
        """Whether it is there at this moment, and will be."""
        if self._garbage.claims.get(key) or self._garbage.leases.get(key) or self._garbage.is_going(key):
            return False
        return self._snapshots.holds(key.removeprefix(LAYER)) if key.startswith(LAYER) else self._content.exists(key)

    async def _quarantine(self, repair: bool) -> AsyncGenerator[Looked | Found, None]:
        for digest in await self._content.quarantine.list():
            back = self._content.exists(digest)
            if not back and self._garbage.claims.get(digest):
                continue  # told among what is missing
            if repair:
                await self._content.quarantine.drop(digest)
            problem = "it is in quarantine, and a good one is here" if back else "it is in quarantine, nobody needs it"
            repaired = "deleted from quarantine" if repair else ""
            yield Found(f"blob {digest}", problem, (), "" if repair else "--repair deletes it", repaired)

    async def _others(self) -> AsyncGenerator[Looked | Found, None]:
        """Records whose parts are elsewhere: images, names, containers, volumes."""
        for trouble in troubles(self._images.catalog):
            yield Found(trouble.what, trouble.why, (), "pull or load the image again, or remove it")
        boxes = list(self._records)
        for count, box in enumerate(boxes):
            if count % LOOKS_AT_ONCE == 0:
                yield Looked("containers", count, len(boxes))
                await asyncio.sleep(0)
            for found in self._troubles_of(box.id):
                yield found
        for count, volume in enumerate(self._volumes.list()):
            if count % LOOKS_AT_ONCE == 0:
                await asyncio.sleep(0)
            with contextlib.suppress(NotFound):  # it has gone meanwhile
                if not _is_folder(self._volumes.get(volume.name).mountpoint):
                    why = "its data is gone"
                    yield Found(f"volume {volume.name}", why, (), "restore its data, or remove the volume")

    def _troubles_of(self, container_id: str) -> list[Found]:
        """What a container lacks at this moment; nothing of one that is being made or removed."""
        box = self._records.find(container_id)
        if box is None or box.state.phase in (Phase.CREATING, Phase.REMOVING, Phase.DEAD):
            return []
        name = f"container {box.name}"
        found = []
        if not self._images.catalog.has(box.image_id):
            why = f"its image {digests.short(box.image_id)} is not here"
            found.append(Found(name, why, (), "load the image again"))
        if not self._snapshots.has_snapshot(box.id):
            found.append(Found(name, "its writable layer is gone", (), "remove the container and create it again"))
        for point in box.mounts:
            if point.kind == "volume" and not _is_folder(point.source):
                why = f"the data of its volume {point.name} is gone"
                found.append(Found(name, why, (), "restore the volume's data"))
        return found

    async def _found(self, what: str, problem: str, key: str, repaired: str = "", hint: str = "") -> Found:
        """A finding about a blob or layer, with who needs it and what helps them."""
        owners = [name for name, claims in self._garbage.owners.items() if claims.get(key)]
        users = {"images": await users_of(self._images.catalog, key)}
        if self._witness is not None:
            users["registry"] = list(self._witness(key))
        shown = tuple(user for name in owners for user in users.get(name) or [name])
        advice = "; ".join(ADVICE.get(name, name) for name in owners)
        return Found(what, problem, shown, f"{hint}{advice}" if repaired != RESTORED else "", repaired)


def _is_folder(path: str) -> bool:
    return Path(path).is_dir()
