"""The way of every request from outside: who asks (and as whom), is there room for it, may it be done, what is written
down about it; then the API itself. One order, for resources and for all other paths.

Controllers inside the control plane do not come this way. Nothing here decides by itself: it asks its parts, and what
one of them raises is the answer.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Protocol

import msgspec

from boxship.cluster.api.request import Answer, Ask, Decision, Reply, Request, Stream, User, of_request
from boxship.cluster.api.seated import Seat, Seated
from boxship.cluster.objects.failure import Failure
from boxship.errors import BoxshipError
from boxship.transport.exchange import close_stream


class Authentication(Protocol):
    async def authenticate(self, headers: Mapping[str, list[str]], certificate: bytes | None) -> User:
        """Who it is; the anonymous user where nothing was shown. Raises Failure Unauthorized."""

    async def impersonate(self, user: User, headers: Mapping[str, list[str]], authorizer: Any) -> User:
        """As whom the user acts: itself, unless headers say otherwise. Raises Failure Forbidden, BadRequest."""


class Authorization(Protocol):
    async def authorize(self, ask: Ask) -> Decision: ...

    def refusal(self, ask: Ask, decision: Decision) -> Failure: ...

    def is_removed(self, user: User) -> bool:
        """Whether it is a node that may do nothing any more."""


class Room(Seat, Protocol):
    """What fairness says of a request: its seat, and the identities of its flow schema and priority level."""

    @property
    def flow_schema(self) -> str: ...

    @property
    def priority_level(self) -> str: ...


class Fair(Protocol):
    def slot(self, user: User, ask: Ask) -> AbstractAsyncContextManager[Room]:
        """Waits for room. Raises Failure TooManyRequests."""


class Visit(msgspec.Struct):
    """One request as it came, before anybody is known. `headers` have lower-case names. The gate writes down in it who
    it was and what was decided, for the answer's headers and for the audit."""

    audit_id: str
    method: str
    uri: str  # as it was sent, with its query
    headers: Mapping[str, list[str]]
    certificate: bytes | None = None
    peer: str = ""
    agent: str = ""
    user: User | None = None  # who asks
    acting: User | None = None  # as whom
    decision: Decision | None = None
    code: int = 200  # of an answer that the door makes without the API
    flow_schema: str = ""
    priority_level: str = ""


class Record(Protocol):
    """One request's way through the audit."""

    def received(self) -> None: ...

    def started(self, code: int) -> None: ...

    def completed(self, code: int, answer: Answer | None, refusal: Failure | None) -> None: ...


class Audit(Protocol):
    def begin(self, visit: Visit, ask: Ask, request: Request | None) -> Record | None:
        """What is to be told about this request; None: nothing."""


class Performs(Protocol):
    async def perform(self, request: Request) -> Reply: ...


UNKNOWN = User("")
NODES = "system:nodes"
LARGE_BYTES = 128 * 1024  # of a body: such are done one after the other, for each holds the loop for long
NOT_ALL = "it takes a role for all verbs of all resources"
Completes = Callable[[Request], Awaitable[Request]]


