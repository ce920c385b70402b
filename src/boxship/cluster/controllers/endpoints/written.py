"""What one controller wrote and has not seen yet: its own last word counts until the cache has it, so that it neither
makes a slice twice nor undoes what it did a moment ago. Forgotten after a time, should it never be seen."""

import asyncio
from collections.abc import Iterable

import msgspec

from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.controllers.workloads.writing import version_of
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.cache import Key

LONGEST = 30.0  # seconds
SHARE = 4  # a pause is as many times as long as the write before it
LONGEST_PAUSE = 0.5  # seconds


class Pace:
    """When the next write for an owner may come: the first is at once, a burst becomes few, and the fewer the larger
    they are. What is urgent waits no longer than the write before it took."""

    def __init__(self, least: float) -> None:
        self._least = least  # seconds
        self._next: dict[Key, tuple[float, float]] = {}  # what is urgent, what is not
        self._urgent: set[Key] = set()

    def hurry(self, owner: Key) -> None:
        """What is to be written next is urgent."""
        self._urgent.add(owner)

    def early(self, owner: Key) -> float:
        """Seconds to wait; 0.0: none."""
        urgent, usual = self._next.get(owner, (0.0, 0.0))
        return max((urgent if owner in self._urgent else usual) - asyncio.get_running_loop().time(), 0.0)

    def begins(self, owner: Key) -> float:
        """A write begins; the time for `wrote`. What comes meanwhile is the next one's."""
        self._urgent.discard(owner)
        return asyncio.get_running_loop().time()

    def wrote(self, owner: Key, begun: float) -> None:
        """A write that began at that time of the loop has ended."""
        now = asyncio.get_running_loop().time()
        pauses = [min(max(self._least, share * (now - begun)), LONGEST_PAUSE) for share in (1, SHARE)]
        self._next[owner] = now + pauses[0], now + pauses[1]

    def forget(self, owner: Key) -> None:
        self._next.pop(owner, None)
        self._urgent.discard(owner)


class _Word(msgspec.Struct, frozen=True):
    object: Object
    gone: bool
    since: float


class Written:
    """Objects by their owner (a service's key) and their own key."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._words: dict[Key, dict[Key, _Word]] = {}
        self._owners: dict[Key, Key] = {}

    def wrote(self, owner: Key, object: Object) -> None:
        self._put(owner, object, gone=False)

    def deleted(self, owner: Key, object: Object) -> None:
        self._put(owner, object, gone=True)

    def _put(self, owner: Key, object: Object, *, gone: bool) -> None:
        key = (object["metadata"].get("namespace", ""), object["metadata"]["name"])
        self._words.setdefault(owner, {})[key] = _Word(object, gone, self._now())
        self._owners[key] = owner

    def seen(self, key: Key, old: Object | None, new: Object | None) -> bool:
        """To be told of every change of the cache. Whether it is news: not the echo of what was written here."""
        owner = self._owners.get(key)
        word = self._words.get(owner, {}).get(key) if owner is not None else None
        if owner is None or word is None:
            return True
        if new is None:
            ours = old is not None and old["metadata"]["uid"] == word.object["metadata"]["uid"]
            if ours or not word.gone:
                self._forget(owner, key)
            return not (ours and word.gone)
        if new["metadata"]["uid"] != word.object["metadata"]["uid"]:
            self._forget(owner, key)
            return True
        if word.gone:
            return False  # a version from before its end
        if version_of(new) < version_of(word.object):
            return False
        self._forget(owner, key)
        return version_of(new) > version_of(word.object)

    def _forget(self, owner: Key, key: Key) -> None:
        self._owners.pop(key, None)
        words = self._words.get(owner, {})
        words.pop(key, None)
        if not words:
            self._words.pop(owner, None)

    def over(self, owner: Key, cached: Iterable[Object]) -> list[Object]:
        """The objects of an owner as they are known now."""
        found = {(one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in cached}
        for key, word in list(self._words.get(owner, {}).items()):
            if self._now() - word.since > LONGEST:
                self._forget(owner, key)
            elif word.gone:
                found.pop(key, None)
            else:
                found[key] = word.object
        return list(found.values())
