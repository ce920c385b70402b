"""Lists: of one moment, in pieces where a client asks for them, with what it selects.

A continue token names the revision and the last key of a piece; the next one is read from the same revision, so the
pieces together are exactly one snapshot, whatever was written meanwhile. When that revision is forgotten the answer is
410 with a token that goes on at the newest one. Semantics: kubernetes.io, "API Concepts", resource versions and chunks.
"""

import asyncio
import base64
import binascii
from collections import deque
from collections.abc import AsyncIterator, Sequence

import msgspec

from boxship.cluster.api import versions
from boxship.cluster.api.catalog import Catalog, Definition
from boxship.cluster.api.indexing import Indexes, place_in
from boxship.cluster.api.pace import Pace, rest
from boxship.cluster.api.request import Answer, Options, Request
from boxship.cluster.api.selection import Facts, Selection
from boxship.cluster.api.storage import Storage, key_of, prefix_of
from boxship.cluster.api.views import META_VERSION, Views, to_json
from boxship.cluster.objects.failure import bad_request, expired
from boxship.cluster.objects.resource import Resource
from boxship.errors import Invalid
from boxship.store import Compacted, Entry, Snapshot

TOKEN_LIMIT = 4096  # characters
PIECE_BYTES = 256 << 10  # of an answer that is written in several pieces
READY_BYTES = 1 << 20  # of an answer that are made before it begins; what is behind them is made as it is taken
TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


class Token(msgspec.Struct, frozen=True):
    """A continue token: `rv` -1 goes on at the newest revision; `start` is the last key of the piece before."""

    v: str
    rv: int
    start: str


_token_decoder = msgspec.json.Decoder(Token)


class Page(msgspec.Struct, frozen=True):
    """What a list answers: sealed entries of one revision."""

    revision: int
    entries: tuple[Entry, ...]
    token: str = ""
    remaining: int | None = None


def token_of(revision: int, prefix: str, key: str) -> str:
    text = msgspec.json.encode(Token(META_VERSION, revision, key[len(prefix) :]))
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def read_token(text: str) -> Token:
    """Raises Failure 400."""
    why = ""
    try:
        if len(text) > TOKEN_LIMIT:
            raise ValueError(f"longer than {TOKEN_LIMIT} characters")
        data = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        token = _token_decoder.decode(data)
        if token.v != META_VERSION:
            why = f"server does not recognize this encoded version {to_json(token.v).decode()}"
        elif token.rv == 0 or token.rv < -1:
            why = "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"
        elif not token.start or "\0" in token.start or token.start.startswith("/") or "/../" in f"/{token.start}/":
            why = f"invalid encoded start key {to_json(token.start).decode()}"
    except (binascii.Error, UnicodeError, ValueError, msgspec.MsgspecError) as error:
        why = str(error)
    if why:
        raise bad_request(f"continue key is not valid: {why}")
    return token


