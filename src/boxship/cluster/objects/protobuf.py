"""Kubernetes objects as protocol buffers, as client-go's typed clients send them: the prefix "k8s\\0", then a
runtime.Unknown that says the kind and carries the object. Becomes the same dict as the JSON form would give, so nobody
behind this knows which one came.

Field numbers are those of 1.36's generated.proto files (protobuf.json beside this file: definition → JSON name →
number and type). What Go writes for an empty field that is no pointer stays in the dict: `validation.read` drops it,
as it does for JSON.
"""

import base64
import functools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import bad_request
from boxship.cluster.objects.schema.builtin import Schemas
from boxship.errors import Invalid
from boxship.wire.protobuf import DEFAULT_LIMITS, Limits, Shape, Table, decode, encode

MAGIC = b"k8s\0"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
RUNTIME = "io.k8s.apimachinery.pkg.runtime."
EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
UNKNOWN = f"{RUNTIME}Unknown"
OPTIONS = {"DeleteOptions"}  # known in every group, also in those of custom resources
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _time(fields: dict[str, Any]) -> str | None:
    """A zero time is an empty message, and none."""
    if not fields:
        return None
    return _moment(fields.get("seconds", 0), 0).strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(fields: dict[str, Any]) -> str | None:
    if not fields:
        return None
    return _moment(fields.get("seconds", 0), fields.get("nanos", 0)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _moment(seconds: int, nanos: int) -> datetime:
    try:
        return EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        raise ValueError("a time is out of range") from None


def _time_fields(text: str) -> dict[str, Any]:
    since = datetime.fromisoformat(text) - EPOCH
    seconds = since // timedelta(seconds=1)
    nanos = (since - timedelta(seconds=seconds)).microseconds * 1000
    return {"seconds": seconds, "nanos": nanos}


def _int_or_string(fields: dict[str, Any]) -> int | str:
    value = fields.get("strVal", "") if fields.get("type") else fields.get("intVal", 0)
    return value if isinstance(value, int) else str(value)


def _int_or_string_fields(value: int | str) -> dict[str, Any]:
    if isinstance(value, int):
        return {"type": 0, "intVal": value, "strVal": ""}
    return {"type": 1, "intVal": 0, "strVal": value}


def _json(field: str) -> Shape:
    """A message that is JSON text in its only field."""

    def read(fields: dict[str, Any]) -> Any:
        raw = fields.get(field, b"")
        if not raw:
            return None
        try:
            return _nested(raw) if raw.startswith(MAGIC) else msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            raise ValueError("what should be JSON is not") from None

    return read, lambda value: {field: msgspec.json.encode(value)}


def _nested(raw: bytes) -> Any:
    """An object in a RawExtension that is an envelope itself."""
    try:
        unknown = decode(table(), UNKNOWN, raw[len(MAGIC) :])
        return msgspec.json.decode(unknown.get("raw", b""))
    except Invalid as error:
        raise ValueError(str(error)) from None


def _items() -> Shape:
    return lambda fields: fields.get("items", []), lambda value: {"items": value}


SCHEMA_OR_ARRAY: Shape = (
    lambda fields: fields["schema"] if "schema" in fields else fields.get("jSONSchemas", []),
    lambda value: {"schema": value} if isinstance(value, dict) else {"jSONSchemas": value},
)
SCHEMA_OR_BOOL: Shape = (
    lambda fields: fields["schema"] if "schema" in fields else fields.get("allows", False),
    lambda value: {"allows": True, "schema": value} if isinstance(value, dict) else {"allows": value},
)
SCHEMA_OR_STRINGS: Shape = (
    lambda fields: fields["schema"] if "schema" in fields else fields.get("property", []),
    lambda value: {"schema": value} if isinstance(value, dict) else {"property": value},
)
SHAPES: Mapping[str, Shape] = {
    f"{META}Time": (_time, _time_fields),
    f"{META}MicroTime": (_micro_time, _time_fields),
    f"{META}FieldsV1": _json("Raw"),
    f"{META}Verbs": _items(),
    "io.k8s.api.authentication.v1.ExtraValue": _items(),
    "io.k8s.api.authorization.v1.ExtraValue": _items(),
    "io.k8s.api.certificates.v1.ExtraValue": _items(),
    "io.k8s.apimachinery.pkg.api.resource.Quantity": (
        lambda fields: fields.get("string", "0"),
        lambda value: {"string": str(value)},
    ),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": (_int_or_string, _int_or_string_fields),
    f"{RUNTIME}RawExtension": _json("raw"),
    f"{EXTENSIONS}JSON": _json("raw"),
    f"{EXTENSIONS}JSONSchemaPropsOrArray": SCHEMA_OR_ARRAY,
    f"{EXTENSIONS}JSONSchemaPropsOrBool": SCHEMA_OR_BOOL,
    f"{EXTENSIONS}JSONSchemaPropsOrStringArray": SCHEMA_OR_STRINGS,
}
SCALARS = {"base64": (lambda data: base64.b64encode(data).decode(), lambda text: base64.b64decode(text, validate=True))}


@functools.cache
def table() -> Table:
    """All messages of the served groups; the file is read at the first protobuf body."""
    short = msgspec.json.decode(Path(__file__).with_name("protobuf.json").read_bytes())
    messages = {
        _full(name): {field: _field(*place) for field, place in fields.items()} for name, fields in short.items()
    }
    return Table(messages, SHAPES, SCALARS)


def _full(name: str) -> str:
    return name.replace("~", "io.k8s.")


def _field(number: int, kind: str) -> tuple[int, str]:
    return number, _full(kind)


def read(
    data: bytes, schemas: Schemas, *, expected: tuple[str, str, str] = ("", "", ""), limits: Limits = DEFAULT_LIMITS
) -> Object:
    """The object in a request's body. `expected` (group, version, kind) counts where the body does not say what it is.
    Raises Failure 400."""
    if not data.startswith(MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        unknown = decode(table(), UNKNOWN, data[len(MAGIC) :], limits)
        if unknown.get("contentEncoding"):
            raise bad_request(f"unsupported: content encoding {unknown['contentEncoding']} in a protobuf envelope")
        said = unknown.get("typeMeta", {})
        api_version, kind = said.get("apiVersion", ""), said.get("kind", "")
        if not kind:
            group, version, kind = expected
            api_version = f"{group}/{version}" if group else version
        if not kind:
            raise bad_request("Object 'Kind' is missing in a protobuf envelope")
        fields = decode(table(), _message(schemas, api_version, kind), unknown.get("raw", b""), limits)
    except Invalid as error:
        raise bad_request(str(error)) from None
    fields.pop("apiVersion", None)
    fields.pop("kind", None)
    return {"apiVersion": api_version, "kind": kind, **fields}


def write(object: Object, schemas: Schemas) -> bytes:
    """An object as a client would send it. Raises Invalid."""
    api_version, kind = object["apiVersion"], object["kind"]
    fields = {key: value for key, value in object.items() if key not in ("apiVersion", "kind")}
    raw = encode(table(), _message(schemas, api_version, kind), fields)
    unknown = {"typeMeta": {"apiVersion": api_version, "kind": kind}, "raw": raw}
    return MAGIC + encode(table(), UNKNOWN, unknown)


def _message(schemas: Schemas, api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    name = schemas.definition_of(group, version, kind)
    if not name and kind in OPTIONS:
        name = f"{META}{kind}"
    if not name or name not in table():
        raise bad_request(f'no kind "{kind}" is registered for version "{api_version}"')
    return name
