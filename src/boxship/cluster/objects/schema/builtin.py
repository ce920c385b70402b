"""The types of the built-in kinds, from the definitions that the `kubernetes-validate` package carries as data.

The definitions are compiled once into a small file, without descriptions and without groups that nobody serves. A
definition becomes Types when the first kind that needs it is asked for. The file is a cache and nothing else: one that
is missing, old or damaged is made again, and a folder that cannot be written only costs time.
"""

import importlib.util
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from boxship.cluster.objects.catalog import GROUP_VERSIONS
from boxship.cluster.objects.schema.keeping import read_kept, write_kept
from boxship.cluster.objects.schema.types import Form, Type
from boxship.errors import NotFound, Unavailable

DATA_VERSION = "v1.36.0"
FORMAT_VERSION = 3  # raised when what is in the file changes its meaning
FILE_NAME = "schemas.cache"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
PREFIX = "#/$defs/"
OMITS, ALWAYS, POINTER = "o", "a", "p"

# Definitions that are one value on the wire, whatever their schema says.
SPECIAL: Mapping[str, Form] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": Form.QUANTITY,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": Form.INT_OR_STRING,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": Form.ANY,
    f"{META}Time": Form.TIME,
    f"{META}MicroTime": Form.MICRO_TIME,
    f"{META}FieldsV1": Form.ANY,
    f"{META}Patch": Form.ANY,
    f"{EXTENSIONS}JSON": Form.ANY,
    f"{EXTENSIONS}JSONSchemaPropsOrArray": Form.ANY,
    f"{EXTENSIONS}JSONSchemaPropsOrBool": Form.ANY,
    f"{EXTENSIONS}JSONSchemaPropsOrStringArray": Form.ANY,
}
# Of these, what is an object is one of this type; everything else is kept as it is.
ALTERNATIVES: Mapping[str, str] = dict.fromkeys(
    (name for name in SPECIAL if name.startswith(f"{EXTENSIONS}JSONSchemaPropsOr")), f"{EXTENSIONS}JSONSchemaProps"
)
SCALARS: Mapping[str, Form] = {
    "string": Form.STRING,
    "integer": Form.INTEGER,
    "number": Form.NUMBER,
    "boolean": Form.BOOLEAN,
    "array": Form.LIST,
    "object": Form.MAP,
}


class Place(msgspec.Struct, array_like=True, frozen=True):
    """A field as it lies in the cache."""

    form: str = ""  # of Form, or empty for a reference
    definition: str = ""
    format: str = ""
    items: "Place | None" = None
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    map_type: str = ""
    strategy: str = ""
    key: str = ""
    presence: str = ""  # OMITS, ALWAYS or POINTER
    go: str = ""


class Definition(msgspec.Struct, array_like=True, frozen=True):
    fields: dict[str, Place]
    required: tuple[str, ...] = ()
    map_type: str = ""


class Compiled(msgspec.Struct, frozen=True):
    """What the cache file holds. Definitions stay bytes until somebody asks."""

    kinds: dict[str, str]  # "GROUP/VERSION/KIND" → definition
    definitions: dict[str, msgspec.Raw]


_definition = msgspec.msgpack.Decoder(Definition)
_compiled = msgspec.msgpack.Decoder(Compiled)


class Schemas:
    """All built-in types. Types are made once and shared; nobody may change them."""

    def __init__(self, compiled: Compiled) -> None:
        self._kinds = {tuple(name.split("/")): definition for name, definition in compiled.kinds.items()}
        self._definitions = compiled.definitions
        self._types: dict[str, Type] = {}
        self._shared: dict[Place, Type] = {}

    def knows(self, group: str, version: str, kind: str) -> bool:
        return (group, version, kind) in self._kinds

    def type_of(self, group: str, version: str, kind: str) -> Type:
        """The type of a kind (also of lists and options). Raises NotFound."""
        try:
            return self.definition(self._kinds[group, version, kind])
        except KeyError:
            raise NotFound(f"cannot find the schema of {kind} in {group or 'core'}/{version}") from None

    def definition_of(self, group: str, version: str, kind: str) -> str:
        """The definition's name ("io.k8s.api.core.v1.Pod"), or ""."""
        return self._kinds.get((group, version, kind), "")

    def names(self) -> Iterable[str]:
        """All definitions but those that are one value on the wire."""
        return self._definitions.keys()

    def definition(self, name: str) -> Type:
        """The type of a definition ("io.k8s.api.core.v1.PodSpec"); KeyError for an unknown one."""
        known = self._types.get(name)
        if known is not None:
            return known
        type_ = Type(form=SPECIAL.get(name, Form.OBJECT), name=name, keeps_unknown=name in SPECIAL)
        self._types[name] = type_  # before its fields: they may lead back here
        if type_.form is Form.OBJECT:
            raw = self._definitions.get(name)
            if raw is None:
                del self._types[name]
                raise KeyError(name)
            definition = _definition.decode(raw)
            type_.required = tuple(map(sys.intern, definition.required))
            type_.atomic = definition.map_type == "atomic"
            for field, place in definition.fields.items():  # filled, not replaced: copies of the type share the dict
                type_.fields[sys.intern(field)] = self._place(place)
        elif name in ALTERNATIVES:
            type_.items = self.definition(ALTERNATIVES[name])
        return type_

    def _place(self, place: Place) -> Type:
        plain = not (place.list_type or place.map_type or place.strategy or place.key or place.presence != POINTER)
        if place.definition and plain:
            return self.definition(place.definition)
        if place in self._shared:
            return self._shared[place]
        if place.definition:
            type_ = msgspec.structs.replace(self.definition(place.definition))
        else:
            type_ = Type(form=Form(place.form), format=place.format)
            type_.items = self._place(place.items) if place.items else None
        type_.list_type = place.list_type or "atomic"
        type_.list_keys = place.list_keys
        type_.patch_strategy = tuple(place.strategy.split(",")) if place.strategy else ()
        type_.patch_key = place.key
        type_.omits = place.presence == OMITS
        type_.always = place.presence == ALWAYS
        type_.go = place.go
        if place.map_type:
            type_.atomic = place.map_type == "atomic"
        self._shared[place] = type_
        return type_


