"""Registries: pull, push, login, search, and what a name stands for there.

A pull or push that fails before its first news is an HTTP error; afterwards the head has gone out, and the client reads
the error in the stream.
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import msgspec

from boxship.doors.docker.call import Call, header_json, reply
from boxship.doors.docker.errors import JSON, error_reply, message_reply
from boxship.doors.docker.filters import parse_filters
from boxship.doors.docker.router import Route
from boxship.engine.values import (
    Credentials,
    Pulled,
    PullStep,
    Pushed,
    PushStep,
    credentials_from,
    domain_of,
)
from boxship.errors import Internal, Invalid, Unauthenticated, Unsupported
from boxship.spec.quantity import format_decimal_bytes
from boxship.transport.exchange import Reply, Request
from boxship.wire.ndjson import line

CRLF = b"\r\n"
SEARCH_LIMIT = 100
BAR = 50  # characters
Step = PullStep | Pulled | PushStep | Pushed


async def pull(call: Call) -> Reply:
    """`POST /images/create?fromImage=…`."""
    name, tag = call.text("fromImage"), call.text("tag")
    every = not tag and not _has_tag(name)
    ref = name if not tag else f"{name}@{tag}" if ":" in tag else f"{name}:{tag}"
    steps = call.engine.images.pull(ref, platform=platform_of(call), credentials=auth_of(call.request), every_tag=every)
    return await _streamed(call, steps)


def platform_of(call: Call) -> str:
    """ "os/architecture[/variant]" of the parameter, which is JSON, or that text itself."""
    text = call.text("platform")
    if not text.startswith("{"):
        return text
    try:
        value: dict[str, Any] = msgspec.json.decode(text.encode(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise Invalid(f"failed to parse platform: {error}") from None
    parts = [value.get("os"), value.get("architecture"), value.get("variant")]
    return "/".join(str(part) for part in parts if part)


def _has_tag(name: str) -> bool:
    return "@" in name or ":" in name.rpartition("/")[2]


async def push(call: Call) -> Reply:
    tag = call.text("tag")
    every = not tag and not _has_tag(call.id)
    steps = call.engine.images.push(
        f"{call.id}:{tag}" if tag else call.id,
        platform=platform_of(call),
        credentials=auth_of(call.request),
        every_tag=every,
    )
    return await _streamed(call, steps)


async def _streamed(call: Call, steps: "AsyncGenerator[Any, None]") -> Reply:
    try:
        first: Step | None = await anext(steps, None)
    except Unauthenticated as error:
        # With 401, clients would ask for a password, also where nobody is there to type one.
        raise Internal(str(error)) from error
    return Reply(200, JSON, _lines(call, first, steps))


async def _lines(call: Call, first: Step | None, steps: "AsyncGenerator[Any, None]") -> AsyncIterator[bytes]:
    async with contextlib.aclosing(steps):
        try:
            if first is not None:
                for shown in step_lines(first):
                    yield line(shown, CRLF)
                async for step in steps:
                    for shown in step_lines(step):
                        yield line(shown, CRLF)
        except Exception as error:  # the border of a request, whose head has gone out
            yield error_line(error, call.request)


def error_line(error: Exception, request: Request) -> bytes:
    """An error as the last line of a stream."""
    body = error_reply(error, request).body
    assert isinstance(body, bytes)
    message = msgspec.json.decode(body)["message"] if body else str(error)
    return line({"errorDetail": {"message": message}, "error": message}, CRLF)


def step_lines(step: Step) -> list[dict[str, Any]]:
    """News as Docker's clients read it."""
    if isinstance(step, Pulled):
        return []
    if isinstance(step, Pushed):
        aux = {"Tag": step.reference.tag, "Digest": step.digest, "Size": step.size}
        return [{"progressDetail": {}, "aux": aux}]
    shown: dict[str, Any] = {"status": step.status}
    if step.total:
        shown["progressDetail"] = {"current": step.current, "total": step.total}
        shown["progress"] = bar(step.current, step.total)
    elif step.id and not step.status.startswith("Pulling from"):
        shown["progressDetail"] = {}
    if step.id:
        shown["id"] = step.id
    return [shown]


