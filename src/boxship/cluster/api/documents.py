"""Request bodies: from bytes of any media type to a value, with what is said twice in it.

Text from strangers. Every error is a Failure with the original's status; nothing here knows schemas.
"""

import contextlib
from typing import Any

from boxship.cluster.api.request import Body
from boxship.cluster.objects import Object, protobuf
from boxship.cluster.objects.failure import Failure, bad_request, unsupported_media_type
from boxship.cluster.objects.json_text import check_size, decode_json, duplicate_fields
from boxship.cluster.objects.media_types import APPLY_PATCH, BODIES, JSON, PATCHES, PROTOBUF, YAML
from boxship.cluster.objects.schema.builtin import Schemas
from boxship.errors import Invalid
from boxship.wire import yaml_text


def read_object(body: Body, schemas: Schemas, expected: tuple[str, str, str]) -> tuple[Object, list[str]]:
    """The object of a body, and texts about fields that stand twice in it. `expected` (group, version, kind)
    counts where a protobuf body does not say what it is."""
    if body.media_type == PROTOBUF:
        return protobuf.read(body.data, schemas, expected=expected), []
    if body.media_type == JSON:
        value, twice = read_json(body.data)
    elif body.media_type == YAML:
        value, twice = read_yaml(body.data)
    else:
        raise unsupported_media_type(BODIES)
    if not isinstance(value, dict):
        raise _not_an_object(value)
    return value, [*twice, *body.twice]


def read_patch(body: Body) -> tuple[Any, list[str]]:
    """The value of a patch."""
    if body.media_type == APPLY_PATCH:
        value, twice = read_yaml(body.data)
        return value, [*twice, *body.twice]
    if body.media_type in PATCHES:
        return read_json(body.data)
    raise unsupported_media_type(PATCHES)


def read_json(data: bytes) -> tuple[Any, list[str]]:
    value = decode_json(data)
    return value, duplicate_fields(data, value)


def read_yaml(data: bytes) -> tuple[Any, list[str]]:
    """Most of what is called YAML is JSON, which is read much faster."""
    if data.startswith(b"{"):
        with contextlib.suppress(Failure):
            return read_json(data)
    try:
        value, twice = yaml_text.read(data)
    except Invalid as error:
        raise bad_request(f"error converting YAML to JSON: {error}") from None
    check_size(value, len(data))
    return value, told_twice(twice)


def told_twice(lines: list[str]) -> list[str]:
    """What the YAML reader says of keys that were set twice, as the original passes it on."""
    return ["\n  ".join(("yaml: unmarshal errors:", *lines))] if lines else []


def _not_an_object(value: Any) -> Failure:
    kind = {list: "array", str: "string", bool: "bool"}.get(type(value), "number")
    return bad_request(
        "couldn't get version/kind; json parse error: json: cannot unmarshal "
        f'{kind} into Go value of type struct {{ APIVersion string "json:\\"apiVersion,omitempty\\""; '
        'Kind string "json:\\"kind,omitempty\\"" }'
    )
