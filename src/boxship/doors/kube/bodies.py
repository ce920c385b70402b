"""Request bodies: at most 3 MiB, of a media type that the verb takes. They go on as they came, but for DeleteOptions,
which are options like those of the query."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from boxship.cluster.api.documents import told_twice
from boxship.cluster.api.request import Body, Options
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure, bad_request
from boxship.cluster.objects.media_types import APPLY_PATCH, JSON, YAML
from boxship.doors.kube.errors import BODY_BYTES
from boxship.doors.kube.negotiation import media_type_of
from boxship.doors.kube.query import delete_options
from boxship.errors import Invalid
from boxship.transport.exchange import Request
from boxship.wire.yaml_text import read

SMALL_YAML_BYTES = 16 * 1024  # a larger one is read by a thread

FromProtobuf = Callable[[bytes], Object]


class _Preconditions(msgspec.Struct, frozen=True):
    uid: str | None = None
    resourceVersion: str | None = None


class _DeleteOptions(msgspec.Struct, frozen=True):
    """The fields as JSON has them; others are dropped."""

    kind: str = ""
    apiVersion: str = ""
    gracePeriodSeconds: int | None = None
    preconditions: _Preconditions | None = None
    orphanDependents: bool | None = None
    propagationPolicy: str | None = None
    dryRun: list[str] | None = None
    ignoreStoreReadErrorWithClusterBreakingPotential: bool | None = None


_one = asyncio.Semaphore(1)
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


async def read_body(request: Request, *, patch: bool, custom: bool) -> Body:
    """The body of a create, update or patch. Raises Failure 415, BodyTooLarge, Timeout."""
    media_type = media_type_of(request.headers.get("Content-Type", ""), patch=patch, custom=custom)
    data = await _plain_body(request)
    if media_type in (YAML, APPLY_PATCH) and len(data) > SMALL_YAML_BYTES and not data.startswith(b"{"):
        async with _one:  # several threads at it would leave the loop a small share of the interpreter
            return await asyncio.to_thread(_as_json, media_type, data)
    return Body(media_type, data)


async def _plain_body(request: Request) -> bytes:
    """The bytes as they came. Raises Failure 415 for compressed ones."""
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        why = f"unsupported: Content-Encoding {encoding[:100]}: send the body as it is"
        raise Failure(415, "UnsupportedMediaType", why)
    return await request.body(BODY_BYTES)


def _as_json(media_type: str, data: bytes) -> Body:
    """A long YAML text as JSON, so that the loop need not wait until it is read."""
    try:
        value, twice = read(data)
    except Invalid as error:
        raise bad_request(f"error converting YAML to JSON: {error}") from None
    return Body(JSON if media_type == YAML else media_type, _encode(value), tuple(told_twice(twice)))


async def read_delete_options(request: Request, options: Options, from_protobuf: FromProtobuf) -> Options:
    """The options of a DELETE: of its body, where it has one, else of the query. Raises Failure 400, 415, 422."""
    data = await _plain_body(request)
    if not data:
        return options
    media_type = media_type_of(request.headers.get("Content-Type", ""), patch=False, custom=False)
    value = await decode(media_type, data, from_protobuf)
    try:
        fields = msgspec.convert(value, _DeleteOptions)
    except msgspec.ValidationError as error:
        raise bad_request(f"cannot read DeleteOptions: {error}") from None
    if fields.kind not in ("", "DeleteOptions"):
        raise bad_request(f"expected DeleteOptions, got {fields.kind[:100]}")
    return delete_options(msgspec.to_builtins(fields), options)


async def decode(media_type: str, data: bytes, from_protobuf: FromProtobuf) -> Any:
    """A body's value. Raises Failure 400, Invalid."""
    try:
        if media_type == YAML:
            value, _ = await asyncio.to_thread(read, data) if len(data) > SMALL_YAML_BYTES else read(data)
            return value
        return _decode(data) if media_type == JSON else from_protobuf(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise bad_request(f"cannot read the body of the request: {error}") from None
