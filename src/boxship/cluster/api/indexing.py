"""Which objects have a certain value in a certain field, for the fields that clients select by where there are many
objects: the pods of a node, the events of an object.

An index only says where to look: each entry that it leads to is compared with the selection as any other, so it must
name every key that had the value at the revision of the answer, and may name others. It is made at the first question,
follows the hub from then on, and reads by itself what the hub has not told yet.
"""

import asyncio
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from boxship.cluster.api.pace import Pace
from boxship.cluster.api.storage import ROOT, Storage
from boxship.errors import BoxshipError
from boxship.store import Change, Compacted, Entry, Snapshot

BEHIND = 10_000  # revisions, from which on everything is read anew
TRIES = 5  # while others write faster than we read; then everything is looked at
Values = tuple[str | None, ...]  # of the fields of a kind; None: it cannot be read


class _Bound(msgspec.Struct, gc=False):
    nodeName: Any = None


class _Pod(msgspec.Struct, gc=False):
    spec: _Bound | None = None


class _About(msgspec.Struct, gc=False):
    uid: Any = None
    name: Any = None


class _Event(msgspec.Struct, gc=False):
    involvedObject: _About | None = None


_pod = msgspec.json.Decoder(_Pod).decode
_event = msgspec.json.Decoder(_Event).decode


def _of_pod(value: bytes) -> Values:
    spec = _pod(value).spec
    return (_text(spec and spec.nodeName),)


def _of_event(value: bytes) -> Values:
    about = _event(value).involvedObject
    return _text(about and about.uid), _text(about and about.name)


def _text(value: Any) -> str:
    """As rules tell fields; the same string for all objects that share it."""
    return sys.intern(value) if isinstance(value, str) else ""


# By storage: the fields as each version of the kind names them, the most telling first, and how they are read.
FIELDS: Mapping[str, tuple[tuple[tuple[str, ...], ...], Any]] = {
    "pods": ((("spec.nodeName",),), _of_pod),
    "events": (
        (("involvedObject.uid", "regarding.uid"), ("involvedObject.name", "regarding.name")),
        _of_event,
    ),
}


def place_in(storage: str, fields: Mapping[str, str]) -> tuple[int, str] | None:
    """The field, as its number, by which an index finds what has these values; and the value."""
    for number, names in enumerate(FIELDS[storage][0] if storage in FIELDS else ()):
        for name in names:
            if name in fields:
                return number, fields[name]
    return None


def values_of(storage: str, entry: Entry | None) -> Values:
    """Of an entry with an open value; () where there is none, or it cannot be read."""
    if entry is None or storage not in FIELDS:
        return ()
    try:
        return tuple(FIELDS[storage][1](entry.value))
    except msgspec.MsgspecError:
        return ()


class _Members:
    """The keys that have one value. `joined`: the revision at which the newest of them came."""

    __slots__ = ("joined", "keys")

    def __init__(self) -> None:
        self.keys: dict[str, None] = {}
        self.joined = 0


