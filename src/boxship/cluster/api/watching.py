"""Watches. One watch of the store feeds all of them (Hub); each reader gets the state it asked for first, then what was
missed from the store's history, then its topic's events, with bookmarks where it wants them.

Nothing is told twice or left out: the history is read up to the revision that the hub had reached when the reader
joined its topic, and what the topic tells up to there is skipped. Semantics: kubernetes.io, "API Concepts", "Efficient
detection of changes", "Watch bookmarks", "Streaming lists".
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator

import msgspec

from boxship.cluster.api import versions
from boxship.cluster.api.catalog import Catalog, Definition
from boxship.cluster.api.happenings import Channel, Event, Happening, Topic, event_line, judge, place_of
from boxship.cluster.api.indexing import Indexes
from boxship.cluster.api.listing import Lister, Page
from boxship.cluster.api.pace import Pace
from boxship.cluster.api.request import Request, Stream
from boxship.cluster.api.selection import Facts, Selection
from boxship.cluster.api.storage import ROOT, Storage, prefix_of
from boxship.cluster.api.views import META_VERSION, Views, to_json
from boxship.cluster.objects.failure import Failure, expired, internal, unavailable
from boxship.errors import BoxshipError, Unavailable
from boxship.store import Compacted, Entry

log = logging.getLogger("boxship-control")

LASTS = 1800.0  # seconds that a watch lasts at least where nothing is said; at most twice as long
BOOKMARK_EVERY = 60.0  # seconds
RETRY = 0.2  # seconds after which a store that did not answer is asked again
SLICE_BYTES = 256 << 10  # of first events, written at once


class Hub:
    """Follows the whole store and gives each change to the channel of its kind."""

    def __init__(self, storage: Storage, indexes: Indexes) -> None:
        self._storage = storage
        self._indexes = indexes
        self._channels: dict[str, Channel] = {}
        self._started = asyncio.Event()
        self.seen = 0  # the revision of the newest change that was looked at
        self.settled = 0  # up to here all changes were looked at

    async def run(self) -> None:
        """Without end. A store that is away is waited for; what it has forgotten meanwhile ends all watches."""
        while True:
            try:
                self.seen = self.settled = max(self.settled, 0) or await self._storage.store.revision()
                self._indexes.begin(self.settled)
                self._started.set()
                async for change in self._storage.store.watch(ROOT, after=self.settled):
                    if change.revision > self.seen:
                        self.settled, self.seen = self.seen, change.revision
                    self._indexes.note(change)
                    channel = self._channel_of(change.key)
                    if channel is not None and not channel.idle:
                        channel.publish(Happening(self._storage.opened_change(change)))
            except Compacted:
                self.settled = 0
                self.end_all()
            except Unavailable:
                self.end_all()
                await asyncio.sleep(RETRY)
            except BoxshipError as error:  # a value that cannot be opened: whoever reads the object is told why
                log.error("a change after revision %d cannot be told: %s", self.settled, error)
                self.end_all()
                self.settled = self.seen
                await asyncio.sleep(RETRY)

    async def join(self, storage: str) -> Channel:
        """The channel of the resources with this `storage`, once changes are followed."""
        await self._started.wait()
        return self._channels.setdefault(storage, Channel(storage))

    def _channel_of(self, key: str) -> Channel | None:
        first, _, rest = key[len(ROOT) :].partition("/")
        return self._channels.get(first) or self._channels.get(f"{first}/{rest.partition('/')[0]}")

    def end_all(self) -> None:
        self._indexes.forget()
        for channel in self._channels.values():
            channel.end_all()


class Watching:
    """Answers `watch`."""

    def __init__(
        self, storage: Storage, catalog: Catalog, views: Views, facts: Facts, lister: Lister, hub: Hub
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._views = views
        self._facts = facts
        self._lister = lister
        self._hub = hub

    async def watch(self, request: Request) -> Stream:
        """Raises Failure where the request itself is wrong; what goes wrong later is an ERROR event."""
        definition = self._catalog.definition(request.resource)
        selection = Selection(definition, request.options, self._facts, request.name)
        versions.check_watch(request.options)
        asked = versions.number(request.options.version)
        if asked:
            await versions.wait_until_known(self._storage.store, asked)
        page: Page | None = None
        if request.options.parameters.get("sendInitialEvents", ("",))[0] == "false" and not asked:
            asked = await self._storage.store.revision()
        elif not asked or request.options.initial_events:
            page = await self._lister.page(_plain(request), selection)
            asked = page.revision
        return Stream(self._follow(request, definition, selection, asked, page))

    async def _follow(
        self, request: Request, definition: Definition, selection: Selection, asked: int, page: Page | None
    ) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        lasts = request.options.timeout or LASTS * (1 + random.random())
        reader = _Reader(request, definition, selection, self._views, loop.time() + lasts)
        resource = request.resource
        if request.namespace or (selection.namespace and resource.namespaced):
            scope = prefix_of(resource, request.namespace or selection.namespace)
        else:
            scope = prefix_of(resource)
        try:
            reader.told = asked
            if page is not None:
                async for piece in self._first(request, reader, page):
                    yield piece
                page = None
            channel = await self._hub.join(resource.storage)
            shape = (resource.path, scope, selection.shape, request.view)
            place = place_of(resource.storage, selection, scope, whole=scope == prefix_of(resource))
            topic = channel.join(shape, lambda: Topic(definition, request.view, selection, scope, self._views, place))
            try:
                async for piece in self._events(reader, topic, scope):
                    yield piece
            finally:
                channel.leave(shape, topic)
        except Compacted as error:
            oldest = error.oldest
            yield failed(expired(f"too old resource version: {reader.told} ({oldest})"))
        except Failure as failure:
            yield failed(failure)
        except Unavailable as error:
            yield failed(unavailable(str(error)))
        except BoxshipError as error:
            yield failed(internal(str(error)))

    async def _first(self, request: Request, reader: "_Reader", page: Page) -> AsyncIterator[bytes]:
        """What is there, as ADDED events, and the bookmark that ends them."""
        parts: list[bytes] = []
        size = 0
        pace = Pace()
        for sealed in page.entries:
            line = await reader.added(self._storage.opened(sealed))
            parts.append(line)
            size += len(line)
            if size > SLICE_BYTES:
                yield b"".join(parts)
                parts, size = [], 0
            elif pace.due:
                await pace.rest()
        if request.options.initial_events and request.options.bookmarks:
            parts.append(reader.bookmark(page.revision, {"k8s.io/initial-events-end": "true"}))
        if parts:
            yield b"".join(parts)

    async def _events(self, reader: "_Reader", topic: Topic, scope: str) -> AsyncIterator[bytes]:
        """What was missed, then the topic's events until the time is over, the reader is too slow, or the hub has
        to begin anew."""
        place, reached = topic.end, self._hub.seen
        if reader.told < reached:
            async for change in self._storage.store.past(scope, after=reader.told, until=reached):
                event = judge(reader.selection, scope, Happening(self._storage.opened_change(change)))
                if event is not None:
                    yield await reader.line(topic, event)
            reader.told = max(reader.told, reached)
        known = reader.told
        loop = asyncio.get_running_loop()
        while not topic.broken and not topic.lost(place):
            events = topic.events(place)
            if not events:
                if loop.time() >= reader.ends:
                    break
                if reader.bookmark_due(loop.time()):
                    yield reader.bookmark(max(self._hub.settled, reader.told))
                await topic.wait(place, reader.next_turn())
                continue
            if reader.fresh or events[0].happening.revision <= known:
                wanted = [event for event in events if event.happening.revision > known]
                place += len(events)
                for event in wanted:
                    yield await reader.line(topic, event)
            else:
                data = await topic.lines(place, events)
                place += len(events)
                yield data
            reader.told = max(reader.told, events[-1].happening.revision)
        if reader.bookmarks and not topic.broken and not topic.lost(place):
            yield reader.bookmark(max(self._hub.settled, reader.told))


class _Reader:
    """One watch: how far it has been told, and when it is told what."""

    def __init__(
        self, request: Request, definition: Definition, selection: Selection, views: Views, ends: float
    ) -> None:
        self._definition = definition
        self._view = request.view
        self._views = views
        self.selection = selection
        self.bookmarks = request.options.bookmarks
        self.told = 0
        self.ends = ends
        self.fresh = request.view.form == "table"  # its first event has the columns, so it is not shared
        self._next_bookmark = asyncio.get_running_loop().time() + BOOKMARK_EVERY

    def next_turn(self) -> float:
        return min(self.ends, self._next_bookmark) if self.bookmarks else self.ends

    def bookmark_due(self, now: float) -> bool:
        return self.bookmarks and now >= self._next_bookmark

    async def added(self, entry: Entry) -> bytes:
        return event_line("ADDED", self._headed(await self._item(entry)))

    async def line(self, topic: Topic, event: Event) -> bytes:
        if not self.fresh:
            return await topic.line(event)
        return event_line(event.type, self._headed(await self._item(event.entry)))

    async def _item(self, entry: Entry) -> bytes:
        return await self._views.item(self._definition, self._view, entry)

    def _headed(self, shown: bytes) -> bytes:
        """A table's columns are told once."""
        if self._view.form == "table" and self.fresh:
            self.fresh = False
            return self._views.with_columns(self._definition, shown)
        return shown

    def bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> bytes:
        self._next_bookmark = asyncio.get_running_loop().time() + BOOKMARK_EVERY
        resource = self._definition.resource
        metadata: dict[str, object] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        kind, version = resource.kind, resource.api_version
        if self._view.form == "metadata":
            kind, version = "PartialObjectMetadata", META_VERSION
        elif self._view.form == "table":
            kind, version = "Table", META_VERSION
        shown: dict[str, object] = {"kind": kind, "apiVersion": version, "metadata": metadata}
        if self._view.form == "table":
            shown |= {"columnDefinitions": None, "rows": []}
        return event_line("BOOKMARK", to_json(shown))


def _plain(request: Request) -> Request:
    """The list that the first events of a watch are."""
    options = msgspec.structs.replace(
        request.options, version="", match="", initial_events=False, limit=0, token="", bookmarks=False, parameters={}
    )
    return msgspec.structs.replace(request, options=options)


def failed(failure: Failure) -> bytes:
    """An ERROR event."""
    return event_line("ERROR", to_json(failure.status()))
