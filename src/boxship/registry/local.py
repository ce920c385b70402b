"""What the registry needs from elsewhere: the engine's images under its own address, and other registries."""

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec


class LocalManifest(msgspec.Struct, frozen=True):
    """A manifest of the engine's that has a name here. `since` is when it got it, in nanoseconds; `index` is the index
    that it was chosen from, where there was one."""

    digest: str
    media_type: str
    since: int = 0
    index: str = ""


class LocalImages(Protocol):
    """Images that the engine has under the registry's own address; they are served without any push."""

    def resolve(self, repository: str, reference: str) -> LocalManifest | None:
        """What a tag or a digest stands for."""

    def holds(self, repository: str, digest: str) -> bool:
        """Whether an image of that repository consists of that blob, among others."""

    def tags(self, repository: str) -> list[str]: ...

    def repositories(self) -> list[str]: ...


class UpstreamManifest(msgspec.Struct, frozen=True):
    """A manifest as another registry has it; the digest has been compared with the bytes."""

    digest: str
    media_type: str
    data: bytes


class Upstream(Protocol):
    """Another registry. Raises NotFound where it has no such thing, Unavailable where it does not answer, Denied or
    Unauthenticated where it refuses us."""

    async def digest(self, repository: str, tag: str) -> str:
        """What a tag stands for now; "" where it does not say without sending the manifest."""

    async def manifest(self, repository: str, reference: str) -> UpstreamManifest: ...

    def blob(self, repository: str, digest: str) -> AsyncIterator[bytes]: ...
