"""The schemas of built-in kinds with their descriptions, out of the package's data, for documents only: `schema` has
what the API itself needs. Read when a document is made, and let go again: it is a few megabytes.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from boxship.cluster.objects.openapi.choices import add_choices
from boxship.cluster.objects.schema.builtin import presence, source_folder

PREFIX = "#/$defs/"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
OBJECT_META, LIST_META = f"{META}ObjectMeta", f"{META}ListMeta"
STATUS, DELETE_OPTIONS, RESOURCE_LIST = f"{META}Status", f"{META}DeleteOptions", f"{META}APIResourceList"
WATCH_EVENT, PATCH = f"{META}WatchEvent", f"{META}Patch"
ALWAYS = (STATUS, DELETE_OPTIONS, RESOURCE_LIST, WATCH_EVENT, PATCH)
GVK = "x-kubernetes-group-version-kind"

Schema = dict[str, Any]

# These two are one value on the wire; the data says so in a form that no client of the documents knows.
AMOUNT = {
    "type": "string",
    "description": "An amount with a suffix, such as 100m, 1.5Gi or 2e3. Numbers are taken too.",
}
EITHER = {"type": "string", "format": "int-or-string", "description": "A whole number or a text."}


def load() -> dict[str, Schema]:
    """All definitions, by name. References are {"$ref": NAME}; no type is a list."""
    definitions = msgspec.json.decode((source_folder() / "_definitions.json").read_bytes())["$defs"]
    known: dict[str, Schema] = {name: _clean(schema) for name, schema in definitions.items()}
    known[QUANTITY] = dict(AMOUNT)
    known[INT_OR_STRING] = dict(EITHER)
    add_choices(known, presence())
    return known


def _clean(schema: Mapping[str, Any]) -> Schema:
    cleaned: Schema = {}
    for key, value in schema.items():
        if key == "enum":
            continue  # of apiVersion and kind; the package's own addition
        if key == "type" and isinstance(value, list):
            value = next(name for name in value if name != "null")
        elif key == "$ref":
            value = value.removeprefix(PREFIX)
        elif key == "properties":
            value = {name: _clean(inner) for name, inner in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, Mapping):
            value = _clean(value)
        cleaned[key] = value
    return cleaned


def references(schema: Any) -> Iterator[str]:
    """The names that a schema refers to."""
    if isinstance(schema, Mapping):
        found = schema.get("$ref")
        if isinstance(found, str):
            yield found
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def closure(definitions: Mapping[str, Schema], names: Iterable[str]) -> dict[str, Schema]:
    """The definitions of the names and of everything that they lead to, in the order of their names."""
    found: dict[str, Schema] = {}
    left = list(names)
    while left:
        name = left.pop()
        if name not in found and name in definitions:
            found[name] = definitions[name]
            left.extend(references(definitions[name]))
    return dict(sorted(found.items()))


def of_kind(definitions: Mapping[str, Schema], group: str, version: str, kind: str) -> str:
    """The name of a kind's definition, or ""."""
    wanted = {"group": group, "version": version, "kind": kind}
    for name, schema in definitions.items():
        if wanted in schema.get(GVK, ()):
            return name
    return ""
