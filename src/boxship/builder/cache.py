"""The build cache: what each step made, by the step's key. Durable; a record claims its blob and its layer.

A layer is durable before its record is, and a record is gone before its layer may go, so a crash leaves at most what
the collector removes at the next start. When a record was last used is written now and then: a crash may forget it.
"""

import asyncio
import hashlib
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from boxship.builder.keys import Parts
from boxship.content import Content, Garbage, layer_key
from boxship.images.model import Layer, Layers
from boxship.store import Delete, Put, Store

PREFIX = "build-cache/"
PRUNED_LIMIT = 1000  # keys that are remembered as pruned
BATCH = 200  # records of one commit


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one step made: a layer, or nothing. Times in nanoseconds. `slot` says where in which build it was asked for;
    `files` is the blob that lists the copied files, "" for none."""

    key: str
    layer: Layer | None
    description: str
    created: int
    used: int
    slot: str = ""
    parts: Parts = {}
    files: str = ""
    uses: int = 1
    kind: str = "regular"

    @property
    def size(self) -> int:
        """Bytes on the disk: unpacked, and as a blob."""
        return self.layer.size + self.layer.blob_size if self.layer else 0


def _sorts(parts: Parts) -> list[bytes]:
    """What a step does: without what it does it to, then the instruction's words alone."""
    essence = {name: value for name, value in parts.items() if name != "base" and not name.startswith("source ")}
    words = {name: parts[name] for name in ("kind", "arguments", "destination", "path") if name in parts}
    return [
        hashlib.blake2b(msgspec.json.encode(sorted(kept.items())), digest_size=16).digest() for kept in (essence, words)
    ]


def claims_of(record: Record) -> list[str]:
    """The keys that a record keeps alive."""
    found = [record.files] if record.files else []
    return [*found, record.layer.blob, layer_key(record.layer.chain_id)] if record.layer else found


