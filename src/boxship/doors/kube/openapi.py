"""/openapi/v2 and /openapi/v3, from documents that are ready. Clients keep them: an ETag, and addresses that carry the
document's hash and may be kept for ever."""

from typing import Protocol
from urllib.parse import quote

from boxship.cluster.objects.failure import no_such_path, not_acceptable
from boxship.cluster.objects.media_types import JSON
from boxship.doors.kube.errors import wrong_method
from boxship.doors.kube.negotiation import parse_accept
from boxship.transport.exchange import Reply, Request

# What clients call the binary forms, and what the answer calls them.
V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
V3_PROTOBUF = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
BINARY = {"v2": V2_PROTOBUF, "v3": V3_PROTOBUF}
KEPT = {"Cache-Control": "public, immutable", "Expires": "Thu, 31 Dec 2099 23:59:59 GMT"}


class Documents(Protocol):
    """The documents as they are now; making one for the first time may take a while."""

    async def v2(self, binary: bool) -> tuple[bytes, str]:
        """The document, as JSON or as protobuf, and its hash."""

    async def v3_index(self) -> tuple[bytes, str]: ...

    async def v3(self, path: str, binary: bool) -> tuple[bytes, str] | None:
        """Of "api/v1" or "apis/GROUP/VERSION"; None: there is no such one, or not in this form."""


class OpenApi:
    """The answers over one set of documents."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def answer(self, request: Request) -> Reply:
        if request.method not in ("GET", "HEAD"):
            raise wrong_method()
        rest = request.path.removeprefix("/openapi/").strip("/")
        if rest == "v2":
            binary = wants_binary(request.headers.get("Accept", ""), "v2")
            data, known = await self._documents.v2(binary)
            return _document(request, data, known, V2_PROTOBUF if binary else JSON)
        if rest == "v3":
            data, known = await self._documents.v3_index()
            return _document(request, data, known, JSON)
        if not rest.startswith("v3/"):
            raise no_such_path()
        binary = wants_binary(request.headers.get("Accept", ""), "v3")
        found = await self._documents.v3(rest.removeprefix("v3/"), binary)
        if found is None:
            raise no_such_path()
        data, known = found
        asked = request.query.get("hash", [""])[0]
        if asked and asked != known:
            return Reply(301, {"Location": f"{request.path}?hash={quote(known)}"})
        return _document(request, data, known, V3_PROTOBUF if binary else JSON, kept=bool(asked))


def wants_binary(accept: str, version: str) -> bool:
    """Whether the client would rather have protobuf. Raises Failure 406 where it wants neither form."""
    if not accept:
        return False
    for clause in parse_accept(accept):
        name = clause.media_type
        if name in (JSON, "application/*", "*/*"):
            return False
        if name.replace("@", ".") == BINARY[version]:
            return True
    raise not_acceptable((JSON, BINARY[version]))


def _document(request: Request, data: bytes, known: str, content_type: str, *, kept: bool = False) -> Reply:
    tag = f'"{known}"'
    headers = {"ETag": tag, "Vary": "Accept", **(KEPT if kept else {})}
    if tag in [word.strip().removeprefix("W/") for word in request.headers.get("If-None-Match", "").split(",")]:
        return Reply(304, headers)
    return Reply(200, {"Content-Type": content_type, **headers}, data)
