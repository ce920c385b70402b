"""The Client of `access` for what runs in the same process as the API: no connection, no authorisation; the user only
stands in what is written down and in the fields that writers leave.

It is given to controllers by whoever composes the process; they know the Protocol alone.
"""

import asyncio
import contextlib
import itertools
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import msgspec

from boxship.cluster.access import Event, Listing
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.gate import Performs
from boxship.cluster.api.pace import rest
from boxship.cluster.api.request import Answer, Body, Options, Request, Stream, User
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import no_such_path, of_status
from boxship.cluster.objects.media_types import APPLY_PATCH, JSON, JSON_PATCH, MERGE_PATCH
from boxship.transport.exchange import close_stream

PAGE = 25  # objects: what is read and decoded before others have their turn
# That a list may have before it waits for its turn: all the pods of a node fit in. One of a whole cluster takes long,
# and nobody who asks for little may stand behind it.
SHORT_PAGES = 5
EVENTS = 64  # that are remembered as they were decoded

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Shared:
    """What clients in one process have in common: whose long list has its turn, and the events that were decoded for
    one of them, as others are about to be told the same."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self._events: OrderedDict[bytes, Event] = OrderedDict()

    def event(self, line: bytes) -> Event:
        """Raises Failure for an ERROR."""
        event = self._events.get(line)
        if event is None:
            event = self._events[line] = _event(_decode(line))
            if len(self._events) > EVENTS:
                self._events.popitem(last=False)
        return event


class Inside:
    """Implements access.Client. `agent` names the field manager, as a User-Agent would. What it gives may be given to
    others, too: nobody changes it. `shared` is for all clients that read much."""

    def __init__(self, api: Performs, catalog: Catalog, user: User, agent: str, shared: Shared | None = None) -> None:
        self._api = api
        self._catalog = catalog
        self._user = user
        self._agent = agent
        self._shared = shared or Shared()

    async def get(self, resource: str, namespace: str, name: str, *, subresource: str = "") -> Object:
        return await self._answer("get", resource, namespace, name, subresource)

    async def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        items: list[Object] = []
        version = ""
        async with contextlib.aclosing(self.pages(resource, namespace, labels=labels, fields=fields)) as pages:
            async for page in pages:
                items += page.items
                version = page.version
        return Listing(tuple(items), version)

    async def pages(
        self, resource: str, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncGenerator[Listing, None]:
        """A long list keeps no request waiting while it is decoded. One long list after the other: at a start many are
        asked for, and each turn of the loop would have to wait for a piece of every one of them."""
        token = ""
        async with contextlib.AsyncExitStack() as turn:
            for number in itertools.count(1):
                options = Options(label_selector=labels, field_selector=fields, limit=PAGE, token=token)
                found = await self._answer("list", resource, namespace, options=options)
                api_version, kind = found["apiVersion"], found["kind"].removesuffix("List")
                items = found.get("items") or ()
                for item in items:
                    item.setdefault("apiVersion", api_version)
                    item.setdefault("kind", kind)
                yield Listing(tuple(items), found["metadata"].get("resourceVersion", ""))
                token = found["metadata"].get("continue", "")
                if not token:
                    return
                if number == SHORT_PAGES:
                    await turn.enter_async_context(self._shared.turn)
                await rest()

    async def watch(
        self, resource: str, namespace: str = "", *, version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        options = Options(label_selector=labels, field_selector=fields, version=version, bookmarks=True)
        reply = await self._api.perform(self._request("watch", resource, namespace, options=options))
        assert isinstance(reply, Stream)
        try:
            async for lines in reply.events:
                for line in lines.splitlines():
                    yield self._shared.event(line)
        finally:
            await close_stream(reply.events)

    async def create(self, resource: str, namespace: str, object: Object, *, subresource: str = "") -> Object:
        name = (object.get("metadata") or {}).get("name") or "" if subresource else ""
        return await self._answer("create", resource, namespace, name, subresource, Body(JSON, _encode(object)))

    async def update(self, resource: str, object: Object, *, subresource: str = "") -> Object:
        metadata = object["metadata"]
        body = Body(JSON, _encode(object))
        return await self._answer(
            "update", resource, metadata.get("namespace", ""), metadata["name"], subresource, body
        )

    async def patch(
        self, resource: str, namespace: str, name: str, patch: Object | Sequence[Object], *, subresource: str = ""
    ) -> Object:
        body = Body(MERGE_PATCH if isinstance(patch, dict) else JSON_PATCH, _encode(patch))
        return await self._answer("patch", resource, namespace, name, subresource, body)

    async def apply(
        self, resource: str, namespace: str, name: str, object: Object, *, manager: str, subresource: str = ""
    ) -> Object:
        options = Options(field_manager=manager, force=True)
        body = Body(APPLY_PATCH, _encode(object))
        return await self._answer("patch", resource, namespace, name, subresource, body, options)

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
        options = Options(precondition_uid=uid, precondition_version=version, grace=grace, propagation=propagation)
        await self._answer("delete", resource, namespace, name, options=options)

    async def _answer(
        self,
        verb: str,
        resource: str,
        namespace: str,
        name: str = "",
        subresource: str = "",
        body: Body | None = None,
        options: Options | None = None,
    ) -> Object:
        reply = await self._api.perform(self._request(verb, resource, namespace, name, subresource, body, options))
        assert isinstance(reply, Answer)
        answered: Object = _decode(await reply.whole())
        return answered

    def _request(
        self,
        verb: str,
        resource: str,
        namespace: str,
        name: str = "",
        subresource: str = "",
        body: Body | None = None,
        options: Options | None = None,
    ) -> Request:
        found = self._catalog.at(resource)
        if found is None:
            raise no_such_path()
        return Request(
            user=self._user,
            verb=verb,
            resource=found,
            namespace=namespace,
            name=name,
            subresource=subresource,
            options=options or Options(),
            body=body,
            agent=self._agent,
            warn=[],
            notes={},
        )


def _event(event: Object) -> Event:
    if event["type"] == "ERROR":
        raise of_status(event["object"])
    return Event(event["type"], event["object"])