class Lister:
    """Answers `list`; also finds what a deletecollection or the first events of a watch are about."""

    def __init__(self, storage: Storage, catalog: Catalog, views: Views, facts: Facts, indexes: Indexes) -> None:
        self._storage = storage
        self._indexes = indexes
        self._catalog = catalog
        self._views = views
        self._facts = facts
        # Of those whose answers are under way: the gate sends one of each priority level (seated.py).
        self._turn = asyncio.Lock()

    async def list(self, request: Request) -> Answer:
        definition = self._catalog.definition(request.resource)
        selection = Selection(definition, request.options, self._facts, request.name)
        page = await self.page(request, selection)
        return await self._answer(definition, request, page)

    async def page(self, request: Request, selection: Selection) -> Page:
        """The entries that the request asks for."""
        options = request.options
        versions.check_list(options)
        prefix = prefix_of(request.resource, request.namespace)
        at, after, revision = 0, "", 0
        if options.token:
            token = read_token(options.token)
            after, at = prefix + token.start, max(token.rv, 0)
        elif options.version not in ("", "0"):
            revision = versions.number(options.version)
            await versions.wait_until_known(self._storage.store, revision)
            exact = options.match == "Exact" or (options.match == "" and options.limit > 0)
            at = revision if exact else 0
        fresh = options.version != "0" or bool(options.token)
        try:
            if (
                selection.name
                and not at
                and not options.token
                and (request.namespace or not request.resource.namespaced)
            ):
                return await self._single(request, selection, fresh)
            found = None
            if not at and not options.token:
                found = await self._found(request.resource.storage, prefix, selection, fresh)
            return await self._scan(prefix, after, at, options, selection, fresh, found)
        except Compacted:
            raise await self._too_old(prefix, after, options) from None
        except Invalid as error:
            raise versions.too_large(at, await self._storage.store.revision()) from error

    async def _single(self, request: Request, selection: Selection, fresh: bool) -> Page:
        """A list of one name is a look at one key. The revision is asked for first: a later state may be answered
        twice by a watch from there, an earlier one would be lost."""
        revision = await self._storage.store.revision()
        key = key_of(request.resource, request.namespace, selection.name)
        entry = await self._storage.store.get(key, fresh=fresh)
        kept = entry is not None and selection.matches(self._storage.opened(entry))
        return Page(max(revision, entry.modified if entry else 0), (entry,) if entry and kept else ())

    async def _found(self, kind: str, prefix: str, selection: Selection, fresh: bool) -> Snapshot | None:
        """All that an index says may be selected; None: there is none for what is asked."""
        place = place_in(kind, selection.pinned)
        if place is None:
            return None
        return await self._indexes.of(kind).entries(*place, prefix, fresh=fresh)

    async def _scan(
        self,
        prefix: str,
        after: str,
        at: int,
        options: Options,
        selection: Selection,
        fresh: bool,
        found: Snapshot | None,
    ) -> Page:
        """Those of `found`, or else of everything, that are selected."""
        limit = options.limit
        if selection.everything:
            found = await self._storage.list(prefix, after=after, limit=limit, at=at, fresh=fresh)
            return self._page(prefix, found, found.entries, limit, found.remaining)
        if found is None:
            found = await self._storage.list(prefix, after=after, at=at, fresh=fresh)
        kept: list[Entry] = []
        looked, pace = 0, Pace()
        for entry in found.entries:
            looked += 1
            if pace.due:
                await pace.rest()
            if selection.matches(self._storage.opened(entry)):
                kept.append(entry)
                if limit and len(kept) == limit:
                    break
        more = len(found.entries) - looked
        token = token_of(found.revision, prefix, kept[-1].key) if more and kept else ""
        return Page(found.revision, tuple(kept), token)

    def _page(self, prefix: str, found: Snapshot, kept: tuple[Entry, ...], limit: int, remaining: int) -> Page:
        if not limit or not remaining or not kept:
            return Page(found.revision, kept)
        return Page(found.revision, kept, token_of(found.revision, prefix, kept[-1].key), remaining)

    async def _too_old(self, prefix: str, after: str, options: Options) -> Exception:
        if not options.token:
            return expired("The resourceVersion for the provided list is too old.")
        return expired(TOO_OLD, token_of(-1, prefix, after))

    async def _answer(self, definition: Definition, request: Request, page: Page) -> Answer:
        """The document, in several pieces where it is large: no piece is copied twice. What an answer holds of its end
        are the stored values, which it has in common with everybody else."""
        metadata = list_metadata(page)
        view = request.view
        if view.form == "table":
            head = b'{"kind":"Table","apiVersion":"%b","metadata":%b,"columnDefinitions":%b,"rows":[' % (
                META_VERSION.encode(),
                metadata,
                self._views.columns(definition),
            )
        else:
            kind, version = list_kind(request.resource, view.form)
            head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
                kind.encode(),
                version.encode(),
                metadata,
            )
        pieces = self._pieces(head, self._views.items(definition, view, page.entries))
        ready: deque[bytes] = deque()
        size = 0
        async for piece in pieces:
            ready.append(piece)
            size += len(piece)
            if size > READY_BYTES and not _may_be_refused(definition):
                return Answer(200, ready.popleft(), rest=self._later(ready, pieces))
        return Answer(200, ready.popleft(), tuple(ready))

    async def _pieces(self, head: bytes, slices: AsyncIterator[Sequence[bytes]]) -> AsyncIterator[bytes]:
        parts, size = [head], 0
        first = True
        async for items in slices:
            joined = b",".join(items)
            parts.append(joined if first else b"," + joined)
            first = False
            size += len(joined)
            if size > PIECE_BYTES:
                yield b"".join(parts)
                parts, size = [], 0
        yield b"".join((*parts, b"]}"))

    async def _later(self, ready: deque[bytes], pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """What is ready, which is let go of when it is taken; then one piece of one list after the other, and others on
        the loop in between."""
        while ready:
            yield ready.popleft()
        while True:
            async with self._turn:
                piece = await anext(pieces, None)
                await rest()
            if piece is None:
                return
            yield piece


def _may_be_refused(definition: Definition) -> bool:
    """Whether a server elsewhere takes part, whose refusal has to be told before the answer begins."""
    return definition.resource.custom and definition.convert is not None


def list_metadata(page: Page) -> bytes:
    metadata: dict[str, object] = {"resourceVersion": str(page.revision)}
    if page.token:
        metadata["continue"] = page.token
    if page.remaining is not None:
        metadata["remainingItemCount"] = page.remaining
    return to_json(metadata)


def list_kind(resource: Resource, form: str) -> tuple[str, str]:
    """Kind and apiVersion of a list."""
    if form == "metadata":
        return "PartialObjectMetadataList", META_VERSION
    return f"{resource.kind}List", resource.api_version
