"""The door itself: a request becomes a question to the gate, its answer a reply; refusals become Status objects."""

import asyncio
import os
import time
from functools import partial

import msgspec

from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.gate import Gate, Visit
from boxship.cluster.api.request import Answer, Ask, Options, Stream, User
from boxship.cluster.api.request import Request as ApiRequest
from boxship.cluster.objects.failure import Failure, no_such_path, timed_out
from boxship.cluster.objects.media_types import JSON, YAML
from boxship.cluster.objects.resource import Resource
from boxship.doors.kube.bodies import FromProtobuf, read_body, read_delete_options
from boxship.doors.kube.connecting import Connecting
from boxship.doors.kube.errors import failure_of, wrong_method
from boxship.doors.kube.metrics import Key, Metrics
from boxship.doors.kube.negotiation import Wanted, negotiate, parse_accept
from boxship.doors.kube.passing import Passing
from boxship.doors.kube.paths import Target, read_path
from boxship.doors.kube.query import deadline, is_true, read_options
from boxship.doors.kube.shaping import pretty_pieces, yaml_of, yaml_pieces
from boxship.doors.kube.site import OWN, Site
from boxship.doors.kube.streams import STALL_SECONDS, Watching, send_messages
from boxship.transport.exchange import Reply, Request
from boxship.wire.yaml_text import from_json

LONGEST_SECONDS = 60.0  # a request that is no watch
AGENT_CHARACTERS = 256
AUDIT_ID_CHARACTERS = 64
WARNING_BYTES = 4096  # all warnings of one answer
NOBODY = User("")
# Subresources that carry a connection on instead of an object.
CONNECTS = {
    ("pods", "attach"),
    ("pods", "exec"),
    ("pods", "portforward"),
    ("pods", "proxy"),
    ("services", "proxy"),
    ("nodes", "proxy"),
}
TOO_LATE = "request did not complete within requested timeout - context deadline exceeded"
MUTATING = ("create", "update", "patch", "delete", "deletecollection")

_encode = msgspec.json.Encoder().encode


