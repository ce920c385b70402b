"""Carries a client on to what runs behind an object: a node's agent, or whatever a pod or a service is.

Who may, and where it goes, is decided before (gate, cluster/api/connecting); here are only bytes. An upgraded
connection is passed on as it is, whatever it speaks; the head of a refusal is passed on, too. Nothing is read ahead of
a slow reader, and each side's end ends the other.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from boxship.cluster.api.authentication.authenticator import WEBSOCKET_TOKEN
from boxship.cluster.api.connecting.identity import Identity
from boxship.cluster.api.connecting.places import Place, Places, redirected
from boxship.cluster.api.connecting.rewriting import PAGE_BYTES, rewritten, unpacked
from boxship.cluster.api.gate import Gate, Visit
from boxship.cluster.api.request import Request as ApiRequest
from boxship.cluster.objects.failure import Failure, bad_request, internal, unavailable
from boxship.doors.kube.streams import log_protocol, send_log
from boxship.errors import BoxshipError, Canceled
from boxship.transport.client import Answer, HttpClient
from boxship.transport.exchange import Lent, Reply, Request
from boxship.transport.upgrading import Dialer, Upgraded, read_body, relay

REFUSAL_BYTES = 64 << 10
STALL_SECONDS = 4 * 3600.0  # a client that takes nothing for so long is cut off
STREAMS = ("exec", "attach", "portforward")
UPGRADE_FIELDS = ("upgrade", "connection", "origin", "x-stream-protocol-version")
# Fields that are about one connection, or with which the client has shown to us who it is.
KEPT_BACK = {
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
OF_CALLERS = ("impersonate-", "x-remote-")


class Connecting:
    """What the door asks when a request is for what lies behind an object. `client` has to wait for ever between two
    pieces of a body."""

    def __init__(self, gate: Gate, places: Places, identity: Identity, client: HttpClient, dialer: Dialer) -> None:
        self._gate = gate
        self._places = places
        self._identity = identity
        self._client = client
        self._dialer = dialer

    async def reply(self, visit: Visit, request: Request, asked: ApiRequest, verb: str) -> Reply | None:
        """Raises Failure."""
        upgrades = bool(request.headers.get("Upgrade")) and "upgrade" in request.headers.get("Connection", "").lower()
        websocket = upgrades and request.headers.get("Upgrade", "").lower() == "websocket"
        verbs = [verb]
        if asked.subresource in STREAMS and websocket and verb != "create":
            verbs.append("create")  # a WebSocket begins with GET; that alone gives nobody a shell
        async with self._gate.let_through(visit, asked, verbs) as through:
            asked = through.request
            if asked.subresource == "proxy" and _lacks_slash(request):
                visit.code = 301
                path, mark, query = request.target.partition("?")
                return Reply(301, {"Location": f"{path}/{mark}{query}"})
            place = await self._places.find(asked, request.target, time.time_ns())
            if place is None:
                visit.code = 204
                return Reply(204)
            if asked.subresource in STREAMS or (upgrades and asked.subresource == "proxy"):
                if not upgrades:
                    raise bad_request("Upgrade request required")
                return await self._upgrade(visit, request, asked, place, through.started)
            if asked.subresource == "log":
                return await self._log(visit, request, asked, place, through.started if websocket else None)
            return await self._proxy(visit, request, asked, place)

    async def _upgrade(
        self, visit: Visit, request: Request, asked: ApiRequest, place: Place, started: Callable[[int], None]
    ) -> Reply | None:
        trust = self._identity.trust(place) if place.secure else None
        is_proxy = asked.subresource == "proxy"
        fields = _passed(request) if is_proxy else []
        fields += [
            (name, value)
            for name, value in _shown(request)
            if name.lower() in UPGRADE_FIELDS or (not is_proxy and name.lower().startswith("sec-websocket-"))
        ]
        fields.append(("Host", f"{place.host}:{place.port}"))
        if request.method not in ("GET", "HEAD"):
            fields.append(("Content-Length", "0"))
        try:
            answer = await self._dialer.upgrade(place.host, place.port, request.method, place.target, fields, trust)
        except BoxshipError as error:
            raise internal(f"error dialing backend: {error}") from error
        visit.code = answer.status
        if answer.status != 101:
            return await _refused(answer)
        try:
            client = await request.hijack(101, "Switching Protocols", _one_of_each(answer.headers))
        except BaseException:
            await answer.stream.close()
            raise
        started(101)
        await relay(client, answer.stream)
        return None

    async def _log(
        self, visit: Visit, request: Request, asked: ApiRequest, place: Place, begun: Callable[[int], None] | None
    ) -> Reply | None:
        """`begun` is to be told when the log begins on a WebSocket; None: it goes as a plain answer."""
        offered = [value for name, value in _shown(request) if name.lower() == "sec-websocket-protocol"]
        protocol = log_protocol(",".join(offered)) if begun is not None else ""
        if protocol is None:
            raise bad_request("unsupported: the WebSocket protocols that are asked for")
        stack = contextlib.AsyncExitStack()
        try:
            answer = await stack.enter_async_context(
                self._client.request("GET", place.url, trust=self._identity.trust(place))
            )
        except BoxshipError as error:
            raise internal(str(error)) from error
        if answer.status != 200:
            try:
                raise await _log_refusal(answer, asked)
            finally:
                await stack.aclose()
        body = Lent(answer.chunks(), stack)
        if begun is not None:
            visit.code = 101
            begun(101)
            await send_log(request, protocol, body, STALL_SECONDS)
            return None
        visit.code = 200
        return Reply(200, {"Content-Type": "text/plain"}, body, STALL_SECONDS)

    async def _proxy(self, visit: Visit, request: Request, asked: ApiRequest, place: Place) -> Reply:
        fields: dict[str, str | list[str]] = {}
        for name, value in (*_passed(request), ("Host", f"{place.host}:{place.port}")):
            known = fields.setdefault(name, [])
            assert isinstance(known, list)
            known.append(value)
        length = request.headers.get("Content-Length")
        has_body = length not in (None, "0") or bool(request.headers.get("Transfer-Encoding"))
        if length is not None:
            fields["Content-Length"] = length
        stack = contextlib.AsyncExitStack()
        try:
            answer = await stack.enter_async_context(
                self._client.request(
                    request.method,
                    place.url,
                    headers=fields,
                    body=request.chunks if has_body else None,
                    trust=self._identity.trust(place),
                )
            )
        except BoxshipError as error:
            if isinstance(error, Canceled):
                raise
            raise unavailable(f"error trying to reach service: {error}") from error
        visit.code = answer.status
        headers: dict[str, str] = {}
        further: list[tuple[str, str]] = []
        for name, value in answer.headers.items():
            if name in headers:
                further.append((name, value))
            elif name.lower() not in KEPT_BACK:
                headers[name] = value
        location = next((name for name in headers if name.lower() == "location"), None)
        if location is not None:
            headers[location] = redirected(headers[location], place, _prefix(request.target, place))
        more = tuple(further)
        if answer.length is not None:
            headers["Content-Length"] = str(answer.length)
        if request.method == "HEAD" or answer.status in (204, 304):
            await stack.aclose()
            return Reply(answer.status, headers, more=more)
        if answer.headers.get("Content-Type", "").lower().startswith("text/html"):
            return await _page(
                answer, stack, headers, more, _prefix(request.target, place), f"{place.host}:{place.port}"
            )
        return Reply(answer.status, headers, Lent(answer.chunks(), stack), STALL_SECONDS, more)


async def _page(
    answer: Answer,
    stack: contextlib.AsyncExitStack,
    headers: dict[str, str],
    more: tuple[tuple[str, str], ...],
    prefix: str,
    host: str,
) -> Reply:
    """A page with its links below the proxy's path. One that is too large or packed strangely goes as it is."""
    parts: list[bytes] = []
    body = Lent(answer.chunks(), stack)
    try:
        async for piece in body:
            parts.append(piece)
            if sum(map(len, parts)) > PAGE_BYTES:
                return Reply(answer.status, headers, _Rest(parts, body), STALL_SECONDS, more)
    except BaseException:
        await body.aclose()
        raise
    data = b"".join(parts)
    page = unpacked(data, answer.headers.get("Content-Encoding", "").lower())
    if page is None:
        return Reply(answer.status, headers, data, more=more)
    found = await asyncio.to_thread(rewritten, page, prefix, host)
    kept = {
        name: value for name, value in headers.items() if name.lower() not in ("content-length", "content-encoding")
    }
    return Reply(answer.status, kept, found, more=more)


