"""Brings what a build stands on and copies from: images, contexts, fetched files, repositories."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from boxship.builder.addresses import remote_source
from boxship.builder.authorization import git_environment, web_headers
from boxship.builder.fetching import is_archive
from boxship.builder.graph import ContextSource, GitSource, HttpSource, ImageSource, Source
from boxship.builder.model import BuildRequest, StepProgress
from boxship.builder.operations import FolderTree, LayerTree
from boxship.builder.sources import BuildImages, Fetched, Kept
from boxship.builder.variables import given_arguments, proxies
from boxship.builder.workshop import Loaded, Tell
from boxship.content import Lease, layer_key
from boxship.errors import Conflict, Invalid, NotFound
from boxship.images.model import Image
from boxship.images.remote.credentials import by_domain
from boxship.images.remote.model import PullStep

DOCKERFILE_BYTES = 4 << 20
ATTEMPTS = 3  # to lease an image that somebody removes meanwhile


class Loader:
    """The sources of one build. Images are obtained once, however often they are named."""

    def __init__(self, request: BuildRequest, images: BuildImages, fetched: Fetched | None) -> None:
        self._request = request
        self._images = images
        self._fetched = fetched
        self._credentials = by_domain(request.credentials)
        self._known: dict[ImageSource, Image] = {}
        self._loaded: dict[HttpSource | GitSource, Kept] = {}
        self._stack = contextlib.AsyncExitStack()

    def use(self, request: BuildRequest) -> None:
        """The request is complete now: what stands in the context's .dockerignore is known."""
        self._request = request

    async def image(self, source: ImageSource, progress: Callable[[PullStep], None] | None, lease: Lease) -> Image:
        """An image whose parts stay as long as the lease. Raises NotFound, Denied, Unavailable."""
        known = self._known.get(source)
        if known is not None:
            return known
        for _ in range(ATTEMPTS):
            image = await self._images.obtain(
                source.reference,
                platform=source.platform,
                credentials=self._credentials,
                always=source.always,
                progress=progress,
            )
            for layer in image.layers:
                await lease.add(layer.blob)
                await lease.add(layer_key(layer.chain_id))
            if await self._is_there(image):
                self._known[source] = image
                return image
        raise Conflict(f"cannot use image {source.reference}: it is being removed")

    async def local(self, source: ImageSource) -> Image | None:
        """An image that is here already."""
        try:
            return await self._images.resolve(source.reference)
        except NotFound:
            return None

    async def _is_there(self, image: Image) -> bool:
        """Whether nobody removed it before its parts were leased."""
        try:
            return (await self._images.resolve(image.id)).layers == image.layers
        except NotFound:
            return False

    async def load(self, source: Source, step: str, tell: Tell, lease: Lease) -> Loaded:
        """What a step needs."""
        if isinstance(source, ImageSource):
            before = source in self._known
            image = await self.image(source, progress_of(step, tell), lease)
            return Loaded(LayerTree(image.layers), image, cached=before)
        if isinstance(source, ContextSource):
            return Loaded(self._context(source.name), cached=True)
        if self._fetched is None:
            raise Invalid("cannot fetch: this builder has no way to the network")
        return await self._fetch(source, self._fetched)

    async def _fetch(self, source: HttpSource | GitSource, fetched: Fetched) -> Loaded:
        """Something from elsewhere; it stays until the build ends."""
        if source not in self._loaded:
            if isinstance(source, HttpSource):
                kept = await self._file(source, fetched)
                if source.archive:
                    tree = await self._stack.enter_async_context(fetched.archive(kept.tree.path / kept.name))
                    kept = Kept(tree, fresh=kept.fresh)
            else:
                environment = proxies(given_arguments(self._request.arguments))
                environment |= git_environment(source.url, self._request.secrets)
                kept = await self._stack.enter_async_context(fetched.repository(source, environment))
            self._loaded[source] = kept
        kept = self._loaded[source]
        return Loaded(kept.tree, cached=not kept.fresh)

    async def _file(self, source: HttpSource, fetched: Fetched) -> Kept:
        headers = web_headers(source.url, self._request.secrets)
        return await self._stack.enter_async_context(fetched.file(source, headers))

    async def remote(self, address: str) -> FolderTree | bytes:
        """The context of a build that is given by address: a folder, or the text of a Dockerfile."""
        if self._fetched is None:
            raise Invalid("cannot fetch: this builder has no way to the network")
        source = remote_source(address)
        if isinstance(source, HttpSource):
            kept = await self._file(source, self._fetched)
            path = kept.tree.path / kept.name
            if not await asyncio.to_thread(is_archive, path):
                return await asyncio.to_thread(_text_of, path)
        else:
            keep = given_arguments(self._request.arguments).get("BUILDKIT_CONTEXT_KEEP_GIT_DIR", "")
            source = msgspec.structs.replace(source, keep_git=source.keep_git or keep in ("1", "true"))
        loaded = await self._fetch(source, self._fetched)
        assert isinstance(loaded.tree, FolderTree)
        return loaded.tree

    async def close(self) -> None:
        """Let go what was fetched."""
        await self._stack.aclose()

    def _context(self, name: str) -> FolderTree:
        tree = self._request.contexts[name] if name else self._request.context
        if not isinstance(tree, FolderTree):
            raise Invalid(f"cannot use build context {name}: it is no folder")
        return tree


def progress_of(step: str, tell: Tell) -> Callable[[PullStep], None]:
    """Steps of a pull, told as the progress of a step."""

    def told(pulled: PullStep) -> None:
        if pulled.total:
            tell(StepProgress(step, pulled.id or pulled.status, pulled.current, pulled.total))

    return told


def _text_of(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(DOCKERFILE_BYTES + 1)
    if len(data) > DOCKERFILE_BYTES:
        raise Invalid(f"cannot use {path.name} as a Dockerfile: it has more than {DOCKERFILE_BYTES} bytes")
    return data