class Door:
    """Serves one API. `handle` is a transport handler."""

    def __init__(
        self,
        gate: Gate,
        catalog: Catalog,
        site: Site,
        metrics: Metrics,
        from_protobuf: FromProtobuf,
        passing: Passing | None = None,
        connecting: Connecting | None = None,
    ) -> None:
        self._gate = gate
        self._catalog = catalog
        self._site = site
        self._metrics = metrics
        self._from_protobuf = from_protobuf
        self._passing = passing
        self._connecting = connecting

    async def handle(self, request: Request) -> Reply | None:
        """Answer one request. Nothing but cancellation leaves this function as an exception."""
        began = time.monotonic()
        target = read_path(request.method, request.path)
        visit = visit_of(request)
        warnings: list[str] = []
        key = Key("OTHER")
        try:
            key = self._key_of(target, request)
            if target is None:
                reply: Reply | None = await self._answer_path(visit, request)
            else:
                reply = await self._answer_resource(visit, request, target, warnings, key)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the border of a request: failure_of logs what is a mistake of ours
            reply = status_reply(failure_of(error, request), request)
        if reply is None:
            return None
        streams = not isinstance(reply.body, bytes) and key.verb == "WATCH"
        self._metrics.answered(key, reply.status, None if streams else time.monotonic() - began)
        return _shaped(request, reply, visit, warnings)

    def _key_of(self, target: Target | None, request: Request) -> Key:
        """What metrics count it as. Names that we do not serve are the client's own words: they count as one."""
        if target is None:
            return Key(request.method if request.method in ("GET", "HEAD") else "OTHER")
        verb = "watch" if target.verb == "list" and is_true(request.query, "watch") else target.verb
        resource = self._catalog.find(target.group, target.version, target.plural)
        if resource is None or (target.subresource and target.subresource not in resource.subresources):
            return Key(verb.upper() or "OTHER")
        scope = "resource" if target.name else "namespace" if target.namespace else "cluster"
        return Key(verb.upper() or "OTHER", target.group, target.version, target.plural, target.subresource, scope)

    async def _answer_path(self, visit: Visit, request: Request) -> Reply:
        path = request.path.rstrip("/") or "/"
        elsewhere = self._passing.of_path(path) if self._passing is not None else None
        if self._passing is not None and elsewhere is not None:
            return await self._passing.reply(elsewhere, visit, request, Ask(user=NOBODY, verb="get", path=path))
        own = path.startswith(OWN)
        async with self._gate.pass_path(visit, path, everything=own) as user:
            try:
                async with asyncio.timeout(None if own else deadline(request.query, LONGEST_SECONDS)):
                    reply = await self._answer_page(request, path, user)
            except TimeoutError:
                raise timed_out(TOO_LATE) from None
            visit.code = reply.status
            return reply

    async def _answer_page(self, request: Request, path: str, user: User) -> Reply:
        if path.startswith(OWN):
            own = self._site.find_own(path)
            if own is None:
                raise no_such_path()
            return await own(request, user)
        handler = self._site.find(path)
        if handler is None:
            raise no_such_path()
        if request.method not in ("GET", "HEAD"):
            raise wrong_method()
        return await handler(request)

    async def _answer_resource(
        self, visit: Visit, request: Request, target: Target, warnings: list[str], key: Key
    ) -> Reply | None:
        resource = self._catalog.find(target.group, target.version, target.plural)
        if self._passing is not None and (resource is None or resource in self._catalog.computed()):
            elsewhere = self._passing.find(target.group, target.version)
            if elsewhere is not None:
                ask = ask_of(target, watched=is_true(request.query, "watch"))
                return await self._passing.reply(elsewhere, visit, request, ask)
        if resource is None or not fits(resource, target):
            await self._gate.pass_refused(visit, ask_of(target), 404)
            raise no_such_path()
        verb = target.verb
        if verb == "list" and is_true(request.query, "watch"):
            verb = "watch"
        if not allows(resource, target, verb) and not _asks_options(request, target):
            await self._gate.pass_refused(visit, ask_of(target), 405)
            raise wrong_method()
        if self._connecting is not None and (is_connect(target) or (target.subresource == "log" and verb == "get")):
            plain = Wanted()
            asked = self._read(request, resource, target, verb, plain, warnings, visit)
            return await self._connecting.reply(visit, request, asked, verb)
        try:
            wanted = wanted_by(request, verb, tables=has_tables(resource, target))
            asked = self._read(request, resource, target, verb, wanted, warnings, visit)
        except Failure as refusal:  # told to those alone who may ask
            await self._gate.pass_refused(visit, ask_of(target, watched=verb == "watch"), refusal.code)
            raise
        if verb == "watch":
            return await self._watch(visit, request, asked, key)
        kind = "mutating" if verb in MUTATING else "readOnly"
        self._metrics.inflight[kind] += 1
        try:
            async with asyncio.timeout(deadline(request.query, LONGEST_SECONDS)):
                reply = await self._gate.perform(visit, asked, verb, partial(self._complete, request))
        except TimeoutError:
            raise timed_out(TOO_LATE) from None
        finally:
            self._metrics.inflight[kind] -= 1
        assert isinstance(reply, Answer)
        return await answered(reply, wanted)

    def _read(
        self,
        request: Request,
        resource: Resource,
        target: Target,
        verb: str,
        wanted: Wanted,
        warnings: list[str],
        visit: Visit,
    ) -> ApiRequest:
        """The API's request out of the wire's, but for its body. Who asks is for the gate to find."""
        if resource.warning:
            warnings.append(resource.warning)
        media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        options = read_options(verb, request.query, media_type)
        name = target.name
        if verb == "watch" and name:  # legacy: one object's watch
            options, name = _only(options, name), ""
        return ApiRequest(
            user=NOBODY,
            verb="connect" if is_connect(target) else verb,
            resource=resource,
            namespace=target.namespace if resource.namespaced else "",
            name=name,
            subresource=target.subresource,
            path=target.rest,
            options=options,
            view=wanted.view,
            agent=visit.agent,
            audit_id=visit.audit_id,
            warn=warnings,
            notes={},
        )

    async def _complete(self, request: Request, asked: ApiRequest) -> ApiRequest:
        """The request with its body."""
        if asked.verb in ("create", "update", "patch"):
            body = await read_body(request, patch=asked.verb == "patch", custom=asked.resource.custom)
            return msgspec.structs.replace(asked, body=body)
        if asked.verb in ("delete", "deletecollection"):
            options = await read_delete_options(request, asked.options, self._from_protobuf)
            return msgspec.structs.replace(asked, options=options)
        return asked

    async def _watch(self, visit: Visit, request: Request, asked: ApiRequest, key: Key) -> Reply | None:
        reply = await self._gate.perform(visit, asked, "watch", _as_it_is)
        if isinstance(reply, Answer):
            return Reply(reply.code, {"Content-Type": JSON}, reply.document())
        assert isinstance(reply, Stream)
        events = Watching(reply.events, self._metrics, key)
        if request.method == "HEAD":
            await events.aclose()
            return Reply(200, {"Content-Type": JSON})
        if request.headers.get("Upgrade", "").lower() == "websocket":
            await send_messages(request, events)
            return None
        return Reply(200, {"Content-Type": JSON}, events, STALL_SECONDS)


async def _as_it_is(asked: ApiRequest) -> ApiRequest:
    return asked


def visit_of(request: Request) -> Visit:
    """What is known before anybody is."""
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), []).append(value)
    given = headers.get("audit-id", [""])[0]
    return Visit(
        audit_id=given[:AUDIT_ID_CHARACTERS] if given.isascii() and given.isprintable() and given else new_id(),
        method=request.method,
        uri=request.target,
        headers=headers,
        certificate=request.certificate,
        peer=request.peer,
        agent=headers.get("user-agent", [""])[0][:AGENT_CHARACTERS],
    )