class Cache:
    """All records, in memory and in the store. Belongs to the loop."""

    def __init__(
        self,
        store: Store,
        content: Content,
        garbage: Garbage,
        layers: Layers,
        *,
        limit_bytes: int = 0,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._content = content
        self._garbage = garbage
        self._layers = layers
        self._limit = limit_bytes
        self._clock = clock
        self._records: dict[str, Record] = {}
        self._makers: dict[str, str] = {}  # chain id: the key that made it
        self._likes: dict[bytes, str] = {}  # what a step does: the key that it had last
        self._slots: dict[str, str] = {}  # slot: the key that was last made there
        self._touched: set[str] = set()
        self._total = 0
        self._writing = asyncio.Lock()  # what is written last is what is in memory
        self.held: Counter[str] = Counter()  # keys of records that running builds use
        self.pruned: OrderedDict[str, None] = OrderedDict()

    async def recover(self) -> None:
        """Read the records and claim what they name; those whose parts are lost go. Before the collector's sweep."""
        snapshot = await self._store.list(PREFIX)
        lost = []
        for entry in snapshot.entries:
            try:
                record = msgspec.json.decode(entry.value, type=Record)
            except msgspec.MsgspecError:
                lost.append(entry.key)
                continue
            if self._is_whole(record):
                self._enter(record)
            else:
                lost.append(entry.key)
        for start in range(0, len(lost), BATCH):
            await self._store.commit(*(Delete(key) for key in lost[start : start + BATCH]))

    def _is_whole(self, record: Record) -> bool:
        if record.files and not self._content.exists(record.files):
            return False
        layer = record.layer
        return layer is None or (self._content.exists(layer.blob) and self._layers.has_layer(layer.chain_id))

    def _enter(self, record: Record) -> None:
        known = self._records.get(record.key)
        self._garbage.claim(claims_of(record))
        self._records[record.key] = record
        self._total += record.size
        if known is not None:
            self._total -= known.size
            self._garbage.release(claims_of(known))
        if record.layer is not None:
            self._makers[record.layer.chain_id] = record.key
        for sort in _sorts(record.parts):
            alike = self._records.get(self._likes.get(sort, ""))
            if alike is None or alike.created <= record.created:
                self._likes[sort] = record.key
        latest = self._records.get(self._slots.get(record.slot, ""))
        if record.slot and (latest is None or latest.created <= record.created):
            self._slots[record.slot] = record.key

    # using

    def find(self, key: str) -> Record | None:
        """The record, where its layer is still there; a scrub may have taken a damaged blob away."""
        record = self._records.get(key)
        return record if record is not None and self._is_whole(record) else None

    def at(self, slot: str) -> Record | None:
        """What was last made at a place of a build."""
        return self._records.get(self._slots.get(slot, ""))

    def like(self, parts: Parts) -> Record | None:
        """The latest record that does the same on another base or from other files, else under other circumstances."""
        for sort in _sorts(parts):
            if sort in self._likes:
                return self._records[self._likes[sort]]
        return None

    def all(self) -> tuple[Record, ...]:
        return tuple(self._records.values())

    def parent_of(self, record: Record) -> str:
        """The key of the record that made what this one stands on; "" where that is an image's."""
        return self._makers.get(record.parts.get("base", ""), "")

    @property
    def total(self) -> int:
        """Bytes of all records; what several share counts each time."""
        return self._total

    def touch(self, key: str, slot: str) -> None:
        """Note a use."""
        record = self._records.get(key)
        if record is None:
            return
        changed = msgspec.structs.replace(record, used=self._clock(), uses=record.uses + 1, slot=slot or record.slot)
        self._records[key] = changed
        self._slots[changed.slot] = key
        self._touched.add(key)

    async def put(self, record: Record) -> None:
        """Keep what a step made; its parts are under the caller's lease. Durable when this returns."""
        async with self._writing:
            await self._store.commit(Put(PREFIX + record.key, msgspec.json.encode(record)))
            self._enter(record)
        self.pruned.pop(record.key, None)
        await self._keep_limit()

    async def flush(self) -> None:
        """Write down uses, and free what is above the limit."""
        touched, self._touched = list(self._touched), set()
        for start in range(0, len(touched), BATCH):
            async with self._writing:
                records = [self._records[key] for key in touched[start : start + BATCH] if key in self._records]
                puts = [Put(PREFIX + record.key, msgspec.json.encode(record)) for record in records]
                if puts:
                    await self._store.commit(*puts)
        await self._keep_limit()

    async def _keep_limit(self) -> None:
        if self._limit and self._total > self._limit:
            await self.shrink(self._limit)

    # freeing

    async def shrink(self, limit: int) -> list[Record]:
        """Remove the records that were used longest ago until at most `limit` bytes are left."""
        removed: list[Record] = []
        total = self._total
        for record in sorted(self._records.values(), key=lambda record: record.used):
            if total <= limit:
                break
            if record.size and not self.held[record.key]:
                removed.append(record)
                total -= record.size
        return await self.remove(removed)

    async def remove(self, records: Sequence[Record]) -> list[Record]:
        """Remove records that no build uses; those that were removed."""
        removed: list[Record] = []
        for start in range(0, len(records), BATCH):
            async with self._writing:
                free = [
                    record
                    for record in records[start : start + BATCH]
                    if not self.held[record.key] and record.key in self._records
                ]
                if free:
                    await self._store.commit(*(Delete(PREFIX + record.key) for record in free))
                gone = [self._forget(record.key) for record in free]
                self._garbage.release(claim for record in gone for claim in claims_of(record))
                removed += gone
        return removed

    def _forget(self, key: str) -> Record:
        record = self._records.pop(key)
        self._total -= record.size
        if record.layer is not None and self._makers.get(record.layer.chain_id) == key:
            del self._makers[record.layer.chain_id]
        for sort in _sorts(record.parts):
            if self._likes.get(sort) == key:
                del self._likes[sort]
        if self._slots.get(record.slot) == key:
            del self._slots[record.slot]
        self._touched.discard(key)
        self.pruned[key] = None
        while len(self.pruned) > PRUNED_LIMIT:
            self.pruned.popitem(last=False)
        return record

    def hold(self, keys: Iterable[str]) -> None:
        self.held.update(keys)

    def let_go(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.held[key] -= 1
            if self.held[key] <= 0:
                del self.held[key]
