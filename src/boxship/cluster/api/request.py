"""One request to the API and its answer, as the door and controllers in this process make and read them."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping

import msgspec

from boxship.cluster.objects.resource import Resource
from boxship.transport.exchange import close_stream

SYSTEM_MASTERS = "system:masters"


class User(msgspec.Struct, frozen=True):
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = {}


class Options(msgspec.Struct, frozen=True):
    """Query parameters and DeleteOptions, decoded and checked (API concepts, "Resource versions", "Dry-run" …)."""

    dry_run: bool = False
    field_validation: str = "Warn"  # Strict, Warn, Ignore
    field_manager: str = ""
    force: bool = False
    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    token: str = ""  # `continue`
    version: str = ""  # resourceVersion
    match: str = ""  # resourceVersionMatch: "", Exact, NotOlderThan
    bookmarks: bool = False
    initial_events: bool = False
    timeout: float | None = None  # seconds
    grace: int | None = None  # gracePeriodSeconds
    propagation: str = ""  # Orphan, Background, Foreground
    precondition_uid: str = ""
    precondition_version: str = ""
    ignore_store_read_error: bool = False
    parameters: Mapping[str, tuple[str, ...]] = {}  # all of them as they came, for connects


class View(msgspec.Struct, frozen=True):
    """How objects are answered: whole, as PartialObjectMetadata, or as rows of a Table (`include`: None, Metadata,
    Object)."""

    form: str = "whole"  # whole, metadata, table
    include: str = "Metadata"


class Body(msgspec.Struct, frozen=True):
    """What was sent: raw bytes and their media type, without parameters. `twice` are texts about fields that stood
    twice in it, where it was rewritten on the way here."""

    media_type: str
    data: bytes
    twice: tuple[str, ...] = ()


class Request(msgspec.Struct, frozen=True):
    """`verb` is get, list, watch, create, update, patch, delete, deletecollection or connect. `warn` collects texts for
    the Warning header; `notes` audit annotations."""

    user: User
    verb: str
    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    path: str = ""  # of a connect (proxy): the rest behind the subresource
    options: Options = Options()
    view: View = View()
    body: Body | None = None
    agent: str = ""  # User-Agent; its first word is the default field manager
    audit_id: str = ""
    warn: list[str] = []
    notes: dict[str, str] = {}


class Answer(msgspec.Struct, frozen=True):
    """One JSON document. `code` is the HTTP status. A large document goes on in the pieces of `more`, so that nobody
    joins megabytes, and a very large one in those of `rest`, which are made as they are taken: many who ask for much at
    once would need all the memory there is."""

    code: int
    body: bytes
    more: tuple[bytes, ...] = ()
    rest: AsyncIterator[bytes] | None = None

    @property
    def is_long(self) -> bool:
        """Whether it comes in several pieces."""
        return bool(self.more) or self.rest is not None

    def document(self) -> bytes:
        """The whole of it, where it has no `rest`."""
        assert self.rest is None
        return b"".join((self.body, *self.more)) if self.more else self.body

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """All of it, once."""
        for piece in (self.body, *self.more):
            yield piece
        if self.rest is not None:
            try:
                async for piece in self.rest:
                    yield piece
            finally:
                await close_stream(self.rest)

    async def whole(self) -> bytes:
        """The whole of it, once."""
        return b"".join([piece async for piece in self.pieces()]) if self.is_long else self.body


class Stream(msgspec.Struct, frozen=True):
    """A watch: each item is one or more JSON lines."""

    events: AsyncIterator[bytes]


Reply = Answer | Stream


class Decision(msgspec.Struct, frozen=True):
    """An authoriser's word. Neither allowed nor denied: it has no opinion."""

    allowed: bool
    reason: str = ""
    denied: bool = False


class Ask(msgspec.Struct, frozen=True):
    """What an authoriser is asked. With `path` it is a request outside resources ("/healthz") and only verb, user and
    path count."""

    user: User
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    label_selector: str = ""
    field_selector: str = ""


def of_request(request: Request) -> Ask:
    """The question that a request puts to the authorisers."""
    resource = request.resource
    return Ask(
        user=request.user,
        verb=request.verb,
        group=resource.group,
        version=resource.version,
        resource=resource.plural,
        subresource=request.subresource,
        namespace=request.namespace,
        name=request.name,
        label_selector=request.options.label_selector,
        field_selector=request.options.field_selector,
    )
