"""Pulls and pushes as the images room offers them: each one a stream of news, ended by its result."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial

from boxship.content import Content, Garbage
from boxship.errors import Internal, NotFound
from boxship.images.catalog import Catalog
from boxship.images.loading import Ready
from boxship.images.lookup import find
from boxship.images.model import Image, Layers, Loaded
from boxship.images.remote.client import Remote
from boxship.images.remote.credentials import by_domain
from boxship.images.remote.model import Credentials, Pulled, PullStep, Pushed, PushStep
from boxship.images.remote.news import stream
from boxship.images.remote.pulling import Judge, Puller
from boxship.images.remote.pushing import KeptSignatures, Name, Pusher
from boxship.spec import platform as platforms
from boxship.spec.image import Platform
from boxship.spec.reference import Reference, parse


class Traffic:
    """What goes on between this machine and registries."""

    def __init__(
        self,
        content: Content,
        layers: Layers,
        garbage: Garbage,
        catalog: Catalog,
        settle: Callable[[Ready], Awaitable[Loaded]],
        name: Name,
        remote: Remote,
        judge: Judge,
        signatures: KeptSignatures,
    ) -> None:
        self._catalog = catalog
        self._puller = Puller(content, layers, garbage, catalog, settle, remote, judge)
        self._pusher = Pusher(content, garbage, catalog, name, remote, signatures)
        self.recover = self._puller.keeper.recover
        self.expire = self._puller.keeper.run

    def pull(
        self,
        reference: Reference,
        *,
        platform: Platform | None = None,
        credentials: Credentials | None = None,
        every_tag: bool = False,
    ) -> AsyncGenerator[PullStep | Pulled, None]:
        """Fetch an image, or every tag of a repository."""
        return stream(partial(self._puller.pull, reference, platform, credentials, every_tag))

    def push(
        self,
        reference: Reference,
        *,
        platform: Platform | None = None,
        credentials: Credentials | None = None,
        every_tag: bool = False,
    ) -> AsyncGenerator[PushStep | Pushed, None]:
        """Send an image, or every tag of a repository."""
        return stream(partial(self._pusher.push, reference, platform, credentials, every_tag))

    async def obtain(
        self,
        text: str,
        *,
        platform: Platform | None = None,
        credentials: Mapping[str, Credentials | Mapping[str, object]] | None = None,
        always: bool = False,
        progress: Callable[[PullStep], None] | None = None,
    ) -> Image:
        """The image that a name stands for: the one that is here, where it fits the platform and nobody wants it
        `always` fresh; else pulled. `credentials` are by the registry, as clients name it."""
        if not always and (here := self._here(text, platform)) is not None:
            return here
        reference = parse(text)
        identifier = ""
        pulling = self.pull(
            reference, platform=platform, credentials=by_domain(credentials or {}).get(reference.domain)
        )
        async with contextlib.aclosing(pulling) as steps:
            async for step in steps:
                if isinstance(step, Pulled):
                    identifier = step.image_id
                elif progress is not None:
                    progress(step)
        if not self._catalog.shows(identifier):
            raise Internal(f"cannot use image {text}: it was removed while it was pulled")
        return self._catalog.image(identifier)

    def _here(self, text: str, platform: Platform | None) -> Image | None:
        try:
            image = self._catalog.image(find(self._catalog, text))
        except NotFound:
            return None
        offered = Platform(image.config.architecture, image.config.os, image.config.variant)
        return image if platform is None or platforms.matches(platform, offered) else None

    async def close(self) -> None:
        """Pause what is under way."""
        await self._puller.downloads.close()
