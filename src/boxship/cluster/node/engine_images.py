"""The images half of the machine: what is here, and pulls with one of several credentials."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import msgspec

from boxship.cluster.node.peers import Peers
from boxship.cluster.node.pulled import PullRecords
from boxship.cluster.node.runtime import PULLS, Credentials, ImageStatus, PulledImage
from boxship.cluster.node.server.images import SharedImage
from boxship.engine import Engine
from boxship.engine.values import Credentials as RegistryCredentials
from boxship.engine.values import Image, Pulled
from boxship.errors import (
    BoxshipError,
    Conflict,
    Denied,
    Exhausted,
    Internal,
    Invalid,
    NotFound,
    Timeout,
    Unauthenticated,
    Unavailable,
)
from boxship.spec.reference import DEFAULT_DOMAIN, parse

TRY_NEXT = (Unauthenticated, Denied, NotFound)  # registries hide what a caller may not see
AWAY = (NotFound, Unavailable)  # it has no such image, or is not there: then a node may have built it
ARCHIVE_EXTRA, LAYER_EXTRA = 4 << 20, 4 << 10  # bytes of an archive besides its layers: documents, headers
FILES_EXTRA = 16 << 20  # and of layers' archives, besides what they take on the disk
TAKE_SECONDS, SLOWEST = 60.0, 128 << 10  # for an image of another node, and bytes a second
LONGEST = 1800.0  # seconds for it, how large it is said to be
PACE_BYTES, PACE_SECONDS = 4 << 20, 30.0  # of it that have to come while nothing but it is waited for


class EngineSharedImages:
    """Implements what the node's server shows to other nodes, and what peers bring their images to."""

    def __init__(self, engine: Engine, records: PullRecords, *, shared: bool = True) -> None:
        self._engine = engine
        self._images = engine.images
        self._records = records
        self._shared = shared

    async def find(self, reference: str) -> SharedImage | None:
        """By its own name alone: whoever knows an id or a digest has no right to the image yet."""
        if not self._shared:
            return None
        try:
            name = str(parse(reference).with_default_tag())
            await self._records.recover(self._all)
            image = await self._images.resolve(name)
        except (NotFound, Invalid):
            return None
        known = _status(image, self._records)
        if name not in known.names:
            return None
        if not known.is_local(name) or not self._records.is_open(known, name):
            return SharedImage(registry=True)
        return SharedImage(
            id=image.id,
            made_at=image.tagged_at,
            size=sum(layer.blob_size + LAYER_EXTRA for layer in image.layers) + ARCHIVE_EXTRA,
            unpacked=image.size,
            origin=known.nodes.get(name, ""),
        )

    async def _all(self) -> Sequence[ImageStatus]:
        return [_status(image, self._records) for image in await self._images.list()]

    def archive(self, id: str) -> AsyncIterator[bytes]:
        return self._images.save([id])

    async def take(self, archive: AsyncIterator[bytes], image: SharedImage, reference: str, node: str) -> None:
        size = max(image.size, 1)
        files = size + 2 * max(image.unpacked, 0) + FILES_EXTRA
        machine = await self._engine.pod_usage.machine()
        if size + files > machine.disk_available:
            raise Exhausted(f"it may need {size + files} bytes, and {machine.disk_available} are free here")
        await self._records.begin(reference, node)
        try:
            async with asyncio.timeout(min(TAKE_SECONDS + size / SLOWEST, LONGEST)):
                async for _ in self._images.load(paced(archive), only=image.id, limit=size, files=files):
                    pass
        except TimeoutError:
            raise Timeout(f"it came slower than {SLOWEST} bytes a second, or took {LONGEST:g} s") from None
        await self._images.tag(image.id, reference)


