"""The images half of the machine: what is here, and pulls with one of several credentials."""

import contextlib
from collections.abc import AsyncIterator, Sequence

from boxship.cluster.node.peers import Peers
from boxship.cluster.node.runtime import Credentials, ImageStatus
from boxship.cluster.node.server.images import SharedImage
from boxship.engine import Engine
from boxship.engine.values import Credentials as RegistryCredentials
from boxship.engine.values import Image, Pulled
from boxship.errors import BoxshipError, Conflict, Denied, Internal, Invalid, NotFound, Unauthenticated
from boxship.spec.reference import DEFAULT_DOMAIN, parse

TRY_NEXT = (Unauthenticated, Denied, NotFound)  # registries hide what a caller may not see


class EngineSharedImages:
    """Implements what the node's server shows to other nodes, and what peers bring their images to."""

    def __init__(self, engine: Engine) -> None:
        self._images = engine.images

    async def find(self, reference: str) -> SharedImage | None:
        try:
            image = await self._images.resolve(reference)
            known = ImageStatus(image.id, digests=image.digests, local=not image.digests)
            return SharedImage(image.id, image.tagged_at) if known.is_local(reference) else None
        except (NotFound, Invalid):
            return None

    def archive(self, id: str) -> AsyncIterator[bytes]:
        return self._images.save([id])

    async def take(self, archive: AsyncIterator[bytes], id: str, reference: str) -> None:
        async for _ in self._images.load(archive, only=id):
            pass
        await self._images.tag(id, reference)


def names_of(reference: str) -> Sequence[str]:
    """The forms in which a node's status may tell of it."""
    try:
        found = parse(reference).with_default_tag()
    except Invalid:
        return [reference]
    return [reference, str(found), found.familiar]


class EngineRuntimeImages:
    """image, pull, images, remove_image. For a name that says no registry, which is how images are called that are
    built in the cluster, `peers` are asked first; for one that does, the registry."""

    def __init__(self, engine: Engine, peers: Peers | None = None) -> None:
        self._engine_images = engine.images
        self._peers = peers

    async def image(self, reference: str) -> ImageStatus | None:
        try:
            return self._status(await self._engine_images.resolve(reference))
        except (NotFound, Invalid):
            return None

    async def images(self) -> Sequence[ImageStatus]:
        return [self._status(image) for image in await self._engine_images.list()]

    async def pull(self, reference: str, credentials: Sequence[Credentials]) -> ImageStatus:
        says_registry = parse(reference).domain != DEFAULT_DOMAIN
        if not says_registry and (found := await self._of_peers(reference)):
            return found
        try:
            return await self._of_registry(reference, credentials)
        except BoxshipError:
            if says_registry and (found := await self._of_peers(reference)):
                return found
            raise

    async def _of_peers(self, reference: str) -> ImageStatus | None:
        if self._peers is None or not await self._peers.fetch(reference):
            return None
        return self._status(await self._engine_images.resolve(reference))

    async def _of_registry(self, reference: str, credentials: Sequence[Credentials]) -> ImageStatus:
        failure: BoxshipError | None = None
        for each in (*credentials, None):
            try:
                return await self._pull(reference, each)
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
        config = image.config.config
        return ImageStatus(
            id=image.id,
            tags=image.references,
            digests=image.digests,
            size=image.size,
            user=(config.User or "") if config else "",
            local=not image.digests,
            used_at=self._engine_images.used_at(image.id),
        )
