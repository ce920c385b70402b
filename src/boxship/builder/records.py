"""The cache as people see it: layers of steps and cache volumes in one list, and which of them a prune means. Pure."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from boxship.builder.cache import Cache, Record
from boxship.builder.model import CacheRecord
from boxship.content import Garbage, layer_key
from boxship.errors import Invalid

VOLUME = "exec.cachemount"
SWITCHES = {"true": True, "1": True, "": True, "false": False, "0": False}
SHORT = 25  # characters of an id, as BuildKit's have


class Volume(Protocol):
    """A cache volume of RUN steps."""

    @property
    def id(self) -> str: ...
    @property
    def identifier(self) -> str: ...
    @property
    def created(self) -> int: ...
    @property
    def used(self) -> int: ...
    @property
    def uses(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def in_use(self) -> bool: ...


class Volumes(Protocol):
    """The cache volumes. `remove` gives the bytes set free; raises NotFound, and Conflict while one is used."""

    async def list(self, *, sizes: bool = True) -> Sequence[Volume]: ...

    async def remove(self, name: str) -> int: ...


def shown(record: Record, cache: Cache, garbage: Garbage) -> CacheRecord:
    """A step's record."""
    layer = record.layer
    return CacheRecord(
        id=record.key[:SHORT],
        kind=record.kind,
        description=record.description,
        size=record.size,
        created=record.created,
        used=record.used,
        uses=record.uses,
        in_use=cache.held[record.key] > 0,
        shared=layer is not None and garbage.claims[layer_key(layer.chain_id)] > 1,
        parents=(parent[:SHORT],) if (parent := cache.parent_of(record)) else (),
    )


def shown_volume(volume: Volume) -> CacheRecord:
    """A cache volume's."""
    return CacheRecord(
        id=volume.id[:SHORT],
        kind=VOLUME,
        description=f"cached mount {volume.identifier}",
        size=volume.size,
        created=volume.created,
        used=volume.used,
        uses=volume.uses,
        in_use=volume.in_use,
    )


def matches(record: CacheRecord, filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether a record fits every filter; values of one filter are alternatives. Raises Invalid."""
    return all(any(_fits(record, name, value) for value in values) for name, values in filters.items())


def _fits(record: CacheRecord, name: str, value: str) -> bool:
    if name == "id":
        return bool(value) and record.id.startswith(value[:SHORT])
    if name == "type":
        return record.kind == value
    if name == "description":
        return value in record.description
    if name == "parent":
        return any(parent.startswith(value[:SHORT]) for parent in record.parents)
    if name in ("inuse", "shared", "private"):
        if value not in SWITCHES:
            raise Invalid(f"invalid filter {name}={value}")
        state = record.in_use if name == "inuse" else record.shared
        return (not state if name == "private" else state) == SWITCHES[value]
    raise Invalid(f"invalid filter {name}")


def chosen(
    records: Sequence[CacheRecord],
    *,
    everything: bool,
    keep_bytes: int,
    until_ns: int,
    filters: Mapping[str, Sequence[str]],
) -> list[CacheRecord]:
    """What a prune removes, the longest unused first: nothing that a build uses; what images have too only where
    `everything` goes; as much as leaves `keep_bytes`."""
    total = sum(record.size for record in records)
    found = []
    for record in sorted(records, key=lambda record: (record.used, record.id)):
        if record.in_use or (record.shared and not everything) or (until_ns and record.used >= until_ns):
            continue
        if keep_bytes and total <= keep_bytes:
            break
        if matches(record, filters):
            found.append(record)
            total -= record.size
    return found


def freed_bytes(records: Sequence[CacheRecord]) -> int:
    """What their removal sets free."""
    return sum(record.size for record in records if not record.shared)