def new_id() -> str:
    """A random UUID."""
    data = bytearray(os.urandom(16))
    data[6] = data[6] & 0x0F | 0x40
    data[8] = data[8] & 0x3F | 0x80
    text = data.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def ask_of(target: Target, *, watched: bool = False) -> Ask:
    """The question about a resource that is not here; with `watched` a list is a watch."""
    return Ask(
        user=NOBODY,
        verb="watch" if watched and target.verb == "list" else target.verb,
        group=target.group,
        version=target.version,
        resource=target.plural,
        subresource=target.subresource,
        namespace=target.namespace,
        name=target.name,
    )


def is_connect(target: Target) -> bool:
    return bool(target.subresource) and not target.group and (target.plural, target.subresource) in CONNECTS


def _asks_options(request: Request, target: Target) -> bool:
    """OPTIONS have no verb, so that only who may do everything may ask for them; proxies pass them on."""
    return request.method == "OPTIONS" and target.subresource == "proxy" and is_connect(target)


def fits(resource: Resource, target: Target) -> bool:
    """Whether the path has the resource's form."""
    if target.subresource and target.subresource not in resource.subresources:
        return False
    if target.rest and not is_connect(target):
        return False
    if resource.namespaced:
        return bool(target.namespace) or not target.name
    return not target.namespace or (resource.plural == "namespaces" and not resource.group)


def allows(resource: Resource, target: Target, verb: str) -> bool:
    """Whether the resource, or its subresource, has the verb at this path."""
    if target.subresource:
        return verb in resource.subresources[target.subresource].verbs
    if verb not in resource.verbs:
        return False
    if verb == "create":
        return not target.name and (bool(target.namespace) or not resource.namespaced)
    if verb == "deletecollection":
        return not resource.namespaced or bool(target.namespace)
    return bool(target.name) or verb in ("list", "watch")


def has_tables(resource: Resource, target: Target) -> bool:
    """What can only be posted (reviews, evictions, tokens) is nothing that has rows."""
    verbs = resource.subresources[target.subresource].verbs if target.subresource else resource.verbs
    return tuple(verbs) != ("create",)


def wanted_by(request: Request, verb: str, *, tables: bool) -> Wanted:
    """The form of the answer. Raises Failure 406."""
    query = request.query
    pretty = is_true(query, "pretty") if "pretty" in query else None
    return negotiate(
        request.headers.get("Accept", ""),
        pretty,
        request.headers.get("User-Agent", ""),
        query.get("includeObject", [""])[0],
        verb=verb,
        tables=tables,
    )


def _only(options: Options, name: str) -> Options:
    terms = [term for term in (options.field_selector, f"metadata.name={name}") if term]
    return msgspec.structs.replace(options, field_selector=",".join(terms))


async def answered(answer: Answer, wanted: Wanted) -> Reply:
    """The API's document in the form that the client wants."""
    headers = {"Content-Type": wanted.content_type}
    if answer.is_long:
        pieces = answer.pieces()
        shaped = yaml_pieces(pieces) if wanted.yaml else pretty_pieces(pieces) if wanted.pretty else pieces
        return Reply(answer.code, headers, shaped, STALL_SECONDS)
    if wanted.yaml:
        return Reply(answer.code, headers, await yaml_of(answer.body))
    if wanted.pretty:
        return Reply(answer.code, headers, msgspec.json.format(answer.body, indent=2) + b"\n")
    return Reply(answer.code, headers, answer.body)


def status_reply(refusal: Failure, request: Request) -> Reply:
    """The refusal as a Status; as YAML for a client that takes nothing else."""
    headers = {"Content-Type": JSON}
    if refusal.retry_after:
        headers["Retry-After"] = str(refusal.retry_after)
    data = _encode(refusal.status())
    accept = request.headers.get("Accept", "")
    if YAML in accept and parse_accept(accept)[:1] and parse_accept(accept)[0].media_type == YAML:
        return Reply(refusal.code, {**headers, "Content-Type": YAML}, from_json(data))
    return Reply(refusal.code, headers, data + b"\n")


def _shaped(request: Request, reply: Reply, visit: Visit, warnings: list[str]) -> Reply:
    """The reply with the headers of all; for HEAD without its body, but with its length."""
    headers = {"Audit-Id": visit.audit_id, "Cache-Control": "no-cache, private", **reply.headers}
    if visit.flow_schema:
        headers["X-Kubernetes-Pf-Flowschema-Uid"] = visit.flow_schema
        headers["X-Kubernetes-Pf-Prioritylevel-Uid"] = visit.priority_level
    if warnings:
        headers["Warning"] = warning_header(warnings)
    if request.method == "HEAD":
        if isinstance(reply.body, bytes):
            headers.setdefault("Content-Length", str(len(reply.body)))
        return Reply(reply.status, headers, more=reply.more)
    return Reply(reply.status, headers, reply.body, reply.stall_seconds, reply.more)


def warning_header(warnings: list[str]) -> str:
    """All texts as one header's value (RFC 7234, code 299), as many as have room."""
    found: list[str] = []
    size = 0
    for text in dict.fromkeys(warnings):
        shown = "".join(character if character.isprintable() else " " for character in text)
        quoted = shown.replace("\\", "\\\\").replace('"', '\\"')
        value = f'299 - "{quoted}"'
        size += len(value.encode())
        if size > WARNING_BYTES:
            break
        found.append(value)
    return ", ".join(found)
