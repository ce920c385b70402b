"""All images and their names, in memory as they are stored: what lookups and lists are answered from.

A change is durable before it shows here. In the same step of the loop the catalog claims the blobs and unpacked layers
that a record or a name needs, and gives back those of what went.
"""

import bisect
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

import msgspec

from boxship.content import Garbage, References, layer_key
from boxship.images.documents import nanoseconds
from boxship.images.model import Image, Layer, Record, Target
from boxship.spec import digest as digests
from boxship.spec import reference as references
from boxship.spec.image import ImageConfig

NAMES = "references/"
RECORDS = "images/"

_read_record = msgspec.json.Decoder(Record).decode
_read_target = msgspec.json.Decoder(Target).decode
_write = msgspec.json.Encoder().encode


class Catalog:
    """Belongs to the loop; changes must not run beside each other (the room's lock sees to it). `chain_users` counts
    the images that need an unpacked layer."""

    def __init__(self, durable: References, garbage: Garbage) -> None:
        self._durable = durable
        self._garbage = garbage
        self._records: dict[str, Record] = {}
        self._configs: dict[str, ImageConfig] = {}
        self._views: dict[str, Image] = {}
        self._names: dict[str, Target] = {}
        self._names_of: dict[str, list[str]] = {}  # sorted
        self._shown_of: dict[str, tuple[list[str], list[str]]] = {}  # tags and digests as people see them, sorted
        self._children: dict[str, set[str]] = {}
        self.chain_users: Counter[str] = Counter()
        self.unreadable: dict[str, Record] = {}  # whose config was damaged when it was read
        self.dangling: dict[str, Target] = {}  # names of images that are not here

    @staticmethod
    async def read(durable: References) -> tuple[dict[str, Record], dict[str, Target]]:
        """What is stored: records by id, targets by normalised name."""
        records, names = {}, {}
        for key, value in (await durable.load()).items():
            if key.startswith(RECORDS):
                record = _read_record(value)
                records[record.id] = record
            else:
                names[key.removeprefix(NAMES)] = _read_target(value)
        return records, names

    def fill(
        self, records: Mapping[str, Record], names: Mapping[str, Target], configs: Mapping[str, ImageConfig]
    ) -> None:
        """Take over what `read` gave, at start; images without a config in `configs` are not shown, but what they are
        made of stays."""
        for identifier, record in records.items():
            self._garbage.claim(keys_of(record))
            if identifier in configs:
                self._put_record(record, configs[identifier])
            else:
                self.unreadable[identifier] = record
        for name, target in names.items():
            self._garbage.claim((target.digest,))
            if target.image in self._records:
                self._put_name(name, target)
            else:
                self.dangling[name] = target

    async def change(
        self,
        records: Mapping[str, tuple[Record, ImageConfig] | None],
        names: Mapping[str, Target | None],
    ) -> None:
        """Put (None: delete) records by id and targets by normalised name, all or nothing, durably."""
        stored: dict[str, bytes | None] = {}
        for identifier, pair in records.items():
            stored[RECORDS + digests.encoded(identifier)] = _write(pair[0]) if pair else None
        for name, target in names.items():
            stored[NAMES + name] = _write(target) if target else None
        await self._durable.change(stored)
        for pair in records.values():
            self._garbage.claim(keys_of(pair[0]) if pair else ())
        self._garbage.claim(target.digest for target in names.values() if target)
        for name, target in names.items():
            dropped = self._drop_name(name)
            self._garbage.release((dropped.digest,) if dropped else ())
            if target:
                self._put_name(name, target)
        for identifier, pair in records.items():
            gone = self._drop_record(identifier)
            self._garbage.release(keys_of(gone) if gone else ())
            if pair:
                self._put_record(*pair)

    # what is in it

    def record(self, identifier: str) -> Record:
        return self._records[identifier]

    def config(self, identifier: str) -> ImageConfig:
        return self._configs[identifier]

    def has(self, identifier: str) -> bool:
        return identifier in self._records

    def shows(self, identifier: str) -> bool:
        """Whether people see an image of that id."""
        return identifier in self._records and not self._records[identifier].hidden

    def target(self, name: str) -> Target | None:
        return self._names.get(name)

    def names(self, identifier: str) -> list[str]:
        """The normalised names of an image, sorted."""
        return list(self._names_of.get(identifier, ()))

    def names_of_digest(self, digest: str) -> list[str]:
        """The normalised names that stand for a manifest or an index."""
        return [name for name, target in self._names.items() if target.digest == digest]

    def names_in(self, repository: str) -> list[str]:
        """The normalised names with a tag in a repository, sorted."""
        return sorted(name for name in self._names if "@" not in name and name.rpartition(":")[0] == repository)

    def children(self, identifier: str) -> Collection[str]:
        return [child for child in self._children.get(identifier, ()) if not self._records[child].hidden]

    def identifiers(self) -> list[str]:
        """All images that people see."""
        return [identifier for identifier, record in self._records.items() if not record.hidden]

    def hidden(self) -> list[str]:
        return [identifier for identifier, record in self._records.items() if record.hidden]

    def image(self, identifier: str) -> Image:
        """The image as people see it; made once and kept until something about it changes."""
        view = self._views.get(identifier)
        if view is None:
            view = self._views[identifier] = self._view(self._records[identifier], self._configs[identifier])
        return view

    def _view(self, record: Record, config: ImageConfig) -> Image:
        tags, by_digest = self._shown_of.get(record.id, ((), ()))
        return Image(
            id=record.id,
            references=tuple(tags),
            digests=tuple(by_digest),
            config=config,
            manifest=record.manifest,
            size=sum(layer.size for layer in record.layers),
            created=nanoseconds(config.created),
            chain_id=record.layers[-1].chain_id if record.layers else None,
            layers=record.layers,
            parent=record.parent if self.shows(record.parent) else "",
            tagged_at=record.tagged_at,
        )

    def layers(self) -> dict[str, Layer]:
        """Every layer that some image has, by chain id."""
        return {layer.chain_id: layer for record in self._records.values() for layer in record.layers}

    def blobs(self) -> set[str]:
        """Every blob that an image or a name needs."""
        found = {blob for record in self._records.values() for blob in blobs_of(record)}
        return found | {target.digest for target in self._names.values()}

    # keeping the view

    def _put_record(self, record: Record, config: ImageConfig) -> None:
        self._records[record.id] = record
        self._configs[record.id] = config
        if record.parent:
            self._children.setdefault(record.parent, set()).add(record.id)
        self.chain_users.update(layer.chain_id for layer in record.layers)

    def _drop_record(self, identifier: str) -> Record | None:
        record = self._records.pop(identifier, None)
        self._views.pop(identifier, None)
        self._configs.pop(identifier, None)
        if record is None:
            return None
        if record.parent:
            self._children[record.parent].discard(identifier)
        for child in self._children.get(identifier, ()):
            self._views.pop(child, None)
        self.chain_users.subtract(layer.chain_id for layer in record.layers)
        return record

    def _put_name(self, name: str, target: Target) -> None:
        self._names[name] = target
        bisect.insort(self._names_of.setdefault(target.image, []), name)
        reference = references.parse(name)
        shown = self._shown_of.setdefault(target.image, ([], []))
        bisect.insort(shown[bool(reference.digest)], reference.familiar)
        self._views.pop(target.image, None)

    def _drop_name(self, name: str) -> Target | None:
        target = self._names.pop(name, None)
        if target is not None:
            _take_out(self._names_of[target.image], name)
            reference = references.parse(name)
            _take_out(self._shown_of[target.image][bool(reference.digest)], reference.familiar)
            self._views.pop(target.image, None)
        return target


def _take_out(names: list[str], name: str) -> None:
    """Remove a name from a sorted list that has it."""
    del names[bisect.bisect_left(names, name)]


def blobs_of(record: Record) -> Iterator[str]:
    """Every blob that an image is made of."""
    yield record.id
    yield record.manifest
    for layer in record.layers:
        yield layer.blob


def keys_of(record: Record) -> Iterator[str]:
    """What an image claims: its blobs and its unpacked layers, the topmost first."""
    for layer in reversed(record.layers):
        yield layer_key(layer.chain_id)
    yield from blobs_of(record)
