"""From a CustomResourceDefinition to what the catalogue and the documents hold of it."""

from collections.abc import Callable, Mapping

import msgspec

from boxship.cluster.api.catalog import Convert, Definition
from boxship.cluster.objects import Object
from boxship.cluster.objects.custom.expressions import Expressions, has_rules
from boxship.cluster.objects.custom.publishing import published
from boxship.cluster.objects.custom.reading import read
from boxship.cluster.objects.custom.rules import deprecation, rules_for
from boxship.cluster.objects.custom.types import root_type
from boxship.cluster.objects.openapi.documents import CustomKind, custom_kind
from boxship.cluster.objects.resource import Resource, Subresource
from boxship.cluster.objects.scale import paths_of
from boxship.cluster.objects.schema.types import Type

# In the order of the original's discovery of custom resources.
VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
PART_VERBS = ("get", "patch", "update")
PRESERVED = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

Converting = Callable[[Object, Mapping[str, Type]], Convert]  # (spec, root types by apiVersion)


class Served(msgspec.Struct, frozen=True):
    """What one CustomResourceDefinition adds."""

    definitions: tuple[Definition, ...] = ()
    kinds: tuple[CustomKind, ...] = ()


def serve(definition: Object, metadata: Type, converting: Converting) -> Served:
    """Of an established definition. `metadata` is ObjectMeta's type."""
    spec, group = definition["spec"], definition["spec"]["group"]
    types = {f"{group}/{version['name']}": root_type(_schema(version), metadata) for version in spec["versions"]}
    convert = converting(spec, types) if len(types) > 1 else None
    changed = len(types) > 1 or definition["metadata"].get("generation") != 1
    definitions, kinds = [], []
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        resource = _resource(definition, version)
        type_ = types[resource.api_version]
        expressions = Expressions(type_) if has_rules(type_) else None
        scale = (version.get("subresources") or {}).get("scale")
        definitions.append(
            Definition(
                resource=resource,
                type=type_,
                rules=rules_for(version, type_, expressions, changed=changed),
                working=resource.api_version,
                request_type=type_,
                convert=convert,
                columns=version.get("additionalPrinterColumns"),
                scale=paths_of(scale) if scale else None,
                read=read,
            )
        )
        schema = published(_schema(version), group, resource.version, resource.kind)
        kinds.append(custom_kind(resource, schema, spec["names"].get("listKind") or ""))
    return Served(tuple(definitions), tuple(kinds))


def _schema(version: Object) -> Object:
    schema: Object = (version.get("schema") or {}).get("openAPIV3Schema") or PRESERVED
    return schema


def _resource(definition: Object, version: Object) -> Resource:
    spec, metadata = definition["spec"], definition["metadata"]
    names = (definition.get("status") or {}).get("acceptedNames") or spec["names"]
    (stored,) = [each["name"] for each in spec["versions"] if each.get("storage")]
    parts = version.get("subresources") or {}
    subresources: dict[str, Subresource] = {}
    if "status" in parts:
        subresources["status"] = Subresource(PART_VERBS)
    if parts.get("scale"):
        subresources["scale"] = Subresource(PART_VERBS, "Scale", "autoscaling", "v1")
    ending = bool(metadata.get("deletionTimestamp"))
    return Resource(
        group=spec["group"],
        version=version["name"],
        kind=spec["names"]["kind"],
        plural=spec["names"]["plural"],
        singular=spec["names"].get("singular") or spec["names"]["kind"].lower(),
        namespaced=spec["scope"] == "Namespaced",
        storage=f"{spec['group']}/{spec['names']['plural']}",
        storage_version=f"{spec['group']}/{stored}",
        verbs=tuple(verb for verb in VERBS if not (ending and verb == "create")),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=subresources,
        custom=True,
        warning=deprecation(version, spec["group"], spec["names"]["kind"]),
    )
