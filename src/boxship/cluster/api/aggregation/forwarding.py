"""One request to another server. This one is its front proxy: it shows a certificate of its own and says in header
fields for whom it speaks; what the client has shown stays here."""

import base64
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

from boxship.cluster.api.admission import Lookup
from boxship.cluster.api.admission.webhooks.calling import endpoint_of
from boxship.cluster.api.aggregation.services import Elsewhere
from boxship.cluster.api.request import SYSTEM_MASTERS, User
from boxship.cluster.objects.failure import Failure, unavailable
from boxship.errors import BoxshipError, Internal, Unavailable
from boxship.transport.client import HttpClient, Trust
from boxship.transport.exchange import Lent, close_stream

ANSWER_BYTES = 64 << 20  # of a document that is read whole
AGGREGATOR = User("system:kube-aggregator", (SYSTEM_MASTERS,))
# Fields that are about one connection, or say who the client is: these are ours to say.
KEPT_BACK = {
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
OWN = ("x-remote-", "impersonate-", "x-forwarded-")


class Forwarded(msgspec.Struct, frozen=True):
    """The other server's answer. The body has to be read to its end or closed."""

    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]


class Forwarding:
    """`client` should wait for ever between two pieces of a body: watches are silent at times."""

    def __init__(self, client: HttpClient, lookup: Lookup, certificate: Path, key: Path) -> None:
        self._client = client
        self._lookup = lookup
        self._certificate = str(certificate)
        self._key = str(key)

    async def forward(
        self,
        elsewhere: Elsewhere,
        user: User,
        method: str,
        target: str,
        headers: Mapping[str, Sequence[str]],
        body: bytes = b"",
        peer: str = "",
    ) -> Forwarded:
        """`target` is the path with its query, as it was sent. Raises Failure ServiceUnavailable."""
        url, host, trust = await self._reach(elsewhere, target)
        fields = {**fields_for(user, peer), **passed(headers), "Host": host}
        stack = contextlib.AsyncExitStack()
        try:
            answer = await stack.enter_async_context(
                self._client.request(method, url, headers=fields, body=body or None, trust=trust)
            )
        except BoxshipError as error:
            raise unavailable(f"error trying to reach service: {error}") from error
        sent = {name: value for name, value in answer.headers.items() if name.lower() not in KEPT_BACK}
        return Forwarded(answer.status, sent, Lent(answer.chunks(), stack))

    async def fetch(
        self, elsewhere: Elsewhere, target: str, accept: str = "application/json", user: User = AGGREGATOR
    ) -> tuple[int, bytes]:
        """A document, asked for by the aggregator itself, or for the user. Raises Failure ServiceUnavailable."""
        forwarded = await self.forward(elsewhere, user, "GET", target, {"accept": [accept]})
        parts, size = [], 0
        try:
            async for piece in forwarded.body:
                size += len(piece)
                if size > ANSWER_BYTES:
                    raise unavailable(f"the answer of {elsewhere.name} has more than {ANSWER_BYTES} bytes")
                parts.append(piece)
        except BoxshipError as error:
            if isinstance(error, Failure):
                raise
            raise unavailable(f"error trying to reach service: {error}") from error
        finally:
            await close_stream(forwarded.body)
        return forwarded.status, b"".join(parts)

    async def _reach(self, elsewhere: Elsewhere, target: str) -> tuple[str, str, Trust]:
        try:
            address, port = await endpoint_of(self._lookup, elsewhere.namespace, elsewhere.service, elsewhere.port)
            bundle = base64.b64decode(elsewhere.authority).decode()
        except (Unavailable, Internal, ValueError) as error:
            raise unavailable(f"service unavailable: {error}") from error
        host = f"{elsewhere.service}.{elsewhere.namespace}.svc"
        shown = f"[{address}]" if ":" in address else address
        trust = Trust(
            ca_data=bundle,
            server_name=host,
            certificate=self._certificate,
            key=self._key,
            verify=not elsewhere.insecure,
        )
        return f"https://{shown}:{port}{target}", host, trust


def fields_for(user: User, peer: str = "") -> dict[str, str | Sequence[str]]:
    """Who asks, as a front proxy says it."""
    fields: dict[str, str | Sequence[str]] = {"X-Remote-User": user.name}
    if user.groups:
        fields["X-Remote-Group"] = list(user.groups)
    if user.uid:
        fields["X-Remote-Uid"] = user.uid
    for key, values in user.extra.items():
        fields[f"X-Remote-Extra-{quote(key.lower(), safe='')}"] = list(values)
    if peer:
        fields["X-Forwarded-For"] = peer
    return fields


def passed(headers: Mapping[str, Sequence[str]]) -> dict[str, str | Sequence[str]]:
    """The client's own fields that go on. Names are lower-case."""
    return {
        name: list(values)
        for name, values in headers.items()
        if name not in KEPT_BACK and not name.startswith(OWN) and name != "accept-encoding"
    }
