"""The Client of `access` over HTTPS: the same words as in the API's own process, for whoever lives elsewhere.

A watch goes on over broken connections from where it was; everything else is tried once, and what goes wrong is a
Failure. It must never read the environment: the server's address and who we are are values.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import msgspec

from boxship.cluster.access import Event, Listing
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure, of_status, unavailable
from boxship.cluster.objects.media_types import APPLY_PATCH, JSON, JSON_PATCH, MERGE_PATCH
from boxship.errors import BoxshipError
from boxship.transport.client import HttpClient, Trust, Waits

PAGE = 500  # objects asked for at once
ANSWER_BYTES = 64 << 20
LINE_BYTES = 8 << 20  # one event
WATCH_SECONDS = (300, 600)  # how long one request watches, so that servers can balance
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0  # seconds between tries of a watch
DAY = 86_400.0
SILENCE_SECONDS = 20  # a server that was cut off for so long is asked anew as soon as it is back
# A watch is silent for as long as nothing happens.
WAITS = Waits(connect_seconds=10.0, stall_seconds=DAY, window_seconds=DAY, slowest_bytes=0)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Server(msgspec.Struct, frozen=True):
    """Where the API is (https://HOST:PORT) and by whom it is known; `trust` may carry our own certificate."""

    url: str
    trust: Trust


class Place(Protocol):
    """A Server, or what answers anew at each request: a node's certificate changes."""

    @property
    def url(self) -> str: ...

    @property
    def trust(self) -> Trust: ...


def api_client(agent: str) -> HttpClient:
    """A client for connections to an API, each watch with one to itself. Close it at the end."""
    return HttpClient(waits=WAITS, connections_per_host=1000, user_agent=agent, silence_seconds=SILENCE_SECONDS)


def no_token() -> str:
    return ""


class Remote:
    """Implements access.Client. `token` is asked before each request: tokens change."""

    def __init__(self, client: HttpClient, server: Place, token: Callable[[], str] = no_token) -> None:
        self._client = client
        self._server = server
        self._token = token

    async def get(self, resource: str, namespace: str, name: str, *, subresource: str = "") -> Object:
        return await self._ask("GET", path_of(resource, namespace, name, subresource))

    async def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        items: list[Object] = []
        version = ""
        async for page in self.pages(resource, namespace, labels=labels, fields=fields):
            items += page.items
            version = page.version
        return Listing(tuple(items), version)

    async def pages(
        self, resource: str, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncGenerator[Listing, None]:
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": str(PAGE)}
        while True:
            found = await self._ask("GET", path_of(resource, namespace), query)
            kind = {"kind": found["kind"].removesuffix("List"), "apiVersion": found["apiVersion"]}
            items = tuple({**kind, **item} for item in found.get("items") or ())
            yield Listing(items, found["metadata"].get("resourceVersion", ""))
            query["continue"] = found["metadata"].get("continue", "")
            if not query["continue"]:
                return

    async def watch(
        self, resource: str, namespace: str = "", *, version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        pause = FIRST_PAUSE
        while True:
            query = {
                "watch": "true",
                "allowWatchBookmarks": "true",
                "resourceVersion": version,
                "labelSelector": labels,
                "fieldSelector": fields,
                "timeoutSeconds": str(random.randint(*WATCH_SECONDS)),
            }
            try:
                async for event in self._events(path_of(resource, namespace), query):
                    version = event.object["metadata"]["resourceVersion"]
                    pause = FIRST_PAUSE
                    yield event
            except Failure as failure:
                if failure.code < 500 and failure.code != 429:
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE)

    async def create(self, resource: str, namespace: str, object: Object, *, subresource: str = "") -> Object:
        name = (object.get("metadata") or {}).get("name") or "" if subresource else ""
        return await self._ask("POST", path_of(resource, namespace, name, subresource), body=object)

    async def update(self, resource: str, object: Object, *, subresource: str = "") -> Object:
        metadata = object["metadata"]
        path = path_of(resource, metadata.get("namespace") or "", metadata["name"], subresource)
        return await self._ask("PUT", path, body=object)

    async def patch(
        self, resource: str, namespace: str, name: str, patch: Object | Sequence[Object], *, subresource: str = ""
    ) -> Object:
        media_type = MERGE_PATCH if isinstance(patch, dict) else JSON_PATCH
        return await self._ask("PATCH", path_of(resource, namespace, name, subresource), body=patch, form=media_type)

    async def apply(
        self, resource: str, namespace: str, name: str, object: Object, *, manager: str, subresource: str = ""
    ) -> Object:
        path = path_of(resource, namespace, name, subresource)
        return await self._ask("PATCH", path, {"fieldManager": manager, "force": "true"}, object, APPLY_PATCH)

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        version: str = "",
        grace: int | None = None,
        propagation: str = "",
    ) -> None:
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        preconditions = {key: text for key, text in (("uid", uid), ("resourceVersion", version)) if text}
        if preconditions:
            options["preconditions"] = preconditions
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if propagation:
            options["propagationPolicy"] = propagation
        await self._ask("DELETE", path_of(resource, namespace, name), body=options)

    async def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None, form: str = JSON
    ) -> Object:
        """The answered document. Raises Failure."""
        data = _encode(body) if body is not None else None
        headers = self._headers({"Content-Type": form} if data is not None else {})
        try:
            async with self._client.request(
                method, self._url(path, query), headers=headers, body=data, trust=self._server.trust
            ) as answer:
                found = await answer.read(ANSWER_BYTES)
        except BoxshipError as error:
            raise unavailable(f"cannot reach the API: {error}") from error
        if answer.status >= 400:
            raise failure_of(answer.status, found)
        document: Object = _decode(found)
        return document

    async def _events(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Event]:
        """The events of one request, until it ends. Raises Failure."""
        held = b""
        try:
            async with self._client.request(
                "GET", self._url(path, query), headers=self._headers({}), trust=self._server.trust
            ) as answer:
                if answer.status >= 400:
                    raise failure_of(answer.status, await answer.read(ANSWER_BYTES))
                async for piece in answer.chunks():
                    *lines, held = (held + piece).split(b"\n")
                    if len(held) > LINE_BYTES:
                        raise unavailable(f"an event has more than {LINE_BYTES} bytes")
                    for line in lines:
                        if line:
                            yield _event(_decode(line))
        except Failure:
            raise
        except (BoxshipError, msgspec.DecodeError) as error:
            raise unavailable(f"cannot go on watching: {error}") from error

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        token = self._token()
        return {"Accept": JSON, **headers, **({"Authorization": f"Bearer {token}"} if token else {})}

    def _url(self, path: str, query: Mapping[str, str] | None) -> str:
        parts = {key: text for key, text in (query or {}).items() if text}
        return f"{self._server.url}{path}" + (f"?{urlencode(parts)}" if parts else "")


def path_of(resource: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """The URL's path of "v1/pods" or "apps/v1/deployments"."""
    place, _, plural = resource.rpartition("/")
    words = [f"/apis/{place}" if "/" in place else f"/api/{place}"]
    if namespace:
        words += ["namespaces", quote(namespace, safe="")]
    words += [plural, *(quote(word, safe=":") for word in (name, subresource) if word)]
    return "/".join(words)


def failure_of(status: int, data: bytes) -> Failure:
    """The Failure that an answer tells of, also where it is no Status."""
    try:
        found = _decode(data)
    except msgspec.DecodeError:
        found = None
    if isinstance(found, dict) and found.get("kind") == "Status":
        return of_status(found)
    return Failure(status, "", data[:200].decode(errors="replace").strip() or f"the API answered {status}")


def _event(event: Object) -> Event:
    if event["type"] == "ERROR":
        raise of_status(event["object"])
    return Event(event["type"], event["object"])
