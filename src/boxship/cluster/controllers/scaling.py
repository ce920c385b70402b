"""The `scale` of anything that has one, built in or custom: found by group and kind, read and written through its
subresource, so that nobody has to know what the object itself looks like."""

from boxship.cluster.access import Client, Discovery
from boxship.cluster.objects import Object
from boxship.cluster.objects.resource import Resource


class Scales:
    def __init__(self, client: Client, discovery: Discovery) -> None:
        self._client = client
        self._discovery = discovery

    def resource_of(self, api_version: str, kind: str) -> Resource | None:
        """What is served of a kind, in that version or else in another one."""
        group = api_version.rpartition("/")[0]
        found = [one for one in self._discovery.resources() if one.group == group and one.kind == kind and one.stored]
        exact = [one for one in found if one.api_version == api_version]
        return next(iter(exact or found), None)

    async def read(self, resource: Resource, namespace: str, name: str) -> Object:
        """Raises Failure, NotFound among them."""
        return await self._client.get(resource.path, namespace, name, subresource="scale")

    async def write(self, resource: Resource, scale: Object, replicas: int) -> Object:
        """Raises Failure Conflict where it was changed meanwhile."""
        wanted = {**scale, "spec": {**(scale.get("spec") or {}), "replicas": replicas}}
        return await self._client.update(resource.path, wanted, subresource="scale")
