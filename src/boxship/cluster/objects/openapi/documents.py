"""All documents as they are now: made when they are first asked for, kept on disk where there is a folder for it, and
always the same bytes for the same hash.

Built-in kinds never change while the process runs; `replace` says which custom ones there are. Making a document takes
a while and happens in a thread of its own.
"""

import asyncio
import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from boxship.cluster.objects.catalog import GROUP_VERSIONS, RESOURCES
from boxship.cluster.objects.openapi import v2, v3
from boxship.cluster.objects.openapi.definitions import GVK, LIST_META, Schema, load
from boxship.cluster.objects.openapi.operations import operations
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.schema.builtin import data_key
from boxship.cluster.objects.schema.keeping import read_kept, write_kept

FORMAT_VERSION = 3  # raised when documents change for the same data
DIGEST_SIZE = 16  # bytes
PACKING = 3  # of zlib
ORDINARY = "io.k8s.api.core.v1.ConfigMap"
EVERY = ("apiVersion", "kind", "metadata")

Place = tuple[str, str]  # group and version


class CustomKind(msgspec.Struct, frozen=True):
    """A custom resource in one version. `packed` is its schema as it is published, as compressed JSON: it is large, and
    seldom asked for."""

    resource: Resource
    packed: bytes
    list_kind: str = ""

    @property
    def schema(self) -> Schema:
        schema: Schema = msgspec.json.decode(zlib.decompress(self.packed))
        return schema


def custom_kind(resource: Resource, schema: Schema, list_kind: str = "") -> CustomKind:
    """`schema` has {"$ref": NAME} for built-in definitions, and its own x-kubernetes-group-version-kind."""
    return CustomKind(resource, zlib.compress(msgspec.json.encode(schema), PACKING), list_kind)


