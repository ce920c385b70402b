"""The document of version 2 as protobuf: the messages of github.com/google/gnostic's openapiv2, of which only what
documents here contain is known. Field numbers: its OpenAPIv2.proto.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from boxship.wire.protobuf import Fields, Table, encode

NAMED = "additional_properties"


def _named(value: str) -> Fields:
    return {"name": (1, "string"), "value": (2, value)}


def _simple(first: int) -> dict[str, tuple[int, str]]:
    """A query or path parameter; the two differ by one field before these."""
    return {
        "required": (1, "bool"),
        "in": (2, "string"),
        "description": (3, "string"),
        "name": (4, "string"),
        "type": (first, "string"),
        "format": (first + 1, "string"),
        "unique_items": (first + 14, "bool"),
    }


MESSAGES: Mapping[str, Fields] = {
    "Document": {
        "swagger": (1, "string"),
        "info": (2, "Info"),
        "paths": (8, "Paths"),
        "definitions": (9, "NamedSchemas"),
        "security": (12, "SecurityRequirement[]"),
        "security_definitions": (13, "SecurityDefinitions"),
    },
    "Info": {"title": (1, "string"), "version": (2, "string")},
    "Paths": {"path": (2, "NamedPathItem[]")},
    "NamedPathItem": _named("PathItem"),
    "NamedSchemas": {NAMED: (1, "NamedSchema[]")},
    "NamedSchema": _named("Schema"),
    "PathItem": {
        "get": (2, "Operation"),
        "put": (3, "Operation"),
        "post": (4, "Operation"),
        "delete": (5, "Operation"),
        "patch": (8, "Operation"),
        "parameters": (9, "ParametersItem[]"),
    },
    "Operation": {
        "tags": (1, "string[]"),
        "description": (3, "string"),
        "operation_id": (5, "string"),
        "produces": (6, "string[]"),
        "consumes": (7, "string[]"),
        "parameters": (8, "ParametersItem[]"),
        "responses": (9, "Responses"),
        "schemes": (10, "string[]"),
        "vendor_extension": (13, "NamedAny[]"),
    },
    "ParametersItem": {"parameter": (1, "Parameter")},
    "Parameter": {"body_parameter": (1, "BodyParameter"), "non_body_parameter": (2, "NonBodyParameter")},
    "BodyParameter": {
        "description": (1, "string"),
        "name": (2, "string"),
        "in": (3, "string"),
        "required": (4, "bool"),
        "schema": (5, "Schema"),
    },
    "NonBodyParameter": {"query": (3, "QueryParameter"), "path": (4, "PathParameter")},
    "QueryParameter": _simple(6),
    "PathParameter": _simple(5),
    "Responses": {"response_code": (1, "NamedResponseValue[]")},
    "NamedResponseValue": _named("ResponseValue"),
    "ResponseValue": {"response": (1, "Response")},
    "Response": {"description": (1, "string"), "schema": (2, "SchemaItem")},
    "SchemaItem": {"schema": (1, "Schema")},
    "Any": {"yaml": (2, "string")},
    "NamedAny": _named("Any"),
    "TypeItem": {"value": (1, "string[]")},
    "ItemsItem": {"schema": (1, "Schema[]")},
    "AdditionalPropertiesItem": {"schema": (1, "Schema"), "boolean": (2, "bool")},
    "Schema": {
        "_ref": (1, "string"),
        "format": (2, "string"),
        "title": (3, "string"),
        "description": (4, "string"),
        "default": (5, "Any"),
        "multiple_of": (6, "double"),
        "maximum": (7, "double"),
        "exclusive_maximum": (8, "bool"),
        "minimum": (9, "double"),
        "exclusive_minimum": (10, "bool"),
        "max_length": (11, "int64"),
        "min_length": (12, "int64"),
        "pattern": (13, "string"),
        "max_items": (14, "int64"),
        "min_items": (15, "int64"),
        "unique_items": (16, "bool"),
        "max_properties": (17, "int64"),
        "min_properties": (18, "int64"),
        "required": (19, "string[]"),
        "enum": (20, "Any[]"),
        "additional_properties": (21, "AdditionalPropertiesItem"),
        "type": (22, "TypeItem"),
        "items": (23, "ItemsItem"),
        "all_of": (24, "Schema[]"),
        "properties": (25, "NamedSchemas"),
        "vendor_extension": (31, "NamedAny[]"),
    },
    "SecurityRequirement": {NAMED: (1, "NamedStringArray[]")},
    "NamedStringArray": _named("StringArray"),
    "StringArray": {"value": (1, "string[]")},
    "SecurityDefinitions": {NAMED: (1, "NamedSecurity[]")},
    "NamedSecurity": _named("Security"),
    "Security": {"api_key_security": (2, "ApiKey")},
    "ApiKey": {"type": (1, "string"), "name": (2, "string"), "in": (3, "string"), "description": (4, "string")},
}
TABLE = Table(MESSAGES)

# JSON words of a schema whose values are plain, and their fields.
PLAIN = {
    "$ref": "_ref",
    "format": "format",
    "title": "title",
    "description": "description",
    "multipleOf": "multiple_of",
    "maximum": "maximum",
    "exclusiveMaximum": "exclusive_maximum",
    "minimum": "minimum",
    "exclusiveMinimum": "exclusive_minimum",
    "maxLength": "max_length",
    "minLength": "min_length",
    "pattern": "pattern",
    "maxItems": "max_items",
    "minItems": "min_items",
    "uniqueItems": "unique_items",
    "maxProperties": "max_properties",
    "minProperties": "min_properties",
    "required": "required",
}


def encode_document(document: Mapping[str, Any]) -> bytes:
    """A document of version 2, or a part of one."""
    message: dict[str, Any] = {key: document[key] for key in ("swagger", "info") if key in document}
    if "paths" in document:
        items = [{"name": path, "value": _path(item)} for path, item in document["paths"].items()]
        message["paths"] = {"path": items}
    if "definitions" in document:
        message["definitions"] = _schemas(document["definitions"])
    if "security" in document:
        message["security"] = [
            {NAMED: [{"name": name, "value": {"value": scopes}} for name, scopes in each.items()]}
            for each in document["security"]
        ]
    if "securityDefinitions" in document:
        found = document["securityDefinitions"].items()
        message["security_definitions"] = {
            NAMED: [{"name": name, "value": {"api_key_security": value}} for name, value in found]
        }
    return encode(TABLE, "Document", message)


def _path(item: Mapping[str, Any]) -> dict[str, Any]:
    message = {method: _operation(value) for method, value in item.items() if method != "parameters"}
    return {**message, "parameters": [_parameter(each) for each in item.get("parameters", ())]}


def _operation(operation: Mapping[str, Any]) -> dict[str, Any]:
    message = {key: operation[key] for key in ("tags", "description", "produces", "consumes", "schemes")}
    message["operation_id"] = operation["operationId"]
    message["parameters"] = [_parameter(each) for each in operation["parameters"]]
    message["responses"] = {
        "response_code": [
            {"name": code, "value": {"response": _response(response)}}
            for code, response in operation["responses"].items()
        ]
    }
    message["vendor_extension"] = _extensions(operation)
    return message


def _response(response: Mapping[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"description": response["description"]}
    if "schema" in response:
        message["schema"] = {"schema": _schema(response["schema"])}
    return message


def _parameter(parameter: Mapping[str, Any]) -> dict[str, Any]:
    if parameter["in"] == "body":
        body = {key: parameter[key] for key in ("name", "in", "required") if key in parameter}
        return {"parameter": {"body_parameter": {**body, "schema": _schema(parameter["schema"])}}}
    fields = {key: parameter[key] for key in ("name", "in", "required", "description", "type") if key in parameter}
    fields["unique_items"] = parameter["uniqueItems"]
    return {"parameter": {"non_body_parameter": {parameter["in"]: fields}}}


def _schemas(schemas: Mapping[str, Any]) -> dict[str, Any]:
    return {NAMED: [{"name": name, "value": _schema(schema)} for name, schema in schemas.items()]}


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    message = {PLAIN[key]: value for key, value in schema.items() if key in PLAIN}
    if "type" in schema:
        message["type"] = {"value": [schema["type"]]}
    if "items" in schema:
        items = schema["items"]
        message["items"] = {"schema": [_schema(each) for each in (items if isinstance(items, list) else [items])]}
    if "properties" in schema:
        message["properties"] = _schemas(schema["properties"])
    if "additionalProperties" in schema:
        inner = schema["additionalProperties"]
        message["additional_properties"] = {"boolean": inner} if isinstance(inner, bool) else {"schema": _schema(inner)}
    if "allOf" in schema:
        message["all_of"] = [_schema(each) for each in schema["allOf"]]
    if "enum" in schema:
        message["enum"] = [_any(each) for each in schema["enum"]]
    if "default" in schema:
        message["default"] = _any(schema["default"])
    message["vendor_extension"] = _extensions(schema)
    return message


def _extensions(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": key, "value": _any(inner)} for key, inner in value.items() if key.startswith("x-")]


def _any(value: Any) -> dict[str, Any]:
    """Any value, as text: JSON is YAML too."""
    return {"yaml": msgspec.json.encode(value).decode()}