def bar(current: int, total: int) -> str:
    """A bar and the numbers, as old clients print it."""
    filled = BAR * min(current, total) // total
    head = "=" * filled + (">" if filled < BAR else "")
    return f"[{head.ljust(BAR)}]  {format_decimal_bytes(current)}/{format_decimal_bytes(total)}"


# who somebody is


def auth_of(request: Request) -> Credentials | None:
    """X-Registry-Auth: what cannot be read is refused, what says nothing is nobody."""
    text = request.headers.get("X-Registry-Auth", "")
    if not text:
        return None
    fields = header_json(text, "X-Registry-Auth", dict[str, Any] | None)  # type: ignore[arg-type]
    credentials = credentials_from(fields or {})
    return None if credentials.empty else credentials


class AuthBody(msgspec.Struct):
    """The body of `POST /auth`."""

    username: str = ""
    password: str = ""
    email: str = ""
    serveraddress: str = ""
    identitytoken: str = ""
    registrytoken: str = ""
    auth: str = ""


async def auth(call: Call) -> Reply:
    """Whether a registry knows somebody; the client keeps the credentials."""
    body = await call.body(AuthBody, needed=False)
    credentials = credentials_from(msgspec.structs.asdict(body))
    domain = domain_of(body.serveraddress)
    try:
        await call.engine.images.login(domain, credentials)
    except Unauthenticated as error:
        return message_reply(401, f"login attempt to {domain} failed: {error}")
    return reply({"Status": "Login Succeeded", "IdentityToken": ""})


# asking


async def search(call: Call) -> Reply:
    term = call.text("term")
    if not term:
        raise Invalid("invalid parameter: term is empty")
    limit = call.number("limit", 25) or 25
    if not 1 <= limit <= SEARCH_LIMIT:
        raise Invalid(f"limit {limit} is outside the range of [1, {SEARCH_LIMIT}]")
    filters = parse_filters(call.text("filters"), ("is-official", "is-automated", "stars"))
    domain, _, rest = term.partition("/")
    if not rest or not ("." in domain or ":" in domain or domain == "localhost"):
        domain, rest = "", term
    stars = [int(text) for text in filters.get("stars") if text.isdecimal()]
    if len(stars) != len(filters.get("stars")):
        raise Invalid(f"invalid filter 'stars={filters.get('stars')}'")
    official, automated = filters.flag("is-official"), filters.flag("is-automated")
    if automated:
        return reply([])
    found = await call.engine.images.search(domain_of(domain), rest, limit, auth_of(call.request))
    shown = [
        entry
        for entry in found
        if (official is None or bool(entry.get("is_official")) == official)
        and all(_number(entry.get("star_count")) >= least for least in stars)
    ]
    return reply(shown[:limit])


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


async def distribution(call: Call) -> Reply:
    """What a name stands for in its registry."""
    document, platforms = await call.engine.images.distribution(call.id, auth_of(call.request))
    shown = [
        {"architecture": entry.architecture, "os": entry.os}
        | ({"variant": entry.variant} if entry.variant else {})
        | ({"os.version": entry.os_version} if entry.os_version else {})
        for entry in platforms
    ]
    descriptor = {"mediaType": document.media_type, "digest": document.digest, "size": len(document.data)}
    return reply({"Descriptor": descriptor, "Platforms": shown})


def check_source(source: str) -> None:
    """An import's source: the request's body, or an address."""
    if source != "-" and not source.startswith(("http://", "https://")):
        raise Unsupported(f"unsupported: query parameter fromSrc {source!r}: it is - or an address")


ROUTES = (
    Route("GET", "/images/search", search, query=("term", "limit", "filters")),
    Route("POST", "/images/{id*}/push", push, query=("tag", "platform")),
    Route("POST", "/auth", auth),
    Route("GET", "/distribution/{id*}/json", distribution, minimum=(1, 30)),
)
