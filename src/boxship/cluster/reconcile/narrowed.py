"""A source that is asked for one namespace alone: who may see one object must not ask for those of all namespaces."""

from collections.abc import AsyncIterator

from boxship.cluster.access import Event, Listing
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.following import Source


class OneNamespace:
    """Implements Source. The namespace that it is asked for does not count."""

    def __init__(self, source: Source, namespace: str) -> None:
        self._source = source
        self._namespace = namespace

    async def get(self, resource: str, namespace: str, name: str, *, subresource: str = "") -> Object:
        return await self._source.get(resource, self._namespace, name, subresource=subresource)

    async def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        return await self._source.list(resource, self._namespace, labels=labels, fields=fields)

    def watch(
        self, resource: str, namespace: str = "", *, version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        return self._source.watch(resource, self._namespace, version=version, labels=labels, fields=fields)