async def paced(archive: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same, for as long as enough of it comes: what is done with it takes none of its time. Raises Timeout."""
    now = asyncio.get_running_loop().time
    came, left = 0, PACE_SECONDS
    while True:
        began = now()
        try:
            async with asyncio.timeout(left):
                chunk = await anext(archive, None)
        except TimeoutError:
            raise Timeout(f"{came} bytes came in {PACE_SECONDS:g} s, fewer than {PACE_BYTES}") from None
        if chunk is None:
            return
        came, left = came + len(chunk), left - (now() - began)
        if came >= PACE_BYTES:
            came, left = 0, PACE_SECONDS
        yield chunk


def names_of(reference: str) -> Sequence[str]:
    """The forms in which a node's status may tell of it."""
    try:
        found = parse(reference).with_default_tag()
    except Invalid:
        return [reference]
    return [reference, str(found), found.familiar]


class EngineRuntimeImages:
    """image, pull, images, remove_image. For a name that says no registry, which is how images are called that are
    built in the cluster, `peers` are asked first; for one that does, the registry, and nodes where that has none. What
    a registry gave once comes from nowhere else."""

    def __init__(self, engine: Engine, peers: Peers | None = None, records: PullRecords | None = None) -> None:
        self._engine_images = engine.images
        self._peers = peers
        self._records = records or PullRecords()
        self._turns = asyncio.Semaphore(PULLS)

    async def image(self, reference: str) -> ImageStatus | None:
        try:
            return self._status(await self._engine_images.resolve(reference))
        except (NotFound, Invalid):
            return None

    async def images(self) -> Sequence[ImageStatus]:
        return [self._status(image) for image in await self._engine_images.list()]

    async def pull(self, reference: str, credentials: Sequence[Credentials]) -> PulledImage:
        here = await self.image(reference)
        if here is not None:
            node = here.nodes.get(reference, "")
            return (
                await self._renewed(reference, here, node) if node else await self._of_registry(reference, credentials)
            )
        says_registry = parse(reference).domain != DEFAULT_DOMAIN
        if not says_registry and (found := await self._of_peers(reference)):
            return found
        try:
            return await self._of_registry(reference, credentials)
        except AWAY:
            if says_registry and (found := await self._of_peers(reference)):
                return found
            raise

    async def is_elsewhere(self, image: ImageStatus) -> bool:
        if self._peers is None:
            return False
        for name, node in image.nodes.items():
            if name in image.names and not await self._peers.has(name, node, image.id):
                return False
        return True

    async def _renewed(self, reference: str, here: ImageStatus, node: str) -> PulledImage:
        if self._peers is not None and await self._peers.renew(reference, node, here.id):
            here = self._status(await self._engine_images.resolve(reference))
        return PulledImage(here, node=node)

    async def _of_peers(self, reference: str) -> PulledImage | None:
        if self._peers is None or not (node := await self._peers.fetch(reference)):
            return None
        return PulledImage(self._status(await self._engine_images.resolve(reference)), node=node)

    async def _of_registry(self, reference: str, credentials: Sequence[Credentials]) -> PulledImage:
        failure: BoxshipError | None = None
        now = asyncio.get_running_loop().time
        began = now()
        async with self._turns:
            waited = now() - began
            for each in (*credentials, None):
                try:
                    return PulledImage(await self._pull(reference, each), each, waited=waited)
                except TRY_NEXT as error:
                    failure = failure or error
        raise failure or Internal(f"cannot pull {reference}")

    async def _pull(self, reference: str, credentials: Credentials | None) -> ImageStatus:
        told = None
        if credentials is not None:
            told = RegistryCredentials(credentials.username, credentials.password, identity_token=credentials.token)
        pulled = ""
        async with contextlib.aclosing(self._engine_images.pull(reference, credentials=told)) as steps:
            async for step in steps:
                if isinstance(step, Pulled):
                    pulled = step.image_id
        if not pulled:
            raise Internal(f"cannot pull {reference}: nothing came")
        return self._status(await self._engine_images.resolve(pulled))

    async def remove_image(self, id: str) -> None:
        with contextlib.suppress(NotFound):
            image = await self._engine_images.resolve(id)
            if user := self._engine_images.user_of(image.id):
                raise Conflict(f"cannot remove image {id}: {user} uses it")
            await self._engine_images.remove(image.id, force=True)

    def _status(self, image: Image) -> ImageStatus:
        known = _status(image, self._records)
        config = image.config.config
        user = (config.User or "") if config else ""
        used_at = max(
            self._engine_images.used_at(image.id), image.tagged_at
        )  # what has just come is not unused for long
        return msgspec.structs.replace(known, user=user, used_at=used_at)


def _status(image: Image, records: PullRecords) -> ImageStatus:
    return ImageStatus(
        id=image.id,
        tags=image.references,
        digests=image.digests,
        size=image.size,
        local=not image.digests,
        nodes=dict(records.nodes_of(image.id)),
    )
