"""NamespaceLifecycle: nothing is made in a namespace that is not there or is going, and some namespaces stay."""

from boxship.cluster.api.admission import Attributes, Lookup
from boxship.cluster.objects.failure import Cause, forbidden, not_found
from boxship.cluster.objects.resource import Resource

IMMORTAL = {"default", "kube-system", "kube-public"}
# What is asked about oneself, or of a namespace that may not exist, is no content.
REVIEWS = {"localsubjectaccessreviews"}


class NamespaceLifecycle:
    """Implements Plugin."""

    name = "NamespaceLifecycle"

    def __init__(self, lookup: Lookup, namespaces: Resource) -> None:
        """`namespaces` is the resource of namespaces themselves, for messages."""
        self._lookup = lookup
        self._namespaces = namespaces

    async def admit(self, attributes: Attributes) -> None:
        request = attributes.request
        resource = request.resource
        if resource.plural == "namespaces" and resource.group == "":
            if attributes.operation == "DELETE" and not request.subresource and attributes.name in IMMORTAL:
                raise forbidden(resource, attributes.name, "this namespace may not be deleted")
            return
        if attributes.operation != "CREATE" or not request.namespace or resource.plural in REVIEWS:
            return
        namespace = await self._lookup.get("v1/namespaces", "", request.namespace)
        if namespace is None:
            raise not_found(self._namespaces, request.namespace)
        if namespace.get("status", {}).get("phase") == "Terminating" or "deletionTimestamp" in namespace["metadata"]:
            going = f"namespace {request.namespace} is being terminated"
            why = f"unable to create new content in namespace {request.namespace} because it is being terminated"
            cause = Cause("NamespaceTerminating", "metadata.namespace", going)
            raise forbidden(resource, attributes.name, why, (cause,))

    async def validate(self, attributes: Attributes) -> None:
        return None
