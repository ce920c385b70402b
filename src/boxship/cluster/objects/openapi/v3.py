"""A document of version 3 for one group and version: its paths, and the schemas that they speak of."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from boxship.cluster.objects.openapi.definitions import ALWAYS, GVK, PATCH, RESOURCE_LIST, Schema, closure
from boxship.cluster.objects.openapi.operations import Operation, Parameter, by_path
from boxship.cluster.objects.resource import Resource

PREFIX = "#/components/schemas/"
JSON, YAML, WATCHED = "application/json", "application/yaml", "application/json;stream=watch"
PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
HEAD = {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.36.0"}}
SECURITY_SCHEMES = {
    "BearerToken": {"type": "apiKey", "in": "header", "name": "authorization", "description": "Bearer token"}
}

Names = Mapping[tuple[str, str, str], str]  # (group, version, kind) → definition


def document(
    group: str,
    version: str,
    resources: Iterable[Resource],
    operations: Iterable[Operation],
    definitions: Mapping[str, Schema],
    names: Names,
) -> bytes:
    """The document as JSON. `names` has every kind that an operation speaks of and that has a definition."""
    resources = tuple(resources)
    custom = any(resource.custom for resource in resources)
    paths: dict[str, Any] = {_base(group, version): {"get": _resource_list(group, version)}}
    wanted = set(ALWAYS)
    for path, found in by_path(iter(operations)).items():
        item: dict[str, Any] = {"parameters": [_parameter(each) for each in found[0].place]}
        for operation in found:
            item[operation.method] = _operation(operation, names, custom)
            wanted.update(names[kind] for kind in _kinds(operation) if kind in names)
        paths[path] = item
    schemas = {name: rewrite(schema) for name, schema in closure(definitions, wanted).items()}
    components = {"schemas": schemas, "securitySchemes": SECURITY_SCHEMES}
    return msgspec.json.encode({**HEAD, "paths": paths, "components": components})


def _base(group: str, version: str) -> str:
    return f"/apis/{group}/{version}/" if group else f"/api/{version}/"


def _kinds(operation: Operation) -> Iterable[tuple[str, str, str]]:
    for kind in (operation.sent, operation.answered, operation.kind):
        if not isinstance(kind, str):
            yield kind


def _resource_list(group: str, version: str) -> dict[str, Any]:
    first = group.split(".")[0].capitalize() if group else "Core"
    return {
        "description": "get available resources",
        "operationId": f"get{first}{version.capitalize()}APIResources",
        "tags": [f"{first.lower()}_{version}"],
        "responses": _responses({"$ref": PREFIX + RESOURCE_LIST}, (JSON,)),
    }


def _operation(operation: Operation, names: Names, custom: bool) -> dict[str, Any]:
    group, version, kind = operation.kind
    result: dict[str, Any] = {
        "description": operation.description,
        "operationId": operation.identifier,
        "tags": [operation.tag],
        "parameters": [_parameter(each) for each in operation.parameters],
    }
    if operation.sent == "Patch":
        kinds = PATCH_TYPES[:3] if custom else PATCH_TYPES
        body = {"schema": {"$ref": PREFIX + PATCH}}
        result["requestBody"] = {"required": True, "content": dict.fromkeys(kinds, body)}
    elif not isinstance(operation.sent, str):
        body = {"schema": _reference(operation.sent, names)}
        types: tuple[str, ...] = (JSON, YAML) if custom else ("*/*",)
        result["requestBody"] = {"content": dict.fromkeys(types, body)}
        if operation.method != "delete":
            result["requestBody"]["required"] = True
    if isinstance(operation.answered, str):
        result["responses"] = _responses({"type": "string"}, ("*/*",))
    else:
        types = (JSON, WATCHED, YAML) if operation.listed else (JSON, YAML)
        result["responses"] = _responses(_reference(operation.answered, names), types)
    result["x-kubernetes-action"] = operation.action
    result[GVK] = {"group": group, "version": version, "kind": kind}
    return result


def _reference(kind: tuple[str, str, str], names: Names) -> dict[str, Any]:
    name = names.get(kind)
    return {"$ref": PREFIX + name} if name else {"type": "object"}


def _responses(schema: dict[str, Any], types: Iterable[str]) -> dict[str, Any]:
    content = {type_: {"schema": schema} for type_ in types}
    return {"200": {"description": "OK", "content": content}, "401": {"description": "Unauthorized"}}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    result: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "schema": {"type": parameter.type, "uniqueItems": True},
    }
    if parameter.place == "path":
        result["required"] = True
    return result


def rewrite(schema: Any) -> Any:
    """A schema in this version's words: a reference stands alone, or in allOf where something is said beside it."""
    if isinstance(schema, list):
        return [rewrite(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    result = {key: value if key in ("default", "example", GVK) else _inner(key, value) for key, value in schema.items()}
    if schema.get("format") == "int-or-string" and schema.get("type") == "string":
        del result["type"]
        result["oneOf"] = [{"type": "integer"}, {"type": "string"}]
    name = result.pop("$ref", None)
    if not isinstance(name, str):
        return result
    reference = {"$ref": PREFIX + name}
    return {**result, "allOf": [reference]} if result else reference


def _inner(key: str, value: Any) -> Any:
    if key in ("properties", "patternProperties") and isinstance(value, Mapping):
        return {name: rewrite(inner) for name, inner in value.items()}
    return value if key == "$ref" else rewrite(value)
