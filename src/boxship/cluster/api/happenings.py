"""What has happened to objects, as watches tell it: who follows a kind with the same question shares one Topic, so each
change is judged once a topic and rendered once a form, however many read it.

A topic keeps a window of events. Who reads holds a place in it and no queue: a reader that is slower than the window is
cut, and finds the rest in the store's history when it comes again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec

from boxship.cluster.api.catalog import Definition
from boxship.cluster.api.indexing import place_in, values_of
from boxship.cluster.api.request import View
from boxship.cluster.api.selection import Selection
from boxship.cluster.api.views import Views
from boxship.store import Change, Entry

WINDOW_EVENTS = 1024
WINDOW_BYTES = 8 << 20
BATCH_EVENTS = 256  # written at once
RENDERED_EVENTS = 128  # the newest ones are kept as they were rendered; who is further behind renders again
WOKEN_AT_ONCE = 32  # readers, before the loop looks for other work
TURN = 50e-6  # seconds that telling one reader costs; many readers are told less often, of several events at once
TURN_LIMIT = 0.1  # seconds that news wait at most for that
NAME, KEY, SCOPE = "name", "key", "scope"


class Happening:
    """One object changed. `now` and `before` have open values. `rendered` is what was made of it for somebody."""

    __slots__ = ("before", "key", "now", "rendered", "revision")

    def __init__(self, change: Change) -> None:
        self.revision = change.revision
        self.key = change.key
        self.before = change.previous
        self.now: Entry | None = None
        if change.value is not None:
            created = change.previous.created if change.previous else change.revision
            self.now = Entry(change.key, change.value, created, change.revision)
        self.rendered: dict[tuple[str, str, View], bytes] = {}


class Event(msgspec.Struct, frozen=True, gc=False):
    """What a topic's readers are told: ADDED, MODIFIED or DELETED with the state to show."""

    type: str
    entry: Entry
    happening: Happening


def judge(selection: Selection, scope: str, happening: Happening) -> Event | None:
    """What a change means to who sees only the keys of `scope`, and of these only what is selected."""
    if not happening.key.startswith(scope):
        return None
    now, before = happening.now, happening.before
    shown = now is not None and selection.matches(now)
    known = before is not None and selection.matches(before)
    if shown and now is not None:
        return Event("MODIFIED" if known else "ADDED", now, happening)
    if known and before is not None:
        last = Entry(before.key, before.value, before.created, happening.revision)
        return Event("DELETED", last, happening)
    return None


Place = tuple[str | int, str]  # by what all that a topic tells of can be found, and the value


def place_of(storage: str, selection: Selection, scope: str, *, whole: bool) -> Place | None:
    """Where the happenings are that can mean something to this question; None: it may be any. `whole`: the scope is all
    of the kind."""
    if selection.name:
        return (NAME, selection.name) if whole else (KEY, scope + selection.name)
    return place_in(storage, selection.pinned) or (None if whole else (SCOPE, scope))


def places_of(storage: str, happening: Happening, *, fields: bool = True) -> Iterator[Place]:
    """All places at which a happening is; without `fields` those alone that its key tells."""
    key = happening.key
    name = key.rpartition("/")[2]
    yield NAME, name
    yield KEY, key
    yield SCOPE, key[: len(key) - len(name)]
    if not fields:
        return
    now, before = values_of(storage, happening.now), values_of(storage, happening.before)
    for values in (now, before) if now != before else (now,):
        for number, value in enumerate(values):
            yield number, value or ""


