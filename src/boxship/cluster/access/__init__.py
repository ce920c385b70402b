"""How everything that is not the API reads, writes and watches objects: three Protocols of the same words whether the
API is in this process or behind HTTPS.

A resource is named by its path: "v1/pods", "apps/v1/deployments". Errors are `objects.failure.Failure`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.resource import Resource


class Listing(msgspec.Struct, frozen=True, gc=False):
    """Objects of one moment; `version` is the resourceVersion to watch from."""

    items: tuple[Object, ...]
    version: str


class Event(msgspec.Struct, frozen=True, gc=False):
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


class Reader(Protocol):
    async def get(self, resource: str, namespace: str, name: str, *, subresource: str = "") -> Object:
        """Raises Failure NotFound. A cluster's resource has the namespace ""."""

    async def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing: ...


@runtime_checkable
class Pager(Protocol):
    """A Reader that need not hold a long list whole."""

    def pages(
        self, resource: str, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncGenerator[Listing, None]:
        """What `list` gives, piece by piece: all of one moment, which each piece names. At least one piece."""


class Watcher(Protocol):
    def watch(
        self, resource: str, namespace: str = "", *, version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        """Events after `version`, in order, without end; raises Failure Expired where that is too long ago."""


class Writer(Protocol):
    async def create(self, resource: str, namespace: str, object: Object, *, subresource: str = "") -> Object: ...

    async def update(self, resource: str, object: Object, *, subresource: str = "") -> Object:
        """Replace; metadata.resourceVersion is what it must still be. Raises Failure Conflict."""

    async def patch(
        self, resource: str, namespace: str, name: str, patch: Object | Sequence[Object], *, subresource: str = ""
    ) -> Object:
        """A JSON merge patch (a dict) or a JSON patch (a list)."""

    async def apply(
        self, resource: str, namespace: str, name: str, object: Object, *, manager: str, subresource: str = ""
    ) -> Object:
        """Server-side apply, with force."""

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        version: str = "",
        grace: int | None = None,
        propagation: str = "",
    ) -> None: ...


class Discovery(Protocol):
    """Which resources are served now: one for each group, version and plural name."""

    def resources(self) -> Sequence[Resource]: ...

    async def changed(self) -> None:
        """Returns after the next change."""


class Client(Reader, Watcher, Writer, Protocol):
    """All three."""
