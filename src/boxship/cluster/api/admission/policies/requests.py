"""The `request` of expressions, with the objects in the version that a policy asks for."""

import uuid
from collections.abc import Awaitable, Callable

from boxship.cluster.api.admission import Attributes
from boxship.cluster.api.admission.webhooks.review import request_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.resource import Resource

Convert = Callable[[Object, Resource], Awaitable[Object]]


class Requests:
    """Makes them; `convert` turns an object into the version of a resource."""

    def __init__(self, convert: Convert) -> None:
        self._convert = convert

    async def of(self, attributes: Attributes, resource: Resource) -> Object:
        made, old = await self.seen(attributes, attributes.object, resource), attributes.old
        old = await self.seen(attributes, old, resource)
        return request_of(attributes, resource, str(uuid.uuid4()), made, old)

    async def seen(self, attributes: Attributes, made: Object | None, resource: Resource) -> Object | None:
        if made is None or resource.path == attributes.request.resource.path:
            return made
        return await self._convert(made, resource)

    async def back(self, attributes: Attributes, made: Object, resource: Resource) -> Object:
        """From the version of `resource` into the request's own."""
        asked = attributes.request.resource
        return made if resource.path == asked.path else await self._convert(made, asked)
