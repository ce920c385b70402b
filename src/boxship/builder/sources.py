"""What a build reaches outside for: images, files on web servers, git repositories. Protocols, filled in by `main`."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from boxship.builder.graph import GitSource, HttpSource
from boxship.builder.model import CacheRecord
from boxship.builder.operations import FolderTree
from boxship.images.model import Image, Layer
from boxship.images.remote.model import Credentials, PullStep, Pushed, PushStep
from boxship.images.remote.repository import Repository
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

    async def admit(self, reference: str, image: Image) -> None:
        """Raises Denied for an image that the operator's policy refuses."""

    async def admit_pull(
        self, reference: Reference, manifest_digest: str, repositories: Sequence[Repository]
    ) -> object:
        """The same for what a registry has."""

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


class Kept(msgspec.Struct, frozen=True):
    """Something that was fetched: a folder with its files, `name` the only one where it is a file. `fresh`: it came
    just now."""

    tree: FolderTree
    name: str = ""
    fresh: bool = False


class Fetcher(Protocol):
    """GET over HTTP; redirects are followed, and credentials in an address go to its own host alone. Raises
    Unavailable where nobody answers."""

    def get(self, url: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Answer]: ...


class Repositories(Protocol):
    """git. `commit_of` asks what a source means now, `checkout` brings that commit's files into an empty folder."""

    async def commit_of(self, source: GitSource, environment: Mapping[str, str]) -> str: ...

    async def checkout(self, source: GitSource, commit: str, folder: Path, environment: Mapping[str, str]) -> None: ...


class Fetched(Protocol):
    """What was fetched for builds: kept while it does not change, and for as long as the block where it is used."""

    def file(self, source: HttpSource, headers: Mapping[str, str] = {}) -> AbstractAsyncContextManager[Kept]: ...

    def repository(self, source: GitSource, environment: Mapping[str, str]) -> AbstractAsyncContextManager[Kept]: ...

    def archive(self, path: Path) -> AbstractAsyncContextManager[FolderTree]: ...

    async def shown(self) -> list[CacheRecord]: ...

    async def remove(self, identifier: str) -> bool: ...