class Topic:
    """One question about one kind. `scope` is the prefix of the keys that it is about. `place`: of what it may tell."""

    def __init__(
        self,
        definition: Definition,
        view: View,
        selection: Selection,
        scope: str,
        views: Views,
        place: Place | None = None,
    ) -> None:
        self.place = place
        self._definition = definition
        self._view = view
        self._selection = selection
        self._scope = scope
        self._views = views
        self._log: list[Event] = []
        self._first = 0  # the place of the oldest event in the log
        self._bytes = 0
        self._joined: dict[tuple[int, int], bytes] = {}
        self._rendering = asyncio.Lock()
        self._waiters: dict[asyncio.Future[None], None] = {}  # in their order: a simulation repeats itself
        self.readers = 0
        self.broken = False

    @property
    def end(self) -> int:
        """The place behind the newest event."""
        return self._first + len(self._log)

    def lost(self, place: int) -> bool:
        """Whether events from this place on are no longer in the window."""
        return place < self._first

    def hear(self, happenings: Sequence[Happening]) -> bool:
        """Take note; whether there is something to tell."""
        heard = [event for happening in happenings if (event := judge(self._selection, self._scope, happening))]
        if not heard:
            return False
        self._log += heard
        self._bytes += sum(len(event.entry.value) for event in heard)
        self._joined.clear()
        settled = max(len(self._log) - RENDERED_EVENTS, 0)
        for event in self._log[max(settled - len(heard), 0) : settled]:
            event.happening.rendered.clear()
        while len(self._log) > WINDOW_EVENTS or (self._bytes > WINDOW_BYTES and len(self._log) > BATCH_EVENTS):
            gone = self._log[: WINDOW_EVENTS // 4]
            del self._log[: len(gone)]
            self._first += len(gone)
            self._bytes -= sum(len(event.entry.value) for event in gone)
        return True

    def sleepers(self) -> "Collection[asyncio.Future[None]]":
        """Those who wait for news, to be woken by the caller."""
        sleepers, self._waiters = self._waiters, {}
        return sleepers

    def end_all(self) -> None:
        """Nothing more will come: the readers shall ask anew."""
        self.broken = True
        for waiter in self.sleepers():
            _expire(waiter)

    async def wait(self, place: int, until: float) -> None:
        """Until there is something at this place, or the loop's time `until`."""
        if self.end > place or self.broken:
            return
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiters[waiter] = None
        timer = loop.call_at(until, _expire, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiters.pop(waiter, None)

    def events(self, place: int) -> list[Event]:
        """Some of the events from this place on, as many as are told at once."""
        start = place - self._first
        return self._log[start : start + BATCH_EVENTS]

    async def lines(self, place: int, events: Sequence[Event]) -> bytes:
        """These events, which begin at this place, for a reader that wants all of them; shared with other readers."""
        shared = (place, place + len(events))
        joined = self._joined.get(shared)
        if joined is None:
            parts = []
            for event in events:
                line = self._quick(event)
                if line is None:
                    async with self._rendering:
                        line = await self.line(event)
                parts.append(line)
            joined = parts[0] if len(parts) == 1 else b"".join(parts)
            if place + len(events) == self.end:
                self._joined[shared] = joined
        return joined

    async def line(self, event: Event) -> bytes:
        """One event, rendered if nobody has done so."""
        line = self._quick(event)
        if line is None:
            shown = await self._views.item(self._definition, self._view, event.entry)
            line = event.happening.rendered[self._form(event)] = event_line(event.type, shown)
        return line

    def _quick(self, event: Event) -> bytes | None:
        form = self._form(event)
        line = event.happening.rendered.get(form)
        if line is None:
            shown = self._views.quick(self._definition, self._view, event.entry)
            if shown is not None:
                line = event.happening.rendered[form] = event_line(event.type, shown)
        return line

    def _form(self, event: Event) -> tuple[str, str, View]:
        return event.type, self._definition.resource.path, self._view


def event_line(type: str, shown: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (type.encode(), shown)


def _expire(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


class Channel:
    """The topics about one kind's objects (one storage prefix). A happening is shown to those alone that it can mean
    something to: with a watch for each of thousands of nodes, most are about one. Readers are woken at once when it was
    quiet, and at intervals that grow with their number when it is not."""

    def __init__(self, storage: str = "") -> None:
        self._storage = storage
        self._topics: dict[object, Topic] = {}
        self._everywhere: dict[Topic, None] = {}
        self._placed: dict[Place, dict[Topic, None]] = {}
        self._fields = 0  # topics at places that a field tells
        self._news: list[Happening] = []
        self._waking: deque[asyncio.Future[None]] = deque()
        self._told = 0.0  # the loop's time
        self._planned = False
        self._rousing = False
        self.readers = 0

    @property
    def idle(self) -> bool:
        return not self._topics

    def join(self, shape: object, make: Callable[[], Topic]) -> Topic:
        """The topic for this question, for one more reader. What has happened before is not told."""
        self._tell_all()
        topic = self._topics.get(shape)
        if topic is None:
            topic = self._topics[shape] = make()
            if topic.place is None:
                self._everywhere[topic] = None
            else:
                self._placed.setdefault(topic.place, {})[topic] = None
                self._fields += isinstance(topic.place[0], int)
        topic.readers += 1
        self.readers += 1
        return topic

    def leave(self, shape: object, topic: Topic) -> None:
        topic.readers -= 1
        self.readers -= 1
        if not topic.readers and self._topics.get(shape) is topic:
            del self._topics[shape]
            if topic.place is None:
                del self._everywhere[topic]
                return
            there = self._placed[topic.place]
            del there[topic]
            self._fields -= isinstance(topic.place[0], int)
            if not there:
                del self._placed[topic.place]

    def publish(self, happening: Happening) -> None:
        self._news.append(happening)
        if self._planned:
            return
        self._planned = True
        loop = asyncio.get_running_loop()
        pause = min(self.readers * TURN, TURN_LIMIT)
        due = self._told + pause
        if due <= loop.time():
            loop.call_soon(self._turn)
        else:
            loop.call_at(due, self._turn)

    def end_all(self) -> None:
        for topic in self._topics.values():
            topic.end_all()
        self._topics.clear()
        self._everywhere.clear()
        self._placed.clear()
        self._fields = 0

    def _turn(self) -> None:
        self._planned = False
        self._told = asyncio.get_running_loop().time()
        self._tell_all()

    def _tell_all(self) -> None:
        news, self._news = self._news, []
        if news:
            shown = dict.fromkeys(self._everywhere, news)
            if self._placed:
                self._show(news, shown)
            for topic, happenings in shown.items():
                if topic.hear(happenings):
                    self._waking += topic.sleepers()
            self._wake_some()

    def _show(self, news: Sequence[Happening], shown: dict[Topic, list[Happening]]) -> None:
        """To the topics at the places where they are."""
        fields = bool(self._fields)
        for happening in news:
            topics: dict[Topic, None] = {}
            for place in places_of(self._storage, happening, fields=fields):
                topics.update(self._placed.get(place, ()))
            for topic in topics:
                shown.setdefault(topic, []).append(happening)

    def _wake_some(self) -> None:
        """A few at a time, so that others on the loop have their turn between them."""
        for _ in range(min(WOKEN_AT_ONCE, len(self._waking))):
            _expire(self._waking.popleft())
        if self._waking and not self._rousing:
            self._rousing = True
            asyncio.get_running_loop().call_soon(self._wake_more)

    def _wake_more(self) -> None:
        self._rousing = False
        self._wake_some()