def load(cache: Path | None) -> Schemas:
    """The built-in schemas; `cache` is the folder of the cache file, which may be deleted at any time."""
    key = f"{data_key()} {FORMAT_VERSION}".encode()
    payload = read_kept(cache / FILE_NAME, key) if cache else None
    if payload is None:
        payload = compile_definitions(msgspec.json.decode(_source().read_bytes())["$defs"], presence())
        if cache:
            write_kept(cache / FILE_NAME, key, payload)
    return Schemas(_compiled.decode(payload))


def data_key() -> str:
    """What changes with the package's data."""
    state = _source().stat()
    return f"{DATA_VERSION} {state.st_size} {state.st_mtime_ns}"


def source_folder() -> Path:
    """Where the package's definitions lie. Its code is never imported."""
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable("cannot load the schemas of Kubernetes: the package kubernetes-validate is not installed")
    return Path(next(iter(spec.submodule_search_locations)), "kubernetes-json-schema", f"{DATA_VERSION}-local")


def _source() -> Path:
    return source_folder() / "_definitions.json"


def presence() -> dict[str, list[Any]]:
    """What the definitions do not say: which fields are pointers in Go, and which are written when empty, because that
    decides what an empty value means. Definition → [a letter for each field in the order of their names, Go's names of
    types where they differ]."""
    known: dict[str, list[Any]] = msgspec.json.decode(Path(__file__).with_name("presence.json").read_bytes())
    return known


def compile_definitions(definitions: Mapping[str, Any], presence: Mapping[str, list[Any]]) -> bytes:
    """What the cache file holds, from the definitions of the package."""
    kinds: dict[str, str] = {}
    wanted: list[str] = []
    for name, definition in definitions.items():
        for named in definition.get("x-kubernetes-group-version-kind", ()):
            if named["version"] in GROUP_VERSIONS.get(named["group"], ()):
                kinds[f"{named['group']}/{named['version']}/{named['kind']}"] = name
                wanted.append(name)
    wanted.extend(name for name in definitions if name.startswith(META))
    compiled: dict[str, Definition] = {}
    while wanted:
        name = wanted.pop()
        if name in compiled or name in SPECIAL:
            wanted.extend(part for part in [ALTERNATIVES.get(name)] if part and part not in compiled)
            continue
        definition = definitions[name]
        letters, names = (*presence.get(name, ("",)), {})[:2]
        by_field = dict(zip(sorted(definition.get("properties", ())), letters, strict=False))
        fields = {
            field: _compile(place, by_field.get(field, POINTER), names.get(field, ""))
            for field, place in definition.get("properties", {}).items()
        }
        compiled[name] = Definition(
            fields, tuple(definition.get("required", ())), definition.get("x-kubernetes-map-type", "")
        )
        wanted.extend(_references(fields.values()))
    raw = {name: msgspec.Raw(msgspec.msgpack.encode(definition)) for name, definition in compiled.items()}
    return msgspec.msgpack.encode(Compiled(kinds, raw))


def _references(places: Iterable[Place]) -> Iterable[str]:
    for place in places:
        inner: Place | None = place
        while inner is not None:
            if inner.definition:
                yield inner.definition
            inner = inner.items


def _compile(schema: Mapping[str, Any], presence: str = POINTER, go: str = "") -> Place:
    marks: dict[str, Any] = {
        "list_type": schema.get("x-kubernetes-list-type", ""),
        "list_keys": tuple(schema.get("x-kubernetes-list-map-keys", ())),
        "map_type": schema.get("x-kubernetes-map-type", ""),
        "strategy": schema.get("x-kubernetes-patch-strategy", ""),
        "key": schema.get("x-kubernetes-patch-merge-key", ""),
        "presence": presence,
        "go": go,
    }
    if "$ref" in schema:
        return Place(definition=schema["$ref"].removeprefix(PREFIX), **marks)
    names = schema.get("type", "object")
    name = names if isinstance(names, str) else next(name for name in names if name != "null")
    form = SCALARS[name]
    inner = schema.get("items") if form is Form.LIST else schema.get("additionalProperties")
    if form is Form.STRING and schema.get("format") == "byte":
        form = Form.BYTES
        marks["list_type"] = ""  # the original marks some bytes as an atomic list, which they are in any case
    items = _compile(inner) if isinstance(inner, Mapping) else None
    if form is Form.MAP and items is None:
        form = Form.ANY
    return Place(form=form.value, format=schema.get("format", ""), items=items, **marks)