class Gate:
    """Made once from its parts. `fair` and `audit` may be missing."""

    def __init__(
        self,
        api: Performs,
        authentication: Authentication,
        authorization: Authorization,
        fair: Fair | None = None,
        audit: Audit | None = None,
    ) -> None:
        self._api = api
        self._authentication = authentication
        self._authorization = authorization
        self._fair = fair
        self._audit = audit
        self._large = asyncio.Semaphore(1)

    async def identify(self, visit: Visit) -> User:
        """Who asks, as whom. Raises Failure Unauthorized, Forbidden."""
        user = await self._authentication.authenticate(visit.headers, visit.certificate)
        visit.user = user
        visit.acting = await self._authentication.impersonate(user, visit.headers, self._authorization)
        return visit.acting

    @asynccontextmanager
    async def pass_path(self, visit: Visit, path: str, *, everything: bool = False) -> AsyncIterator[User]:
        """A request outside resources, such as "/version", is answered inside the block, for the user who asks; what
        came of it is written down at its end. With `everything`, what is asked for tells or changes all that is kept
        here: a role for the path is not enough, and it takes no room from others. Raises Failure."""
        verb = {"GET": "get", "HEAD": "get"}.get(visit.method, visit.method.lower())
        ask = await self._enter(visit, Ask(user=UNKNOWN, verb=verb, path=path), everything)
        record = self._begin(visit, ask, None)
        code = 500
        try:
            async with (
                self._fair.slot(ask.user, ask) if self._fair is not None and not everything else nullcontext() as room
            ):
                if room is not None:
                    visit.flow_schema, visit.priority_level = room.flow_schema, room.priority_level
                yield ask.user
            code = visit.code
        except Failure as refusal:
            code = refusal.code
            raise
        finally:
            _complete(record, code, None, None)

    async def pass_refused(self, visit: Visit, ask: Ask, code: int) -> None:
        """A request that the door itself refuses with this code, such as one for a resource that does not exist:
        whether it would be allowed decides what is told. Raises Failure for who is not known or may not."""
        ask = await self._enter(visit, ask)
        _complete(self._begin(visit, ask, None), code, None, None)

    @asynccontextmanager
    async def let_in(self, visit: Visit, ask: Ask) -> AsyncIterator[User]:
        """A request for what another server serves: inside the block it may be passed on for the user."""
        ask = await self._enter(visit, ask)
        record = self._begin(visit, ask, None)
        code = 500
        try:
            async with self._fair.slot(ask.user, ask) if self._fair is not None else nullcontext():
                yield ask.user
            code = 200
        except Failure as refusal:
            code = refusal.code
            raise
        finally:
            _complete(record, code, None, None)

    @asynccontextmanager
    async def let_through(self, visit: Visit, request: Request, verbs: Sequence[str]) -> AsyncIterator["Through"]:
        """A request for what runs behind an object, such as a shell in a pod: inside the block it is carried on, for as
        long as that takes. All the verbs are asked for; such a request takes no room from others."""
        for verb in verbs:
            ask = await self._enter(visit, asked(request, verb))
        request = msgspec.structs.replace(request, user=ask.user)
        record = self._begin(visit, ask, request)
        code = 500
        try:
            yield Through(request, record)
            code = visit.code
        except Failure as refusal:
            code = refusal.code
            raise
        finally:
            _complete(record, code, None, None)

    async def _enter(self, visit: Visit, ask: Ask, everything: bool = False) -> Ask:
        """The question with who asks it, for who may. Raises Failure, which is written down."""
        try:
            ask = msgspec.structs.replace(ask, user=await self.identify(visit))
            visit.decision = await self._authorization.authorize(ask)
            if everything and visit.decision.allowed:
                whole = await self._authorization.authorize(Ask(user=ask.user, verb="*", group="*", resource="*"))
                visit.decision = visit.decision if whole.allowed else Decision(False, NOT_ALL)
            if not visit.decision.allowed:
                raise self._authorization.refusal(ask, visit.decision)
        except Failure as refusal:
            _complete(self._begin(visit, ask, None), refusal.code, None, refusal)
            raise
        return ask

    async def perform(self, visit: Visit, request: Request, verb: str, complete: Completes) -> Reply:
        """The request, done as the user that the visit shows. `verb` is the one that authorisers know (a connect is a
        get or a create). `complete` reads its body; that is only done for who may do what he asks. Raises Failure and
        what the API raises."""
        ask = await self._enter(visit, asked(request, verb))
        request = msgspec.structs.replace(request, user=ask.user)
        try:
            request = await complete(request)
        except BoxshipError as error:
            refusal = error if isinstance(error, Failure) else None
            _complete(self._begin(visit, ask, request), refusal.code if refusal else 400, None, refusal)
            raise
        record = self._begin(visit, ask, request)
        is_large = request.body is not None and len(request.body.data) > LARGE_BYTES
        try:
            async with self._large if is_large else nullcontext():
                reply = await self._perform(visit, ask, request)
        except Failure as refusal:
            _complete(record, refusal.code, None, refusal)
            raise
        except asyncio.CancelledError:
            _complete(record, 504, None, None)
            raise
        except Exception:
            _complete(record, 500, None, None)
            raise
        if isinstance(reply, Answer):
            if record is not None:
                record.completed(reply.code, reply, None)
            return reply
        events = reply.events
        if NODES in request.user.groups:
            events = self._until_removed(events, request.user)
        if record is None:
            return Stream(events)
        record.started(200)
        return Stream(_Noted(events, record))

    async def _until_removed(self, events: AsyncIterator[bytes], node: User) -> AsyncIterator[bytes]:
        """A watch that tells nothing more as soon as the node is removed: it would go on for an hour."""
        try:
            async for piece in events:
                if self._authorization.is_removed(node):
                    return
                yield piece
        finally:
            await close_stream(events)

    async def _perform(self, visit: Visit, ask: Ask, request: Request) -> Reply:
        if self._fair is None:
            return await self._api.perform(request)
        async with self._fair.slot(request.user, ask) as room:
            visit.flow_schema, visit.priority_level = room.flow_schema, room.priority_level
            reply = await self._api.perform(request)
            if isinstance(reply, Answer) and reply.rest is not None:
                return msgspec.structs.replace(reply, rest=Seated(reply.rest, room))
            return reply

    def _begin(self, visit: Visit, ask: Ask, request: Request | None) -> Record | None:
        record = self._audit.begin(visit, ask, request) if self._audit is not None else None
        if record is not None:
            record.received()
        return record


def asked(request: Request, verb: str) -> Ask:
    """The question to the authorisers. A namespace itself lies, for them, in itself."""
    ask = of_request(request)
    is_namespace = request.resource.qualified == "namespaces"
    return msgspec.structs.replace(ask, verb=verb, namespace=request.name if is_namespace else request.namespace)


class Through(msgspec.Struct, frozen=True):
    """A request that was let through."""

    request: Request
    record: Record | None

    def started(self, code: int) -> None:
        """It has its answer, and goes on."""
        if self.record is not None:
            self.record.started(code)


class _Noted:
    """A watch whose end is written down."""

    def __init__(self, events: AsyncIterator[bytes], record: Record) -> None:
        self._events = events
        self._record: Record | None = record

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._events)

    async def aclose(self) -> None:
        record, self._record = self._record, None
        if record is not None:
            await close_stream(self._events)
            record.completed(200, None, None)


def _complete(record: Record | None, code: int, answer: Answer | None, refusal: Failure | None) -> None:
    if record is not None:
        record.completed(code, answer, refusal)