class Index:
    """All objects of one storage. `revision`: up to here everything is known."""

    def __init__(self, storage: Storage, kind: str) -> None:
        self._storage = storage
        self._prefix = f"{ROOT}{kind}/"
        names, self._read = FIELDS[kind]
        self._members: list[dict[str | None, _Members]] = [{} for _ in names]
        self._values: dict[str, Values] = {}
        self._left = 0  # the newest revision at which a key came to a value that nobody has any more
        self._reading = asyncio.Lock()
        self._is_loaded = False
        self._made = 0  # grows when all is forgotten
        self._heard = 0  # the revision of the hub's last change, or after which it began
        self._noted = 0  # the revision of the last change of the hub's that was taken from there
        self.revision = 0

    async def entries(self, number: int, value: str, prefix: str, *, fresh: bool) -> Snapshot | None:
        """Everything below the prefix that has the value, and maybe more, all of one moment, in key order. None: that
        cannot be told at the moment. Raises what the store raises."""
        await self._catch_up(await self._storage.store.revision() if fresh else 0)
        for _ in range(TRIES):
            made, known = self._made, self.revision
            keys = sorted(key for key in self._keys(number, value) if key.startswith(prefix))
            snapshot = await self._storage.store.pick(keys, fresh=fresh)
            await self._catch_up(snapshot.revision)
            if made == self._made and self._newest(number, value) <= known <= snapshot.revision:
                return snapshot
        return None

    def begin(self, after: int) -> None:
        """For the hub: all changes after this revision will be noted."""
        self._heard, self._noted = after, 0

    def note(self, change: Change) -> None:
        """For the hub: the next change of all, sealed as it is stored."""
        before, self._heard = self._heard, change.revision
        if not self._is_loaded or change.revision <= self.revision:
            return
        if before > self.revision and before != self._noted:
            return  # there were others while we read: the next question reads what is missing
        self._noted = change.revision
        self.revision = change.revision - 1  # there may be more of the same commit
        if change.key.startswith(self._prefix):
            self._put(change)

    def forget(self) -> None:
        """Changes may have been missed: the next question makes it anew."""
        self._is_loaded = False
        self._made += 1
        self.revision = self._noted = self._left = 0
        self._values.clear()
        for members in self._members:
            members.clear()

    def _keys(self, number: int, value: str) -> Iterable[str]:
        """Those that cannot be read are always among them: whoever lists is told of them."""
        for each in (value, None):
            found = self._members[number].get(each)
            if found is not None:
                yield from found.keys

    def _newest(self, number: int, value: str) -> int:
        members = self._members[number]
        return max((members[each].joined for each in (value, None) if each in members), default=self._left)

    async def _catch_up(self, until: int) -> None:
        """Know everything up to this revision. What is read is taken in one go, so that the hub goes on behind it."""
        async with self._reading:
            while not self._is_loaded or self.revision < until:
                if not self._is_loaded or until - self.revision > BEHIND:
                    await self._load()
                    continue
                made, known = self._made, self.revision
                try:
                    changes = [one async for one in self._storage.store.past(self._prefix, after=known, until=until)]
                except Compacted:
                    self.forget()
                    continue
                if made == self._made:
                    for change in changes:
                        if change.revision > self.revision:
                            self._put(change)
                    self.revision = max(self.revision, until)

    async def _load(self) -> None:
        self.forget()
        made = self._made
        snapshot = await self._storage.list(self._prefix)
        pace = Pace()
        for entry in snapshot.entries:
            values = self._of(entry)
            if pace.due:
                await pace.rest()
            if made != self._made:
                return
            self._enter(entry.key, values, 0)
        self.revision = snapshot.revision
        self._is_loaded = True

    def _put(self, change: Change) -> None:
        """May be told twice of the same."""
        new = None
        if change.value is not None:
            new = self._of(Entry(change.key, change.value, change.revision, change.revision))
        old = self._values.get(change.key)
        if new == old:
            return
        if old is not None:
            del self._values[change.key]
            for members, value in zip(self._members, old, strict=True):
                found = members[value]
                del found.keys[change.key]
                if not found.keys:
                    del members[value]
                    self._left = max(self._left, found.joined)
        if new is not None:
            self._enter(change.key, new, change.revision)

    def _enter(self, key: str, values: Values, revision: int) -> None:
        self._values[key] = values
        for members, value in zip(self._members, values, strict=True):
            found = members.get(value)
            if found is None:
                found = members[value] = _Members()
                found.joined = self._left  # who was here before may have gone meanwhile
            found.keys[key] = None
            found.joined = max(found.joined, revision)

    def _of(self, entry: Entry) -> Values:
        try:
            return tuple(self._read(self._storage.opened(entry).value))
        except (BoxshipError, msgspec.MsgspecError):
            return (None,) * len(self._members)


class Indexes:
    """One index for each kind that has fields of this sort."""

    def __init__(self, storage: Storage) -> None:
        self._all = {kind: Index(storage, kind) for kind in FIELDS}

    def of(self, kind: str) -> Index:
        return self._all[kind]

    def begin(self, after: int) -> None:
        for index in self._all.values():
            index.begin(after)

    def note(self, change: Change) -> None:
        for index in self._all.values():
            index.note(change)

    def forget(self) -> None:
        for index in self._all.values():
            index.forget()
