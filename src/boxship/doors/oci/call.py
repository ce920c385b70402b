"""One request at the door, with what the handlers need of it: names, numbers, ranges, who asks."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping

import msgspec

from boxship.doors.oci.counts import Counts
from boxship.errors import Invalid, Timeout
from boxship.registry import Actor, Registry
from boxship.registry.access import Access, Identity
from boxship.registry.model import Found
from boxship.registry.refusals import ManifestInvalid, UploadInvalid
from boxship.transport.exchange import Reply, Request

PAGE_LIMIT = 10_000  # entries in one reply
NUMBER_DIGITS = 18
AGENT_CHARACTERS = 256

_encode = msgspec.json.Encoder().encode


class Call:
    """A request on its way through a handler. `name` is the repository."""

    __slots__ = ("_access", "actor", "counts", "identity", "names", "registry", "request")

    def __init__(
        self,
        registry: Registry,
        access: Access,
        counts: Counts,
        request: Request,
        names: Mapping[str, str],
        identity: Identity,
    ) -> None:
        self.registry = registry
        self._access = access
        self.counts = counts
        self.request = request
        self.names = names
        self.identity = identity
        agent = request.headers.get("User-Agent", "")[:AGENT_CHARACTERS]  # it may be kept for a while
        self.actor = Actor(identity.user, request.peer, agent, request.client_gone)

    @property
    def name(self) -> str:
        return self.names["name"]

    def text(self, name: str) -> str:
        values = self.request.query.get(name)
        return values[0] if values else ""

    def header(self, name: str) -> str:
        return self.request.headers.get(name, "")

    def may(self, action: str, repository: str = "") -> bool:
        """Whether the client may do it, here or in another repository."""
        return self._access.may(self.identity, repository or self.name, action)

    def lists(self, repository: str) -> bool:
        """Whether the client's catalogue has a repository."""
        return self._access.lists(self.identity, repository)

    async def manifest(self, reference: str) -> Found:
        """The manifest of a tag or digest of this repository."""
        if self.registry.caching.covers(self.name):
            return await self.registry.caching.find(self.name, reference)
        return self.registry.reading.find(self.name, reference)

    async def blob_size(self, digest: str, toucher: Actor | None = None) -> int:
        """Bytes of a blob of this repository."""
        if self.registry.caching.covers(self.name):
            return await self.registry.caching.blob(self.name, digest)
        return self.registry.reading.blob(self.name, digest, toucher)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, counted. Raises Timeout where nothing comes for too long."""
        pieces = aiter(self.request.chunks())
        while True:
            try:
                async with asyncio.timeout(self.registry.settings.stall_seconds):
                    data = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise Timeout(f"cannot go on: nothing came for {self.registry.settings.stall_seconds:g} s") from None
            self.counts.received(len(data))
            yield data

    async def body(self, limit: int) -> bytes:
        """The body of a manifest. Raises ManifestInvalid above `limit` bytes."""
        try:
            data = await self.request.body(limit)
        except Invalid as error:
            raise ManifestInvalid(str(error)) from None
        self.counts.received(len(data))
        return data

    def length(self) -> int | None:
        """Content-Length, where the client says one."""
        text = self.header("Content-Length")
        return int(text) if text.isdecimal() and len(text) <= NUMBER_DIGITS else None

    def chunk_range(self) -> tuple[int | None, int | None]:
        """Where the client's chunk begins and how long it is, of Content-Range and Content-Length. Raises
        UploadInvalid where these contradict each other."""
        text, length = self.header("Content-Range"), self.length()
        if not text:
            return None, length
        match = re.fullmatch(r"(?:bytes[ =]?)?(\d{1,18})-(\d{1,18})(?:/(?:\d{1,18}|\*))?", text.strip())
        if match is None or int(match[2]) < int(match[1]):
            raise UploadInvalid(f"cannot read Content-Range {text[:100]}: write FIRST-LAST")
        start, size = int(match[1]), int(match[2]) - int(match[1]) + 1
        if length is not None and length != size:
            raise UploadInvalid(f"cannot store the chunk: Content-Range {text} is not of {length} bytes")
        return start, size

    def page(self) -> tuple[str, int | None]:
        """The parameters `last` and `n`. Raises Invalid."""
        text = self.text("n")
        if not text:
            return self.text("last"), None
        if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
            raise PageInvalid(f"cannot use n={text[:64]}: it is a number")
        return self.text("last"), min(int(text), PAGE_LIMIT)


class PageInvalid(Invalid):
    """A list is asked for with a number that is none."""

    code = "PAGINATION_NUMBER_INVALID"


def json_reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, {"Content-Type": "application/json", **(headers or {})}, _encode(value) + b"\n")
