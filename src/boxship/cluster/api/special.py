"""Who answers what is not simply an object of the store: subresources, reviews and other kinds that are not kept.

One visible table; a subresource that nobody stands for here is refused by name.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec

from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.drafts import Chain, Steps
from boxship.cluster.api.evictions import PodRequests
from boxship.cluster.api.parts_of_objects import ObjectParts
from boxship.cluster.api.reading import Reading
from boxship.cluster.api.request import Answer, Reply, Request, User
from boxship.cluster.api.storage import decode
from boxship.cluster.api.views import to_json
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import (
    Failure,
    bad_request,
    invalid,
    method_not_supported,
    no_such_path,
    unavailable,
)
from boxship.cluster.objects.kinds import rules_of

Handler = Callable[[Request], Awaitable[Reply]]
PARTS = {"status", "scale", "approval", "finalize", "ephemeralcontainers", "resize"}
CONNECTS = {"log", "exec", "attach", "portforward", "proxy"}
NO_COMPONENTS = b'{"kind":"ComponentStatusList","apiVersion":"v1","metadata":{},"items":[]}'


class Reviews(Protocol):
    """Answers reviews of who may do what."""

    async def answer(self, user: User, review: Object) -> Object: ...


class Tokens(Protocol):
    """Issues tokens of service accounts."""

    async def issue(self, namespace: str, name: str, request: Object) -> Object: ...


class Special:
    """Finds the handler of a request for a subresource, or for a resource that is not stored."""

    def __init__(
        self,
        catalog: Catalog,
        reading: Reading,
        steps: Steps,
        chain: Chain,
        parts: ObjectParts,
        pods: PodRequests,
        reviews: Reviews | None,
        tokens: Tokens | None,
        computed: Mapping[str, Handler] | None = None,
    ) -> None:
        self._catalog = catalog
        self._reading = reading
        self._steps = steps
        self._chain = chain
        self._reviews = reviews
        self._tokens = tokens
        self._parts: Mapping[str, Handler] = {"get": parts.get, "update": parts.update, "patch": parts.patch}
        self._created: Mapping[str, Handler] = {
            "binding": pods.bind,
            "eviction": pods.evict,
            "token": self._issue,
        }
        self._bind = pods.bind
        self._computed = computed or {}

    def handler(self, request: Request) -> Handler:
        """Raises Failure for what nobody answers."""
        resource = request.resource
        if not request.subresource:
            return self._unstored(request)
        part = resource.subresources.get(request.subresource)
        if part is None:
            raise no_such_path()
        if request.subresource in CONNECTS:
            return self._connect
        if request.verb not in part.verbs:
            raise method_not_supported(resource, request.verb)
        found = self._parts if request.subresource in PARTS else {}
        handler = found.get(request.verb)
        if handler is None and request.verb == "create":
            handler = self._created.get(request.subresource)
        if handler is None:
            raise Failure(501, "NotImplemented", f"unsupported: {resource.qualified}/{request.subresource}")
        return handler

    def _unstored(self, request: Request) -> Handler:
        if request.resource.plural == "componentstatuses":
            return self._components
        if request.resource.plural == "bindings":
            return self._bind
        return self._computed.get(request.resource.path) or self._review

    async def _components(self, request: Request) -> Reply:
        """The original's deprecated list of its parts; here they are one process, which answers, or does not."""
        if request.verb == "list":
            return Answer(200, NO_COMPONENTS)
        raise Failure(404, "NotFound", f'componentstatuses "{request.name}" not found', name=request.name)

    async def _review(self, request: Request) -> Reply:
        definition = self._catalog.definition(request.resource)
        resource = request.resource
        review, attributes = self._steps.posted(request, resource.group, resource.version, resource.kind)
        causes = definition.rules.validate(review)
        if causes:
            raise invalid(resource.group, resource.kind, "", causes)
        await self._chain.admit(attributes)
        await self._chain.validate(attributes)
        if self._reviews is None:
            raise unavailable(f"nobody answers {resource.qualified}")
        return Answer(201, to_json(await self._reviews.answer(request.user, review)))

    async def _issue(self, request: Request) -> Reply:
        asked, attributes = self._steps.posted(request, "authentication.k8s.io", "v1", "TokenRequest")
        name = asked["metadata"].get("name") or request.name
        if name != request.name:
            raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({request.name})")
        rules = rules_of("authentication.k8s.io", "TokenRequest")
        rules.default(asked)
        if causes := rules.validate(asked):
            raise invalid("authentication.k8s.io", "TokenRequest", "", causes)
        await self._chain.admit(attributes)
        await self._chain.validate(attributes)
        if self._tokens is None:
            raise unavailable("nobody issues tokens of service accounts")
        return Answer(201, to_json(await self._tokens.issue(request.namespace, request.name, asked)))

    async def _connect(self, request: Request) -> Reply:
        """The door carries its clients on to nodes itself; whoever asks in this process is not carried."""
        plain = msgspec.structs.replace(request, subresource="", verb="get")
        entry = await self._reading.entry(plain)
        object = decode(entry.value, entry.modified)
        if request.resource.qualified == "pods" and not object.get("spec", {}).get("nodeName"):
            raise bad_request(f"pod {request.name} does not have a host assigned")
        where = object.get("spec", {}).get("nodeName") or request.name
        raise unavailable(f"no node agent answers for {request.resource.qualified}/{request.subresource} on {where}")
