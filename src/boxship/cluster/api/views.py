"""How stored objects are answered: whole, as PartialObjectMetadata, or as rows of a Table.

Whole objects and metadata are cut out of the stored bytes; only tables, and versions other than the stored one, decode.
A large list is rendered in slices between which the loop goes on.
"""

from collections.abc import AsyncIterator, Iterator, Sequence

import msgspec

from boxship.cluster.api.catalog import Definition
from boxship.cluster.api.clock import Clock
from boxship.cluster.api.pace import Pace
from boxship.cluster.api.request import View
from boxship.cluster.api.storage import Storage, decode, encode, head_of, with_version
from boxship.cluster.objects import Object
from boxship.cluster.objects.rules import keep
from boxship.cluster.objects.tables import is_sorted, table_of
from boxship.store import Entry

CUT_SLICE = 50  # objects between two looks at the clock
DECODED_SLICE = 8
SLICE_BYTES = 256 << 10  # of objects between two looks at the clock, if there are more than one
SORTED_LIMIT = 500  # rows that are sorted together; such kinds have few objects
META_VERSION = "meta.k8s.io/v1"
PARTIAL = {"kind": "PartialObjectMetadata", "apiVersion": META_VERSION}
PARTIAL_HEAD = b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":'
NO_COLUMNS = b'"columnDefinitions":null'

to_json = msgspec.json.Encoder().encode


class _Meta(msgspec.Struct):
    metadata: msgspec.Raw


_meta_decoder = msgspec.json.Decoder(_Meta)


def metadata_of(value: bytes, revision: int) -> bytes:
    """An object's metadata as it is answered, as JSON."""
    raw = bytes(_meta_decoder.decode(value).metadata)
    if not revision:
        return raw
    return b'{"resourceVersion":"%d",%b' % (revision, raw[1:])


def partial(value: bytes, revision: int) -> bytes:
    """PartialObjectMetadata of a stored value."""
    return b"%b%b}" % (PARTIAL_HEAD, metadata_of(value, revision))


def _own(definition: Definition, entry: Entry) -> Entry:
    """The entry as one of this kind, where it is a view of another's."""
    if definition.cut is None:
        return entry
    return Entry(entry.key, definition.cut(entry.value), entry.created, entry.modified)


def _slices(entries: Sequence[Entry], count: int, limit: int) -> Iterator[Sequence[Entry]]:
    """At most so many at once, and so many bytes (0: any)."""
    start = size = 0
    for end, entry in enumerate(entries, 1):
        size += len(entry.value)
        if end - start == count or (limit and size > limit):
            yield entries[start:end]
            start, size = end, 0
    if start < len(entries):
        yield entries[start:]