class Documents:
    """Implements the door's Protocol."""

    def __init__(self, cache: Path | None, computed: Iterable[CustomKind] = ()) -> None:
        """`computed` are kinds that are made for each request: the documents by group tell of them, while no custom
        kinds have their place."""
        self._computed: dict[Place, tuple[CustomKind, ...]] = {}
        for each in computed:
            place = (each.resource.group, each.resource.version)
            self._computed[place] = (*self._computed.get(place, ()), each)
        self._cache = cache
        self._key = f"{data_key()} {FORMAT_VERSION}"
        self._memory: dict[str, bytes] = {}  # where there is no folder
        self._lock = asyncio.Lock()
        self._customs: dict[Place, tuple[CustomKind, ...]] = {}
        self._hashes: dict[Place, str] = {}
        self._made: dict[Place, bytes] = {}  # custom documents
        self._piece: v2.Piece | None = None  # of all custom kinds
        self._told: dict[int, tuple[CustomKind, bytes]] = {}  # what is known of kinds by identity, so that few are read

    def replace(self, customs: Iterable[CustomKind]) -> None:
        """These are the custom kinds from now on."""
        found: dict[Place, list[CustomKind]] = {}
        for each in customs:
            place = (each.resource.group, each.resource.version)
            if place[1] not in GROUP_VERSIONS.get(place[0], ()):
                found.setdefault(place, []).append(each)
        self._told = {
            id(each): self._told.get(id(each)) or (each, _told(each)) for kinds in found.values() for each in kinds
        }
        hashes = {place: _hash(self._told[id(each)][1] for each in kinds) for place, kinds in found.items()}
        self._made = {place: data for place, data in self._made.items() if hashes.get(place) == self._hashes.get(place)}
        self._customs = {place: tuple(kinds) for place, kinds in sorted(found.items())}
        self._hashes = hashes
        self._piece = None

    async def v3_index(self) -> tuple[bytes, str]:
        paths = {}
        places = [(group, version) for group, versions in GROUP_VERSIONS.items() for version in versions]
        for place in (*places, *dict.fromkeys((*self._computed, *self._customs))):
            path = _path(place)
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={quote(self._hash_of(place))}"}
        data = msgspec.json.encode({"paths": paths})
        return data, _hash([data])

    async def v3(self, path: str, binary: bool) -> tuple[bytes, str] | None:
        place = _place(path)
        if place is None or binary:
            return None
        group, version = place
        known = self._hash_of(place)
        if version in GROUP_VERSIONS.get(group, ()):
            return await self._kept(f"openapi-v3-{group or 'core'}-{version}.json", lambda: _built_in(place)), known
        kinds = self._customs.get(place) or self._computed.get(place)
        if kinds is None:
            return None
        data = self._made.get(place)
        if data is None:
            async with self._lock:
                data = await asyncio.to_thread(_custom, place, kinds)
            if self._hashes.get(place) == known:
                self._made[place] = data
        return data, known

    async def v2(self, binary: bool) -> tuple[bytes, str]:
        known = _hash([self._key.encode(), *(value.encode() for value in self._hashes.values())])
        piece, customs = self._piece, self._customs
        if piece is None:
            async with self._lock:
                piece = await asyncio.to_thread(_custom_piece, customs)
            if self._customs is customs:
                self._piece = piece
        kept = await self._kept("openapi-v2.pieces", _built_in_piece)
        return await asyncio.to_thread(_joined, kept, piece, binary), known

    def _hash_of(self, place: Place) -> str:
        return self._hashes.get(place) or _hash([self._key.encode(), repr(place).encode()])

    async def _kept(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The bytes under a name, made if they have to be; one at a time."""
        async with self._lock:
            if name in self._memory:
                return self._memory[name]
            data, on_disk = await asyncio.to_thread(self._read_or_make, name, make)
            if not on_disk:
                self._memory[name] = data
            return data

    def _read_or_make(self, name: str, make: Callable[[], bytes]) -> tuple[bytes, bool]:
        key = self._key.encode()
        data = read_kept(self._cache / name, key) if self._cache else None
        if data is not None:
            return data, True
        data = make()
        return data, self._cache is not None and write_kept(self._cache / name, key, data)


def _path(place: Place) -> str:
    group, version = place
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _place(path: str) -> Place | None:
    match path.split("/"):
        case ["api", version]:
            return "", version
        case ["apis", group, version]:
            return group, version
    return None


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest().upper()


def _told(kind: CustomKind) -> bytes:
    """A digest of all that is told of a kind."""
    return _hash([msgspec.json.encode((kind.resource, kind.list_kind)), kind.packed]).encode()


def _names(definitions: Mapping[str, Schema]) -> dict[tuple[str, str, str], str]:
    return {
        (named["group"], named["version"], named["kind"]): name
        for name, schema in definitions.items()
        for named in schema.get(GVK, ())
    }


def _built_in(place: Place) -> bytes:
    definitions = load()
    group, version = place
    resources = [each for each in RESOURCES if (each.group, each.version) == place]
    found = [operation for resource in resources for operation in operations(resource)]
    return v3.document(group, version, resources, found, definitions, _names(definitions))


def _built_in_piece() -> bytes:
    definitions = load()
    found = [operation for resource in RESOURCES for operation in operations(resource)]
    return msgspec.msgpack.encode(v2.piece(found, definitions, _names(definitions), custom=False))


def _joined(built_in: bytes, custom: v2.Piece, binary: bool) -> bytes:
    pieces = (msgspec.msgpack.decode(built_in, type=v2.Piece), custom)
    return v2.binary_document(pieces) if binary else v2.document(pieces)


def _custom(place: Place, kinds: Sequence[CustomKind]) -> bytes:
    definitions = load()
    definitions.update(_published(kinds, definitions))
    group, version = place
    found = [operation for kind in kinds for operation in operations(kind.resource)]
    resources = [kind.resource for kind in kinds]
    return v3.document(group, version, resources, found, definitions, _names(definitions))


def _custom_piece(customs: Mapping[Place, Sequence[CustomKind]]) -> v2.Piece:
    if not customs:
        return v2.Piece(b"", b"", b"")
    kinds = [kind for found in customs.values() for kind in found]
    definitions = load()
    names = _names(definitions)
    own = _published(kinds, definitions)
    names.update(_names(own))
    found = [operation for kind in kinds for operation in operations(kind.resource)]
    return v2.piece(found, own, names, custom=True)  # built-in definitions are in the other piece


def definition_name(resource: Resource, kind: str = "") -> str:
    """As the original names a custom definition: "com.example.v1.Widget"."""
    return ".".join((*reversed(resource.group.split(".")), resource.version, kind or resource.kind))


def _published(kinds: Iterable[CustomKind], built_in: Mapping[str, Schema]) -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for kind in kinds:
        resource = kind.resource
        name = definition_name(resource)
        found[name] = _described(kind.schema, built_in.get(ORDINARY))
        listed = kind.list_kind or f"{resource.kind}List"
        found[definition_name(resource, listed)] = _described(
            _list_schema(name, resource, listed), built_in.get(f"{ORDINARY}List")
        )
    return found


def _described(schema: Schema, ordinary: Schema | None) -> Schema:
    """The schema, with the fields that every object has described as in a built-in kind."""
    for name, field in ((ordinary or {}).get("properties") or {}).items():
        own = schema.get("properties", {}).get(name)
        if name in EVERY and own and "description" in own and field.get("description"):
            schema["properties"][name] = {**own, "description": field["description"]}
    return schema


def _list_schema(item: str, resource: Resource, kind: str) -> Schema:
    text: dict[str, Any] = {"type": "string"}
    named = {"group": resource.group, "version": resource.version, "kind": kind}
    return {
        "description": f"{kind} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {**text, "description": "The version of the schema that this object has."},
            "items": {"type": "array", "items": {"$ref": item}, "description": "The objects."},
            "kind": {**text, "description": "What this object is."},
            "metadata": {"$ref": LIST_META, "description": "Of the list."},
        },
        GVK: [named],
    }
