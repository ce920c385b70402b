"""What a build reaches outside for: images, files on web servers, git repositories. Protocols, filled in by `main`."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from boxship.builder.graph import GitSource, HttpSource
from boxship.builder.solve import Loaded
from boxship.content import Lease
from boxship.images.model import Image, Layer
from boxship.images.remote.model import Credentials, PullStep, Pushed, PushStep
from boxship.spec.image import ImageConfig, Platform
from boxship.spec.reference import Reference


class BuildImages(Protocol):
    """The images room, as the builder uses it."""

    async def obtain(
        self,
        text: str,
        *,
        platform: Platform | None = None,
        credentials: Mapping[str, Credentials] | None = None,
        always: bool = False,
        progress: Callable[[PullStep], None] | None = None,
    ) -> Image: ...

    def push(
        self, reference: Reference, *, credentials: Credentials | None = None
    ) -> AsyncIterator[PushStep | Pushed]: ...

    async def resolve(self, reference: str) -> Image: ...

    async def assemble(
        self,
        config: ImageConfig,
        layers: Sequence[Layer],
        *,
        names: Sequence[Reference] = (),
        parent: str = "",
        hidden: bool = False,
        annotations: Mapping[str, str] = {},
    ) -> Image: ...


class Answer(msgspec.Struct, frozen=True):
    """What a web server said: status, headers by lower-case name, and the body as it comes."""

    status: int
    headers: dict[str, str]
    body: AsyncIterator[bytes]


class Fetcher(Protocol):
    """GET over HTTP; redirects are followed, credentials in the address are sent to its own host alone. Raises
    Unavailable where nobody answers."""

    def get(self, url: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Answer]: ...


class Repositories(Protocol):
    """Checks git repositories out into a folder; returns the commit."""

    async def checkout(self, source: GitSource, folder: Path) -> str: ...

    async def commit_of(self, source: GitSource) -> str:
        """The commit that the reference means now, without a checkout."""


class Fetched(Protocol):
    """What was fetched for a build; the same thing is fetched once, and kept while it does not change."""

    async def file(self, source: HttpSource, lease: Lease) -> Loaded: ...

    async def repository(self, source: GitSource, lease: Lease) -> Loaded: ...
