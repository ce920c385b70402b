"""Where objects lie in the store and in which bytes; the only file that knows keys.

A value is compact JSON which begins with kind, apiVersion and metadata, in this order, and has no resourceVersion: that
is the revision of the key, and is put in behind `"metadata":{` on the way out. So whole objects are answered without
being decoded. Sealed values (secrets) are opened here, and nobody above sees a sealed byte.
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.resource import Resource
from boxship.store import Change, Entry, Snapshot, Store

ROOT = "/registry/"
METADATA = b'"metadata":{'
NOT_STORED = ("resourceVersion", "selfLink")
FIRST = ("kind", "apiVersion", "metadata")

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Object)


class Sealer(Protocol):
    """Encrypts what is to be secret at rest; bytes that are not sealed pass `open` as they are."""

    def seal(self, key: str, resource: str, value: bytes) -> bytes: ...

    def open(self, key: str, value: bytes) -> bytes: ...


class Unsealed:
    """The Sealer of a store in which nothing is secret."""

    def seal(self, key: str, resource: str, value: bytes) -> bytes:
        return value

    def open(self, key: str, value: bytes) -> bytes:
        return value


def prefix_of(resource: Resource, namespace: str = "") -> str:
    """What all keys of a resource (in a namespace) begin with."""
    return f"{ROOT}{resource.storage}/{namespace}/" if namespace else f"{ROOT}{resource.storage}/"


def key_of(resource: Resource, namespace: str, name: str) -> str:
    if resource.namespaced:
        return f"{ROOT}{resource.storage}/{namespace}/{name}"
    return f"{ROOT}{resource.storage}/{name}"


def place_of(resource: Resource, key: str) -> tuple[str, str]:
    """Namespace ("" for a cluster's resource) and name of a key."""
    rest = key[len(ROOT) + len(resource.storage) + 1 :]
    if resource.namespaced:
        namespace, _, name = rest.partition("/")
        return namespace, name
    return "", rest


def encode(object: Object) -> bytes:
    """The stored form of an object."""
    metadata = object["metadata"]
    kept = {key: value for key, value in metadata.items() if key not in NOT_STORED}
    ordered = {"kind": object["kind"], "apiVersion": object["apiVersion"], "metadata": kept}
    ordered.update((key, value) for key, value in object.items() if key not in FIRST)
    return _encoder.encode(ordered)


def with_version(value: bytes, revision: int) -> bytes:
    """The answered form of a stored value; revision 0 is of what a dry run did not store, and is not told."""
    if not revision:
        return value
    place = value.index(METADATA) + len(METADATA)
    return b'%b"resourceVersion":"%d",%b' % (value[:place], revision, value[place:])


def decode(value: bytes, revision: int) -> Object:
    """A stored value as an object with its resourceVersion."""
    object = _decoder.decode(value)
    if revision:
        object["metadata"]["resourceVersion"] = str(revision)
    return object


def head_of(resource: Resource) -> bytes:
    """What the stored values begin with that need no conversion for this version of the resource."""
    return b'{"kind":%b,"apiVersion":%b,"metadata":{' % (
        _encoder.encode(resource.kind),
        _encoder.encode(resource.api_version),
    )


class Storage:
    """The store as the rest of the API reads it: entries with open values. Writes go to `store.commit` with values
    from `sealed`."""

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self.store = store
        self._sealer = sealer

    def sealed(self, resource: Resource, key: str, value: bytes) -> bytes:
        return self._sealer.seal(key, resource.qualified, value)

    def opened(self, entry: Entry) -> Entry:
        value = self._sealer.open(entry.key, entry.value)
        return entry if value is entry.value else Entry(entry.key, value, entry.created, entry.modified)

    def opened_change(self, change: Change) -> Change:
        """The change with open values before and after."""
        value = change.value and self._sealer.open(change.key, change.value)
        previous = change.previous and self.opened(change.previous)
        if value is change.value and previous is change.previous:
            return change
        return Change(change.revision, change.key, value, previous)

    def opened_all(self, entries: Iterable[Entry]) -> tuple[Entry, ...]:
        return tuple(map(self.opened, entries))

    async def get(self, resource: Resource, namespace: str, name: str, *, fresh: bool = True) -> Entry | None:
        entry = await self.store.get(key_of(resource, namespace, name), fresh=fresh)
        return entry and self.opened(entry)

    async def list(self, prefix: str, *, after: str = "", limit: int = 0, at: int = 0, fresh: bool = True) -> Snapshot:
        """As the store lists; the values are still sealed, because a large list is opened piece by piece."""
        return await self.store.list(prefix, after=after, limit=limit, at=at, fresh=fresh)