class Views:
    """Renders entries (with open values) for a request."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._heads: dict[str, bytes] = {}

    def quick(self, definition: Definition, view: View, entry: Entry) -> bytes | None:
        """Rendered without decoding; None where that is not possible."""
        return self._quick(definition, view, _own(definition, entry))

    def _quick(self, definition: Definition, view: View, entry: Entry) -> bytes | None:
        if view.form == "metadata":
            return partial(entry.value, entry.modified)
        if view.form == "whole" and self._as_stored(definition, entry.value):
            return with_version(entry.value, entry.modified)
        return None

    async def item(self, definition: Definition, view: View, entry: Entry) -> bytes:
        """One object (for a table: a whole Table with one row)."""
        return await self._item(definition, view, _own(definition, entry))

    async def _item(self, definition: Definition, view: View, entry: Entry) -> bytes:
        quick = self._quick(definition, view, entry)
        if quick is not None:
            return quick
        if view.form == "table":
            rows = await self._rows(definition, view, [entry])
            told = b'{"resourceVersion":"%d"}' % entry.modified if entry.modified else b"{}"
            return self.table(b"null", rows, told)
        return to_json(await self.decoded(definition, entry))

    async def items(self, definition: Definition, view: View, entries: Sequence[Entry]) -> AsyncIterator[list[bytes]]:
        """The items of a list (for a table: its rows), in slices. The entries' values are still sealed."""
        head = self._head(definition)
        cut = view.form == "metadata" or (view.form == "whole" and definition.rules.hides is keep)
        size = CUT_SLICE if cut else DECODED_SLICE
        limit = SLICE_BYTES
        if view.form == "table" and is_sorted(definition.resource):
            size, limit = SORTED_LIMIT, 0
        pace = Pace()
        for sealed in _slices(entries, size, limit):
            if pace.due:
                await pace.rest()
            part = self._storage.opened_all(sealed)
            if definition.cut is not None:
                part = tuple(_own(definition, entry) for entry in part)
            if view.form == "table":
                yield await self._rows(definition, view, part)
            elif view.form == "whole" and cut and not definition.resource.custom:
                yield await self._cut(definition, head, part)
            elif view.form == "whole" and definition.convert is not None:
                yield [to_json(object) for object in await self.all_decoded(definition, part)]
            else:
                yield [await self._item(definition, view, entry) for entry in part]

    async def _cut(self, definition: Definition, head: bytes, part: Sequence[Entry]) -> list[bytes]:
        """Built-in objects in a list have no kind and apiVersion of their own, as the original's."""
        size = len(head)
        return [
            b'{"metadata":{"resourceVersion":"%d",%b' % (entry.modified, entry.value[size:])
            if entry.value.startswith(head)
            else to_json(await self.decoded(definition, entry))
            for entry in part
        ]

    async def decoded(self, definition: Definition, entry: Entry) -> Object:
        """The object in the request's version, without what is write-only."""
        object = await self.versioned(definition, decode(entry.value, entry.modified), definition.resource.api_version)
        definition.rules.hides(object)
        return object

    async def all_decoded(self, definition: Definition, entries: Sequence[Entry]) -> list[Object]:
        """The same for many: what has to be converted goes together, for that may be a question to a webhook."""
        objects = [decode(entry.value, entry.modified) for entry in entries]
        api_version = definition.resource.api_version
        strange = [index for index, object in enumerate(objects) if object["apiVersion"] != api_version]
        if strange and definition.convert is not None:
            converted = await definition.convert([objects[index] for index in strange], api_version)
            for index, object in zip(strange, converted, strict=True):
                object["metadata"]["resourceVersion"] = str(entries[index].modified)
                objects[index] = object
        for object in objects:
            definition.rules.hides(object)
        return objects

    async def versioned(self, definition: Definition, object: Object, api_version: str) -> Object:
        """The object in this version of its kind."""
        if object["apiVersion"] == api_version:
            return object
        if definition.convert is None:
            return {**object, "apiVersion": api_version, "kind": definition.resource.kind}
        version = object["metadata"].get("resourceVersion")
        converted = (await definition.convert([object], api_version))[0]
        if version is not None:
            converted["metadata"]["resourceVersion"] = version
        return converted

    async def stored(self, definition: Definition, object: Object) -> bytes:
        """The bytes that an object in any of its versions is kept as."""
        return encode(await self.versioned(definition, object, definition.resource.storage_version))

    async def _rows(self, definition: Definition, view: View, entries: Sequence[Entry]) -> list[bytes]:
        objects = await self.all_decoded(definition, entries)
        shown = definition.columns
        _, rows = table_of(definition.resource, objects, self._clock.now().timestamp(), shown)
        for row in rows:
            object = row.pop("object")
            if view.include == "Object":
                row["object"] = object
            elif view.include == "Metadata":
                row["object"] = {**PARTIAL, "metadata": object["metadata"]}
        return [to_json(row) for row in rows]

    def columns(self, definition: Definition) -> bytes:
        columns, _ = table_of(definition.resource, [], self._clock.now().timestamp(), definition.columns)
        return to_json(columns)

    def with_columns(self, definition: Definition, table: bytes) -> bytes:
        """A table of `item` with its columns."""
        return table.replace(NO_COLUMNS, b'"columnDefinitions":%b' % self.columns(definition), 1)

    def table(self, columns: bytes, rows: Sequence[bytes], metadata: bytes) -> bytes:
        """A Table document."""
        return b'{"kind":"Table","apiVersion":"%b","metadata":%b,"columnDefinitions":%b,"rows":[%b]}' % (
            META_VERSION.encode(),
            metadata,
            columns,
            b",".join(rows),
        )

    def _head(self, definition: Definition) -> bytes:
        resource = definition.resource
        head = self._heads.get(resource.path)
        if head is None:
            head = self._heads[resource.path] = head_of(resource)
        return head

    def _as_stored(self, definition: Definition, value: bytes) -> bool:
        return definition.rules.hides is keep and value.startswith(self._head(definition))
