"""What this API serves at this moment: the built-in resources, and the custom ones, which come and go.

A Definition is all that the API has to know of a resource to read and write its objects. Custom ones are made by
`custom` from CustomResourceDefinitions and replaced here as a whole; nothing else in the API asks whether a resource is
custom, except where the original treats them differently.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from boxship.cluster.objects import Object, catalog, pod_addresses, validation
from boxship.cluster.objects.conversion import convert
from boxship.cluster.objects.failure import Cause, no_such_path
from boxship.cluster.objects.kinds import rules_of
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.rules import Rules
from boxship.cluster.objects.scale import ScalePaths
from boxship.cluster.objects.schema.builtin import Schemas
from boxship.cluster.objects.schema.types import Type

Read = Callable[[Object, Type, str, Sequence[str]], tuple[Object, list[str], tuple[Cause, ...]]]  # as validation.read
Cut = Callable[[bytes], bytes]  # a stored value of one kind → what it would be as one of another
Convert = Callable[[Sequence[Object], str], Awaitable[Sequence[Object]]]  # (objects of one kind, apiVersion)


class Definition(msgspec.Struct, frozen=True):
    """A resource with its schema and rules. `working` is the apiVersion that `type` and `rules` speak of: the storage
    version for built-in kinds, the served one for custom ones. `columns` are a custom resource's
    additionalPrinterColumns. `cut` makes this kind's stored values of another's, which can only be read so."""

    resource: Resource
    type: Type
    rules: Rules
    working: str
    request_type: Type
    convert: Convert | None = None
    columns: Sequence[Object] | None = None
    scale: ScalePaths | None = None
    cut: Cut | None = None
    read: Read = validation.read


class Catalog:
    """All resources by group, version and plural name. `version` grows and `changed` is set with each change."""

    def __init__(self, schemas: Schemas) -> None:
        self.schemas = schemas
        self._built_in: dict[str, Definition] = {}
        self._custom: dict[tuple[str, str, str], Definition] = {}
        self._computed = {(each.group, each.version, each.plural): each for each in catalog.COMPUTED}
        self._paths = {resource.path: resource for resource in (*catalog.RESOURCES, *catalog.COMPUTED)}
        self.version = 1
        self.changed = asyncio.Event()

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        resource = catalog.built_in(group, version, plural)
        if resource is not None:
            return resource
        custom = self._custom.get((group, version, plural))
        return custom.resource if custom is not None else self._computed.get((group, version, plural))

    def computed(self) -> tuple[Resource, ...]:
        """What is made for each request, where no custom resource and no other server has that place."""
        return tuple(each for place, each in self._computed.items() if place not in self._custom)

    def at(self, path: str) -> Resource | None:
        """By its path as in `access`: "apps/v1/deployments"."""
        return self._paths.get(path)

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        """The resource whose objects say this apiVersion and kind."""
        group, _, version = api_version.rpartition("/")
        found = catalog.of_kind(group, version, kind)
        if found is not None:
            return found
        for definition in self._custom.values():
            resource = definition.resource
            if resource.kind == kind and resource.api_version == api_version:
                return resource
        return None

    def all(self) -> tuple[Resource, ...]:
        return (*catalog.RESOURCES, *(definition.resource for definition in self._custom.values()))

    def versions_of(self, resource: Resource) -> tuple[Resource, ...]:
        """The other served versions of the same objects."""
        return tuple(each for each in self.all() if each.storage == resource.storage and each.path != resource.path)

    def customs(self) -> tuple[Definition, ...]:
        return tuple(self._custom.values())

    def definition(self, resource: Resource) -> Definition:
        """Of a resource that `find` gave. Raises Failure NotFound for one that has gone meanwhile."""
        if resource.custom:
            custom = self._custom.get((resource.group, resource.version, resource.plural))
            if custom is None:
                raise no_such_path()
            return custom
        known = self._built_in.get(resource.path)
        if known is None:
            known = self._built_in[resource.path] = self._define(resource)
        return known

    def replace(self, customs: Iterable[Definition]) -> None:
        """These are the custom resources from now on."""
        self._custom = {
            (each.resource.group, each.resource.version, each.resource.plural): each
            for each in customs
            if catalog.built_in(each.resource.group, each.resource.version, each.resource.plural) is None
        }
        self._paths = {resource.path: resource for resource in (*catalog.COMPUTED, *self.all())}
        self.version += 1
        self.changed.set()
        self.changed = asyncio.Event()

    def _define(self, resource: Resource) -> Definition:
        if resource.group == catalog.FOR_NODES:
            pod = self.schemas.type_of("", "v1", "Pod")
            return Definition(resource, pod, pod_addresses.RULES, "v1", pod, cut=pod_addresses.cut)
        group, _, version = resource.storage_version.rpartition("/")
        request_type = self.schemas.type_of(resource.group, resource.version, resource.kind)
        stored_elsewhere = resource.storage_version != resource.api_version
        return Definition(
            resource=resource,
            type=self.schemas.type_of(group, version, resource.kind) if stored_elsewhere else request_type,
            rules=rules_of(resource.group, resource.kind),
            working=resource.storage_version,
            request_type=request_type,
            convert=_convert if stored_elsewhere else None,
        )


async def _convert(objects: Sequence[Object], api_version: str) -> Sequence[Object]:
    return [convert(object, api_version) for object in objects]
