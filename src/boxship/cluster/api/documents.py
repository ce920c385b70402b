"""Request bodies: from bytes of any media type to a value, with what is said twice in it.

Text from strangers. Every error is a Failure with the original's status; nothing here knows schemas.
"""

import json
from typing import Any

import msgspec

from boxship.cluster.api.request import Body
from boxship.cluster.objects import Object, protobuf
from boxship.cluster.objects.failure import Failure, bad_request, unsupported_media_type
from boxship.cluster.objects.schema.builtin import Schemas
from boxship.errors import Invalid
from boxship.wire import yaml_text

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
ACCEPTED = (JSON, YAML, PROTOBUF)
PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
    "application/strategic-merge-patch+json",
)
JSON_PATCH, MERGE_PATCH, APPLY_PATCH, STRATEGIC_PATCH = PATCHES

_decoder = msgspec.json.Decoder()


def read_object(body: Body, schemas: Schemas, expected: tuple[str, str, str]) -> tuple[Object, list[str]]:
    """The object of a body, and the fields that are named twice ("spec.replicas"). `expected` (group, version, kind)
    counts where a protobuf body does not say what it is."""
    if body.media_type == PROTOBUF:
        return protobuf.read(body.data, schemas, expected=expected), []
    if body.media_type == JSON:
        value, twice = read_json(body.data)
    elif body.media_type == YAML:
        value, twice = read_yaml(body.data)
    else:
        raise unsupported_media_type(ACCEPTED)
    if not isinstance(value, dict):
        raise _not_an_object(value)
    return value, twice


def read_patch(body: Body) -> tuple[Any, list[str]]:
    """The value of a patch."""
    if body.media_type == APPLY_PATCH:
        return read_yaml(body.data)
    if body.media_type in PATCHES:
        return read_json(body.data)
    raise unsupported_media_type(PATCHES)


def read_json(data: bytes) -> tuple[Any, list[str]]:
    try:
        value = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {_why(error)}") from None
    # A body without repeated names has exactly one colon behind a quote for each of its names.
    if data.count(b'":') + data.count(b'" :') <= _names(value):
        return value, []
    return value, _repeated(data)


def read_yaml(data: bytes) -> tuple[Any, list[str]]:
    try:
        value, twice = yaml_text.read(data)
    except Invalid as error:
        raise bad_request(f"error converting YAML to JSON: {error}") from None
    return value, twice


def _names(value: Any) -> int:
    """How many names the mappings in a value have."""
    count = 0
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            count += len(value)
            left += value.values()
        elif isinstance(value, list):
            left += value
    return count


def _repeated(data: bytes) -> list[str]:
    """Names that stand twice in one mapping. The path of a mapping is known only when it is closed, so only the last
    parts of the way are told apart."""
    found: dict[int, list[str]] = {}
    kept: list[object] = []  # so that no identity is used twice

    def join(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        twice = []
        for name, value in pairs:
            if name in made:
                twice.append(name)
            made[name] = value
            children = value if isinstance(value, list) else [value]
            for index, child in enumerate(children):
                place = f"{name}[{index}]" if isinstance(value, list) else name
                twice += [f"{place}.{path}" for path in found.pop(id(child), ())]
        if twice:
            found[id(made)] = twice
            kept.append(made)
        return made

    try:
        value = json.loads(data, object_pairs_hook=join)
    except (ValueError, RecursionError):
        return []
    return list(dict.fromkeys(found.get(id(value), ())))


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "exceeded max depth"
    return str(error)


def _not_an_object(value: Any) -> Failure:
    kind = {list: "array", str: "string", bool: "bool"}.get(type(value), "number")
    return bad_request(
        "couldn't get version/kind; json parse error: json: cannot unmarshal "
        f'{kind} into Go value of type struct {{ APIVersion string "json:\\"apiVersion,omitempty\\""; '
        'Kind string "json:\\"kind,omitempty\\"" }'
    )
