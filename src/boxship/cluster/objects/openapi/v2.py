"""The document of version 2, which tells of everything at once. It is made in pieces that can be put together: built-in
kinds are one, custom ones another.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from boxship.cluster.objects.openapi import gnostic
from boxship.cluster.objects.openapi.definitions import DELETE_OPTIONS, GVK, PATCH, STATUS, Schema, closure
from boxship.cluster.objects.openapi.operations import Operation, Parameter, by_path
from boxship.cluster.objects.openapi.v3 import JSON, PATCH_TYPES, WATCHED, YAML, Names

PREFIX = "#/definitions/"
HEAD = {"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.36.0"}}
SECURITY = {
    "security": [{"BearerToken": []}],
    "securityDefinitions": {
        "BearerToken": {"type": "apiKey", "in": "header", "name": "authorization", "description": "Bearer token"}
    },
}
# What version 2 cannot say of a schema.
UNKNOWN_WORDS = {"anyOf", "oneOf", "not", "nullable", "x-kubernetes-validations"}


class Piece(msgspec.Struct, frozen=True):
    """A part of the document, in both forms. The JSON texts are members of objects, without the braces around."""

    paths: bytes
    definitions: bytes
    binary: bytes


def piece(operations: Iterable[Operation], definitions: Mapping[str, Schema], names: Names, *, custom: bool) -> Piece:
    """`definitions` may have more than what the operations speak of; only what they need comes in."""
    wanted = {STATUS, DELETE_OPTIONS, PATCH} if not custom else set()
    paths: dict[str, Any] = {}
    for path, found in by_path(iter(operations)).items():
        item: dict[str, Any] = {"parameters": [_parameter(each) for each in found[0].place]}
        for operation in found:
            item[operation.method] = _operation(operation, names, custom)
            kinds = (operation.sent, operation.answered, operation.kind)
            wanted.update(names[kind] for kind in kinds if not isinstance(kind, str) and kind in names)
        paths[path] = item
    schemas = {name: rewrite(schema) for name, schema in closure(definitions, wanted).items()}
    if not custom:
        _drop_choices(schemas)
    binary = gnostic.encode_document({"paths": paths, "definitions": schemas})
    return Piece(_members(paths), _members(schemas), binary)


def _drop_choices(value: Any) -> None:
    """The original lists the choices of built-in kinds in version 3 only; old clients would check by them."""
    if isinstance(value, dict):
        if isinstance(value.get("enum"), list):
            del value["enum"]
        for inner in value.values():
            _drop_choices(inner)


def document(pieces: Iterable[Piece]) -> bytes:
    """The whole document as JSON."""
    pieces = tuple(pieces)
    paths = b",".join(each.paths for each in pieces if each.paths)
    definitions = b",".join(each.definitions for each in pieces if each.definitions)
    head, security = _members(HEAD), _members(SECURITY)
    return b'{%b,"paths":{%b},"definitions":{%b},%b}' % (head, paths, definitions, security)


def binary_document(pieces: Iterable[Piece]) -> bytes:
    """The whole document as protobuf: parts of a message that follow each other are one message."""
    return gnostic.encode_document({**HEAD, **SECURITY}) + b"".join(each.binary for each in pieces)


def _members(value: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(value)[1:-1]


def _operation(operation: Operation, names: Names, custom: bool) -> dict[str, Any]:
    group, version, kind = operation.kind
    parameters = [_parameter(each) for each in operation.parameters]
    result: dict[str, Any] = {
        "description": operation.description,
        "operationId": operation.identifier,
        "tags": [operation.tag],
        "consumes": ["*/*"] if not custom else [JSON, YAML],
        "produces": [JSON, YAML],
        "schemes": ["https"],
    }
    if operation.sent == "Patch":
        result["consumes"] = list(PATCH_TYPES[:3] if custom else PATCH_TYPES)
        parameters.insert(0, _body({"$ref": PREFIX + PATCH}, required=True))
    elif not isinstance(operation.sent, str):
        parameters.insert(0, _body(_reference(operation.sent, names), required=operation.method != "delete"))
    if isinstance(operation.answered, str):
        result["produces"] = ["*/*"]
        answered: dict[str, Any] = {"type": "string"}
    else:
        answered = _reference(operation.answered, names)
    if operation.listed:
        result["produces"] = [JSON, YAML, WATCHED]
    result["parameters"] = parameters
    result["responses"] = {"200": {"description": "OK", "schema": answered}, "401": {"description": "Unauthorized"}}
    result["x-kubernetes-action"] = operation.action
    result[GVK] = {"group": group, "version": version, "kind": kind}
    return result


def _reference(kind: tuple[str, str, str], names: Names) -> dict[str, Any]:
    name = names.get(kind)
    return {"$ref": PREFIX + name} if name else {"type": "object"}


def _body(schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"name": "body", "in": "body", "schema": schema}
    if required:
        result["required"] = True
    return result


def _parameter(parameter: Parameter) -> dict[str, Any]:
    result: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "type": parameter.type,
        "uniqueItems": True,
    }
    if parameter.place == "path":
        result["required"] = True
    return result


def rewrite(schema: Any) -> Any:
    """A schema in this version's words. What may be null, or of several types, has no type here: clients that check
    would refuse what is right."""
    if isinstance(schema, list):
        return [rewrite(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key in UNKNOWN_WORDS:
            continue
        if key == "$ref":
            result[key] = PREFIX + value if isinstance(value, str) else value
        elif key == "properties":
            result[key] = {name: rewrite(inner) for name, inner in value.items()}
        else:
            result[key] = value if key in ("default", "example", "enum", GVK) else rewrite(value)
    if schema.get("x-kubernetes-int-or-string") or schema.get("nullable"):
        result.pop("type", None)
    if schema.get("nullable") or schema.get("x-kubernetes-preserve-unknown-fields"):
        for word in ("properties", "items", "additionalProperties", "required", "type"):
            result.pop(word, None)
    return result