class _Rest:
    """A body of which a part was read already."""

    def __init__(self, parts: list[bytes], body: Lent) -> None:
        self._parts = parts
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return self._parts.pop(0) if self._parts else await anext(self._body)

    async def aclose(self) -> None:
        await self._body.aclose()


def _shown(request: Request) -> Iterator[tuple[str, str]]:
    """All fields, without the token that a page of a browser shows as one of a WebSocket's protocols."""
    for name, value in request.headers.items():
        if name.lower() == "sec-websocket-protocol":
            words = [word.strip() for word in value.split(",")]
            value = ", ".join(word for word in words if word and not word.startswith(WEBSOCKET_TOKEN))
            if not value:
                continue
        yield name, value


def _passed(request: Request) -> list[tuple[str, str]]:
    """The client's own fields that go on."""
    found = [
        (name, value)
        for name, value in _shown(request)
        if name.lower() not in KEPT_BACK and not name.lower().startswith(OF_CALLERS)
    ]
    before = request.headers.get("X-Forwarded-For", "")
    if request.peer:
        found = [pair for pair in found if pair[0].lower() != "x-forwarded-for"]
        found.append(("X-Forwarded-For", f"{before}, {request.peer}" if before else request.peer))
    return found


def _prefix(target: str, place: Place) -> str:
    """The path of the proxy itself, as the client wrote it."""
    path, rest = target.partition("?")[0], place.target.partition("?")[0]
    return path.removesuffix(rest)


def _lacks_slash(request: Request) -> bool:
    """Relative links of a page are right only below its folder."""
    path = request.target.partition("?")[0]
    return request.method in ("GET", "HEAD") and path.endswith("/proxy") and not request.headers.get("Upgrade")


def _one_of_each(headers: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return dict(headers)


async def _refused(answer: Upgraded) -> Reply:
    """A server's refusal to upgrade, as it came."""
    body = await read_body(answer, REFUSAL_BYTES)
    await answer.stream.close()
    return Reply(answer.status, {"Content-Type": answer.field("content-type") or "text/plain"}, body)


async def _log_refusal(answer: Answer, asked: ApiRequest) -> Failure:
    """What a node says, in the API's own form."""
    text = (await answer.read(REFUSAL_BYTES)).decode(errors="replace")
    if answer.status == 400:
        return bad_request(text)
    if answer.status == 500:
        return internal(text)
    if answer.status == 404:
        why = f"the server could not find the requested resource ( pods/log {asked.name})"
        return Failure(404, "NotFound", why, name=asked.name, kind="pods/log")
    if answer.status == 503:
        return unavailable(text)
    return Failure(
        answer.status, "Unknown", f"an error on the server ({text!r}) has prevented the request", name=asked.name
    )
