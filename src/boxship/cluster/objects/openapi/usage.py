"""What OpenAPI documents tell of the kinds that are made for each request: metrics.k8s.io and node.boxship.io."""

from collections.abc import Iterator
from typing import Any

from boxship.cluster.objects import pod_addresses
from boxship.cluster.objects.catalog import COMPUTED
from boxship.cluster.objects.custom.publishing import published
from boxship.cluster.objects.openapi.documents import CustomKind, custom_kind

MOMENT = {"$ref": "io.k8s.apimachinery.pkg.apis.meta.v1.Time"}
QUANTITIES = {"type": "object", "additionalProperties": {"$ref": "io.k8s.apimachinery.pkg.api.resource.Quantity"}}
USAGE = {**QUANTITIES, "description": "What is used, by the resource's name: cpu in cores, memory in bytes."}
FIELDS: dict[str, Any] = {
    "timestamp": {**MOMENT, "description": "The end of the window."},
    "window": {"type": "string", "description": "The time over which the processor's use is taken."},
}
CONTAINER = {
    "type": "object",
    "required": ["name", "usage"],
    "properties": {"name": {"type": "string", "description": "The container's name in its pod."}, "usage": USAGE},
}
OWN: dict[str, dict[str, Any]] = {
    "NodeMetrics": {"usage": USAGE},
    "PodMetrics": {
        "containers": {"type": "array", "items": CONTAINER, "description": "Those that run."},
    },
}


def usage_kinds() -> Iterator[CustomKind]:
    for resource in COMPUTED:
        own = OWN.get(resource.kind, {})
        schema = {
            "type": "object",
            "description": f"{resource.kind}: what it uses now.",
            "required": ["timestamp", "window", *own],
            "properties": {**FIELDS, **own},
        }
        if resource.kind == pod_addresses.KIND:
            schema = pod_addresses.SCHEMA
        yield custom_kind(resource, published(schema, resource.group, resource.version, resource.kind))
