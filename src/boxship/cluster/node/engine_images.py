"""The images half of the machine: what is here, and pulls with one of several credentials."""

import contextlib
from collections.abc import Sequence

from boxship.cluster.node.runtime import Credentials, ImageStatus
from boxship.engine import Engine
from boxship.engine.values import Credentials as RegistryCredentials
from boxship.engine.values import Image, Pulled
from boxship.errors import BoxshipError, Conflict, Denied, Internal, Invalid, NotFound, Unauthenticated

TRY_NEXT = (Unauthenticated, Denied, NotFound)  # registries hide what a caller may not see


class EngineRuntimeImages:
    """image, pull, images, remove_image."""

    def __init__(self, engine: Engine) -> None:
        self._engine_images = engine.images

    async def image(self, reference: str) -> ImageStatus | None:
        try:
            return self._status(await self._engine_images.resolve(reference))
        except (NotFound, Invalid):
            return None

    async def images(self) -> Sequence[ImageStatus]:
        return [self._status(image) for image in await self._engine_images.list()]

    async def pull(self, reference: str, credentials: Sequence[Credentials]) -> ImageStatus:
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
