"""What OpenAPI documents tell of a custom kind: its schema, with the fields that every object has."""

from collections.abc import Mapping
from typing import Any

from boxship.cluster.objects.custom.structural import EMBEDDED, is_object_schema

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
API_VERSION = {"type": "string", "description": "The version of the schema that this object has."}
KIND = {"type": "string", "description": "What this object is."}
METADATA = {"$ref": OBJECT_META, "description": "Name, labels and what else every object has."}


def published(schema: Mapping[str, Any], group: str, version: str, kind: str) -> dict[str, Any]:
    """The schema of a version; {"$ref": NAME} points to a built-in definition."""
    result = _schema(schema)
    result["properties"] = {
        **result.get("properties", {}),
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": METADATA,
    }
    result["x-kubernetes-group-version-kind"] = [{"group": group, "version": version, "kind": kind}]
    return result


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(schema)
    if schema.get("properties"):
        result["properties"] = {name: _schema(inner) for name, inner in schema["properties"].items()}
    for word in ("items", "additionalProperties"):
        if is_object_schema(schema.get(word)):
            result[word] = _schema(schema[word])
    if schema.get(EMBEDDED):
        result["properties"] = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            **result.get("properties", {}),
            "metadata": METADATA,
        }
    return result
