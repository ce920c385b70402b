"""Answers of other nameservers, for as long as they hold: at most so many, the least used go first."""

from collections import OrderedDict

import msgspec

from boxship.wire import dns_quick as wire

ENTRIES = 10_000
ANSWER_BYTES = 4096  # larger ones are not remembered
LONGEST, LONGEST_NEGATIVE = 3600, 300  # seconds
Name = tuple[bytes, int, bool, bool]  # name, type, with EDNS, with signatures


class _Entry(msgspec.Struct, frozen=True):
    answer: bytes
    places: tuple[int, ...]
    since: float
    until: float


def name_of(asked: wire.Asked) -> Name:
    return asked.name, asked.kind, asked.edns, asked.wants_signatures


class Remembered:
    def __init__(self, entries: int = ENTRIES) -> None:
        self._entries: OrderedDict[Name, _Entry] = OrderedDict()
        self._limit = entries

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, asked: wire.Asked, now: float) -> bytes | None:
        """The answer for this asker, with what is left of its time."""
        name = name_of(asked)
        entry = self._entries.get(name)
        if entry is None:
            return None
        if entry.until <= now:
            del self._entries[name]
            return None
        self._entries.move_to_end(name)
        return wire.aged(entry.answer, entry.places, int(now - entry.since), asked.id, asked.flags)

    def put(self, asked: wire.Asked, answer: bytes, now: float) -> None:
        """Failures and what was cut are not kept, nor what may not be."""
        parts = wire.parts_of(answer)
        if parts is None or parts.truncated or len(answer) > ANSWER_BYTES:
            return
        if parts.code == wire.NO_ERROR and parts.answers:
            seconds = min(parts.least, LONGEST)
        elif parts.code in (wire.NO_ERROR, wire.NAME_ERROR) and parts.negative >= 0:
            seconds = min(parts.negative, LONGEST_NEGATIVE)
        else:
            return
        if seconds <= 0:
            return
        self._entries[name_of(asked)] = _Entry(answer, parts.places, now, now + seconds)
        self._entries.move_to_end(name_of(asked))
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)
